"""Decisions for everybody, published atomically."""
