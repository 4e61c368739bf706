"""Verified bundles and arrays in, scores and their reasons out."""
