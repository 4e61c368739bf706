"""Many feeds, one customer, features as of any moment."""
