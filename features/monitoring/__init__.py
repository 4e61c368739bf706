"""What the built features hold: how each is spread, how much is missing, how it drifts."""
