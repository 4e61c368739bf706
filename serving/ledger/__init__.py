"""Decisions and outcomes, append-only."""
