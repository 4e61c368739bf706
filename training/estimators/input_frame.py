"""What an estimator is given as a DataFrame with text column names; errors that scikit-learn expects."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
from sklearn.base import BaseEstimator
from sklearn.utils.validation import validate_data

from features.base.errors import BadData


class InvalidInput(BadData, ValueError):
    """Rows or labels that an estimator cannot use; also the ``ValueError`` that scikit-learn's tools expect."""


@contextmanager
def value_errors() -> Iterator[None]:
    """Raise `BadData` as `InvalidInput`."""
    try:
        yield
    except BadData as error:
        raise InvalidInput.of(error.problems) from error


def input_frame(estimator: BaseEstimator, X: Any, *, fitting: bool) -> pd.DataFrame:
    """Return ``X`` as a DataFrame whose columns are those of the fit, in its order.

    Columns of a DataFrame are found by name, wherever they stand; those of an array by position.

    Raises
    ------
    InvalidInput : ``features.missing``
    """
    if not isinstance(X, pd.DataFrame):
        array = validate_data(estimator, X, reset=fitting, dtype=None, ensure_all_finite=False)
        return _numbered(pd.DataFrame(array)).infer_objects()
    if fitting:
        validate_data(estimator, X, reset=True, skip_check_array=True)
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:  # the columns of the fit have no text names
        if not fitting:
            validate_data(estimator, X, reset=False, skip_check_array=True)
        return _numbered(X)
    absent = [name for name in names if name not in X.columns]
    if absent:
        raise InvalidInput(
            "features.missing",
            f"{len(absent)} of {len(names)} columns of the fit are not there: {', '.join(absent[:5])}",
            where=str(absent[0]),
            hint="give the same columns as to fit, in any order",
        )
    return X[list(names)]


def _numbered(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.set_axis([f"x{at}" for at in range(frame.shape[1])], axis=1)
