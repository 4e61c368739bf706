"""Models and policy become decisions: online, in batch, role by role."""
