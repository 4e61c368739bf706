"""What a workspace declares of its feeds and customers, as typed values that every room reads."""
