"""What would make a model look better than it can be: named checks on any training frame."""
