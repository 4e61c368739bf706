"""Declared feeds, read in place and mapped to the canonical tables."""
