"""The whole story: the contract's example, stable ids, one value online and in batch, codes that are documented."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given

from features.base.errors import BadData
from serving.decisioning.customer_inputs import CustomerBatch, Scores
from serving.decisioning.reason_codes import NO_ACTION, REGISTRY, WHY_THIS, Blocked, Reason, Stage
from serving.decisioning.sentences import explain, explain_blocked, explain_reason
from tests.serving.decisioning.test_arbitrate import worlds
from tests.serving.decisioning.world import NOW, ask, customers, made, offer, one, policy, stops

FIBRE = offer(
    "fibre-upgrade",
    item="fibre",
    channels=["agent", "email"],
    value={"margin": 120, "cost": 2.5},
    eligibility="profile__city is not null",
    applicability="holdings__fibre = 0",
    suitability="tickets__count_30d < 3",
    valid={"from": "2026-01-01", "to": "2026-12-31"},
    caps=[{"per": "customer", "channel": "email", "every": "7d", "at_most": 1}],
    suppress=[{"after": "rejected", "for": "30d"}],
    score={"model": "cross_sell"},
)
ANN: dict[str, Any] = {"profile__city": "Leeds", "holdings__fibre": 0.0, "tickets__count_30d": 1.0}
SCORES = {"cross_sell": Scores(np.array([[0.1]]), ("fibre",))}


def test_the_contracts_example_is_offered_with_its_reasons() -> None:
    batch = replace(customers(scores=SCORES, **ANN), drivers={"cross_sell": [[Reason("driver", "long with us")]]})
    item = one(batch, policy(FIBRE), channel="agent", purpose="marketing").items[0]
    assert (item.offer, item.group, item.purpose, item.channel, item.rank) == (
        "fibre-upgrade",
        "upsell",
        "marketing",
        "agent",
        1,
    )
    assert item.priority == pytest.approx(0.1 * 120 - 2.5)
    assert item.reasons == (
        Reason("driver", "long with us"),
        Reason("likelihood", "score of the model", "cross_sell", 0.1),
        Reason("value", "worth of acceptance", "fibre-upgrade", 120.0),
        Reason("cost", "cost of the contact", "fibre-upgrade", 2.5),
        Reason("rule", "the customer meets the rule", "eligibility", "profile__city is not null"),
        Reason("rule", "the customer meets the rule", "applicability", "holdings__fibre = 0"),
        Reason("rule", "the customer meets the rule", "suitability", "tickets__count_30d < 3"),
    )
    assert [explain_reason(reason) for reason in item.reasons] == [
        "long with us",
        "score of the model cross_sell: 10.0%",
        "worth of acceptance: 120.00",
        "cost of the contact: 2.50",
        "profile__city is not null",
        "holdings__fibre = 0",
        "tickets__count_30d < 3",
    ]


def test_who_has_fibre_already_gets_no_action_with_the_rule_that_says_so() -> None:
    decision = one(customers(scores=SCORES, **(ANN | {"holdings__fibre": 1.0})), policy(FIBRE))
    assert decision.is_no_action
    assert decision.best is None
    assert decision.no_action_reason == "applicability"
    assert stops(decision) == {"fibre-upgrade": ("applicability", "holdings__fibre = 0")}


def test_drivers_may_be_given_for_each_candidate() -> None:
    drivers = {"cross_sell": [[Reason("driver", "any")]], "cross_sell:fibre": [[Reason("driver", "fibre's own")]]}
    batch = replace(customers(scores=SCORES, **ANN), drivers=drivers)
    assert one(batch, policy(FIBRE)).items[0].reasons[0].text == "fibre's own"


def test_an_empty_catalogue_decides_no_action() -> None:
    decision = one(customers(), policy())
    assert (decision.items, decision.blocked, decision.no_action_reason) == ((), (), "no_offers")


def test_no_customers_are_no_decisions() -> None:
    assert ask(CustomerBatch(()), policy(FIBRE)) == []


def test_the_same_question_has_the_same_id_and_any_other_has_another() -> None:
    batch, catalogue = customers(), policy(offer("boost"))
    same = {one(batch, catalogue).decision_id for _ in range(2)}
    later = datetime(2026, 6, 1, 9, 0, 0, 1, tzinfo=UTC)
    others = {
        one(customers("bob"), catalogue).decision_id,
        one(batch, catalogue, channel="agent").decision_id,
        one(batch, catalogue, purpose="marketing").decision_id,
        one(batch, catalogue, as_of=later).decision_id,
        one(batch, catalogue, scope="online").decision_id,
        one(batch, catalogue, scope="online", nonce="1").decision_id,
        one(batch, replace(catalogue, version="v2")).decision_id,
    }
    assert len(same) == 1
    assert len(others) == 7
    assert not same & others


@given(worlds())
def test_a_customer_alone_gets_what_the_batch_gives_where_no_capacity_is_shared(world: Any) -> None:
    offers, settings, batch = world
    catalogue = policy(*offers, **(settings | {"capacity": {}}))
    decisions = ask(batch, catalogue)
    assert decisions == ask(batch, catalogue)
    for row in range(len(batch)):
        assert ask(_row(batch, row), catalogue) == [decisions[row]]
        for refusal in decisions[row].blocked:
            assert refusal.stage in REGISTRY
        assert decisions[row].no_action_reason in (None, *NO_ACTION)
        assert all(reason.code in WHY_THIS for item in decisions[row].items for reason in item.reasons)


def _row(batch: CustomerBatch, row: int) -> CustomerBatch:
    history = batch.contacts
    mine = history.customer == row
    contacts = replace(
        history,
        customer=np.zeros(mine.sum(), dtype=np.int64),
        time=history.time[mine],
        outcome_time=history.outcome_time[mine],
        **{
            name: replace(getattr(history, name), codes=getattr(history, name).codes[mine])
            for name in ("offer", "group", "channel", "outcome")
        },
    )
    return replace(
        batch,
        customer_ids=batch.customer_ids[row : row + 1],
        features={name: column[row : row + 1] for name, column in batch.features.items()},
        scores={name: Scores(scores.values[row : row + 1]) for name, scores in batch.scores.items()},
        contacts=contacts,
    )


def test_columns_of_another_length_are_refused() -> None:
    with pytest.raises(BadData, match="1 entries for 2 customers"):
        CustomerBatch(("ann", "bob"), {"a": np.zeros(1)})


def test_a_customer_twice_in_a_batch_is_refused_without_naming_the_customer() -> None:
    with pytest.raises(BadData) as caught:
        CustomerBatch(("ann", "ann"))
    assert caught.value.first.code == "decide.duplicate_customer"
    assert "ann" not in str(caught.value)


def test_the_policy_says_what_it_reads() -> None:
    catalogue = policy(FIBRE, offer("stay", value={"margin": "spend * score__churn"}))
    features = {"profile__city", "holdings__fibre", "tickets__count_30d", "spend", "consent__marketing"}
    assert catalogue.columns == features
    assert catalogue.models == {"cross_sell", "churn"}
    assert catalogue.lookback.days == 30


def test_every_stage_and_reason_has_a_title() -> None:
    assert set(Stage) <= set(REGISTRY)
    assert all(title and title[0].isupper() for title in REGISTRY.values())


def test_an_agent_reads_sentences() -> None:
    catalogue = policy(offer("boost"))
    assert explain(one(customers(), catalogue)) == (
        "1. boost by agent: likelihood of acceptance, from a starting value and outcomes: 5.0%; "
        "worth of acceptance: 100.00; cost of the contact: 0.00",
    )
    (sentence,) = explain(one(customers(consent=0.0), catalogue))
    assert sentence.startswith("No offer: the customer has not consented")
    told = explain_blocked(Blocked("boost", Stage.CAP, "at most 1 in 7d"))
    assert told.endswith("as often as a contact cap allows (at most 1 in 7d)")


def test_a_naive_moment_is_taken_as_utc() -> None:
    assert one(customers(), policy(FIBRE), as_of=NOW.replace(tzinfo=None)).decision_time == NOW
    assert made(one(customers(scores=SCORES, **ANN), policy(FIBRE), as_of=NOW.replace(tzinfo=None)))
