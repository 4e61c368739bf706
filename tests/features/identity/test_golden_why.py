"""Why a value stands in the golden record: the winner, and in words why every other candidate did not win."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from features.base.errors import BadData, UsageError
from features.base.masking import masked
from features.base.workspace import Workspace
from features.config.workspace_files import load_feeds
from features.identity.value_history import Why, why
from tests.features.tiny import company, lines, people, table, unified

FEEDS = """\
feeds:
  crm: {source: crm.csv, kind: customers, key: id, updated_at: changed, timezone: UTC,
    fields: {first_name: name, email: mail, city: town}, drop: [name, mail]}
  web: {source: web.csv, kind: customers, key: id, updated_at: changed, timezone: UTC,
    fields: {first_name: name, email: mail, city: town}, drop: [name, mail]}
  news: {source: news.csv, kind: customers, key: mail, updated_at: changed, timezone: UTC, fields: {email: mail}}
identity: {rules: exact, match: [email]}
"""
HEAD = "id,mail,changed,name,town"
FILES = {
    "crm.csv": lines(HEAD, ["1,a@x.org,2026-01-02,Ann,Leeds", "2,a@x.org,2026-01-03,Annabel,Leeds"]),
    "web.csv": lines(HEAD, ["1,a@x.org,2026-01-06,Ann,York", "2,a@x.org,2026-01-04,Ann,"]),
    "news.csv": lines("mail,changed", ["a@x.org,2026-01-01"]),
}


def world(root: Path, more: str = "") -> Workspace:
    made = company(root, feeds=FEEDS + more, files=FILES)
    assert unified(made).customers == 1
    return made


def asked(workspace: Workspace, field: str, as_of: datetime | None = None, customer: str | None = None) -> Why:
    feeds, _ = load_feeds(workspace)
    who = customer or next(iter(people(workspace)))
    return why(workspace, feeds, who, field, as_of=as_of)


def told(found: Why) -> dict[str, tuple[str | None, str, str]]:
    return {f"{c.feed}:{c.record_id}": (c.value, c.verdict, c.reason) for c in found.candidates}


def test_the_record_that_changed_last_won_and_the_others_are_told_why_not(tmp_path: Path) -> None:
    assert told(asked(world(tmp_path), "city")) == {
        "web:1": ("York", "won", "changed last"),
        "crm:2": ("Leeds", "lost", "changed earlier"),
        "crm:1": ("Leeds", "lost", "changed earlier"),
        "web:2": (None, "not a candidate", "is empty"),
        "news:a@x.org": (None, "not a candidate", "is empty"),
    }


@pytest.mark.parametrize(
    ("rule", "won", "reason", "lost"),
    [
        ("{rule: most_frequent}", "crm:2", "2 of the records have this value", "1 against 2 records have their value"),
        ("{rule: longest}", "crm:2", "has the longest value", "has a shorter value"),
        ("{rule: source_priority, order: [crm]}", "crm:2", "crm is the most trusted", "web is trusted less than crm"),
    ],
)
def test_each_rule_gives_its_own_reasons(tmp_path: Path, rule: str, won: str, reason: str, lost: str) -> None:
    found = told(asked(world(tmp_path, f"survivorship: {{fields: {{city: {rule}}}}}\n"), "city"))
    assert found[won][1] == "won"
    assert reason in found[won][2]
    assert found["web:1"] == ("York", "lost", lost)
    assert found["crm:1"][1] == "agrees"


def test_where_empty_counts_a_feed_without_a_word_is_not_in_the_running(tmp_path: Path) -> None:
    found = told(asked(world(tmp_path, "survivorship: {fields: {city: {ignore_empty: false}}}\n"), "city"))
    assert found["web:2"] == (None, "lost", "changed earlier")
    assert found["news:a@x.org"][1:] == ("not a candidate", "its feed does not map the field")


def test_as_of_a_moment_later_records_were_not_known_yet(tmp_path: Path) -> None:
    found = asked(world(tmp_path), "city", as_of=datetime(2026, 1, 3, tzinfo=UTC))
    assert found.winner is not None
    assert found.winner.record_id == "2"
    assert told(found)["web:1"] == ("York", "not a candidate", "was not known yet")


def test_the_winner_is_the_record_that_the_cell_names(tmp_path: Path) -> None:
    workspace = world(tmp_path, "survivorship: {groups: {who: {fields: [first_name, city], rule: longest}}}\n")
    cells = {cell["field"]: cell for cell in table(workspace.personal / "provenance.parquet")}
    assert {"first_name", "city", "email", "crm.id"} <= set(cells)
    for field, cell in cells.items():
        found = asked(workspace, field)
        assert found.winner is not None
        assert (found.winner.feed, found.winner.record_id) == (cell["feed"], cell["record_id"])
        assert (found.winner.value, found.rule) == (cell["value"], cell["rule"])
        assert sum(c.verdict != "not a candidate" for c in found.candidates) == cell["candidates"]
        assert sum(c.verdict in ("won", "agrees") for c in found.candidates) == cell["agreeing"]
    assert cells["city"]["rule"] == "who: longest"
    assert cells["city"]["value"] == "Leeds"


def test_a_repaired_cell_says_so(tmp_path: Path) -> None:
    workspace = world(tmp_path, "quality: {repairs: [{field: city, rule: upper}]}\n")
    found = asked(workspace, "city")
    assert found.winner is not None
    assert found.winner.value == "YORK"
    assert [(repair.rule, repair.before) for repair in found.winner.repairs] == [("upper", "York")]


def test_a_past_id_is_asked_about_todays_customer(tmp_path: Path) -> None:
    apart = {**FILES, "web.csv": lines(HEAD, ["1,other@x.org,2026-01-06,Ann,York"])}
    workspace = company(tmp_path, feeds=FEEDS, files=apart)
    unified(workspace)
    before = {record: customer for customer, records in people(workspace).items() for record in records}
    together = world(tmp_path)
    (today,) = people(together)
    (lost,) = {before["crm:1"], before["web:1"]} - {today}
    assert asked(together, "city", customer=lost).customer_id == today


def test_what_cannot_be_asked_is_refused(tmp_path: Path) -> None:
    workspace = company(tmp_path, feeds=FEEDS, files=FILES)
    with pytest.raises(BadData, match="nextbest unify"):
        asked(workspace, "city", customer="c1")
    unified(workspace)
    with pytest.raises(BadData) as unknown:
        asked(workspace, "city", customer="c1")
    assert unknown.value.first.code == "why.unknown_customer"
    assert "golden.parquet" in unknown.value.first.hint
    with pytest.raises(UsageError, match="did you mean 'city'"):
        asked(workspace, "ctiy")


def test_a_masked_value_tells_no_more_than_its_first_letter() -> None:
    assert [masked(text) for text in ("ann@example.com", "Ann", "@x", "")] == ["a***@…", "A***", "@***", ""]


def test_as_of_a_moment_it_is_what_the_records_held_then(tmp_path: Path) -> None:
    feeds = """\
company: {currency: GBP, timezone: UTC}
feeds:
  crm: {source: crm.csv, kind: customers, key: id, fields: {city: city}}
  till: {source: till.csv, kind: events, event: purchase, key: no, customer: crm.id = till.who, event_time: day,
    timezone: UTC}
quality: {checks: {FQ017: {severity: warn}, FQ019: {severity: warn}}}
"""
    for month, city in ((3, "Hull"), (6, "York"), (7, "Leeds")):
        days = [f"{number},1,2026-{number:02d}-01" for number in range(1, month + 1)]
        files = {"crm.csv": lines("id,city", [f"1,{city}"]), "till.csv": lines("no,who,day", days)}
        made = company(tmp_path, feeds=feeds, files=files, delivered=datetime(2026, month, 2, tzinfo=UTC))
        unified(made)
    found = asked(made, "city", datetime(2026, 6, 15, tzinfo=UTC))
    assert next((c.value, c.verdict, c.reason) for c in found.candidates) == ("York", "won", "changed last")
    assert {c.value: c.reason for c in found.candidates[1:]} == {
        "Leeds": "was not known yet",
        "Hull": "held until it changed",
    }
    assert [c.value for c in asked(made, "city").candidates] == ["Leeds"]
