"""Many records, one customer."""
