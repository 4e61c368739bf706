"""What a person sees: one customer's story and the decision card."""
