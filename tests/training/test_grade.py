"""The grade compares with the best simple rule, and with nothing else."""

from __future__ import annotations

import pytest

from training.validation.gates import GateEvidence, PeerComparison
from training.validation.grade import grade

LIBRARY = PeerComparison(0.9, low=-0.2, high=-0.1)


def evidence(metric: str, value: float, **peers: PeerComparison) -> GateEvidence:
    return GateEvidence(metric=metric, value=value, positives=900, peers={**peers, "default_lightgbm": LIBRARY})


@pytest.mark.parametrize(("low", "best", "letter"), [(0.01, 0.70, "A"), (-0.01, 0.70, "B"), (-0.09, 0.76, "C")])
def test_the_best_simple_rule_decides(low: float, best: float, letter: str) -> None:
    weak = PeerComparison(0.5, low=0.2, high=0.3)
    found = grade(evidence("auc", 0.75, past_rate=weak, recency=PeerComparison(best, low=low, high=0.1)))
    assert found is not None
    assert (found.letter, "recency" in found.detail) == (letter, True)


def test_of_a_loss_less_is_better() -> None:
    found = grade(evidence("rmse", 1.0, past_rate=PeerComparison(1.2, low=-0.3, high=-0.1)))
    assert found is not None
    assert found.letter == "A"


def test_without_a_simple_rule_there_is_no_grade() -> None:
    assert grade(evidence("auc", 0.75)) is None
