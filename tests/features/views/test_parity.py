"""Every aggregate and view: DuckDB and Spark give what a literal reading of the rows gives."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

import duckdb
import pytest
import yaml
from hypothesis import strategies as st

from features.views.plan import PlannedView
from features.views.python_features import feature
from features.views.spark import Spark
from tests.features.views import reference
from tests.features.views.reference import Asked, Row
from tests.features.views.world import DAY, FEEDS, day, snapshots
from tests.features.views.worlds import (
    CONSENTS,
    CUTOFFS,
    DEVIATING,
    EVENTS,
    HOLDINGS,
    INTERACTIONS,
    MOMENTS,
    RECORDS,
    TEXTS,
    customers_of,
    differences,
)

CUSTOMERS = 150
Rows = list[dict[str, Any]]
Found = dict[tuple[str, datetime], dict[str, Any]]


@pytest.fixture(params=["duckdb", "spark"])
def engine(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Spark | None:
    """The engine under test: DuckDB (None), or Spark, which may leave nothing to DuckDB."""
    if request.param == "duckdb":
        return None
    spark: Spark = request.getfixturevalue("spark")
    statement = spark.statement

    def translated(engine: duckdb.DuckDBPyConnection, view: PlannedView) -> str:
        told = statement(engine, view)
        assert told is not None, f"{view.name} is not translated"
        return told

    monkeypatch.setattr(spark, "statement", translated)
    return spark


def asked(view: str, where: Callable[[Row], bool], categories: Mapping[str, str] | None = None) -> Asked:
    """Return a declared view as the reference takes it."""
    declared = yaml.safe_load(view)
    lengths = {name: timedelta(days=int(name[:-1])) for name in declared["windows"]}
    return Asked(
        aggregates=declared["aggregates"],
        windows=lengths,
        where=where,
        by=declared.get("by"),
        categories=categories or {},
        company=declared.get("of") == "company",
        before=timedelta(days=int(declared.get("before", "0d")[:-1])),
    )


def literal(rows: Rows, as_of: datetime) -> Rows:  # noqa: ARG001
    """Return the rows of a table whose rows never change."""
    return rows


def expected_of(what: Asked, rows: Rows, as_known: Callable[[Rows, datetime], Rows] = literal) -> Found:
    """Return a view's features as the reference reads them."""
    own = by_customer(rows)
    everybody = {as_of: as_known(rows, as_of) for as_of in CUTOFFS} if what.company else {}
    market = {as_of: reference.windowed(what, seen, "", as_of) for as_of, seen in everybody.items()}
    return {
        (who, as_of): prefixed(market.get(as_of) or reference.windowed(what, as_known(own[who], as_of), who, as_of))
        for who, as_of in reference.entity_rows([rows], CUTOFFS)
    }


def by_customer(rows: Rows) -> dict[str, Rows]:
    own: dict[str, Rows] = {}
    for row in rows:
        own.setdefault(row["customer_id"], []).append(row)
    return own


def prefixed(features: Mapping[str, Any]) -> dict[str, Any]:
    return {f"v__{name}": value for name, value in features.items()}


def declared(view: str) -> str:
    return f"views:\n  v: {json.dumps(yaml.safe_load(view))}\n"


EVERYTHING = """\
from: events
where: event = 'buy'
aggregates:
  "*": [count, recency, tenure, trend]
  amount: [sum, mean, min, max, nunique, trend]
  quantity: [std, first, last]
  item: [nunique, first, last]
windows: [1d, 7d]
"""
BY_ITEM = """\
from: events
by: item
categories: ["tea", "a'b\\\\n", "never"]
aggregates: {"*": [count, recency, share, trend], quantity: [sum, mean, std, share, last]}
windows: [1d, 7d]
"""
MARKET = """\
from: events
of: company
before: 2d
aggregates: {"*": [count, recency, tenure], quantity: [sum, min, max, std], item: [nunique]}
windows: [1d, 7d]
"""


@pytest.mark.parametrize(
    ("view", "where", "categories"),
    [
        (EVERYTHING, lambda row: row["event"] == "buy", None),
        (BY_ITEM, lambda _: True, {"tea": "tea", "a'b\\n": "a_b_n", "never": "never"}),
        (MARKET, lambda _: True, None),
    ],
    ids=["everything", "by_item", "market"],
)
def test_every_aggregate_is_what_the_rows_say(
    engine: Spark | None, view: str, where: Callable[[Row], bool], categories: Mapping[str, str] | None
) -> None:
    rows = customers_of(EVENTS, CUSTOMERS) + DEVIATING
    found = snapshots(declared(view), CUTOFFS, spark=engine, events=rows)
    expected = expected_of(asked(view, where, categories), rows)
    assert differences(found, expected)[:5] == []


def outcomes_as_known(rows: Rows, as_of: datetime) -> Rows:
    """Return the contacts as they looked at a cutoff: with their outcome once it had come, and its time was known."""

    def seen(row: dict[str, Any]) -> dict[str, Any]:
        came = row["outcome_time"] is not None and max(row["known_at"], row["outcome_time"]) <= as_of
        return row if came else {**row, "outcome": None, "outcome_time": None}

    return [seen(row) for row in rows]


CONTACTS = """\
from: interactions
by: outcome
categories: [accepted]
aggregates: {"*": [count, recency, share]}
windows: [1d, 7d]
"""
UNANSWERED = """\
from: interactions
where: outcome is null
aggregates: {"*": [count, recency, trend]}
windows: [1d, 7d]
"""


@pytest.mark.parametrize(
    ("view", "where", "categories"),
    [(CONTACTS, lambda _: True, {"accepted": "accepted"}), (UNANSWERED, lambda row: row["outcome"] is None, None)],
    ids=["by_outcome", "unanswered"],
)
def test_contacts_are_what_was_known_of_them(
    engine: Spark | None, view: str, where: Callable[[Row], bool], categories: Mapping[str, str] | None
) -> None:
    rows = customers_of(INTERACTIONS, CUSTOMERS)
    found = snapshots(declared(view), CUTOFFS, spark=engine, interactions=rows)
    expected = expected_of(asked(view, where, categories), rows, outcomes_as_known)
    assert differences(found, expected)[:5] == []


def test_what_is_held_is_what_the_rows_say(engine: Spark | None) -> None:
    rows, items = customers_of(HOLDINGS, CUSTOMERS), {"tea": "tea", "a'b\\n": "a_b_n", "never": "never"}
    view = json.dumps({"from": "holdings", "items": list(items), "ends": "crm.agreed"})
    found = snapshots(f"views:\n  v: {view}\n", CUTOFFS, spark=engine, holdings=rows)
    expected = {
        (who, as_of): prefixed(
            {
                items.get(name, name): value
                for name, value in reference.holdings(own, list(items), who, as_of, ends="crm.agreed").items()
            }
        )
        for own in by_customer(rows).values()
        for who, as_of in reference.entity_rows([own], CUTOFFS)
    }
    assert differences(found, expected)[:5] == []


SURVIVING = """\
company: {currency: GBP}
feeds:
  crm: {source: a.csv, kind: customers, key: id, fields: {gender: sex}}
  web: {source: b.csv, kind: customers, key: id}
survivorship:
  fields:
    region: {rule: longest}
    country: {rule: source_priority, order: [web, crm]}
    city: {rule: most_frequent}
    gender: {ignore_empty: false}
"""
RULES: Mapping[str, Mapping[str, Any]] = {
    "region": {"rule": "longest"},
    "country": {"rule": "source_priority", "order": ["web", "crm"]},
    "city": {"rule": "most_frequent"},
    "gender": {"ignore_empty": False, "speaking": ["crm"]},
    "crm.points": {},
}


def test_attributes_survive_as_the_rules_say(engine: Spark | None) -> None:
    rows = customers_of(RECORDS, CUSTOMERS)
    view = f"views:\n  v: {{from: customers, fields: [{', '.join(RULES)}]}}\n"
    found = snapshots(view, CUTOFFS, feeds=SURVIVING, spark=engine, customers=rows)
    expected = {
        (who, as_of): prefixed(
            {name.replace(".", "_"): reference.attribute(own, name, as_of, **rule) for name, rule in RULES.items()}
        )
        for own in by_customer(rows).values()
        for who, as_of in reference.entity_rows([own], CUTOFFS)
    }
    assert differences(found, expected)[:5] == []


def test_a_record_counts_until_it_is_known_to_hold_something_else(engine: Spark | None) -> None:
    rows = customers_of(RECORDS, CUSTOMERS)
    for number, row in enumerate(rows):
        row["known_until"] = row["known_at"] + (1 + number % 5) * DAY if number % 3 else None
    view = "views:\n  v: {from: customers, fields: [city, crm.points]}\n"
    found = snapshots(view, CUTOFFS, feeds=SURVIVING, spark=engine, customers=rows)
    expected = {}
    for own in by_customer(rows).values():
        for who, as_of in reference.entity_rows([own], CUTOFFS):
            held = [row for row in own if row["known_until"] is None or as_of < row["known_until"]]
            if any(row["known_at"] <= as_of for row in held):  # else all records of the customer are gone
                values = {"city": reference.attribute(held, "city", as_of, **RULES["city"])}
                values["crm_points"] = reference.attribute(held, "crm.points", as_of)
                expected[who, as_of] = prefixed(values)
    assert 0 < len(expected) < len(reference.entity_rows([rows], CUTOFFS))
    assert differences(found, expected)[:5] == []


def test_facts_are_those_of_the_place_that_was_known(engine: Spark | None) -> None:
    rows = customers_of(RECORDS, CUSTOMERS // 3)
    facts = [{**row, "place": row["city"], "open.people": row["crm.points"]} for row in rows]
    facts = [{name: value for name, value in row.items() if name != "customer_id"} for row in facts]
    facts = [{**row, "record_id": f"f{number}"} for number, row in enumerate(facts)]
    view = """\
views:
  v: {from: context, where: "place NOT LIKE 'Z%'", place: city, fields: [open.people]}
  day: {from: context, fields: [open.people]}
"""
    found = snapshots(view, CUTOFFS, spark=engine, customers=rows, context=facts)
    used = [row for row in facts if row["place"] not in (None, "Z")]
    of_the_day = {as_of: reference.fact_of_the_day(facts, "open.people", as_of) for as_of in CUTOFFS}
    expected = {
        (who, as_of): {
            "v__open_people": reference.fact(used, "open.people", reference.attribute(own, "city", as_of), as_of),
            "day__open_people": of_the_day[as_of],
        }
        for own in by_customer(rows).values()
        for who, as_of in reference.entity_rows([own], CUTOFFS)
    }
    assert differences(found, expected)[:5] == []


ANY_VIEW = "views:\n  v: {from: customers, fields: [city]}\n"


def test_consents_stand_as_the_words_say(engine: Spark | None) -> None:
    feeds = FEEDS + "purposes: {mail: {basis: consent, expires: 7d}, calls: {basis: consent}}\n"
    rows = customers_of(CONSENTS, CUSTOMERS)
    bystander = [{"customer_id": "nobody", "event_time": CUTOFFS[-1] + DAY}]  # there is no file without a view
    found = snapshots(ANY_VIEW, CUTOFFS, feeds=feeds, spark=engine, consents=rows, customers=bystander)
    expected = {}
    for own in by_customer(rows).values():
        for who, as_of in reference.entity_rows([own], CUTOFFS):
            told: dict[str, Any] = {"v__city": None}
            for purpose, expires in (("mail", 7 * DAY), ("calls", None)):
                word, record = reference.standing(own, purpose, who, as_of, expires=expires)
                told |= {f"consent__{purpose}": word, f"consent__{purpose}_record": record}
            expected[who, as_of] = told
    assert differences(found, expected)[:5] == []


@feature(type="float", empty=0, description="amount a distinct item")
def amount_an_item(rows: Any) -> Any:
    return rows.amount.sum().cast("float64") / rows.item.nunique().nullif(0)


@feature(type="string", description="the item of the dearest row")
def dearest(rows: Any) -> Any:
    # where no row says how dear it was, Ibis gives nothing on Spark and any row on DuckDB
    filled = rows.item.notnull() & rows.quantity.notnull()
    return rows.item.argmax(rows.quantity, where=filled & (rows.days_ago < 2))


PYTHON = {function.name: function for function in (amount_an_item, dearest)}


def test_a_function_in_python_is_what_the_rows_say(engine: Spark | None) -> None:
    rows = customers_of(EVENTS, CUSTOMERS)
    for number, row in enumerate(rows):  # no two of a customer's rows are equally dear, so that one is the dearest
        row["quantity"] = None if row["quantity"] is None else number / 100
    view = f"views:\n  v: {{from: events, python: [{', '.join(PYTHON)}], windows: [7d]}}\npython: features/mine.py\n"
    found = snapshots(view, CUTOFFS, spark=engine, python=PYTHON, events=rows)
    expected = {}
    for own in by_customer(rows).values():
        for who, as_of in reference.entity_rows([own], CUTOFFS):
            seen = [r for r in own if r["known_at"] <= as_of and as_of - 7 * DAY < r["event_time"] <= as_of]
            items = {row["item"] for row in seen} - {None}
            amounts = [reference.exact(row["amount"]) for row in seen if row["amount"] is not None]
            late = [r for r in seen if r["item"] is not None and r["quantity"] is not None]
            late = [row for row in late if as_of - row["event_time"] < 2 * DAY]
            expected[who, as_of] = {
                "v__amount_an_item_7d": float(sum(amounts) / len(items)) if items and amounts else 0.0,
                "v__dearest_7d": max(late, key=lambda row: row["quantity"])["item"] if late else None,
            }
    assert differences(found, expected)[:5] == []


def test_words_and_groups_are_counted_alike(spark: Spark) -> None:
    words = st.sampled_from(["late", "Late!", "parcel", "Paket", "verspätet", "🍵", "naïve", "x1"])
    sentences = st.lists(words, max_size=4).map(" ".join)
    texts = st.lists(st.tuples(MOMENTS, st.none() | sentences, TEXTS), max_size=5).map(
        lambda drawn: [{"event_time": at, "known_at": at, "text": text, "item": item} for at, text, item in drawn]
    )
    rows = customers_of(texts, CUSTOMERS)
    items = [
        {"feed": "goods", "item": item, "group": group, "known_at": day(3)}
        for item, group in (("tea", "hot"), ("茶", "hot"), ("é", "cold"))
    ]
    view = """\
views:
  said: {from: events, text: {column: text, keywords: 3, topics: 2}, windows: [7d]}
  kinds: {from: events, by: items.group, aggregates: {"*": [count, share]}, windows: [7d]}
fit: {until: 2026-01-08T00:00:00Z}
"""
    feeds = FEEDS + "  goods: {source: b.csv, kind: items, key: item, updated_at: at}\n"
    embedded, found = (
        snapshots(view, CUTOFFS, feeds=feeds, spark=each, events=rows, items=items) for each in (None, spark)
    )
    assert len(next(iter(found.values()))) >= 8
    assert differences(found, embedded)[:5] == []
