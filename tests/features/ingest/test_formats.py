"""Every format says the same: JSON, Excel, Parquet with nested columns, folders; and what is not used is not read."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import openpyxl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.base.errors import BadConfiguration, BadData
from tests.features.tiny import staged

ROWS: list[dict[str, Any]] = [
    {"who": "ann", "at": "2026-01-01", "amount": 1.5, "place": {"city": "Bath", "geo": {"lat": 51}}, "tags": ["a", 1]},
    {"who": "bob", "at": "2026-01-02", "amount": 9007199254740991, "place": {"city": None}, "note": 'zoë, "x"\n2'},
]


def read(root: Path, content: str, file: str, **settings: Any) -> Any:
    return staged(root, content, file=file, fields={"amount": "amount", "channel": "place.city"}, **settings)


def same(found: Any) -> None:
    assert found.column("customer_ref") == ["ann", "bob"]
    assert found.column("amount") == [1.5, 9007199254740991.0]
    assert found.column("channel") == ["Bath", None]
    assert found.column("till.place_geo_lat") == [51.0, None]
    assert found.column("till.tags") == ['["a", "1"]', None]
    assert found.column("till.note") == [None, 'zoë, "x"\n2']


@pytest.mark.parametrize("file", ["till.jsonl", "till.ndjson", "till.json"])
def test_json_lines_are_rows_nested_objects_columns_and_lists_text(tmp_path: Path, file: str) -> None:
    same(read(tmp_path, "\n".join(json.dumps(row, ensure_ascii=False) for row in ROWS), file))


@pytest.mark.parametrize(
    ("document", "rows_at"),
    [(ROWS, None), ({"page": 1, "data": ROWS}, None), ({"data": {"rows": ROWS}, "more": []}, "data.rows")],
)
def test_a_json_document_holds_a_list_of_rows(tmp_path: Path, document: Any, rows_at: str | None) -> None:
    same(read(tmp_path, json.dumps(document, indent=1), "till.json", rows_at=rows_at))


def test_json_with_two_lists_of_rows_has_to_be_told_which(tmp_path: Path) -> None:
    with pytest.raises(BadData) as caught:
        read(tmp_path, json.dumps({"one": ROWS, "two": ROWS}), "till.json")
    assert caught.value.first.code == "feed.json"
    assert caught.value.first.hint == "set `rows_at` to one of one, two"


@pytest.mark.parametrize(
    ("content", "place"),
    [
        ('{"who": "ann.smith"}\n{"who": "bo', "line 2"),
        ('{"who": "ann.smith"}\n[1]\n', "line 2"),
        ('{"who": NaN}\n', "line 1"),
        ('{"a":' * 5_000 + "1" + "}" * 5_000, "line 1"),
        ('{"who": "\\ud800"}\n', "line 1"),
    ],
)
def test_broken_json_is_named_by_file_and_line(tmp_path: Path, content: str, place: str) -> None:
    with pytest.raises(BadData) as caught:
        staged(tmp_path, content, file="till.jsonl")
    assert caught.value.first.code == "feed.json"
    assert "till.jsonl" in caught.value.first.message
    assert place in caught.value.first.message
    assert "smith" not in str(caught.value)


def test_long_numbers_in_json_stay_digit_for_digit(tmp_path: Path) -> None:
    found = staged(tmp_path, '{"who": 90071992547409931234, "at": "2026-01-01"}\n', file="till.jsonl")
    assert found.column("customer_ref") == ["90071992547409931234"]


def workbook(path: Path, rows: list[list[Any]], sheet: str = "Till") -> None:
    book = openpyxl.Workbook()
    book.create_sheet("Notes", 0).append(["nothing here"])
    page = book.create_sheet(sheet, 1)
    for row in rows:
        page.append(row)
    book.save(path)


def test_a_sheet_of_excel_is_read_as_it_is_shown(tmp_path: Path) -> None:
    rows: list[list[Any]] = [[], ["who", "at", "amount", "paid"], ["007", datetime(2026, 1, 1, 10, 30), 1.5, True]]  # noqa: DTZ001 - a sheet knows no zone
    workbook(tmp_path / "till.xlsx", [*rows, [12, datetime(2026, 1, 2), 2, False], []])  # noqa: DTZ001 - a sheet knows no zone
    found = staged(tmp_path, file="till.xlsx", sheet="Till", fields={"amount": "amount"}, timezone="Europe/London")
    assert found.column("customer_ref") == ["007", "12"]
    assert found.column("amount") == [1.5, 2.0]
    assert [moment.isoformat() for moment in found.column("event_time")] == [
        "2026-01-01T10:30:00+00:00",
        "2026-01-02T00:00:00+00:00",
    ]
    assert found.column("till.paid") == ["true", "false"]


def test_a_sheet_that_is_not_there_is_named_with_the_nearest(tmp_path: Path) -> None:
    workbook(tmp_path / "till.xlsx", [["who", "at"], ["ann", "2026-01-01"]])
    with pytest.raises(BadConfiguration) as caught:
        staged(tmp_path, file="till.xlsx", sheet="Tills")
    assert caught.value.first.where == "feeds.till.sheet"
    assert caught.value.first.hint == "did you mean 'Till'?"


def test_a_number_that_excel_has_rounded_is_refused_with_its_cell(tmp_path: Path) -> None:
    workbook(tmp_path / "till.xlsx", [["who", "at"], ["ann", "2026-01-01"], [9007199254740993, "2026-01-01"]])
    with pytest.raises(BadData) as caught:
        staged(tmp_path, file="till.xlsx", sheet="Till")
    assert caught.value.first.code == "feed.rounded"
    assert "till.xlsx, row 3: the column 'who'" in caught.value.first.message
    assert "9007" not in str(caught.value)


def test_a_cut_off_workbook_is_refused(tmp_path: Path) -> None:
    workbook(tmp_path / "till.xlsx", [["who", "at"], ["ann", "2026-01-01"]])
    whole = (tmp_path / "till.xlsx").read_bytes()
    (tmp_path / "till.xlsx").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BadData, match="not a whole workbook"):
        staged(tmp_path, file="till.xlsx")


def test_nested_parquet_columns_are_parted_and_lists_are_text(tmp_path: Path) -> None:
    rows = [{**row, "amount": 1.0, "tags": ["a", "1"]} for row in ROWS]
    kind = pa.struct([("city", pa.string()), ("geo", pa.struct([("lat", pa.int64())]))])
    pq.write_table(
        pa.table(
            {
                "who": pa.array(["ann", "bob"]).dictionary_encode(),
                "at": ["2026-01-01", "2026-01-02"],
                "place": pa.array([row["place"] for row in rows], kind),
                "tags": [row["tags"] for row in rows],
                "nothing": pa.nulls(2),
            }
        ),
        tmp_path / "till.parquet",
    )
    found = staged(tmp_path, file="till.parquet", fields={"channel": "place.city"})
    assert found.column("channel") == ["Bath", None]
    assert found.column("till.place_geo_lat") == [51, None]
    assert [json.loads(text) for text in found.column("till.tags")] == [["a", "1"]] * 2
    assert found.column("till.nothing") == [None, None]


def test_a_folder_is_read_with_its_folders_and_without_what_systems_leave(tmp_path: Path) -> None:
    for name in ("day/a.csv", "day/b/c.csv", "day/_SUCCESS", "day/.c.crc"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"who,at\n{path.stem},2026-01-01\n" if path.suffix == ".csv" else "", encoding="utf-8")
    assert staged(tmp_path, source="day").column("customer_ref") == ["a", "c"]


def test_what_is_dropped_and_not_used_is_not_read(tmp_path: Path) -> None:
    found = staged(
        tmp_path,
        "who,at,secret,used\nann,2026-01-01,s3cret,1\nbob,never,s3cret,2\n",
        drop=["secret", "used"],
        fields={"amount": "used"},
    )
    assert [json.loads(row["as_read"]).keys() for row in found.rejected] == [{"__row", "who", "at", "used"}]
    assert found.column("amount") == [1.0]


def test_an_unknown_kind_of_file_is_refused_with_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(BadData) as caught:
        staged(tmp_path, "x", file="till.parkuet")
    assert caught.value.first.code == "feed.format"
    assert "'.parquet'" in caught.value.first.hint
