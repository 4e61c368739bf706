"""Training frames: labels joined to features as of each cutoff, splits, and checks for leaks."""
