"""The rows that are learnt from and held out, in turn (numpy only)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """Positions of the rows that are learnt from, and of those that are scored by what was learnt."""

    train: Rows
    held: Rows


@dataclass(frozen=True)
class Parts:
    """Parts in turn; no row is held out twice. ``forward``: each is later than what is learnt from for it."""

    parts: tuple[Part, ...] = ()
    forward: bool = False

    def __iter__(self) -> Iterator[Part]:
        return iter(self.parts)

    def __len__(self) -> int:
        return len(self.parts)


NONE = Parts()
