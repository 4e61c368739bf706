"""Candidates that are not in question are neither ranked nor judged; what was bought before is judged apart."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from tests.training.rows import frame_of
from training.models.ranking_kind import RankingKind

NAN = np.nan
NAMES = ("a", "b", "c")


def test_a_candidate_that_is_not_in_question_takes_no_place() -> None:
    test = frame_of(np.array([[NAN, 1.0, 0.0], [0.0, NAN, 1.0]]), days=[0], candidates=NAMES)
    score = np.array([[0.9, 0.2, 0.1], [0.1, 0.9, 0.2]])
    found = RankingKind().metrics(test, score, is_probability=True)
    assert found["hit_1"] == found["mrr"] == 1.0
    assert found["log_loss"] == pytest.approx(-np.mean(np.log([0.2, 0.9, 0.9, 0.2])))
    assert RankingKind().positives(test.target) == 2


def test_what_was_bought_before_and_what_is_new_are_judged_apart() -> None:
    rows = frame_of(np.array([[1.0, 0.0, 1.0], [0.0, 0.0, 1.0]]), days=[0], candidates=NAMES)
    test = replace(rows, before=np.array([[True, True, False], [False, True, False]]))
    found = RankingKind().metrics(test, np.array([[0.9, 0.5, 0.1], [0.9, 0.5, 0.1]]), is_probability=False)
    assert found["ndcg_5_again"] == 1.0  # of the first customer alone: the second took nothing again
    assert found["ndcg_5_new"] == pytest.approx((1.0 + 1 / np.log2(3)) / 2)
