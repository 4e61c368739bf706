"""Proof that features are the same online and offline."""
