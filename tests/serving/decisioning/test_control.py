"""The control group: stable, of the size asked for, and recorded with the true probabilities."""

from __future__ import annotations

import numpy as np

from serving.decisioning.control_group import in_control
from tests.serving.decisioning.world import ask, customers, made, offer, one, policy, stops

MANY = [f"c{number}" for number in range(20_000)]


def test_the_share_of_the_control_group_is_the_share_asked_for() -> None:
    share = in_control(MANY, share=0.1, salt="s").mean()
    assert abs(share - 0.1) < 4 * np.sqrt(0.1 * 0.9 / len(MANY))


def test_a_customer_stays_in_the_group_and_a_larger_share_only_adds() -> None:
    small, large = (in_control(MANY, share=share, salt="s") for share in (0.05, 0.2))
    assert np.array_equal(small, in_control(MANY, share=0.05, salt="s"))
    assert (large | ~small).all()
    assert in_control(list(reversed(MANY)), share=0.05, salt="s")[::-1].tolist() == small.tolist()


def test_another_salt_draws_another_group_independently() -> None:
    first, second = (in_control(MANY, share=0.5, salt=salt) for salt in ("one", "two"))
    assert abs((first == second).mean() - 0.5) < 0.02


def test_no_share_means_nobody() -> None:
    assert not in_control(MANY, share=0, salt="s").any()


def test_the_control_group_gets_no_marketing_and_both_arms_carry_their_probability() -> None:
    decisions = ask(customers(*MANY[:200]), policy(offer("boost"), exploration={"control": 0.25}))
    held = [decision for decision in decisions if decision.control_group]
    treated = [decision for decision in decisions if not decision.control_group]
    assert held
    assert treated
    for decision in held:
        assert (decision.no_action_reason, decision.selection_prob) == ("control_group", 0.25)
        assert stops(decision) == {"boost": ("control", "exploration.control")}
    for decision in treated:
        assert decision.items[0].selection_prob == decision.selection_prob == 0.75


def test_what_must_be_shown_or_belongs_to_a_transaction_is_not_withheld() -> None:
    catalogue = policy(
        offer("boost"),
        offer("notice", kind="mandatory", purpose="service", score=None),
        offer("receipt", kind="transactional", purpose="service", score=None),
        exploration={"control": 0.999999},
    )
    decision = one(customers(), catalogue)
    assert made(decision) == ["notice", "receipt"]
    assert [item.selection_prob for item in decision.items] == [1.0, 1.0]


def test_where_there_was_nothing_to_withhold_the_reason_is_the_true_one() -> None:
    decision = one(customers(consent=0.0), policy(offer("boost"), exploration={"control": 0.999999}))
    assert decision.control_group
    assert (decision.no_action_reason, decision.selection_prob) == ("consent", 1.0)
