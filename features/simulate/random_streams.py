"""Chance by name: each part of the simulation draws from its own stream, so that one does not shift another."""

from __future__ import annotations

import zlib

import numpy as np


def stream(seed: int, name: str) -> np.random.Generator:
    """Return the random stream of one part; same seed and name, same numbers."""
    return np.random.default_rng([seed, zlib.crc32(name.encode())])
