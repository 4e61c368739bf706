"""Fitted models as a bundle stores them and a server scores with them: numpy, scipy and LightGBM's Booster only."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Self

import numpy as np
from numpy.typing import NDArray

from features.base.errors import BadData
from training.models.additive_table import AdditiveTable
from training.models.booster import Trees
from training.models.calibration_table import CalibrationTable
from training.models.feature_encoding import Encoding, Matrix
from training.models.fitted_model import Contributions, FittedModel
from training.models.target_statistics import NO_STATISTICS, TargetStatistics

Array = NDArray[np.float64]
BLOCK_PAIRS = 200_000  # scored at once: bounds the memory that pairs take
TREES, ENCODING, CALIBRATION, PAIRS = "model.txt", "encoding.json", "calibration.json", "pairs.json"
SHARES, CURVES = "shares.json", "curves.json"


@dataclass(frozen=True)
class Classifier:
    """Encoding, trees and calibration, shares of categories and curves where it has them: all that a score needs."""

    kind: ClassVar[str] = "binary"
    files: ClassVar[tuple[str, ...]] = (TREES, ENCODING, CALIBRATION, SHARES, CURVES)

    encoding: Encoding
    trees: Trees
    calibration: CalibrationTable
    statistics: TargetStatistics = NO_STATISTICS
    additive: AdditiveTable | None = None

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of what the trees are given: the model's columns."""
        return self.encoding.names

    @property
    def candidates(self) -> tuple[str, ...]:
        """Nothing: a customer has one score."""
        return ()

    def score(self, matrix: Matrix, *, threads: int = 1) -> Array:
        """Return calibrated probabilities, shape (rows,), of rows that ``encoding.matrix`` made."""
        return self.calibration.apply(self.raw(matrix, threads=threads))

    def raw(self, matrix: Matrix, *, threads: int = 1) -> Array:
        """Return log-odds before calibration, shape (rows,)."""
        numbers = self.statistics.apply(matrix)
        raw = self.trees.raw(numbers, threads=threads)
        if self.additive is None:
            return raw
        return (1 - self.additive.share) * raw + self.additive.share * self.additive.raw(numbers)

    def contributions(self, matrix: Matrix, *, candidates: Sequence[str] = ()) -> Contributions:
        """Return each column's part in the log-odds."""
        if candidates:
            raise BadData("candidates.required", "this model ranks no candidates")
        numbers = self.statistics.apply(matrix)
        parts = self.trees.contributions(numbers)
        if self.additive is not None:
            parts = (1 - self.additive.share) * parts + self.additive.share * self.additive.contributions(numbers)
        return Contributions(parts, matrix, self.encoding)

    def documents(self) -> dict[str, Any]:
        """Return the contents of its files."""
        return {
            TREES: self.trees.text,
            ENCODING: self.encoding.to_json(),
            CALIBRATION: self.calibration.to_json(),
            SHARES: self.statistics.to_json(),
            CURVES: None if self.additive is None else self.additive.to_json(),
        }

    @classmethod
    def from_documents(cls, documents: Mapping[str, Any]) -> Self:
        """Return the model that ``documents`` described."""
        encoding = Encoding.from_json(documents[ENCODING])
        statistics = TargetStatistics.from_json(documents[SHARES])
        additive = None if documents[CURVES] is None else AdditiveTable.from_json(documents[CURVES])
        for shares in statistics.columns:  # of each level, of other levels, of a missing value
            if len(shares.shares) != len(encoding.columns[shares.position].levels) + 2:
                raise BadData("statistics.document", "there is not one share for each level")
        if additive is not None and any(curve.position >= len(encoding.columns) for curve in additive.curves):
            raise BadData("additive.document", "a curve is of no feature")
        calibration = CalibrationTable.from_json(documents[CALIBRATION])
        return cls(encoding, _trees(documents, encoding), calibration, statistics, additive)


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

    def to_json(self) -> dict[str, Any]:
        """Return the pairs as a JSON document."""
        return {
            "candidates": self.candidates,
            "popularity": self.popularity,
            "stems": [{"name": stem.name, "columns": stem.columns} for stem in self.stems],
            "customer": self.customer,
            "encoding": self.encoding.to_json(),
        }

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> Self:
        """Return the pairs that ``to_json`` described."""
        return cls(
            tuple(document["candidates"]),
            tuple(document["popularity"]),
            tuple(Stem(stem["name"], tuple(stem["columns"])) for stem in document["stems"]),
            tuple(document["customer"]),
            Encoding.from_json(document["encoding"]),
        )

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

    kind: ClassVar[str] = "ranking"
    files: ClassVar[tuple[str, ...]] = (TREES, ENCODING, CALIBRATION, PAIRS)

    encoding: Encoding
    pairs: Pairs
    trees: Trees
    calibration: CalibrationTable

    @property
    def inputs(self) -> tuple[str, ...]:
        """The names of what the trees are given: the columns of a pair."""
        return self.pairs.encoding.names

    @property
    def candidates(self) -> tuple[str, ...]:
        """What is ranked, in the order of the scores' columns."""
        return self.pairs.candidates

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

    def contributions(self, matrix: Matrix, *, candidates: Sequence[str] = ()) -> Contributions:
        """Return each column's part in the log-odds of one candidate a row."""
        position = {name: at for at, name in enumerate(self.candidates)}
        if len(candidates) != len(matrix) or not position.keys() >= set(candidates):
            raise BadData(
                "candidates.required",
                "name one known candidate for each row",
                hint=f"known: {', '.join(self.candidates[:10])}",
            )
        pairs = self.pairs.matrix(matrix, self.encoding.names)
        chosen = pairs[np.arange(len(matrix)), [position[name] for name in candidates]]
        return Contributions(self.trees.contributions(chosen), chosen, self.pairs.encoding)

    def documents(self) -> dict[str, Any]:
        """Return the contents of its files."""
        return {
            TREES: self.trees.text,
            ENCODING: self.encoding.to_json(),
            CALIBRATION: self.calibration.to_json(),
            PAIRS: self.pairs.to_json(),
        }

    @classmethod
    def from_documents(cls, documents: Mapping[str, Any]) -> Self:
        """Return the model that ``documents`` described."""
        pairs = Pairs.from_json(documents[PAIRS])
        return cls(
            Encoding.from_json(documents[ENCODING]),
            pairs,
            _trees(documents, pairs.encoding),
            CalibrationTable.from_json(documents[CALIBRATION]),
        )


def _trees(documents: Mapping[str, Any], encoding: Encoding) -> Trees:
    trees = Trees.load(documents[TREES])  # its digest has been verified
    if trees.features != len(encoding.columns):
        raise ValueError("encoding and trees disagree about the features")
    return trees


#: The kinds of fitted models that a bundle may hold; a new kind is added here and in `training.models.model_kinds`.
FITTED_MODELS: Mapping[str, type[FittedModel]] = {model.kind: model for model in (Classifier, Ranker)}
