"""How a model was learnt: kept in its bundle, so that a later challenger can be compared with it on the same rows."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import TypeAdapter, ValidationError

from training.dataset.frame import Frame
from training.dataset.splits import Fold
from training.models.kind import FitSettings, ModelKind


@dataclass(frozen=True)
class Recipe:
    """What decides a model beside its rows.

    Parameters
    ----------
    kind : of the model
    fitting : how it is fitted
    columns : what it may learn from, in alphabetical order
    """

    kind: str
    fitting: FitSettings
    columns: tuple[str, ...]

    @classmethod
    def of(cls, kind: ModelKind, fitting: FitSettings, frame: Frame) -> Recipe:
        """Return the recipe by which a frame is learnt from."""
        return cls(kind.name, fitting, tuple(sorted(map(str, frame.features.columns))))

    def to_json(self) -> dict[str, Any]:
        """Return the recipe as a JSON document."""
        document: dict[str, Any] = _RECIPES.dump_python(self, mode="json")
        return document

    @classmethod
    def from_json(cls, document: Mapping[str, Any] | None) -> Recipe | None:
        """Return the recipe that ``to_json`` described; None where there is none, or another version wrote it.

        Examples
        --------
        >>> Recipe.from_json(None) is None
        True
        """
        try:
            return None if document is None else _RECIPES.validate_python(dict(document), strict=False)
        except ValidationError:
            return None

    def fits(self, kind: ModelKind, frame: Frame) -> bool:
        """Return whether the frame can be learnt from by this recipe."""
        return self.kind == kind.name and set(self.columns) <= set(map(str, frame.features.columns))

    def scores(self, kind: ModelKind, frame: Frame, fold: Fold) -> NDArray[np.float64]:
        """Return the test rows' scores by a model that is fitted on the training rows."""
        train, test = frame.only(self.columns).take(fold.train), frame.take(fold.test)
        model = kind.fit(train, self.fitting)
        return model.score(model.encoding.matrix(test.features), threads=self.fitting.boosting.num_threads)


_RECIPES: TypeAdapter[Recipe] = TypeAdapter(Recipe)
