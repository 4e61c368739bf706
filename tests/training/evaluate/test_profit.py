"""EMPC against the definition (integrated numerically), against its bounds, and by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from features.base.errors import BadData
from training.evaluate.profit import Campaign, empc

ROWS = st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=2, max_size=40).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)
GAMMA = (np.arange(20_000) + 0.5) / 20_000


def by_definition(y: np.ndarray, s: np.ndarray, c: Campaign) -> tuple[float, float]:
    """Average, over the acceptance chance, the profit of the best of all cuts; no hull, no closed form."""
    cuts = [np.inf, *np.unique(s)[::-1]]
    leavers = np.array([(y[s >= cut] == 1).sum() / len(y) for cut in cuts])[:, None]
    stayers = np.array([(y[s >= cut] == 0).sum() / len(y) for cut in cuts])[:, None]
    profit = leavers * (c.clv * GAMMA * (1 - c.d / c.clv) - c.f) - stayers * (c.d + c.f)
    weight = beta(c.alpha, c.beta).pdf(GAMMA) / len(GAMMA)
    best = profit.argmax(axis=0)
    share = (leavers + stayers)[:, 0][best]
    return float(profit.max(axis=0) @ weight), float(share @ weight)


@settings(max_examples=60)
@given(ROWS, st.sampled_from([Campaign(), Campaign(clv=50, d=20, f=5), Campaign(alpha=2, beta=2, f=0)]))
def test_the_closed_form_is_the_definition(rows: list[tuple[bool, int]], campaign: Campaign) -> None:
    y, s = np.array([float(label) for label, _ in rows]), np.array([float(score) for _, score in rows])
    profit, share = by_definition(y, s, campaign)
    found = empc(y, s, campaign=campaign)
    assert found.profit == pytest.approx(profit, rel=1e-3, abs=1e-3)
    assert found.share == pytest.approx(share, abs=2e-3)


def test_a_perfect_ranking_saves_every_leaver_who_would_accept() -> None:
    y, s = [1, 0, 0, 0], [9, 1, 1, 1]
    # f / (clv − d) is so small that approaching the leaver always pays: 0.25 · (0.3 · 190 − 1)
    assert empc(y, s).profit == pytest.approx(0.25 * (0.3 * 190 - 1), abs=1e-4)
    assert empc(y, s).share == pytest.approx(0.25, abs=1e-4)


def test_a_ranking_upside_down_earns_no_less_than_doing_nothing_or_everything() -> None:
    y = np.array([1.0] * 5 + [0.0] * 95)
    assert empc(y, -y).profit >= 0
    assert empc(y, -y).profit < empc(y, y).profit


def test_only_the_order_of_the_scores_counts() -> None:
    rng = np.random.default_rng(1)
    s = rng.normal(size=300)
    y = (s + rng.normal(size=300) > 0.8).astype(float)
    assert empc(y, s) == empc(y, np.exp(s))
    assert empc(y, s).profit > empc(y, rng.permutation(s)).profit


@pytest.mark.parametrize(
    "campaign", [Campaign(clv=10, d=10), Campaign(clv=-1, d=-2), Campaign(f=-1), Campaign(alpha=0)]
)
def test_a_campaign_that_cannot_pay_is_refused(campaign: Campaign) -> None:
    with pytest.raises(BadData, match=r"metric\.campaign"):
        empc([0, 1], [0, 1], campaign=campaign)
