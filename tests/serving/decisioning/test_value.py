"""What an offer is expected: the formula, the starting propensity with evidence, the floor, and what is missing."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from features.base.errors import BadConfiguration
from serving.decisioning.customer_inputs import Scores
from serving.decisioning.value import OutcomeCount, posterior_mean
from tests.serving.decisioning.world import NOW, ask, customers, made, offer, one, policy, stops


def test_the_priority_is_the_expected_value_less_the_cost() -> None:
    catalogue = policy(offer("boost", value={"margin": 120, "cost": 2.5}, weight=2, score={"model": "m"}))
    item = one(customers(scores={"m": Scores(np.array([0.04]))}), catalogue).items[0]
    assert (item.propensity, item.value, item.lever, item.context_weight) == (0.04, 120, 2, 1)
    assert item.priority == pytest.approx(0.04 * 120 * 1 * 2 - 2.5)


def test_a_context_weight_lifts_an_offer() -> None:
    catalogue = policy(offer("a"), offer("b"))
    batch = customers()
    lifted = type(batch)(batch.customer_ids, batch.features, context_weights={"b": 3.0})
    assert made(one(batch, catalogue)) == ["a", "b"]
    assert made(one(lifted, catalogue)) == ["b", "a"]
    assert one(lifted, catalogue).items[0].context_weight == 3.0


def test_a_margin_may_be_an_expression_over_features_and_scores() -> None:
    catalogue = policy(offer("stay", value={"margin": "spend * score__churn"}))
    batch = customers(spend=200.0, scores={"churn": Scores(np.array([0.5]))})
    assert one(batch, catalogue).items[0].value == 100.0


def test_a_margin_that_is_null_leaves_no_offer() -> None:
    decision = one(customers(spend=None), policy(offer("stay", value={"margin": "spend * 2"})))
    assert stops(decision) == {"stay": ("score_missing", "value.margin")}
    assert decision.no_action_reason == "score_missing"


def test_a_margin_that_is_a_text_is_a_fault_of_the_catalogue() -> None:
    with pytest.raises(BadConfiguration) as caught:
        one(customers(city="Leeds"), policy(offer("stay", value={"margin": "city"})))
    assert caught.value.first.code == "offers.margin"


@pytest.mark.parametrize("scores", [{}, {"m": Scores(np.array([np.nan]))}, {"m": Scores(np.array([np.inf]))}])
def test_without_a_score_there_is_no_offer(scores: dict[str, Scores]) -> None:
    decision = one(customers(scores=scores), policy(offer("boost", score={"model": "m"})))
    assert stops(decision) == {"boost": ("score_missing", "score m")}


def test_a_ranking_model_scores_each_offer_by_its_candidate_its_item_or_its_group() -> None:
    scores = {"next": Scores(np.array([[0.1, 0.2, 0.3]]), ("fibre", "upsell", "tv"))}
    catalogue = policy(
        offer("a", item="fibre", score={"model": "next"}, eligibility="score__next < 0.15"),
        offer("b", item="phone", score={"model": "next"}, eligibility="score__next > 0.15"),
        offer("c", score={"model": "next", "candidate": "tv"}),
        offer("d", score={"model": "next", "candidate": "radio"}),
    )
    decision = one(customers(scores=scores), catalogue)
    assert {item.offer: item.propensity for item in decision.items} == {"a": 0.1, "b": 0.2, "c": 0.3}
    assert stops(decision) == {"d": ("score_missing", "score next")}


def test_an_offer_under_the_floor_is_not_made_and_one_at_the_floor_is() -> None:
    catalogue = policy(offer("under", value={"margin": 99}), offer("at"), floor=5)
    decision = one(customers(), catalogue)
    assert made(decision) == ["at"]
    assert stops(decision) == {"under": ("floor", "floor 5")}


def test_an_uplift_below_zero_makes_no_offer() -> None:
    decision = one(
        customers(scores={"save": Scores(np.array([-0.02]))}), policy(offer("call", score={"model": "save"}))
    )
    assert decision.no_action_reason == "floor"


def test_a_value_too_large_for_a_number_is_stopped_and_not_offered_first() -> None:
    decision = one(customers(), policy(offer("odd", value={"margin": 1e308}, weight=1e9), offer("boost")))
    assert made(decision) == ["boost"]


def test_outcomes_move_the_starting_propensity_as_a_beta_posterior() -> None:
    outcomes = {"boost": OutcomeCount(contacts=200, accepted=30)}
    item = one(customers(), policy(offer("boost")), outcomes=outcomes).items[0]
    assert item.propensity == pytest.approx((0.05 * 200 + 30) / 400)


@given(
    propensity=st.floats(0.001, 0.999),
    evidence=st.floats(1, 1e4),
    contacts=st.integers(0, 10_000),
    share=st.floats(0, 1),
)
def test_the_posterior_lies_between_the_start_and_what_was_seen(
    propensity: float, evidence: float, contacts: int, share: float
) -> None:
    accepted = int(contacts * share)
    mean = posterior_mean(propensity=propensity, evidence=evidence, count=OutcomeCount(contacts, accepted))
    seen = accepted / contacts if contacts else propensity
    assert min(propensity, seen) - 1e-9 <= mean <= max(propensity, seen) + 1e-9


def test_the_most_likely_customers_are_worth_most() -> None:
    batch = customers("ann", "bob", scores={"m": Scores(np.array([0.1, 0.4]))})
    ann, bob = ask(batch, policy(offer("boost", score={"model": "m"})), as_of=NOW)
    assert bob.items[0].priority > ann.items[0].priority
