"""Declared features, compiled and computed as of a cutoff."""
