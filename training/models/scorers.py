"""Fitted models as a bundle stores them and a server scores with them: numpy, scipy and LightGBM's Booster only."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.models.booster import Trees
from training.models.calibration_table import CalibrationTable
from training.models.feature_encoding import Encoding, Matrix

Array = NDArray[np.float64]
BLOCK_PAIRS = 200_000  # scored at once: bounds the memory that pairs take


@dataclass(frozen=True)
class Classifier:
    """Encoding, trees and calibration: all that a score needs."""

    encoding: Encoding
    trees: Trees
    calibration: CalibrationTable

    def score(self, matrix: Matrix, *, threads: int = 1) -> Array:
        """Return calibrated probabilities, shape (rows,), of rows that ``encoding.matrix`` made."""
        return self.calibration.apply(self.trees.raw(matrix, threads=threads))


@dataclass(frozen=True)
class Stem:
    """A feature that each candidate has its own column of: ``amount_sum_30d`` of ``amount_sum_30d__bakery``."""

    name: str
    columns: tuple[str | None, ...]
    """The column of each candidate, in the candidates' order; None where it has none."""


@dataclass(frozen=True)
class Pairs:
    """How a customer's row becomes one row per candidate.

    A pair holds, in this order: which candidate, its popularity among training customers, each stem's own
    column, the same as a share of the customer's total over all candidates and as a rank among them, and the
    customer's own columns.
    """

    candidates: tuple[str, ...]
    popularity: tuple[float, ...]
    stems: tuple[Stem, ...]
    customer: tuple[str, ...]
    encoding: Encoding

    @property
    def wide(self) -> tuple[str, ...]:
        """Return the columns that a customer's row must have."""
        own = dict.fromkeys(column for stem in self.stems for column in stem.columns if column is not None)
        return (*own, *self.customer)

    def matrix(self, wide: Matrix, names: Sequence[str]) -> Array:
        """Return the pairs, shape (customers, candidates, features of a pair).

        Parameters
        ----------
        wide : array of shape (customers, columns), encoded
        names : the columns of ``wide``
        """
        at = {name: position for position, name in enumerate(names)}
        rows, many, deep = len(wide), len(self.candidates), len(self.stems)
        out = np.empty((rows, many, len(self.encoding.columns)))
        out[:, :, 0] = np.arange(many)
        out[:, :, 1] = self.popularity
        for s, stem in enumerate(self.stems, start=2):
            for c, column in enumerate(stem.columns):
                out[:, c, s] = np.nan if column is None else wide[:, at[column]]
        own = out[:, :, 2 : 2 + deep]
        total = np.nansum(own, axis=1, keepdims=True)
        np.divide(own, total, out=out[:, :, 2 + deep : 2 + 2 * deep], where=total > 0)
        out[:, :, 2 + deep : 2 + 2 * deep][np.broadcast_to(total <= 0, own.shape)] = np.nan
        for s in range(deep):
            order = np.lexsort((np.broadcast_to(self.popularity, (rows, many)), np.nan_to_num(own[:, :, s])), axis=1)
            np.put_along_axis(out[:, :, 2 + 2 * deep + s], order[:, ::-1], np.arange(float(many)), axis=1)
        out[:, :, 2 + 3 * deep :] = wide[:, None, [at[name] for name in self.customer]]
        return out


@dataclass(frozen=True)
class Ranker:
    """Encoding of a customer's row, how it becomes pairs, trees and calibration."""

    encoding: Encoding
    pairs: Pairs
    trees: Trees
    calibration: CalibrationTable

    def score(self, matrix: Matrix, *, threads: int = 1) -> Array:
        """Return the calibrated probability that each customer takes each candidate.

        Parameters
        ----------
        matrix : array of shape (customers, columns), made by ``encoding.matrix``

        Returns
        -------
        array of shape (customers, candidates), in the order of ``pairs.candidates``
        """
        out = np.empty((len(matrix), len(self.pairs.candidates)))
        step = max(1, BLOCK_PAIRS // out.shape[1])
        for start in range(0, len(matrix), step):
            pairs = self.pairs.matrix(matrix[start : start + step], self.encoding.names)
            raw = self.trees.raw(pairs.reshape(-1, pairs.shape[2]), threads=threads)
            out[start : start + step] = self.calibration.apply(raw).reshape(pairs.shape[:2])
        return out
