"""Purposes, and who allowed what."""
