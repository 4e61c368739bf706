"""How often a test repeats what it does: few times in `make test`, many in `make fuzz`."""

from __future__ import annotations

import os

LONG = os.environ.get("HYPOTHESIS_PROFILE") == "long"


def repetitions(suite: int, *, fuzz: int) -> int:
    """Return how often to repeat: `suite` times in `make test`, `fuzz` times in `make fuzz`."""
    return fuzz if LONG else suite
