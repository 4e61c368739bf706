"""Each rule of survivorship, groups that win together, ties and empty values; now, and as of any moment."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from features.base.errors import BadConfiguration
from features.base.telephone import register_telephones
from features.config.feeds_file import FeedsFile
from features.identity.golden_record import write_golden_record
from features.identity.golden_values import WINNERS, choose
from features.identity.survivorship_rules import CHANGED_BY_THEN, VISIBLE, survivor, with_ranks
from tests.features.tiny import table

FIELDS = ("first_name", "email", "phone", "street", "city", "postcode")
ALL = {"source": "x.csv", "kind": "customers", "key": "id", "fields": {field: field for field in FIELDS}}
PERSONAL = frozenset[str]()


def day(number: int) -> datetime:
    return datetime(2026, 1, number, tzinfo=UTC)


def declared(**survivorship: Any) -> FeedsFile:
    partly = {**ALL, "fields": {"email": "email"}}
    return FeedsFile.model_validate({"feeds": {"crm": ALL, "web": ALL, "shop": partly}, "survivorship": survivorship})


def record(feed: str, key: str, changed: int | None, *, known: int = 1, **fields: str | None) -> dict[str, Any]:
    times = {"event_time": None if changed is None else day(changed), "known_at": day(known)}
    return {"customer_id": "c1", "feed": feed, "record_id": key, **times, **dict.fromkeys(FIELDS), **fields}


def engine_of(records: list[dict[str, Any]], *more: str) -> duckdb.DuckDBPyConnection:
    """Return an engine that knows the records as ``customers``."""
    engine = duckdb.connect(":memory:")
    engine.execute("SET TimeZone = 'UTC'")
    register_telephones(engine)
    texts = ", ".join(f'"{field}" VARCHAR' for field in (*FIELDS, "country", *more))
    engine.execute(
        "CREATE TABLE customers "
        f"(customer_id VARCHAR, feed VARCHAR, record_id VARCHAR, event_time TIMESTAMPTZ, known_at TIMESTAMPTZ, "
        f"{texts})"
    )
    for row in records:
        values = [row.get(name) for name in ("customer_id", "feed", "record_id", "event_time", "known_at")]
        values += [row.get(name) for name in (*FIELDS, "country", *more)]
        engine.execute(f"INSERT INTO customers VALUES ({', '.join('?' * len(values))})", values)
    return engine


def golden(records: list[dict[str, Any]], **survivorship: Any) -> dict[str, Any]:
    """Return the golden record of the only customer, as known now."""
    engine = engine_of(records)
    choose(engine, declared(**survivorship), source="customers")
    (row,) = engine.sql(f"SELECT * FROM {WINNERS}").to_arrow_table().to_pylist()
    return dict(row)


def known_then(records: list[dict[str, Any]], field: str, moment: datetime, **survivorship: Any) -> Any:
    """Return the value of one field as of a moment, as features see it."""
    chosen = survivor(field, declared(**survivorship), visible=VISIBLE, changed=CHANGED_BY_THEN)
    marked = with_ranks("customers", declared(**survivorship))
    at = int(moment.timestamp()) * 1_000_000
    rows = engine_of(records).execute(
        f"SELECT {chosen} FROM ({marked}), (SELECT {at}::BIGINT AS as_of) GROUP BY customer_id"
    )
    return rows.fetchall()[0][0]


LEEDS_TWICE = [
    record("crm", "1", 2, city="Leeds"),
    record("web", "1", 3, city="Leeds"),
    record("web", "2", 9, city="York"),
]


def test_what_most_records_say_wins_however_old() -> None:
    assert golden(LEEDS_TWICE, default="most_frequent")["city"] == "Leeds"
    assert golden(LEEDS_TWICE)["city"] == "York"


def test_the_longest_value_wins_however_old() -> None:
    records = [record("crm", "1", 2, first_name="Jonathan"), record("crm", "2", 9, first_name="Jon")]
    assert golden(records, default="longest")["first_name"] == "Jonathan"


def test_the_default_may_be_an_order_of_sources() -> None:
    default = {"rule": "source_priority", "order": ["crm", "web"]}
    assert golden(LEEDS_TWICE, default=default)["city"] == "Leeds"


def test_a_field_without_a_rule_of_its_own_takes_the_defaults() -> None:
    rules = {"default": "most_frequent", "fields": {"city": {"ignore_empty": True}}}
    assert golden(LEEDS_TWICE, **rules)["city"] == "Leeds"


@pytest.mark.parametrize("rule", ["most_frequent", "longest", "last_updated"])
def test_a_tie_goes_to_the_record_changed_last_then_to_the_feed_and_key_that_sort_last(rule: str) -> None:
    same = [record("crm", "1", 5, city="Bath"), record("web", "1", 5, city="Hull"), record("web", "2", 5, city="Deal")]
    assert golden(same, default=rule)["city"] == "Deal"
    later = [*same, record("crm", "0", 6, city="Ryde")]
    assert golden(later, default=rule)["city"] == "Ryde"


ADDRESSES = [
    record("crm", "1", 9, city="York"),
    record("web", "1", 2, street="1 Mill Lane", city="Leeds", postcode="LS1 1AA"),
]


def test_fields_of_a_group_come_from_one_record() -> None:
    group = {"address": {"fields": ["street", "city", "postcode"]}}
    row = golden(ADDRESSES, groups=group)
    assert (row["street"], row["city"], row["postcode"]) == (None, "York", None)
    apart = golden(ADDRESSES)
    assert (apart["street"], apart["city"], apart["postcode"]) == ("1 Mill Lane", "York", "LS1 1AA")


def test_the_longest_of_a_group_is_the_one_with_most_fields_filled() -> None:
    long_but_alone = record("crm", "1", 9, street="The Old Mill House, Lower Mill Lane West")
    group = {"address": {"fields": ["street", "city", "postcode"], "rule": "longest"}}
    row = golden([long_but_alone, ADDRESSES[1]], groups=group)
    assert (row["street"], row["city"]) == ("1 Mill Lane", "Leeds")


def test_the_most_frequent_of_a_group_is_counted_as_a_whole() -> None:
    group = {"address": {"fields": ["street", "city"], "rule": "most_frequent"}}
    records = [
        record("crm", "1", 1, street="1 Mill Lane", city="Leeds"),
        record("crm", "2", 2, street="1 Mill Lane", city="Leeds"),
        record("web", "1", 3, street="2 High St", city="York"),
        record("web", "2", 4, street="9 Low St", city="York"),
    ]
    row = golden(records, groups=group)
    assert (row["street"], row["city"]) == ("1 Mill Lane", "Leeds")


def test_a_record_that_is_empty_in_the_whole_group_takes_no_part() -> None:
    group = {"address": {"fields": ["street", "city"]}}
    assert golden([ADDRESSES[1], record("crm", "1", 9, email="a@x.org")], groups=group)["city"] == "Leeds"


def test_blanks_count_as_empty() -> None:
    records = [record("crm", "1", 2, city="Leeds"), record("crm", "2", 9, city="  ")]
    assert golden(records)["city"] == "Leeds"


@pytest.mark.parametrize("rule", ["last_updated", "most_frequent"])
def test_an_empty_value_wins_where_it_is_declared_to_count(rule: str) -> None:
    emptied = [record("crm", "1", 2, city="Leeds"), record("crm", "2", 8), record("crm", "3", 9)]
    assert golden(emptied, fields={"city": {"rule": rule, "ignore_empty": False}})["city"] is None
    assert golden(emptied, fields={"city": {"rule": rule}})["city"] == "Leeds"


def test_a_feed_that_does_not_map_a_field_has_no_word_on_it_even_where_empty_counts() -> None:
    records = [record("crm", "1", 2, city="Leeds"), record("shop", "1", 9, email="a@x.org")]
    assert golden(records, fields={"city": {"ignore_empty": False}})["city"] == "Leeds"


@pytest.mark.parametrize(
    ("rule", "then", "now"),
    [("last_updated", "Leeds", "York"), ("most_frequent", "Leeds", "York"), ("longest", "Leeds", "Scarborough")],
)
def test_a_record_that_was_not_yet_known_changes_no_earlier_moment(rule: str, then: str, now: str) -> None:
    records = [
        record("crm", "1", 2, known=2, city="Leeds"),
        record("web", "1", 5, known=5, city="Scarborough"),
        record("web", "2", 6, known=6, city="York"),
        record("web", "3", 7, known=7, city="York"),
    ]
    assert known_then(records, "city", day(4), default=rule) == then
    assert known_then(records, "city", day(8), default=rule) == now


def test_a_change_from_after_the_moment_makes_no_record_win() -> None:
    records = [record("crm", "1", 9, known=1, city="Leeds"), record("web", "1", 3, known=2, city="York")]
    assert known_then(records, "city", day(4)) == "York"
    assert known_then(records, "city", day(9)) == "Leeds"


def test_a_group_wins_together_as_of_a_moment_too() -> None:
    group = {"address": {"fields": ["street", "city"]}}
    assert known_then(ADDRESSES, "street", day(4), groups=group) == "1 Mill Lane"
    assert known_then(ADDRESSES, "street", day(9), groups=group) is None


def test_nothing_known_yet_is_missing_under_every_rule() -> None:
    records = [record("crm", "1", 5, known=5, city="Leeds")]
    for rule in ("last_updated", "most_frequent", "longest"):
        assert known_then(records, "city", day(4), default=rule) is None


def test_an_unknown_attribute_is_refused_with_the_nearest_one() -> None:
    feeds = declared(fields={"crm.segmnet": {"rule": "longest"}})
    with pytest.raises(BadConfiguration) as caught:
        choose(engine_of([], "crm.segment"), feeds, source="customers")
    assert caught.value.first.hint == "did you mean 'crm.segment'?"


TEXTS = st.sampled_from([None, "", "a", "b", "bb", "a b"])
RULES = st.sampled_from(
    ["last_updated", "most_frequent", "longest", {"rule": "source_priority", "order": ["web", "crm"]}]
)
ROWS = st.lists(
    st.tuples(st.sampled_from(["c1", "c2"]), st.sampled_from(["crm", "web"]), st.integers(1, 5), TEXTS, TEXTS, TEXTS),
    min_size=1,
    max_size=8,
)


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS, rule=RULES, group=st.booleans(), ignore_empty=st.booleans())
def test_every_cell_names_a_record_that_holds_its_value_and_is_what_features_see_now(
    rows: list[tuple[Any, ...]], rule: Any, group: bool, ignore_empty: bool, tmp_path: Path
) -> None:
    records = [
        record(feed, str(number), changed, street=street, city=city, email=email) | {"customer_id": customer}
        for number, (customer, feed, changed, street, city, email) in enumerate(rows)
    ]
    feeds = declared(
        default=rule,
        fields={"email": {"ignore_empty": ignore_empty}},
        groups={"address": {"fields": ["street", "city"]}} if group else {},
    )
    engine = engine_of(records)
    write_golden_record(engine, feeds, PERSONAL, source="customers", shown="customers", folder=tmp_path)
    known = {row["customer_id"]: row for row in table(tmp_path / "golden.parquet")}
    personal = {row["customer_id"]: row for row in table(tmp_path / "personal" / "golden.parquet")}
    assert set(known) == set(personal) == {row["customer_id"] for row in records}
    cells = {(cell["customer_id"], cell["field"]): cell for cell in table(tmp_path / "personal" / "provenance.parquet")}
    by_key = {(row["feed"], row["record_id"]): row for row in records}
    for (customer, field), cell in cells.items():
        winner = by_key[cell["feed"], cell["record_id"]]
        assert winner["customer_id"] == customer
        assert cell["value"] == winner[field] == {**known[customer], **personal[customer]}[field]
        assert cell["changed_at"] == winner["event_time"]
        assert 1 <= cell["agreeing"] <= cell["candidates"] <= known[customer]["records"]
    marked = with_ranks("customers", feeds)
    for customer in known:
        for field in FIELDS:
            value = {**known[customer], **personal[customer]}[field]
            seen = f"SELECT {survivor(field, feeds)} FROM ({marked}) WHERE customer_id = '{customer}'"
            (same,) = engine.execute(seen).fetchall()
            assert same == (value,)
            assert value is None or (customer, field) in cells
