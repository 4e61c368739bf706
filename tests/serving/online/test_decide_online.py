"""What a role asks, and what it gets: its purposes, its customers, its fields."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from features.base.workspace import Workspace
from features.store.repository import Store
from tests.serving.house import CUSTOMERS, CUTOFF, NOW, customer
from tests.serving.online.client import Client, problem
from tests.serving.online.conftest import ClientFor, Running, key_of

ASK = {"customer_id": customer(0), "purpose": "marketing", "channel": "email", "context": {}}
SERVICE = {"customer_id": customer(0), "purpose": "service"}


@pytest.fixture
def by_region(store: Store) -> dict[str, str]:
    """Return a customer of each region."""
    frame = store.latest(["profile__region"], as_of=CUTOFF)
    return dict(zip(frame["profile__region"], frame["customer_id"], strict=True))


def offered(client: Client, **changes: Any) -> dict[str, Any]:
    """Return the first answer that holds an offer."""
    for number in range(CUSTOMERS):
        answer = client.post("/v1/decide", {**ASK, **changes, "customer_id": customer(number)})
        assert answer.status_code == 200, answer.text
        told: dict[str, Any] = answer.json()
        if told["items"]:
            return told
    raise AssertionError("nobody gets an offer")


def test_a_decision_has_offers_with_reasons_versions_and_what_was_blocked(as_role: ClientFor) -> None:
    told = offered(as_role("everything"))
    item = told["items"][0]
    assert item["offer"] in {"wine-case", "toy-box"}
    assert item["rank"] == 1
    assert {reason["code"] for reason in item["reasons"]} >= {"driver", "likelihood", "value"}
    assert item["priority"] == pytest.approx(item["propensity"] * item["value"] - item["cost"])
    assert {"offer": "stay-call", "stage": "channel", "rule": "channel:email"} in told["blocked"]
    assert set(told["versions"]["models"]) == {"churn", "cross_sell"}
    assert told["degraded"] == []
    assert told["no_action_reason"] is None
    assert told["risk_band"] in {"low", "medium", "high"}


def test_a_field_that_the_role_does_not_hold_is_absent(as_role: ClientFor) -> None:
    told = offered(as_role("shop"))
    assert set(told) == {"decision_id", "items", "no_action_reason", "degraded", "versions", "ttl_s"}
    assert set(told["items"][0]) - {"title"} == {"offer", "group", "channel", "rank"}


def test_a_rule_that_reads_features_is_named_only_to_a_role_that_holds_them(as_role: ClientFor) -> None:
    whole: dict[str, str] = {}
    part: dict[str, str] = {}
    for role, rules in (("everything", whole), ("reasons_only", part)):
        for number in range(CUSTOMERS):
            answer = as_role(role).post("/v1/decide", {**ASK, "customer_id": customer(number)}).json()
            rules.update({one["stage"]: one.get("rule") for one in answer["blocked"]})
    assert whole["suitability"] == "purchases__count_30d >= 1"
    assert part["suitability"] is None
    assert part["channel"] == whole["channel"] == "channel:email"


def test_a_reason_has_a_value_only_for_a_role_that_holds_the_field_it_reveals(as_role: ClientFor) -> None:
    whole = offered(as_role("everything"))
    part = offered(as_role("reasons_only"))
    reasons = [reason for item in part["items"] for reason in item["reasons"]]
    assert {reason["code"] for reason in reasons} >= {"driver", "likelihood", "value", "cost"}
    for reason in reasons:
        assert set(reason) == {"code", "subject", "text"}
        assert re.search(r"[0-9]", reason["text"]) is None
    for reason in (reason for item in whole["items"] for reason in item["reasons"]):
        assert re.search(r"[0-9]", reason["text"]) is None
        if reason["code"] in ("likelihood", "value", "cost", "rule"):
            assert "value" in reason
    likely = next(one["value"] for one in whole["items"][0]["reasons"] if one["code"] == "likelihood")
    assert likely == whole["items"][0]["propensity"]


def test_a_rule_is_shown_to_a_role_that_holds_every_column_it_reads(as_role: ClientFor) -> None:
    for number in range(CUSTOMERS):
        ask = {**ASK, "customer_id": customer(number), "context": {"weights": {"wine-case": 0}}}
        items = [as_role(role).post("/v1/decide", ask).json()["items"] for role in ("everything", "reasons_only")]
        if items[0]:
            break
    (shown,), (hidden,) = ([one for one in item[0]["reasons"] if one["code"] == "rule"] for item in items)
    assert shown == {**hidden, "value": "purchases__count_30d >= 1"}
    assert hidden == {"code": "rule", "subject": "suitability", "text": "the customer meets the rule"}


@pytest.mark.parametrize("role", ["operator", "event_source"])
def test_deciding_and_reporting_outcomes_need_a_right(as_role: ClientFor, running: Running, role: str) -> None:
    answer = as_role(role).post("/v1/decide", ASK)
    assert problem(answer)[:2] == (403, "field.not_held")
    told = as_role("everything").post("/v1/decide", ASK).json()
    report = {"decision_id": told["decision_id"], "offer": "NO_ACTION", "outcome": "overridden"}
    assert problem(as_role(role).post("/v1/outcomes", report))[:2] == (403, "field.not_held")
    with running.context.decider.ledger.connections.reading() as connection:
        assert connection.execute("SELECT actor_role FROM decisions").fetchall() == [("everything",)]


def test_an_action_that_the_role_does_not_name_is_forbidden(as_role: ClientFor) -> None:
    answer = as_role("reporter").post("/v1/decide", {**ASK, "channel": "agent"})
    assert problem(answer)[:2] == (403, "action.not_allowed")


def test_the_channels_of_a_role_hold_for_outcomes_too(as_role: ClientFor) -> None:
    told = offered(as_role("everything"))
    report = {"decision_id": told["decision_id"], "offer": told["items"][0]["offer"], "outcome": "accepted"}
    assert told["items"][0]["channel"] == "email"
    hidden = as_role("reporter").post("/v1/outcomes", report)
    assert problem(hidden) == (404, "ledger.unknown_decision", "/decision_id")
    assert as_role("shop").post("/v1/outcomes", report).json() == {"recorded": True}
    none = {**report, "offer": "NO_ACTION"}
    assert problem(as_role("reporter").post("/v1/outcomes", none))[0] == 404


def test_no_action_is_answered_with_its_reason(as_role: ClientFor, running: Running) -> None:
    client = as_role("everything")
    told = [client.post("/v1/decide", {**ASK, "customer_id": customer(n)}).json() for n in range(40)]
    none = [one for one in told if not one["items"]]
    assert {one["no_action_reason"] for one in none} & {"consent", "control_group"}
    assert running.context.decider.ledger.get(none[0]["decision_id"]).is_no_action


def test_every_answer_is_in_the_ledger_under_the_role_s_name(as_role: ClientFor, running: Running) -> None:
    told = as_role("shop").post("/v1/decide", ASK).json()
    decision = running.context.decider.ledger.get(told["decision_id"])
    assert decision.customer_id == customer(0)
    assert decision.scope == "online"
    with running.context.decider.ledger.connections.reading() as connection:
        assert connection.execute("SELECT actor_role FROM decisions").fetchall() == [("shop",)]


def test_two_requests_are_two_decisions(as_role: ClientFor) -> None:
    client = as_role("shop")
    first, second = (client.post("/v1/decide", ASK).json()["decision_id"] for _ in range(2))
    assert first != second


def test_a_weight_of_the_context_changes_the_order(as_role: ClientFor) -> None:
    client = as_role("everything")
    for number in range(CUSTOMERS):
        ask = {**ASK, "customer_id": customer(number)}
        made = [item["offer"] for item in client.post("/v1/decide", ask).json()["items"]]
        if len(made) == 2:
            break
    weighted = client.post("/v1/decide", {**ask, "context": {"weights": {made[1]: 50}}}).json()
    assert [item["offer"] for item in weighted["items"]] == made[::-1]


def test_a_weight_for_an_unknown_offer_is_refused(as_role: ClientFor) -> None:
    answer = as_role("everything").post("/v1/decide", {**ASK, "context": {"weights": {"no-such": 2}}})
    assert problem(answer) == (422, "offer.unknown", "/context/weights")


def test_a_purpose_that_the_role_does_not_hold_is_forbidden(as_role: ClientFor) -> None:
    answer = as_role("shop").post("/v1/decide", {**ASK, "purpose": "service"})
    assert problem(answer) == (403, "purpose.not_held", "/purpose")


@pytest.mark.parametrize("channel", ["agent", None])
def test_a_role_with_channels_names_one_of_them(as_role: ClientFor, channel: str | None) -> None:
    answer = as_role("shop").post("/v1/decide", {**ASK, "channel": channel})
    assert problem(answer) == (403, "channel.not_held", "/channel")


def test_an_unknown_customer_is_not_found(as_role: ClientFor) -> None:
    answer = as_role("everything").post("/v1/decide", {**ASK, "customer_id": "nobody"})
    assert problem(answer) == (404, "customer.unknown", "")
    assert problem(as_role("everything").get("/v1/customers/nobody"))[:2] == (404, "customer.unknown")


def test_a_hidden_customer_cannot_be_told_from_an_unknown_one(as_role: ClientFor, by_region: dict[str, str]) -> None:
    north = as_role("north_service")
    assert north.post("/v1/decide", {**SERVICE, "customer_id": by_region["north"]}).status_code == 200
    fixed = {"X-Request-Id": "request-0001"}
    hidden, unknown = (
        north.post("/v1/decide", {**SERVICE, "customer_id": who}, headers=fixed)
        for who in (by_region["south"], "nobody")
    )
    assert hidden.status_code == 404
    assert hidden.content == unknown.content
    assert hidden.headers == unknown.headers
    assert north.get(f"/v1/customers/{by_region['south']}").status_code == 404
    assert north.get(f"/v1/customers/{by_region['north']}").status_code == 200


def test_an_outcome_is_written_once_and_counts_as_a_contact(as_role: ClientFor, running: Running) -> None:
    client = as_role("everything")
    told = offered(client)
    report = {"decision_id": told["decision_id"], "offer": told["items"][0]["offer"], "outcome": "accepted"}
    assert client.post("/v1/outcomes", report).json() == {"recorded": True}
    assert client.post("/v1/outcomes", report).json() == {"recorded": False}
    (written,) = running.context.decider.ledger.outcomes_of(told["decision_id"])
    assert (written.outcome, written.outcome_time) == ("accepted", NOW)


def test_an_outcome_needs_a_decision_that_the_role_may_see(as_role: ClientFor, by_region: dict[str, str]) -> None:
    client = as_role("everything")
    unknown = {"decision_id": "0" * 32, "offer": "toy-box", "outcome": "accepted"}
    assert problem(client.post("/v1/outcomes", unknown)) == (404, "ledger.unknown_decision", "/decision_id")
    made = client.post("/v1/decide", {**SERVICE, "customer_id": by_region["south"]}).json()
    report = {"decision_id": made["decision_id"], "offer": "NO_ACTION", "outcome": "overridden"}
    north = as_role("north_service").post("/v1/outcomes", report)
    assert problem(north) == (404, "ledger.unknown_decision", "/decision_id")
    assert problem(as_role("shop").post("/v1/outcomes", report))[0] == 404


def test_an_outcome_of_an_offer_that_was_not_made_is_refused(as_role: ClientFor) -> None:
    client = as_role("everything")
    told = offered(client)
    report = {"decision_id": told["decision_id"], "offer": "stay-call", "outcome": "accepted"}
    assert problem(client.post("/v1/outcomes", report)) == (422, "ledger.unknown_offer", "/offer")


def test_scores_come_by_customer_and_model(as_role: ClientFor) -> None:
    answer = as_role("everything").post("/v1/score", {"customer_ids": [customer(1), customer(2)]})
    scores = answer.json()["scores"]
    assert set(scores) == {customer(1), customer(2)}
    assert 0 < scores[customer(1)]["churn"] < 1
    assert set(scores[customer(1)]["cross_sell"]) == {"wine", "toys"}


def test_scoring_an_unknown_customer_or_model_names_the_place(as_role: ClientFor) -> None:
    client = as_role("everything")
    nobody = client.post("/v1/score", {"customer_ids": [customer(1), "nobody"]})
    assert problem(nobody) == (404, "customer.unknown", "/customer_ids/1")
    nothing = client.post("/v1/score", {"customer_ids": [customer(1)], "models": ["churn", "newcomer"]})
    assert problem(nothing) == (422, "model.unknown", "/models/1")


def test_a_role_without_the_field_is_refused_the_route(as_role: ClientFor) -> None:
    shop = as_role("shop")
    assert problem(shop.post("/v1/score", {"customer_ids": [customer(1)]}))[:2] == (403, "field.not_held")
    assert problem(shop.get(f"/v1/customers/{customer(1)}"))[:2] == (403, "field.not_held")
    assert problem(shop.get("/metrics"))[:2] == (403, "field.not_held")


def test_a_customer_is_shown_as_far_as_the_role_may_see(as_role: ClientFor, by_region: dict[str, str]) -> None:
    whole = as_role("everything").get(f"/v1/customers/{by_region['north']}").json()
    consent = whole["features"]["consent__marketing"]
    assert whole["consents"] == {"marketing": None if consent is None else bool(consent)}
    assert whole["feature_time"] == "2026-06-01T00:00:00Z"
    assert set(whole["scores"]) == {"churn", "cross_sell"}
    assert whole["profile"] == {"profile__region": "north"}
    part = as_role("north_service").get(f"/v1/customers/{by_region['north']}").json()
    assert set(part) == {"customer_id", "risk_band", "profile", "feature_time", "degraded"}


def test_old_features_are_used_and_named(make: Callable[..., Running], keyed: Workspace) -> None:
    client = Client(make(at=NOW + timedelta(days=10)).guarded, key_of(keyed, "everything"))
    assert client.post("/v1/decide", ASK).json()["degraded"] == ["stale:purchases"]


def test_metrics_count_without_naming_anybody(as_role: ClientFor) -> None:
    client = as_role("everything")
    client.post("/v1/decide", ASK)
    client.get(f"/v1/customers/{customer(7)}")
    text = client.get("/metrics").text
    counted = [line for line in text.splitlines() if line.startswith("nextbest_requests_total{")]
    assert any('route="/v1/customers/{customer_id}"' in line and 'role="everything"' in line for line in counted)
    assert customer(7) not in text
    assert customer(0) not in text
