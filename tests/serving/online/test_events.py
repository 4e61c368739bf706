"""POST /v1/events: who may tell what customers did, and what becomes of it."""

from __future__ import annotations

import json
from typing import Any

import pytest

from tests.serving.house import NOW, customer
from tests.serving.online.client import problem
from tests.serving.online.conftest import ClientFor, Running

SECRET = "ann.smith@example.com"


def event(number: int, **more: Any) -> dict[str, Any]:
    told = {"feed": "app", "id": f"e{number}", "customer_id": customer(0), "event": "purchase", "amount": 12.5}
    return {**told, "event_time": NOW.isoformat(), **more}


def test_events_are_accepted_once_and_what_cannot_be_used_is_kept_aside(running: Running, as_role: ClientFor) -> None:
    later = NOW.replace(year=2027).isoformat()
    ask = {"events": [event(1), event(2, event_time=later), event(3, customer_id="c9999"), event(1)]}
    answer = as_role("everything").post("/v1/events", ask)
    assert answer.status_code == 202
    assert answer.json() == {"accepted": 1, "duplicates": 1, "dead_letters": {"future": 1, "unknown_customer": 1}}
    again = as_role("everything").post("/v1/events", {"events": [event(1)]})
    assert again.json() == {"accepted": 0, "duplicates": 1, "dead_letters": {}}
    assert running.context.intake is not None
    (entry,) = running.context.intake.log.read(after=0, limit=9)
    assert (entry.event.customer_id, entry.event.amount) == (customer(0), 12.5)


def test_a_customer_may_be_named_by_a_record(as_role: ClientFor) -> None:
    told = event(1, record="crm:7")
    del told["customer_id"]
    assert as_role("everything").post("/v1/events", {"events": [told]}).json()["accepted"] == 1


def test_a_role_that_does_not_hold_it_is_refused(running: Running, as_role: ClientFor) -> None:
    answer = as_role("shop").post("/v1/events", {"events": [event(1)]})
    assert problem(answer) == (403, "field.not_held", "")
    assert running.context.intake is not None
    assert running.context.intake.log.last() == 0


@pytest.mark.parametrize(
    ("ask", "told"),
    [
        ({}, (422, "body.missing_key", "/events")),
        ({"events": []}, (422, "body.value", "/events")),
        ({"events": [event(n) for n in range(501)]}, (422, "body.value", "/events")),
        ({"events": [event(n, text="x" * 200) for n in range(300)]}, (413, "body.too_large", "")),
        ({"events": [event(1), event(2, amount="12")]}, (422, "body.value", "/events/1/amount")),
        ({"events": [event(1, event_time="2026-02-30T00:00:00Z")]}, (422, "body.value", "/events/0/event_time")),
        ({"events": [event(1, event_time=1_700_000_000)]}, (422, "body.value", "/events/0/event_time")),
        ({"events": [event(1, surname="Smith")]}, (422, "body.unknown_key", "/events/0/surname")),
        ({"events": [event(1, record="crm:1")]}, (422, "body.value", "/events/0")),
    ],
)
def test_bad_input_is_one_problem_with_its_place_and_nothing_of_it_is_taken(
    running: Running, as_role: ClientFor, ask: dict[str, Any], told: tuple[int, str, str]
) -> None:
    assert problem(as_role("everything").post("/v1/events", ask)) == told
    assert running.context.intake is not None
    assert running.context.intake.log.last() == 0


def test_a_problem_and_the_log_of_the_service_hold_nothing_of_what_was_sent(
    as_role: ClientFor, capsys: pytest.CaptureFixture[str]
) -> None:
    for ask in (event(1, id=SECRET, amount="x"), event(1, id=SECRET, customer_id=SECRET), event(1, **{SECRET: 1})):
        answer = as_role("everything").post("/v1/events", {"events": [ask]})
        assert SECRET not in json.dumps(answer.json())
    said = capsys.readouterr()
    assert SECRET not in said.out + said.err
