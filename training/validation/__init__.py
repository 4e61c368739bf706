"""Assessment of a model on held-out rows, and the gates it must pass."""
