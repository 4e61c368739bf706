"""Which record gives a customer's fields: the last one changed, or the most trusted source; never an empty one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from features.base.errors import BadConfiguration
from tests.features.tiny import company, lines, table, unified

FEEDS = """\
feeds:
  crm: {source: crm.csv, kind: customers, key: id, updated_at: changed, timezone: UTC,
    fields: {city: city, email: mail}, drop: [mail]}
  web: {source: web.csv, kind: customers, key: id, updated_at: changed, timezone: UTC,
    fields: {city: city, email: mail}, drop: [mail]}
identity: {rules: exact, match: [email]}
"""


def golden(root: Path, crm: list[str], web: list[str], survivorship: str = "") -> dict[str, Any]:
    head = "id,mail,changed,city"
    workspace = company(
        root,
        feeds=FEEDS + survivorship,
        files={"crm.csv": lines(head, [f"{row}" for row in crm]), "web.csv": lines(head, web)},
    )
    assert unified(workspace).customers == 1
    (row,) = table(workspace.unified / "golden.parquet")
    return row


def test_the_record_that_changed_last_wins(tmp_path: Path) -> None:
    row = golden(tmp_path, ["1,a@x.org,2026-01-05,Leeds"], ["1,a@x.org,2026-01-01,York"])
    assert (row["city"], row["records"]) == ("Leeds", 2)


def test_an_empty_value_never_wins(tmp_path: Path) -> None:
    assert golden(tmp_path, ["1,a@x.org,2026-01-05, "], ["1,a@x.org,2026-01-01,York"])["city"] == "York"


def test_a_record_that_does_not_say_when_it_changed_yields(tmp_path: Path) -> None:
    assert golden(tmp_path, ["1,a@x.org,2026-01-05,Leeds"], ["1,a@x.org,,York"])["city"] == "Leeds"


def test_a_tie_goes_to_the_feed_then_the_record_that_sorts_last(tmp_path: Path) -> None:
    crm = ["2,a@x.org,2026-01-05,Leeds", "1,a@x.org,2026-01-05,Hull"]
    assert golden(tmp_path, crm, ["1,a@x.org,2026-01-05,York"])["city"] == "York"
    assert golden(tmp_path, crm, ["1,a@x.org,2026-01-04,York"])["city"] == "Leeds"


@pytest.mark.parametrize(
    ("order", "city"), [("[crm, web]", "Leeds"), ("[web, crm]", "York"), ("[crm]", "Leeds"), ("[web]", "York")]
)
def test_a_trusted_source_wins_however_old_its_word(tmp_path: Path, order: str, city: str) -> None:
    rule = f"survivorship: {{fields: {{city: {{rule: source_priority, order: {order}}}}}}}\n"
    row = golden(tmp_path, ["1,a@x.org,1901-01-01,Leeds"], ["1,a@x.org,2026-01-01,York"], rule)
    assert row["city"] == city


def test_a_trusted_source_without_a_value_is_passed_over(tmp_path: Path) -> None:
    rule = "survivorship: {fields: {city: {rule: source_priority, order: [crm, web]}}}\n"
    assert golden(tmp_path, ["1,a@x.org,2026-01-05,"], ["1,a@x.org,2026-01-01,York"], rule)["city"] == "York"


def test_attributes_survive_by_their_own_feed(tmp_path: Path) -> None:
    row = golden(tmp_path, ["1,a@x.org,2026-01-05,Leeds"], ["1,a@x.org,2026-01-01,York"])
    assert (row["crm.city"], row["web.city"]) == ("Leeds", "York")


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        ("{default: latest}", "survivorship.default: 'latest' is not one of its choices"),
        ("{default: source_priority}", "source_priority needs an order"),
        ("{default: {rule: source_priority, order: [cmr]}}", "'cmr' is not a feed of customers: did you mean 'crm'?"),
        ("{fields: {emial: {rule: longest}}}", "did you mean 'email'?"),
        ("{fields: {cmr.level: {rule: longest}}}", "did you mean 'crm'?"),
        ("{groups: {a: {fields: [stret, city]}}}", "did you mean 'street'?"),
        ("{groups: {a: {fields: [street, city]}, b: {fields: [city, region]}}}", "'city' stands in group 'a' too"),
        ("{fields: {city: {rule: longest}}, groups: {a: {fields: [street, city]}}}", "has a rule of its own"),
    ],
)
def test_rules_that_cannot_be_meant_are_refused(tmp_path: Path, rules: str, said: str) -> None:
    with pytest.raises(BadConfiguration) as caught:
        golden(tmp_path, [], [], f"survivorship: {rules}\n")
    assert said in str(caught.value)
