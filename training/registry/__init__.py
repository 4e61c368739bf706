"""Bundles, MLflow runs and versions, champions and their ledger."""
