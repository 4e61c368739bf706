"""Streamed events: a durable log of what arrives, and the worker that keeps the online features up with it."""
