"""What stands in a feed's cells: numbers, times, keys; what cannot be read is kept aside with its reason."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.base.errors import BadConfiguration, BadData
from tests.features.tiny import lines, staged


def times(root: Path, *written: str, **settings: Any) -> list[str]:
    found = staged(root, lines("who,at", [f"p{n},{at}" for n, at in enumerate(written)]), **settings)
    return [moment.astimezone(UTC).strftime("%Y-%m-%d %H:%M") for moment in found.column("event_time")]


def test_a_value_that_does_not_parse_is_kept_aside_with_its_reason(tmp_path: Path) -> None:
    rows = ["ann,2026-01-01,1.5", "bob,2026-02-31,2", "cleo,2026-01-03,lots", ",2026-01-04,", "dan,,4"]
    found = staged(tmp_path, lines("who,at,amount", rows), fields={"amount": "amount"}, reject_above=0.7)
    assert found.feed.rejected == {
        "amount is not a number": 1,
        "event_time is missing": 1,
        "event_time is not a time": 1,
    }
    assert [(row["row"], row["reason"]) for row in found.rejected] == [
        (2, "event_time is not a time"),
        (3, "amount is not a number"),
        (5, "event_time is missing"),
    ]
    assert json.loads(found.rejected[1]["as_read"])["amount"] == "lots"
    assert found.column("amount") == [1.5, None]
    assert (found.feed.rows_read, found.feed.rows) == (5, 2)


def test_above_the_declared_share_the_run_stops_and_says_no_value(tmp_path: Path) -> None:
    content = lines("who,at", ["ann,2026-01-01", "bob,secret-day", "cleo,secret-day", "dan,2026-01-02"])
    with pytest.raises(BadData) as caught:
        staged(tmp_path, content, reject_above=0.4)
    assert caught.value.first.code == "feed.too_many_rejected"
    assert "2 of 4 rows" in caught.value.first.message
    assert "event_time is not a time" in caught.value.first.message
    assert "secret" not in str(caught.value)
    assert not (tmp_path / "staged" / "till").exists()
    assert staged(tmp_path, reject_above=0.5).feed.rows == 2


def test_all_columns_that_are_absent_are_named_at_once_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration) as caught:
        staged(
            tmp_path,
            "who,at,amount\nann,2026-01-01,1\n",
            key="invoise",
            event_time="att",
            fields={"amount": "amont * 2", "item": "whoo"},
            where="wo = 'x'",
            drop=["mount"],
            customer="crm.id = till.whom",
        )
    assert {problem.code for problem in caught.value.problems} == {"feed.column_absent"}
    named = {problem.where.removeprefix("feeds.till."): problem.hint for problem in caught.value.problems}
    assert named == {
        "key": "known here: who, at, amount",
        "drop": "did you mean 'amount'?",
        "customer": "did you mean 'who'?",
        "fields.amount": "did you mean 'amount'?",
        "fields.item": "did you mean 'who'?",
        "event_time": "did you mean 'at'?",
        "where": "did you mean 'who'?",
    }


def test_an_expression_outside_the_dialect_is_refused_with_its_place(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration) as caught:
        staged(tmp_path, "who,at\nann,2026-01-01\n", where="read_csv('/etc/passwd')")
    assert caught.value.first.where == "feeds.till.where"


def test_an_expression_that_fails_on_the_data_says_nothing_of_values(tmp_path: Path) -> None:
    content = lines("who,at,code", ["ann,2026-01-01,a1", "bob,2026-01-02,secret"])
    with pytest.raises(BadData) as caught:
        staged(tmp_path, content, fields={"amount": "cast(code as double)"})
    assert caught.value.first.code == "feed.expression"
    assert caught.value.first.where == "feeds.till"
    assert "secret" not in str(caught.value)
    assert caught.value.__cause__ is None
    assert caught.value.__suppress_context__


# ── numbers ──────────────────────────────────────────────────────────────────────────────────────────────────────────
def amounts(root: Path, *written: str, **settings: Any) -> list[float | None]:
    rows = [f'p{n};2026-01-01;"{text}"' for n, text in enumerate(written)]
    settings.setdefault("fields", {"amount": "amount"})
    found = staged(root, lines("who;at;amount", rows), **settings)
    return [row["amount"] for row in found.rows]


def test_decimal_commas_are_read_and_no_point_is_taken_for_thousands_by_guess(tmp_path: Path) -> None:
    assert amounts(tmp_path, "1,5", "1.234,5", "-1.234.567", "7", "", decimal=",") == [1.5, 1234.5, -1234567.0, 7, None]
    assert amounts(tmp_path, "1,5", "1.5", "12.34,5", "7", decimal=",") == [1.5, 7]  # not 15, not 1234.5


@pytest.mark.parametrize("odd", ["nan", "inf", "-Infinity", "1e999", "0x1A", "1,000", "1.5 GBP"])
def test_what_is_no_finite_number_is_kept_aside(tmp_path: Path, odd: str) -> None:
    assert amounts(tmp_path, "1", odd) == [1]


def test_a_number_that_an_expression_makes_infinite_is_kept_aside(tmp_path: Path) -> None:
    found = staged(
        tmp_path,
        lines("who,at,amount", ["a,2026-01-01,1e5", "b,2026-01-01,1e15"]),
        fields={"amount": "power(amount, 30)"},
    )
    assert found.feed.rejected == {"amount is not a number": 1}


def test_a_bad_number_in_an_expression_keeps_the_row_aside_and_names_the_column(tmp_path: Path) -> None:
    rows = [f"p{n},2026-01-01,{n + 1},2" for n in range(30)] + ["x,2026-01-01,many,2"]
    found = staged(tmp_path, lines("who,at,qty,price", rows), fields={"amount": "qty * price"})
    assert found.feed.rejected == {"qty is not a number": 1}
    assert found.column("amount")[:3] == [2, 4, 6]


def test_where_cannot_leave_out_a_row_for_a_bad_number(tmp_path: Path) -> None:
    rows = [f"p{n},2026-01-01,{n}" for n in range(30)] + ["x,2026-01-01,many"]
    found = staged(tmp_path, lines("who,at,qty", rows), where="qty > 10")
    assert (found.feed.rows, found.feed.excluded) == (19, 11)
    assert found.feed.rejected == {"qty is not a number": 1}


def test_no_value_of_an_unmapped_column_is_lost_for_looking_unlike_the_others(tmp_path: Path) -> None:
    rows = [f"p{n},2026-01-01,{n},{n}" for n in range(99)] + ["x,2026-01-01,XL,99"]
    found = staged(tmp_path, lines("who,at,size,number", rows), reject_above=1)
    assert found.column("till.size")[-2:] == ["98", "XL"]
    assert found.column("till.number")[-2:] == [98.0, 99.0]


def test_codes_with_leading_zeros_stay_text(tmp_path: Path) -> None:
    rows = ["a,2026-01-01,007,0.5", "b,2026-01-01,123,1.5"]
    found = staged(tmp_path, lines("who,at,code,half", rows), fields={"item": "code"})
    assert found.column("item") == ["007", "123"]
    assert found.column("till.code") == ["007", "123"]
    assert found.column("till.half") == [0.5, 1.5]


def test_whole_numbers_beyond_two_to_the_53_stay_exact(tmp_path: Path) -> None:
    found = staged(tmp_path, "who,at,card\n9007199254740993,2026-01-01,9007199254740993\n")
    assert found.column("customer_ref") == found.column("till.card") == ["9007199254740993"]


def test_a_whole_number_names_the_same_customer_in_whatever_type_a_file_stores_it(tmp_path: Path) -> None:
    pq.write_table(
        pa.table({"who": [12.0, None, 2.5], "at": ["2026-01-01"] * 3, "qty": [float("nan"), 1.0, 2.0]}),
        tmp_path / "till.parquet",
    )
    found = staged(tmp_path, file="till.parquet", fields={"quantity": "qty"})
    assert found.column("customer_ref") == ["12", None, "2.5"]
    assert found.column("quantity") == [None, 1.0, 2.0]


# ── times ────────────────────────────────────────────────────────────────────────────────────────────────────────────
def test_naive_times_take_the_declared_zone_and_offsets_their_own(tmp_path: Path) -> None:
    written = ["2026-07-01 12:00", "2026-07-01T12:00:00Z", "2026-07-01 12:00:00+02:00", "2026-07-01 12:00-05"]
    written += ["2026-07-01 12:00:00 UTC", "2026-07-01"]
    assert times(tmp_path, *written, timezone="Europe/London") == [
        "2026-07-01 11:00",
        "2026-07-01 12:00",
        "2026-07-01 10:00",
        "2026-07-01 17:00",
        "2026-07-01 12:00",
        "2026-06-30 23:00",
    ]


def test_a_time_in_the_gap_of_spring_moves_on_and_one_that_comes_twice_in_autumn_is_the_later(tmp_path: Path) -> None:
    gap, twice = "2026-03-29 01:30", "2026-10-25 01:30"
    assert times(tmp_path, gap, twice, timezone="Europe/London") == ["2026-03-29 01:30", "2026-10-25 01:30"]


@pytest.mark.parametrize("odd", ["2026-07-01 12:00 Europe/Paris", "2026-07-01 12:00 BC", "infinity", "epoch", "12:00"])
def test_a_time_that_is_only_half_understood_is_no_time(tmp_path: Path, odd: str) -> None:
    found = staged(tmp_path, lines("who,at", ["a,2026-01-01", f"b,{odd}"]))
    assert found.feed.rejected == {"event_time is not a time": 1}


def test_naive_times_without_a_declared_zone_are_kept_aside_with_that_reason(tmp_path: Path) -> None:
    found = staged(tmp_path, lines("who,at", ["a,2026-01-01T10:00Z", "b,2026-01-01 10:00"]), timezone=None)
    assert "event_time has no time zone and the feed declares none" in found.feed.rejected


@pytest.mark.parametrize("kind", [pa.timestamp("us"), pa.timestamp("ns"), pa.date32()])
def test_naive_parquet_times_without_a_declared_zone_are_refused(tmp_path: Path, kind: pa.DataType) -> None:
    moments = pa.array([datetime(2026, 1, 1)], pa.timestamp("us")).cast(kind)  # noqa: DTZ001 - the naive time is the case
    pq.write_table(pa.table({"who": ["ann"], "at": moments}), tmp_path / "till.parquet")
    with pytest.raises(BadConfiguration) as caught:
        staged(tmp_path, file="till.parquet", timezone=None)
    assert caught.value.first.code == "feed.timezone"
    assert "timezone:" in caught.value.first.hint
    assert staged(tmp_path, file="till.parquet", timezone="Asia/Tokyo").column("event_time") == [
        datetime(2025, 12, 31, 15, tzinfo=UTC)
    ]


def test_parquet_times_with_a_zone_need_none_declared(tmp_path: Path) -> None:
    moments = pa.array([datetime(2026, 1, 1, tzinfo=UTC)], pa.timestamp("ms", "America/New_York"))
    pq.write_table(pa.table({"who": ["ann"], "at": moments}), tmp_path / "till.parquet")
    found = staged(tmp_path, file="till.parquet", timezone=None)
    assert found.column("event_time") == [datetime(2026, 1, 1, tzinfo=UTC)]


@pytest.mark.parametrize("year", ["1600", "0001", "2200", "9999"])
def test_a_year_that_cannot_be_meant_is_kept_aside(tmp_path: Path, year: str) -> None:
    found = staged(tmp_path, lines("who,at", ["a,2026-01-01", f"b,{year}-06-01"]))
    assert found.feed.rejected == {"event_time is outside 1900-2199": 1}


def test_dates_of_birth_before_1900_are_dates(tmp_path: Path) -> None:
    found = staged(
        tmp_path,
        lines("who,born", ["a,1899-12-31", "b,31.12."]),
        kind="customers",
        key="who",
        event=None,
        event_time=None,
        customer=None,
        fields={"birth_date": "born"},
    )
    assert found.column("birth_date") == [date(1899, 12, 31)]
    assert found.feed.rejected == {"born is not a date": 1}


def test_what_is_known_late_is_known_late(tmp_path: Path) -> None:
    content = lines("who,at,loaded", ["a,2026-01-01,2026-01-05", "b,2026-01-02,"])
    found = staged(tmp_path, content, known_at="loaded")
    assert found.column("known_at")[0] == datetime(2026, 1, 5, tzinfo=UTC)
    assert found.column("known_at")[1] > datetime(2026, 1, 2, tzinfo=UTC)  # unknown when: not before the load
    assert (found.feed.newest, found.feed.ahead) == ("2026-01-05T00:00:00Z", 0)


# ── keys ─────────────────────────────────────────────────────────────────────────────────────────────────────────────
TWICE = lines("id,who,at,amount", ["1,ann,2026-01-02,5", "1,ann,2026-01-02,5", "2,bob,2026-01-01,7"])
CLASH = lines("id,who,at,amount", ["1,ann,2026-01-02,5", "1,ann,2026-01-03,6", "2,bob,2026-01-01,7"])


def keyed(root: Path, content: str, **settings: Any) -> Any:
    return staged(root, content, key="id", fields={"amount": "amount"}, **settings)


@pytest.mark.parametrize("duplicates", ["refuse", "drop_identical", "keep_last", "keep_first"])
def test_rows_that_are_identical_count_once(tmp_path: Path, duplicates: str) -> None:
    found = keyed(tmp_path, TWICE, duplicates=duplicates)
    assert found.column("amount") == [5, 7]
    assert found.feed.duplicates == 1


@pytest.mark.parametrize("duplicates", ["refuse", "drop_identical"])
def test_rows_that_differ_under_one_key_stop_the_run(tmp_path: Path, duplicates: str) -> None:
    with pytest.raises(BadData) as caught:
        keyed(tmp_path, CLASH, duplicates=duplicates)
    assert caught.value.first.code == "feed.duplicate_key"
    assert caught.value.first.message == "1 keys stand on rows that differ; the first is at row 1 of till.csv"


@pytest.mark.parametrize(("duplicates", "kept"), [("keep_last", 6), ("keep_first", 5)])
def test_the_first_or_the_last_row_of_a_key_is_kept_as_declared(tmp_path: Path, duplicates: str, kept: float) -> None:
    assert keyed(tmp_path, CLASH, duplicates=duplicates).column("amount") == [kept, 7]


def test_a_row_whose_key_is_missing_is_kept_aside(tmp_path: Path) -> None:
    found = keyed(tmp_path, lines("id,who,at,amount", ["1,ann,2026-01-02,5", " ,bob,2026-01-03,6"]))
    assert found.feed.rejected == {"key is missing": 1}


def test_composite_keys_are_never_confused(tmp_path: Path) -> None:
    rows = ["a|b,c,ann,2026-01-01", "a,b|c,ann,2026-01-01", "a\\|b,c,ann,2026-01-01", "a\\,b|c,ann,2026-01-01"]
    found = staged(tmp_path, lines("one,two,who,at", rows), key=["one", "two"])
    assert len(set(found.column("record_id"))) == 4


def test_a_feed_without_a_key_keeps_every_row_and_numbers_them(tmp_path: Path) -> None:
    found = staged(tmp_path, lines("who,at", ["ann,2026-01-01"] * 3))
    assert found.column("record_id") == ["1", "2", "3"]


def test_a_feed_without_a_key_may_drop_identical_rows(tmp_path: Path) -> None:
    found = staged(
        tmp_path, lines("who,at", ["ann,2026-01-01", "ann,2026-01-01", "bob,2026-01-01"]), duplicates="drop_identical"
    )
    assert (found.column("customer_ref"), found.feed.duplicates) == (["ann", "bob"], 1)


# ── where and attributes ─────────────────────────────────────────────────────────────────────────────────────────────
def test_where_takes_only_rows_for_which_it_is_true(tmp_path: Path) -> None:
    rows = ["a,2026-01-01,web", "b,2026-01-01,shop", "c,2026-01-01,", "d,never,shop"]
    found = staged(tmp_path, lines("who,at,place", rows), where="place = 'web'")
    assert (found.column("customer_ref"), found.feed.excluded, found.feed.rejected) == (["a"], 3, {})


def test_where_that_leaves_nothing_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData) as caught:
        staged(tmp_path, lines("who,at", ["a,2026-01-01"]), where="who = 'nobody'")
    assert (caught.value.first.code, caught.value.first.hint) == ("feed.empty", "check `where` and the files")


def test_unmapped_columns_survive_under_the_feeds_name_and_dropped_ones_do_not(tmp_path: Path) -> None:
    found = staged(tmp_path, lines("who,at,Shop Floor,secret", ["a,2026-01-01,3rd,x"]), drop=["secret"])
    assert set(found.rows[0]) >= {"till.shop_floor"}
    assert "till.secret" not in found.rows[0]


def test_two_columns_that_would_survive_under_one_name_are_refused(tmp_path: Path) -> None:
    content = lines("who,at,Shop Floor,shop_floor", ["a,2026-01-01,1,2"])
    with pytest.raises(BadConfiguration, match=r"till\.shop_floor"):
        staged(tmp_path, content)
    assert staged(tmp_path, content, drop=["Shop Floor"]).column("till.shop_floor") == [2.0]


def test_a_personal_column_may_not_be_mapped_outside_customers(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration) as caught:
        staged(tmp_path, lines("who,at,login", ["a,2026-01-01,x"]), pii=["login"], fields={"channel": "lower(login)"})
    assert caught.value.first.code == "feed.personal"


def test_what_became_of_a_row_later_survives_under_no_other_name(tmp_path: Path) -> None:
    found = staged(
        tmp_path,
        lines("who,item,start,end", ["a,phone,2026-01-01,2026-06-01"]),
        kind="holdings",
        event=None,
        event_time=None,
        fields={"item": "item", "held_from": "start", "held_to": "end"},
    )
    assert "till.end" not in found.rows[0]
    assert found.column("held_to") == [datetime(2026, 6, 1, tzinfo=UTC)]
    assert found.column("known_at") == [datetime(2026, 1, 1, tzinfo=UTC)]
