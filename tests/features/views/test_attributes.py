"""Attributes, holdings, items and context as they were known: nothing from after the cutoff shows."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from features.base.errors import BadData
from features.config.feeds_file import FeedsFile
from features.config.views_file import View, ViewsFile
from features.views.attributes import unread_ends
from tests.features.views.world import DAY, FEEDS, day, engine_with, snapshots

PROFILE = "views:\n  profile: {from: customers, fields: [city]}\n"


def cities(*records: dict[str, Any], at: tuple[float, ...], feeds: str = FEEDS) -> list[str | None]:
    rows = [{"customer_id": "ann", **record} for record in records]
    rows.append({"customer_id": "ann", "event_time": day(0), "known_at": day(0), "record_id": "zero"})
    found = snapshots(PROFILE, [day(number) for number in at], feeds=feeds, customers=rows)
    return [found["ann", day(number)]["profile__city"] for number in at]


def test_an_attribute_is_as_it_was_known() -> None:
    first = {"event_time": day(1), "known_at": day(1), "city": "York"}
    moved = {"event_time": day(5), "known_at": day(7), "city": "Leeds"}
    assert cities(first, moved, at=(0, 1, 5, 6.9, 7)) == [None, "York", "York", "York", "Leeds"]


def test_a_record_counts_from_when_it_was_declared_known_and_a_later_change_does_not_make_it_win() -> None:
    early_record_changed_late = {"event_time": day(9), "known_at": day(1), "city": "Leeds"}
    assert cities(early_record_changed_late, at=(0, 1, 9)) == [None, "Leeds", "Leeds"]
    other = {"event_time": day(2), "known_at": day(2), "city": "York"}
    assert cities(early_record_changed_late, other, at=(1, 2, 8, 9)) == ["Leeds", "York", "York", "Leeds"]


def test_where_no_earlier_time_is_declared_a_change_is_not_known_before_it_happened() -> None:
    assert cities({"event_time": day(5), "known_at": day(5), "city": "Leeds"}, at=(4, 5)) == [None, "Leeds"]


def test_a_trusted_source_does_not_win_before_it_is_known() -> None:
    feeds = FEEDS + "  web: {source: b.csv, kind: customers, key: id}\n"
    feeds += "survivorship: {fields: {city: {rule: source_priority, order: [web, crm]}}}\n"
    web = {"feed": "web", "event_time": day(3), "known_at": day(3), "city": "Leeds"}
    crm = {"event_time": day(5), "known_at": day(5), "city": "York"}
    assert cities(web, crm, at=(2, 3, 6), feeds=feeds) == [None, "Leeds", "Leeds"]


def test_a_record_without_a_time_of_change_counts_from_when_it_was_known() -> None:
    assert cities({"event_time": None, "known_at": day(2), "city": "York"}, at=(1, 2)) == [None, "York"]


def test_the_entity_rows_begin_when_the_company_first_knew_the_customer() -> None:
    rows = [{"customer_id": "ann", "event_time": day(3), "known_at": day(5)}]
    late = [{"customer_id": "bob", "event_time": day(1), "known_at": day(2), "city": "Hull"}]
    found = snapshots(PROFILE, [day(n) for n in range(7)], events=rows, customers=late)
    assert sorted(found) == [("ann", day(5)), ("ann", day(6)), *(("bob", day(n)) for n in range(2, 7))]


# ── holdings ─────────────────────────────────────────────────────────────────────────────────────────────────────────
HELD = "views:\n  held: {from: holdings}\n"


def test_the_end_of_a_holding_is_not_seen_before_it_has_come() -> None:
    with_end = [{"customer_id": "ann", "item": "phone", "held_from": day(0), "held_to": day(5), "price": 9.0}]
    open_end = [{**with_end[0], "held_to": None}]
    before, after = [day(0), day(4)], [day(5), day(6)]
    assert snapshots(HELD, before, holdings=with_end) == snapshots(HELD, before, holdings=open_end)
    found = snapshots(HELD, after, holdings=with_end)
    assert found["ann", day(5)] == {"held__phone": 0, "held__count": 0, "held__tenure": None, "held__price_sum": 0}


def test_a_holding_counts_from_when_it_began_and_was_known() -> None:
    rows = [
        {"customer_id": "ann", "item": "phone", "held_from": day(1), "known_at": day(0), "price": 9.0},
        {"customer_id": "ann", "item": "tv", "held_from": day(0), "known_at": day(3), "price": None},
    ]
    found = snapshots(HELD, [day(0), day(2), day(4)], holdings=rows)
    assert [found["ann", day(n)]["held__count"] for n in (0, 2, 4)] == [0, 1, 2]
    assert [found["ann", day(n)]["held__tenure"] for n in (0, 2, 4)] == [None, 1, 4]
    assert found["ann", day(4)] == {
        "held__phone": 1, "held__tv": 1, "held__count": 2, "held__tenure": 4, "held__price_sum": 9,
    }  # fmt: skip


def test_what_a_holding_held_before_it_changed_counts_until_then() -> None:
    held = {"customer_id": "ann", "item": "tv", "held_from": day(0), "known_at": day(0), "price": 20.0}
    rows = [{**held, "known_until": day(3)}, {**held, "known_at": day(3), "price": 35.0}]
    found = snapshots(HELD, [day(2), day(3)], holdings=rows)
    assert [(found["ann", day(n)]["held__count"], found["ann", day(n)]["held__price_sum"]) for n in (2, 3)] == [
        (1, 20),
        (1, 35),
    ]


CONTRACTS = "views:\n  held: {from: holdings, items: [tv], ends: crm.ends}\n"


def test_a_contract_runs_to_the_next_end_and_what_is_past_its_end_is_counted() -> None:
    rows = [
        {"customer_id": "ann", "item": "tv", "held_from": day(0), "crm.ends": "2026-01-11"},
        {"customer_id": "ann", "item": "tv", "held_from": day(0), "crm.ends": "2026-01-05 12:00"},
        {"customer_id": "ann", "item": "tv", "held_from": day(0), "crm.ends": "never"},
        {"customer_id": "ann", "item": "tv", "held_from": day(0), "held_to": day(1), "crm.ends": "2026-01-03"},
    ]
    found = snapshots(CONTRACTS, [day(1), day(4.5), day(10)], holdings=rows)
    rows_told = [found["ann", day(at)] for at in (1, 4.5, 10)]
    told = [(row["held__days_to_end"], row["held__past_end_count"]) for row in rows_told]
    assert told == [(3.5, 0), (5.5, 1), (None, 2)]


def test_an_end_without_a_zone_is_one_of_its_feeds() -> None:
    rows = [{"customer_id": "ann", "item": "tv", "held_from": day(0), "crm.ends": "2026-07-11"}]
    assert snapshots(CONTRACTS, [day(1)], holdings=rows)["ann", day(1)]["held__days_to_end"] == 190
    london = FEEDS.replace("kind: customers,", "kind: customers, timezone: Europe/London,")
    found = snapshots(CONTRACTS, [day(1)], feeds=london, holdings=rows)["ann", day(1)]
    assert found["held__days_to_end"] == 190 - 1 / 24


def test_ends_that_are_no_times_are_counted_and_many_are_refused() -> None:
    declared = ViewsFile.model_validate(yaml.safe_load(CONTRACTS)).views["held"]

    def unread(*ends: str | None, view: View = declared) -> int:
        rows = [{"customer_id": "ann", "item": "tv", "held_from": day(0), "crm.ends": end} for end in ends]
        with engine_with(holdings=rows) as (engine, _):
            return unread_ends(engine, "held", view, FeedsFile.model_validate(yaml.safe_load(FEEDS)))

    assert unread("2026-01-11", "", None, "2026-01-11 10:00+02:00") == 0
    assert unread(*["2026-01-11"] * 19, "never") == 1
    with pytest.raises(BadData, match=r"2 of 20 values of crm\.ends are no times") as caught:
        unread(*["2026-01-11"] * 18, "never", "31/12/2026")
    assert (caught.value.first.code, caught.value.first.where) == ("view.not_a_time", "view held")
    with pytest.raises(BadData) as caught:
        unread("2026-01-11", view=declared.model_copy(update={"where": "cast(item as double) > 1"}))
    assert (caught.value.first.code, caught.value.first.where) == ("view.where", "view held")


def test_an_end_that_is_agreed_later_is_seen_later() -> None:
    agreed = {"customer_id": "ann", "item": "tv", "held_from": day(0), "crm.ends": "2026-01-11"}
    renewed = {**agreed, "known_at": day(5), "crm.ends": "2026-01-21"}
    for at in (1, 4.9):
        assert snapshots(CONTRACTS, [day(at)], holdings=[agreed]) == snapshots(
            CONTRACTS, [day(at)], holdings=[agreed, renewed]
        )


# ── items ────────────────────────────────────────────────────────────────────────────────────────────────────────────
GROUPS = """\
views:
  g: {from: events, by: items.group, categories: [food, toys], aggregates: {"*": [count]}, windows: [30d]}
"""
BOUGHT = [{"customer_id": "ann", "item": "bear", "event_time": day(1)}]
DATED = FEEDS + "  goods: {source: b.csv, kind: items, key: item, updated_at: at}\n"
UNDATED = FEEDS + "  goods: {source: b.csv, kind: items, key: item}\n"


def bought(items: list[dict[str, Any]], at: float, feeds: str = DATED) -> tuple[int, int]:
    rows = [{"feed": "goods", "item": "bear", **item} for item in items]
    found = snapshots(GROUPS, [day(at)], feeds=feeds, events=BOUGHT, items=rows)["ann", day(at)]
    return found["g__count_30d__food"], found["g__count_30d__toys"]


def test_an_items_group_is_not_seen_before_the_catalogue_held_it() -> None:
    catalogue = [{"group": "toys", "known_at": day(4)}]
    assert [bought(catalogue, at) for at in (1, 3, 4)] == [(0, 0), (0, 0), (0, 1)]


def test_a_later_catalogue_changes_no_earlier_snapshot() -> None:
    first, second = {"group": "toys", "known_at": day(0)}, {"group": "food", "known_at": day(4)}
    for at in (1, 3, 5):
        assert bought([first], at) == bought([first, second], at) == bought([second, first], at) == (0, 1)


def test_a_catalogue_without_times_is_taken_to_have_been_known_always() -> None:
    assert bought([{"group": "toys", "known_at": day(400)}], 1, UNDATED) == (0, 1)


# ── interactions ─────────────────────────────────────────────────────────────────────────────────────────────────────
@pytest.mark.parametrize(
    ("where", "counts"),
    [
        ("outcome = 'accepted'", [0, 0, 1]),
        ("outcome is null", [1, 1, 0]),
        ("outcome is not null", [0, 0, 1]),
        ("coalesce(outcome, 'none') <> 'accepted'", [1, 1, 0]),
        ("outcome_time > TIMESTAMP '2020-01-01 00:00:00'", [0, 0, 1]),
        ("arm = 'mail'", [1, 1, 1]),
    ],
)
def test_the_outcome_of_a_contact_is_not_seen_before_it_has_come(where: str, counts: list[int]) -> None:
    rows = [
        {"customer_id": "ann", "event_time": day(1), "arm": "mail", "outcome": "accepted", "outcome_time": day(5)},
        {"customer_id": "ann", "event_time": day(0) - 90 * DAY},
    ]
    text = f'views:\n  c: {{from: interactions, where: "{where}", aggregates: {{"*": [count]}}, windows: [30d]}}\n'
    found = snapshots(text, [day(1), day(4), day(5)], interactions=rows)
    assert [found["ann", day(n)]["c__count_30d"] for n in (1, 4, 5)] == counts


def test_an_outcome_without_a_time_is_never_shown() -> None:
    rows = [{"customer_id": "ann", "event_time": day(1), "outcome": "accepted"}]
    view = 'c: {from: interactions, by: outcome, aggregates: {"*": [count]}, windows: [30d]'
    named = f"views:\n  {view}, categories: [accepted]}}\n"
    assert snapshots(named, [day(9)], interactions=rows)["ann", day(9)] == {"c__count_30d__accepted": 0}
    with pytest.raises(BadData, match=r"view\.no_category"):
        snapshots(f"views:\n  {view}}}\n", [day(9)], interactions=rows)


def test_by_outcome_each_contact_counts_once_it_has_come() -> None:
    rows = [{"customer_id": "ann", "event_time": day(1), "outcome": "accepted", "outcome_time": day(3)}]
    text = 'views:\n  c: {from: interactions, by: outcome, aggregates: {"*": [count, recency]}, windows: [30d]}\n'
    found = snapshots(text, [day(2), day(3)], interactions=rows)
    assert found["ann", day(2)] == {"c__count_30d__accepted": 0, "c__recency__accepted": None}
    assert found["ann", day(3)] == {"c__count_30d__accepted": 1, "c__recency__accepted": 2}


@pytest.mark.parametrize("where", ["", "where: outcome = 'accepted', "])
def test_by_channel_contacts_and_responses_are_counted_with_the_days_since(where: str) -> None:
    rows = [
        {"customer_id": "ann", "event_time": day(1), "channel": "mail", "outcome": "accepted", "outcome_time": day(5)},
        {"customer_id": "ann", "event_time": day(2), "channel": "mail", "outcome": "rejected", "outcome_time": day(3)},
        {"customer_id": "ann", "event_time": day(4), "channel": "phone"},
    ]
    view = f'{{from: interactions, {where}by: channel, aggregates: {{"*": [count, recency]}}, windows: [30d],'
    text = f"views:\n  c: {view} categories: [mail, phone]}}\n"
    found = snapshots(text, [day(4), day(6)], interactions=rows)
    told = [
        [row[f"c__{name}"] for name in ("count_30d__mail", "recency__mail", "count_30d__phone")]
        for row in (found["ann", day(4)], found["ann", day(6)])
    ]
    assert told == ([[0, None, 0], [1, 5, 0]] if where else [[2, 2, 1], [2, 4, 1]])


# ── context ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_open_data_are_those_published_of_the_place_known_then() -> None:
    context = [
        {"place": "YO1", "event_time": day(0), "open.people": 10},
        {"place": "YO1", "event_time": day(4), "known_at": day(6), "open.people": 11},
        {"place": "YO1", "event_time": day(90), "known_at": day(1), "open.people": 99},  # a forecast
        {"place": "LS1", "event_time": day(0), "open.people": 20},
    ]
    records = [
        {"customer_id": "ann", "event_time": day(1), "known_at": day(1), "region": "YO1"},
        {"customer_id": "ann", "event_time": day(8), "known_at": day(8), "region": "LS1"},
    ]
    text = "views:\n  place: {from: context, place: region, fields: [open.people]}\n"
    found = snapshots(text, [day(n) for n in (1, 5, 6, 8)], customers=records, context=context)
    assert [found["ann", day(n)]["place__open_people"] for n in (1, 5, 6, 8)] == [10, 10, 11, 20]


def test_facts_of_the_day_are_the_same_for_everybody_and_not_known_before_they_came_out() -> None:
    context = [
        {"place": "all", "event_time": day(1), "open.rain": 3},
        {"place": "all", "event_time": day(2), "known_at": day(4), "open.rain": 9},
        {"place": "YO1", "event_time": day(3), "open.rain": 50},
    ]
    people = [{"customer_id": who, "event_time": day(0), "known_at": day(0)} for who in ("ann", "bob")]
    text = "views:\n  d: {from: context, where: place = 'all', fields: [open.rain]}\n"
    found = snapshots(text, [day(0), day(3), day(4)], customers=people, context=context)
    for who in ("ann", "bob"):
        assert [found[who, day(n)]["d__open_rain"] for n in (0, 3, 4)] == [None, 3, 9]
