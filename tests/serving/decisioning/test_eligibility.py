"""Each stage that can stop an offer, alone; and which one is recorded when several would."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest

from serving.decisioning.reason_codes import Stage
from tests.serving.decisioning.world import ask, contacted, customers, made, offer, one, policy, stops


def test_no_consent_means_no_offer() -> None:
    decision = one(customers(consent=0.0), policy(offer("boost")))
    assert made(decision) == []
    assert stops(decision) == {"boost": ("consent", "consent:marketing")}
    assert decision.no_action_reason == "consent"


def test_no_record_of_consent_is_no_consent() -> None:
    unknown = customers(consent=None)
    assert stops(one(unknown, policy(offer("boost"))))["boost"][0] == Stage.CONSENT


def test_a_purpose_without_any_consent_column_is_not_consented_to() -> None:
    catalogue = policy(offer("boost", purpose="research"), purposes={"research": "consent"})
    assert stops(one(customers(), catalogue)) == {"boost": ("consent", "consent:research")}


def test_a_contract_needs_no_consent_but_an_objection_counts() -> None:
    catalogue = policy(offer("repair", purpose="service"))
    assert made(one(customers(), catalogue)) == ["repair"]
    assert made(one(customers(consent__service=None), catalogue)) == ["repair"]
    assert stops(one(customers(consent__service=0.0), catalogue)) == {"repair": ("consent", "objection:service")}


@pytest.mark.parametrize("basis", ["consent", "contract", "legitimate_interest"])
@pytest.mark.parametrize("kind", ["default", "mandatory"])
def test_consent_that_could_not_be_read_stops_the_offer_whatever_its_basis(basis: str, kind: str) -> None:
    catalogue = policy(offer("repair", purpose="service", kind=kind), purposes={"service": basis})
    batch = replace(customers(consent__service=None), unread={"consent__service": np.array([True])})
    assert stops(one(batch, catalogue)) == {"repair": ("consent", "consent:service is unread")}


def test_a_transactional_message_needs_no_consent_to_be_read() -> None:
    catalogue = policy(offer("receipt", purpose="service", kind="transactional"))
    batch = replace(customers(consent__service=None), unread={"consent__service": np.array([True])})
    assert made(one(batch, catalogue)) == ["receipt"]


@pytest.mark.parametrize("why", [Stage.CUSTOMER_UNKNOWN, Stage.FEATURES_UNREAD])
def test_nothing_is_offered_to_somebody_of_whom_nothing_is_known(why: Stage) -> None:
    catalogue = policy(offer("boost"), offer("receipt", purpose="service", kind="transactional"))
    absent, known = ask(replace(customers("ann", "bob"), absent=[why, None]), catalogue)
    assert (made(absent), absent.no_action_reason) == ([], str(why))
    assert made(known) == ["receipt", "boost"] or made(known) == ["boost", "receipt"]


def test_an_undeclared_purpose_is_refused() -> None:
    decision = one(customers(), policy(offer("boost", purpose="fun")))
    assert stops(decision) == {"boost": ("purpose", "purpose:fun is not declared")}


def test_only_offers_of_the_purpose_asked_for_are_made() -> None:
    catalogue = policy(offer("boost"), offer("repair", purpose="service"))
    decision = one(customers(), catalogue, purpose="service")
    assert made(decision) == ["repair"]
    assert stops(decision) == {"boost": ("purpose", "purpose:service")}


def test_consent_is_the_reason_where_it_stops_the_offers_of_the_purpose_asked_for() -> None:
    catalogue = policy(offer("boost"), offer("repair", purpose="service"))
    decision = one(customers(consent=0.0), catalogue, purpose="marketing")
    assert decision.no_action_reason == "consent"


@pytest.mark.parametrize(
    ("day", "expected"), [("2026-05-31", 0), ("2026-06-01", 1), ("2026-06-30", 1), ("2026-07-01", 0)]
)
def test_the_first_and_the_last_day_belong_to_the_offer(day: str, expected: int) -> None:
    catalogue = policy(offer("boost", valid={"from": "2026-06-01", "to": "2026-06-30"}))
    decision = one(customers(), catalogue, as_of=datetime.fromisoformat(f"{day}T23:30:00").replace(tzinfo=UTC))
    assert len(decision.items) == expected


def test_an_offer_is_not_made_through_a_channel_it_does_not_have() -> None:
    decision = one(customers(), policy(offer("boost", channels=["email"])), channel="agent")
    assert stops(decision) == {"boost": ("channel", "channel:agent")}


@pytest.mark.parametrize("stage", ["eligibility", "applicability", "suitability"])
def test_a_rule_that_is_false_or_unknown_stops_the_offer_and_is_named(stage: str) -> None:
    catalogue = policy(offer("boost", **{stage: "tickets__count_30d < 3"}))
    batch = customers("ann", "bob", "cem", tickets__count_30d=[1.0, 5.0, None])
    ann, bob, cem = ask(batch, catalogue)
    assert made(ann) == ["boost"]
    assert stops(bob) == stops(cem) == {"boost": (stage, "tickets__count_30d < 3")}


def test_a_feature_that_is_not_there_is_null() -> None:
    assert stops(one(customers(), policy(offer("boost", eligibility="profile__city is not null"))))
    assert made(one(customers(), policy(offer("boost", eligibility="profile__city is null")))) == ["boost"]


def test_the_first_stage_that_stops_is_the_one_recorded() -> None:
    catalogue = policy(
        offer("boost", eligibility="a = 1", applicability="b = 1", suitability="c = 1", suppress=[_rest("rejected")])
    )
    history = {"ann": [contacted("boost", 3, outcome="rejected")]}
    batch = customers(a=1.0, b=0.0, c=0.0, contacts=history)
    assert stops(one(batch, catalogue)) == {"boost": ("applicability", "b = 1")}


def test_after_a_rejection_the_offer_rests_and_then_comes_back() -> None:
    catalogue = policy(offer("boost", suppress=[_rest("rejected")]), offer("other"))
    fresh = customers(contacts={"ann": [contacted("boost", 29, outcome="rejected")]})
    old = customers(contacts={"ann": [contacted("boost", 30, outcome="rejected")]})
    later = customers(contacts={"ann": [contacted("boost", 3, outcome="maybe_later")]})
    assert stops(one(fresh, catalogue)) == {"boost": ("suppression", "rests 30d after rejected")}
    assert made(one(old, catalogue)) == made(one(later, catalogue)) == ["boost", "other"]


def test_an_answer_that_is_yet_to_come_is_not_known() -> None:
    catalogue = policy(offer("boost", suppress=[_rest("rejected")]))
    assert made(one(customers(contacts={"ann": [contacted("boost", -1, outcome="rejected")]}), catalogue)) == ["boost"]


def test_a_cap_is_recorded_before_a_rest() -> None:
    catalogue = policy(offer("boost", caps=[{"every": "7d", "at_most": 1}], suppress=[_rest("rejected")]))
    batch = customers(contacts={"ann": [contacted("boost", 1, outcome="rejected")]})
    assert stops(one(batch, catalogue)) == {"boost": ("cap", "at most 1 in 7d")}


def test_a_second_answer_does_not_lift_the_rest_that_the_first_began() -> None:
    catalogue = policy(offer("boost", suppress=[_rest("rejected")]))
    first = contacted("boost", 9, outcome="rejected")
    second = contacted("boost", 2, outcome="maybe_later")._replace(time=None)
    assert stops(one(customers(contacts={"ann": [first, second]}), catalogue))["boost"][0] == Stage.SUPPRESSION


def _rest(outcome: str) -> dict[str, str]:
    return {"after": outcome, "for": "30d"}
