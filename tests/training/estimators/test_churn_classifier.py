"""`ChurnClassifier` keeps scikit-learn's contract, reads mixed columns, and refuses what cannot be learnt from."""

from __future__ import annotations

from typing import Any

import pytest
from sklearn.utils.estimator_checks import parametrize_with_checks

from training.estimators import ChurnClassifier, LeakWarning

EXPECTED: dict[str, str] = {}


@pytest.mark.filterwarnings(f"ignore::{LeakWarning.__module__}.{LeakWarning.__name__}")
@parametrize_with_checks(
    [ChurnClassifier(trials=1, min_positives=2, max_rounds=20)], expected_failed_checks=lambda _: EXPECTED
)
def test_scikit_learns_contract(estimator: Any, check: Any) -> None:
    check(estimator)
