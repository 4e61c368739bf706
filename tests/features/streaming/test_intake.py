"""What becomes of what is told: an event of a known customer, or kept aside with its reason, never lost."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from features.base.errors import BadData
from features.base.workspace import Workspace
from features.identity.keyed_digest import store_key
from features.streaming.event import from_us, parse_event
from features.streaming.intake import Intake, open_intake
from tests.features.streaming.world import FEEDS, NOW, SECOND, accept, customer, log_of, told, world
from tests.features.tiny import ID_KEY, lines, unified

SECRET = "ann.smith@example.com"


@pytest.fixture(scope="module")
def company(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return world(tmp_path_factory.mktemp("company"), build=False)


@pytest.fixture
def workspace(company: Workspace) -> Workspace:
    """Return the company with an empty log."""
    for path in company.streaming.glob("*") if company.streaming.is_dir() else ():
        if path.is_file():
            path.unlink()
    return company


def changed(**values: Any) -> str:
    return json.dumps({**json.loads(told(1, "A1")), **values})


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "json: json_invalid"),
        ("[1, 2]", "event: model_type"),
        ('{"feed": "app"', "json: json_invalid"),
        (changed(amount="7"), "amount: float_type"),
        (changed(amount=True), "amount: float_type"),
        (changed(amount=1e16), "amount: less_than_equal"),
        (changed(event_time="2026-02-30T00:00:00Z"), "event_time: datetime_from_date_parsing"),
        (changed(event_time="2026-02-03T00:00:00"), "event_time: timezone_aware"),
        (changed(event_time="0001-01-01T00:00:00+14:00"), "event_time: value_error"),
        (changed(feed="Big Shop"), "feed: string_pattern_mismatch"),
        (changed(id=""), "id: string_too_short"),
        (changed(id="a\x00b"), "id: value_error"),
        (changed(customer_id="c1"), "event: value_error"),
        (changed(record=None), "event: value_error"),
        (changed(**{SECRET: 1}), "event: extra_forbidden"),
        (changed(text="x" * 10_001), "text: string_too_long"),
    ],
)
def test_what_is_no_event_is_refused_with_a_reason_that_holds_none_of_it(text: str, why: str) -> None:
    assert parse_event(text) == why


@pytest.mark.parametrize("number", ["NaN", "Infinity", "1e999"])
def test_a_number_that_is_none_is_refused(number: str) -> None:
    assert isinstance(parse_event(changed(amount=1).replace('"amount": 1', f'"amount": {number}')), str)


def test_half_a_character_and_broken_bytes_are_refused() -> None:
    assert isinstance(parse_event(changed(item="x").replace('"x"', '"\\ud800"')), str)
    assert isinstance(parse_event(b'{"feed": "\xff"}'), str)


def test_an_event_is_taken_by_the_customers_id_or_by_a_record_of_theirs(workspace: Workspace) -> None:
    ann = customer(workspace, "A1")
    assert accept(workspace, [told(1, "A1"), told(2, ann)]).accepted == 2
    entries = log_of(workspace).read(after=0, limit=9)
    assert [entry.event.customer_id for entry in entries] == [ann, ann]
    assert [entry.event.record for entry in entries] == ["crm:A1", None]
    assert from_us(entries[0].known_us) == NOW


def test_each_kind_of_what_cannot_be_used_is_kept_aside_and_counted(workspace: Workspace) -> None:
    events = [
        told(1, "A1"),
        told(2, "A1", at=NOW + SECOND),
        told(3, "nobody"),
        told(4, "A1", record="crm:Z9"),
        told(5, "A1", feed="crm"),
        "not json",
    ]
    receipt = accept(workspace, events)
    assert (receipt.accepted, receipt.duplicates) == (1, 0)
    assert receipt.dead_letters == {"feed": 1, "future": 1, "malformed": 1, "unknown_customer": 1, "unknown_record": 1}
    assert [aside.payload for aside in log_of(workspace).dead_letters()] == events[1:]


def test_the_same_file_sent_twice_changes_nothing(workspace: Workspace) -> None:
    events = [told(1, "A1"), told(2, "nobody"), "not json"]
    accept(workspace, events)
    receipt = accept(workspace, events, at=NOW + SECOND)
    assert (receipt.accepted, receipt.duplicates, sum(receipt.dead_letters.values())) == (0, 1, 2)
    log = log_of(workspace)
    assert (log.last(), len(log.dead_letters())) == (1, 2)


def test_an_event_from_the_future_is_taken_once_its_time_has_come(workspace: Workspace) -> None:
    accept(workspace, [told(1, "A1", at=NOW + SECOND)])
    intake = Intake(workspace, log_of(workspace))
    assert intake.replay(at=NOW).dead_letters == {"future": 1}
    assert intake.replay(at=NOW + SECOND).accepted == 1
    assert intake.log.dead_letters() == []


def test_an_event_of_somebody_new_is_taken_once_they_are_known(tmp_path: Path) -> None:
    workspace = world(tmp_path, build=False)
    log = log_of(workspace)
    intake = Intake(workspace, log)
    assert intake.accept([told(1, "A1", record="crm:E1")], at=NOW).dead_letters == {"unknown_record": 1}
    rows = (tmp_path / "crm.csv").read_text(encoding="utf-8")
    (tmp_path / "crm.csv").write_text(rows + "E1,2026-01-01,e1@x.org,Town E1\n", encoding="utf-8")
    unified(workspace)
    assert intake.replay(at=NOW + SECOND).accepted == 1
    assert log.dead_letters() == []
    assert log.read(after=0, limit=9)[0].event.customer_id == customer(workspace, "E1")


def test_a_past_id_leads_to_todays_customer(tmp_path: Path) -> None:
    workspace = world(tmp_path, build=False)
    past = customer(workspace, "D1")
    joined = FEEDS.replace("match: [email]", "match: [email], always: [[crm:A1, crm:D1], [crm:B1, crm:A1]]")
    (tmp_path / "features" / "feeds.yaml").write_text(joined, encoding="utf-8")
    unified(workspace)
    today = customer(workspace, "D1")
    assert accept(workspace, [told(1, past)]).accepted == 1
    assert log_of(workspace).read(after=0, limit=9)[0].event.customer_id == today == customer(workspace, "A1")


def test_feeds_whose_rows_could_not_be_told_to_be_the_same_take_no_events(tmp_path: Path) -> None:
    feeds = FEEDS.replace("kind: events, key: no,", "kind: events, key: [no, who],")
    workspace = world(tmp_path, feeds=feeds, build=False)
    receipt = accept(workspace, [told(1, "A1", feed="till"), told(2, "A1", feed="app")])
    assert (receipt.accepted, receipt.dead_letters) == (1, {"feed": 1})


def test_before_there_are_customers_nothing_is_taken(tmp_path: Path) -> None:
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "feeds.yaml").write_text(FEEDS, encoding="utf-8")
    store_key(Workspace(tmp_path).identity_key, ID_KEY)
    (tmp_path / "crm.csv").write_text(lines("id,changed,mail,town", []), encoding="utf-8")
    with pytest.raises(BadData) as caught:
        open_intake(Workspace(tmp_path))
    assert caught.value.first.code == "streaming.not_unified"
