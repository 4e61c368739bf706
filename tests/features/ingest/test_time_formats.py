"""Times in every convention: decided over all rows, and never guessed where two readings are possible."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from features.base.errors import BadData
from tests.features.tiny import staged

DELIVERED = datetime(2026, 11, 28, tzinfo=UTC)


def times(root: Path, *written: str, **settings: Any) -> list[datetime]:
    file = root / "till.csv"
    file.write_text("who;at\n" + "".join(f'p{n};"{text}"\n' for n, text in enumerate(written)))
    os.utime(file, (DELIVERED.timestamp(), DELIVERED.timestamp()))
    return [moment.replace(tzinfo=UTC) for moment in staged(root, **settings).column("event_time")]


def at(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=UTC)  # type: ignore[arg-type,misc]


@pytest.mark.parametrize(
    ("written", "moment"),
    [
        ("2026-09-24 08:08:07 +0200", at(2026, 9, 24, 6, 8, 7)),
        ("2026-09-24 08:08:07 UTC", at(2026, 9, 24, 8, 8, 7)),
        ("2026-09-24 08:08 PM", at(2026, 9, 24, 20, 8)),
        ("24.09.2026 08:08:07", at(2026, 9, 24, 8, 8, 7)),
        ("24.09.26", at(2026, 9, 24)),
        ("24/09/2026, 08:08", at(2026, 9, 24, 8, 8)),
        ("9/24/26 12:08 am", at(2026, 9, 24, 0, 8)),
        ("24 Sep 2026", at(2026, 9, 24)),
        ("September 24th, 2026 8:08 a.m.", at(2026, 9, 24, 8, 8)),
        ("24. März 2026 08:08", at(2026, 3, 24, 8, 8)),
        ("24 août 2026 8h08", at(2026, 8, 24, 8, 8)),
        ("24 de septiembre de 2026", at(2026, 9, 24)),
        ("24-mrt-2026", at(2026, 3, 24)),
        ("20260924", at(2026, 9, 24)),
        ("20260924T080807Z", at(2026, 9, 24, 8, 8, 7)),
        ("1790237287", at(2026, 9, 24, 8, 8, 7)),
        ("1790237287000", at(2026, 9, 24, 8, 8, 7)),
        ("1790237287000000", at(2026, 9, 24, 8, 8, 7)),
        ("1790237287000000000", at(2026, 9, 24, 8, 8, 7)),
        ("46289.25", at(2026, 9, 24, 6)),
    ],
)
def test_a_time_is_read_as_it_is_written(tmp_path: Path, written: str, moment: datetime) -> None:
    assert times(tmp_path, written) == [moment]


def test_one_row_decides_whether_the_day_or_the_month_comes_first(tmp_path: Path) -> None:
    assert times(tmp_path, "03/04/2026", "25/04/2026") == [at(2026, 4, 3), at(2026, 4, 25)]
    assert times(tmp_path, "03/04/2026", "04/25/2026") == [at(2026, 3, 4), at(2026, 4, 25)]


def test_times_that_no_row_decides_are_refused_with_both_readings(tmp_path: Path) -> None:
    with pytest.raises(BadData) as caught:
        times(tmp_path, "03/04/2026", "05/06/2026")
    assert caught.value.first.code == "feed.times"
    assert "`day_first` and as `month_first`" in caught.value.first.message
    assert "03/04" not in str(caught.value)
    assert times(tmp_path, "03/04/2026", "05/06/2026", times={"at": "month_first"}) == [at(2026, 3, 4), at(2026, 5, 6)]


def test_rows_of_both_orders_leave_what_either_could_mean_undecided(tmp_path: Path) -> None:
    found = times(tmp_path, *["2026-01-01"] * 8, "25/04/2026", "04/26/2026", "03/04/2026", reject_above=0.5)
    assert found == [at(2026, 1, 1)] * 8 + [at(2026, 4, 25)]


def test_another_time_of_the_feed_decides(tmp_path: Path) -> None:
    body = "who,at,changed\nann,03/04/2026,25/04/2026 10:00\n"
    assert staged(tmp_path, body, known_at="changed").column("event_time") == [at(2026, 4, 3)]


def test_serials_that_may_count_from_1900_or_1904_are_refused(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="`excel_1900` and as `excel_1904`"):
        times(tmp_path, "40000", "40001")
    assert times(tmp_path, "40000", times={"at": "excel_1904"}) == [at(2013, 7, 7)]


def test_date_and_clock_in_two_columns_are_one_time(tmp_path: Path) -> None:
    body = "who|day|clock\nann|19/10/2026|06:43:55\n"
    found = staged(tmp_path, body, event_time="day || ' ' || clock")
    assert found.column("event_time") == [at(2026, 10, 19, 6, 43, 55)]


def test_a_birth_year_of_two_digits_lies_in_the_past(tmp_path: Path) -> None:
    body = "who,born\nann,24.09.51\nbob,1.2.2003\n"
    people: dict[str, Any] = {"kind": "customers", "key": "who", "event": None, "event_time": None, "customer": None}
    found = staged(tmp_path, body, **people, fields={"birth_date": "born"})
    assert found.column("birth_date") == [date(1951, 9, 24), date(2003, 2, 1)]


def test_nanoseconds_with_a_zone_are_moments(tmp_path: Path) -> None:
    moments = pd.to_datetime(["2026-09-24 08:08:07.123456789+02:00"], utc=True).as_unit("ns")
    pd.DataFrame({"who": ["ann"], "at": moments}).to_parquet(tmp_path / "till.parquet")
    found = staged(tmp_path, file="till.parquet", timezone=None)
    assert found.column("event_time") == [at(2026, 9, 24, 6, 8, 7).replace(microsecond=123457)]


def test_months_by_name_after_the_year_are_times(tmp_path: Path) -> None:
    assert times(tmp_path, "2026-Apr-03", "2026-Jan-31") == [at(2026, 4, 3), at(2026, 1, 31)]


def test_a_date_for_none_is_no_end_and_no_time_of_an_event_and_is_counted(tmp_path: Path) -> None:
    dates = ["9999-12-31", "2999-12-31", "0001-01-01", "1900-01-01", "1970-01-01", "2027-01-01", ""]
    holdings = {"item": "who", "held_from": "at", "held_to": "until"}
    rows = "\n".join(["who,at,until", *(f"a{number},2026-01-01,{day}" for number, day in enumerate(dates)), ""])
    found = staged(tmp_path, rows, kind="holdings", event=None, event_time=None, fields=holdings)
    assert found.column("held_to") == [None] * 5 + [at(2027, 1, 1), None]
    assert (found.feed.open_times, found.feed.rejected) == (5, {})
    known = staged(tmp_path, rows.replace("2027", "2025"), known_at="until")  # unknown: the load says when
    assert (set(known.column("known_at")), known.feed.open_times) == ({at(2025, 1, 1)}, 5)
    rows = "\n".join(["who,at", "a,2026-01-01", "b,1970-01-01", "c,1900-01-01", "d,1970-01-01T00:00:01", ""])
    happened = staged(tmp_path, rows)
    assert happened.column("event_time") == [at(2026, 1, 1), at(1970, 1, 1, 0, 0, 1)]
    assert happened.feed.rejected == {"event_time is a date for none, such as 1970-01-01": 2}


def test_a_date_for_none_in_utc_is_none_in_any_zone(tmp_path: Path) -> None:
    rows = (
        "who;at;until\na;2026-01-01;0001-01-01T00:00:00Z\nb;2026-01-01;1970-01-01T00:00:00Z\nc;2026-01-01;1970-01-01\n"
    )
    held = {"item": "who", "held_from": "at", "held_to": "until"}
    settings: dict[str, Any] = {"kind": "holdings", "event": None, "event_time": None, "fields": held}
    found = staged(tmp_path, rows, timezone="Europe/Berlin", **settings)
    assert (found.column("held_to"), found.feed.open_times) == ([None, None, None], 3)
