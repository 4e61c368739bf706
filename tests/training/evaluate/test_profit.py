"""EMPC and EMPB against the definition (integrated numerically), empulse, their bounds, and by hand."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
from empulse import metrics as empulse
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import beta

from features.base.errors import BadData
from training.evaluate.profit import Campaign, empb, empc

ROWS = st.lists(st.tuples(st.booleans(), st.integers(0, 8)), min_size=2, max_size=40).filter(
    lambda rows: len({label for label, _ in rows}) == 2
)
CAMPAIGNS = [
    Campaign(),
    Campaign(clv=50, incentive_cost=20, contact_cost=5),
    Campaign(alpha=2, beta=2, contact_cost=0),
]
GAMMA = (np.arange(20_000) + 0.5) / 20_000


def by_definition(y: np.ndarray, s: np.ndarray, c: Campaign) -> tuple[float, float]:
    """Average, over the acceptance chance, the profit of the best of all cuts; no hull, no closed form."""
    cuts = [np.inf, *np.unique(s)[::-1]]
    leavers = np.array([(y[s >= cut] == 1).sum() / len(y) for cut in cuts])[:, None]
    stayers = np.array([(y[s >= cut] == 0).sum() / len(y) for cut in cuts])[:, None]
    kept = (c.clv - c.incentive_cost) * GAMMA - c.contact_cost
    profit = leavers * kept - stayers * (c.incentive_cost + c.contact_cost)
    weight = beta(c.alpha, c.beta).pdf(GAMMA) / len(GAMMA)
    best = profit.argmax(axis=0)
    share = (leavers + stayers)[:, 0][best]
    return float(profit.max(axis=0) @ weight), float(share @ weight)


@settings(max_examples=60)
@given(ROWS, st.sampled_from(CAMPAIGNS))
def test_the_closed_form_is_the_definition(rows: list[tuple[bool, int]], campaign: Campaign) -> None:
    y, s = np.array([float(label) for label, _ in rows]), np.array([float(score) for _, score in rows])
    profit, share = by_definition(y, s, campaign)
    found = empc(y, s, campaign=campaign)
    assert found.profit == pytest.approx(profit, rel=1e-3, abs=1e-3)
    assert found.share == pytest.approx(share, abs=2e-3)


def test_a_perfect_ranking_saves_every_leaver_who_would_accept() -> None:
    y, s = [1, 0, 0, 0], [9, 1, 1, 1]
    # the contact costs so little that approaching the leaver always pays: 0.25 · (0.3 · 190 − 1)
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
    "wrong", [{"clv": 10, "incentive_cost": 10}, {"clv": -1, "incentive_cost": -2}, {"contact_cost": -1}, {"alpha": 0}]
)
def test_a_campaign_that_cannot_pay_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BadData, match=r"metric\.campaign"):
        Campaign(**wrong)


@pytest.mark.parametrize("wrong", [{"incentive_fraction": 1.0}, {"contact_cost": -1.0}, {"beta": 0.0}])
def test_a_campaign_for_business_customers_that_cannot_pay_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BadData, match=r"metric\.campaign"):
        empb([0, 1], [0, 1], clv=[100, 100], **wrong)


@pytest.mark.parametrize("clv", [[100], [100, np.nan], [100, -1]])
def test_lifetime_values_that_are_none_are_refused(clv: list[float]) -> None:
    with pytest.raises(BadData, match=r"metric\.clv"):
        empb([0, 1], [0, 1], clv=clv)


def ranked(seed: int, *, ties: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    s = rng.normal(size=500)
    y = (s + rng.normal(size=500) > rng.uniform(-1, 1.5)).astype(int)
    return y, np.round(s, 1) if ties else s, rng.lognormal(6, 1, size=500)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("campaign", [Campaign(), Campaign(clv=60, incentive_cost=12, contact_cost=4, alpha=2, beta=3)])
def test_empc_is_that_of_empulse(campaign: Campaign, ties: bool) -> None:
    for seed in range(5):
        y, s, _ = ranked(seed, ties=ties)
        found = empc(y, s, campaign=campaign)
        assert found.profit == pytest.approx(empulse.empc_score(y, s, **asdict(campaign)), abs=1e-6)
        assert found.share == pytest.approx(empulse.empc_score.optimal_rate(y, s, **asdict(campaign)), abs=1e-6)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("settings", [{}, {"incentive_fraction": 0.2, "contact_cost": 40.0, "alpha": 2.0, "beta": 3.0}])
def test_empb_is_that_of_empulse(settings: dict[str, float], ties: bool) -> None:
    for seed in range(5):
        y, s, clv = ranked(seed, ties=ties)
        found = empb(y, s, clv=clv, **settings)
        assert found.profit == pytest.approx(empulse.empb_score(y, s, clv=clv, **settings), abs=1e-6)
        assert found.share == pytest.approx(empulse.empb_score.optimal_rate(y, s, clv=clv, **settings), abs=1e-6)
