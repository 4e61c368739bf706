"""Snapshots of every view at every cutoff: what changed since the last build, and what is computed again."""
