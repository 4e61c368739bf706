"""Qini, AUUC and uplift at k are scikit-uplift's, and do not depend on the order of the rows."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklift import metrics as theirs

from features.base.errors import BadData
from training.evaluate import uplift

pytestmark = pytest.mark.filterwarnings("ignore:Function stable_cumsum:FutureWarning")  # scikit-uplift's own


def drawn(seed: int, rows: int = 500, *, ties: int | None = None) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return outcomes, scores and treatments; scores without ties unless a number of levels is given."""
    rng = np.random.default_rng(seed)
    treated = (rng.random(rows) < rng.uniform(0.2, 0.8)).astype(int)
    taste = rng.permutation(rows) / rows if ties is None else rng.integers(ties, size=rows) / ties
    bought = (rng.random(rows) < 0.2 + rng.uniform(-0.2, 0.4) * treated * taste).astype(int)
    return bought, taste, treated


@given(st.integers(0, 10_000))
def test_the_numbers_are_those_of_scikit_uplift(seed: int) -> None:
    y, s, t = drawn(seed)
    assert uplift.qini(y, s, t) == pytest.approx(theirs.qini_auc_score(y, s, t), abs=1e-9)
    assert uplift.auuc(y, s, t) == pytest.approx(theirs.uplift_auc_score(y, s, t), abs=1e-9)
    for k in (0.1, 0.3, 0.77):
        for by, strategy in (("overall", "overall"), ("group", "by_group")):
            found = uplift.uplift_at_k(y, s, t, k=k, by="overall" if by == "overall" else "group")
            assert found == pytest.approx(theirs.uplift_at_k(y, s, t, strategy=strategy, k=k), abs=1e-9)


@pytest.mark.parametrize("levels", [None, 7])
def test_the_curves_are_those_of_scikit_uplift(levels: int | None) -> None:
    y, s, t = drawn(4, ties=levels)
    pairs = [
        (uplift.qini_curve(y, s, t), theirs.qini_curve(y, s, t)),
        (uplift.uplift_curve(y, s, t), theirs.uplift_curve(y, s, t)),
        (uplift.perfect_qini_curve(y, t), theirs.perfect_qini_curve(y, t)),
        (uplift.perfect_uplift_curve(y, t), theirs.perfect_uplift_curve(y, t)),
        (uplift.perfect_qini_curve(y, t, negative_effect=False), theirs.perfect_qini_curve(y, t, False)),
    ]
    for ours, (x, gain) in pairs:
        np.testing.assert_allclose(ours.treated, x, atol=1e-9)
        np.testing.assert_allclose(ours.gain, gain, atol=1e-9)


def test_the_numbers_on_a_real_campaign_are_those_of_scikit_uplift(shared_data: Path) -> None:
    table = pd.read_parquet(shared_data / "hillstrom_email" / "hillstrom.parquet")
    table = table[table["segment"] != "Mens E-Mail"]
    y, t = table["visit"].to_numpy(), (table["segment"] == "Womens E-Mail").to_numpy(dtype=int)
    s = table["history"].to_numpy() + 1000 * table["womens"].to_numpy()
    assert uplift.qini(y, s, t) == pytest.approx(theirs.qini_auc_score(y, s, t), abs=1e-9)
    assert uplift.qini(y, s, t, negative_effect=False) == pytest.approx(theirs.qini_auc_score(y, s, t, False), abs=1e-9)
    assert uplift.auuc(y, s, t) == pytest.approx(theirs.uplift_auc_score(y, s, t), abs=1e-9)
    free = s + np.linspace(0, 1e-6, len(s))  # uplift at k depends on the order of tied rows there
    assert len(np.unique(free)) == len(free)
    expected = theirs.uplift_at_k(y, free, t, strategy="overall", k=0.3)
    assert uplift.uplift_at_k(y, free, t) == pytest.approx(expected, abs=1e-9)


@given(st.integers(0, 10_000), st.integers(2, 9))
def test_the_order_of_the_rows_does_not_matter(seed: int, levels: int) -> None:
    y, s, t = drawn(seed, ties=levels)
    turned = np.random.default_rng(seed + 1).permutation(len(y))
    for metric in (uplift.qini, uplift.auuc, uplift.uplift_at_k):
        assert metric(y, s, t) == pytest.approx(metric(y[turned], s[turned], t[turned]), abs=1e-12)


def test_tied_rows_count_as_the_mean_over_their_orders() -> None:
    y, t = np.array([1, 0, 1, 0, 0, 1, 0, 0]), np.array([1, 1, 0, 0, 1, 1, 0, 0])
    assert uplift.uplift_at_k(y, np.zeros(8), t, k=0.5) == pytest.approx(y[t == 1].mean() - y[t == 0].mean())


def test_an_amount_has_a_curve_and_no_coefficient() -> None:
    _, s, t = drawn(5)
    spent = 10 * s * t
    assert uplift.qini_curve(spent, s, t).area > 0
    with pytest.raises(BadData, match=r"metric\.labels"):
        uplift.qini(spent, s, t)


def test_an_interval_keeps_the_rows_of_a_customer_together() -> None:
    y, s, t = drawn(8, rows=300)
    one = uplift.interval(uplift.qini, y, s, t, customers=np.arange(300), rounds=200, seed=1)
    assert one.low < one.difference < one.high
    assert one.difference == uplift.qini(y, s, t)
    tenfold = [np.tile(values, 10) for values in (y, s, t)]
    copies = uplift.interval(uplift.qini, *tenfold, customers=np.tile(np.arange(300), 10), rounds=200, seed=1)
    assert copies.high - copies.low == pytest.approx(one.high - one.low, rel=0.3)


def test_a_score_leads_itself_by_nothing() -> None:
    y, s, t = drawn(9)
    found = uplift.interval(uplift.auuc, y, s, t, against=s, customers=np.arange(500), rounds=20, seed=1)
    assert (found.low, found.difference, found.high) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("target", "score", "treatment", "code"),
    [
        ([1, 0], [1, 2], [1, 1], "metric.treatment"),
        ([1, 0], [1, 2], [0, 0], "metric.treatment"),
        ([1, 0], [1, 2], [0, 2], "metric.labels"),
        ([1, 0, 1], [1, 2], [0, 1], "metric.shape"),
        ([1, np.nan], [1, 2], [0, 1], "metric.missing"),
        ([1, 0], [1, np.nan], [0, 1], "metric.missing"),
        ([0, 0], [1, 2], [0, 1], "metric.no_gain"),
        ([2, 0], [1, 2], [0, 1], "metric.labels"),
        ([], [], [], "metric.empty"),
    ],
)
def test_bad_arrays_are_refused(target: list[float], score: list[float], treatment: list[int], code: str) -> None:
    with pytest.raises(BadData) as refused:
        uplift.qini(target, score, treatment)
    assert refused.value.first.code == code


def test_a_share_without_both_groups_is_refused() -> None:
    with pytest.raises(BadData, match=r"metric\.k"):
        uplift.uplift_at_k([1, 0, 0, 1], [4, 3, 2, 1], [1, 1, 0, 0], k=0.5)
    with pytest.raises(BadData, match=r"metric\.k"):
        uplift.uplift_at_k([1, 0], [2, 1], [1, 0], k=1.0)


def test_a_treatment_that_loses_outcomes_has_no_curve_without_negative_effects() -> None:
    with pytest.raises(BadData, match=r"metric\.negative_gain"):
        uplift.qini([0, 0, 1, 1], [1, 2, 3, 4], [1, 1, 0, 0], negative_effect=False)
