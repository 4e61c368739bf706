"""Random generators by name: each part of the simulation has its own, so that a change of one leaves the others."""

from __future__ import annotations

import zlib

import numpy as np


def rng_for(seed: int, name: str) -> np.random.Generator:
    """Return the random generator of one part.

    Examples
    --------
    >>> rng_for(1, "bills").integers(10) == rng_for(1, "bills").integers(10)
    np.True_
    """
    return np.random.default_rng([seed, zlib.crc32(name.encode())])
