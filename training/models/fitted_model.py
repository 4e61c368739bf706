"""What a fitted model of any kind can do: score, explain, and be written into a bundle. Servers read this."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Protocol, Self

import numpy as np
from numpy.typing import NDArray

from training.models.booster import Trees
from training.models.feature_encoding import Encoding, Matrix

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Contributions:
    """What the trees were given, and each feature's part in their log-odds.

    Parameters
    ----------
    values : shape (rows, features + 1); the last is the base
    matrix : shape (rows, features), the numbers that the trees were given
    encoding : of these features
    """

    values: Array
    matrix: Matrix
    encoding: Encoding


class FittedModel(Protocol):
    """A fitted model of one kind.

    Attributes
    ----------
    kind : its name in the manifest of a bundle
    files : the files of a bundle that hold it; ``.json`` ones are JSON documents, others are text
    """

    kind: ClassVar[str]
    files: ClassVar[tuple[str, ...]]

    @property
    def encoding(self) -> Encoding:
        """Return how the columns of a customer become numbers."""

    @property
    def trees(self) -> Trees:
        """Return the trees that MLflow logs."""

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the names of what the trees are given, in order."""

    @property
    def candidates(self) -> tuple[str, ...]:
        """Return what is ranked for each customer, in the order of the scores' columns; () where nothing is."""

    def score(self, matrix: Matrix, *, threads: int = 1) -> Array:
        """Return what is predicted of rows that ``encoding.matrix`` made: shape (rows,) or (rows, candidates)."""

    def contributions(self, matrix: Matrix, *, candidates: Sequence[str] = ()) -> Contributions:
        """Return each feature's part in the scores of rows; of a model with candidates, in that of one a row.

        Raises
        ------
        BadData : ``candidates.required`` if candidates are unknown, not one for each row, or given to another model
        """

    def documents(self) -> dict[str, Any]:
        """Return the contents of its files: text, or a JSON document."""

    @classmethod
    def from_documents(cls, documents: Mapping[str, Any]) -> Self:
        """Return the model that ``documents`` described; damaged ones raise ``BadData`` or a built-in error."""
