"""The fourteen faults of feeds: each is named with its file, row, column, reason and cure, and no value is said."""

from __future__ import annotations

import codecs
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.base.checksums import damaged_column
from features.base.errors import BadData
from features.base.parquet import write_parquet
from features.config.feed import Feed
from features.ingest.staging import stage
from tests.features.tiny import company, lines, staged, table, unified

HEAD = "who,at,amount\n"
GOOD = HEAD + "ann,2026-01-01 10:00,1.5\nbob,2026-01-02 10:00,2.5\n"
#: Stands in the damaged cells, and may stand in no message.
SECRET = "ann.smith@example.org"


def refused(root: Path, content: str | bytes | None = None, **settings: Any) -> BadData:
    with pytest.raises(BadData) as caught:
        staged(root, content, **settings)
    assert caught.value.exit_code == 65
    assert caught.value.first.where == "feed till"
    assert caught.value.first.hint
    assert SECRET not in str(caught.value)
    return caught.value


def many(rows: int = 5_000) -> pa.Table:
    return pa.table(
        {
            "who": [f"{n}.{SECRET}" for n in range(rows)],
            "at": [f"2026-01-{n % 28 + 1:02d}" for n in range(rows)],
            "amount": [n / 7 for n in range(rows)],
        }
    )


@pytest.mark.parametrize("kept", [0.999, 0.5, 0.001])
def test_fault_1_truncated_parquet(tmp_path: Path, kept: float) -> None:
    write_parquet(many(), tmp_path / "till.parquet")
    whole = (tmp_path / "till.parquet").read_bytes()
    (tmp_path / "till.parquet").write_bytes(whole[: int(len(whole) * kept)])
    error = refused(tmp_path, file="till.parquet")
    assert error.first.code == "feed.truncated"
    assert "till.parquet" in error.first.message


def test_fault_2_flipped_byte_in_any_page_of_our_own_files(tmp_path: Path) -> None:
    path = tmp_path / "till.parquet"
    write_parquet(many(), path)
    whole = bytearray(path.read_bytes())
    metadata = pq.read_metadata(path)
    for number, name in enumerate(("who", "at", "amount")):
        chunk = metadata.row_group(0).column(number)
        start = min(o for o in (chunk.dictionary_page_offset, chunk.data_page_offset) if o is not None)
        damaged = bytearray(whole)
        damaged[start + chunk.total_compressed_size // 2] ^= 0x10
        path.write_bytes(damaged)
        error = refused(tmp_path, file="till.parquet", fields={"amount": "amount"})
        assert error.first.code == "feed.damaged"
        assert repr(name) in error.first.message
    path.write_bytes(whole)
    assert staged(tmp_path, file="till.parquet", fields={"amount": "amount"}).feed.rows == 5_000


def test_fault_2_a_damaged_staged_file_is_made_again_and_not_read(tmp_path: Path) -> None:
    first = staged(tmp_path, lines("who,at", [f"p{n},2026-01-01" for n in range(3_000)]))
    rows = first.folder / "rows.parquet"
    sound = rows.read_bytes()
    damaged = bytearray(sound)
    damaged[len(damaged) // 3] ^= 0x01
    rows.write_bytes(damaged)
    assert damaged_column(rows) is not None
    again = staged(tmp_path)
    assert not again.feed.already_applied
    assert rows.read_bytes() == sound


def test_files_of_others_without_checksums_are_read(tmp_path: Path) -> None:
    pq.write_table(many(), tmp_path / "till.parquet", write_page_checksum=False)
    assert staged(tmp_path, file="till.parquet").feed.rows == 5_000


def test_fault_3_parquet_bomb_is_refused_by_its_footer(tmp_path: Path) -> None:
    zeros = pa.table({"who": pa.array([b"\0" * (64 << 20)] * 6, pa.binary()), "at": ["2026-01-01"] * 6})
    pq.write_table(zeros, tmp_path / "till.parquet", compression="zstd", use_dictionary=False)
    assert (tmp_path / "till.parquet").stat().st_size < 200_000
    error = refused(tmp_path, file="till.parquet")
    assert error.first.code == "feed.bomb"
    assert "till.parquet" in error.first.message
    assert "expands_at_most" in error.first.hint


def test_fault_3_a_bomb_of_very_many_rows_is_refused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("features.ingest.parquet_files._HARMLESS_CELLS", 100_000)  # so that the test stays small
    same = pa.table({"who": ["a"] * 500_000, "at": ["2026-01-01"] * 500_000})
    pq.write_table(same, tmp_path / "till.parquet")
    error = refused(tmp_path, file="till.parquet", expands_at_most=10)
    assert error.first.code == "feed.bomb"
    assert "1,000,000 values" in error.first.message


def test_fault_4_brotli(tmp_path: Path) -> None:
    pq.write_table(many(), tmp_path / "till.parquet", compression={"who": "zstd", "at": "brotli", "amount": "zstd"})
    error = refused(tmp_path, file="till.parquet")
    assert error.first.code == "feed.codec"
    assert "till.parquet" in error.first.message
    assert "'at'" in error.first.message
    assert "zstd" in error.first.hint


def test_fault_5_ragged_row_is_kept_aside_with_its_line(tmp_path: Path) -> None:
    found = staged(tmp_path, GOOD + f"{SECRET},2026-01-03\n{SECRET},2026-01-03,1,2\n", reject_above=0.5)
    assert [(row["line"], row["reason"]) for row in found.rejected] == [
        (4, "line has missing columns"),
        (5, "line has too many columns"),
    ]
    error = refused(tmp_path, GOOD + f"{SECRET},2026-01-03\n", reject_above=0.1)
    assert error.first.code == "feed.too_many_rejected"
    assert "line has missing columns of till.csv" in error.first.message


def test_fault_5_ragged_rows_are_seen_whichever_columns_are_read(tmp_path: Path) -> None:
    found = staged(tmp_path, GOOD + "x,2026-01-03\ny,2026-01-03,1,2\n", drop=["amount"], reject_above=0.5)
    assert found.feed.rejected == {"line has missing columns": 1, "line has too many columns": 1}


def test_fault_6_unterminated_quote(tmp_path: Path) -> None:
    error = refused(tmp_path, GOOD + f'{SECRET},2026-01-03,"1\ndan,2026-01-04,2\n', reject_above=1)
    assert error.first.code == "feed.quote"
    assert "line 4 on till.csv" in error.first.message


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le"])
def test_fault_7_utf_16_that_says_so_is_read_and_one_that_does_not_is_named(tmp_path: Path, encoding: str) -> None:
    content = GOOD.encode(encoding)
    if content.startswith(codecs.BOM_UTF16_LE):
        assert staged(tmp_path, content).column("customer_ref") == ["ann", "bob"]
    else:
        error = refused(tmp_path, content)
        assert error.first.code == "feed.nul"
        assert "UTF-16" in error.first.hint


def test_fault_7_invalid_utf_8_is_named_by_file_and_line(tmp_path: Path) -> None:
    error = refused(tmp_path, GOOD.encode() + SECRET.encode() + b"\xff,2026-01-03,1\n")
    assert error.first.code == "feed.encoding"
    assert "till.csv" in error.first.message
    assert "line 4" in error.first.message


def test_fault_8_nul_in_an_id(tmp_path: Path) -> None:
    error = refused(tmp_path, GOOD + f"{SECRET}\0,2026-01-03,1\n")
    assert error.first.code == "feed.nul"
    assert "till.csv holds a NUL character near line 4" in error.first.message
    pq.write_table(
        pa.table({"who": ["ann", "bob", "cleo"], "id": ["1", "2\0", "3"], "at": ["2026-01-01"] * 3}),
        tmp_path / "till.parquet",
    )
    found = staged(tmp_path, file="till.parquet", key="id")
    assert found.column("record_id") == ["1", "3"]
    assert [(row["row"], row["reason"]) for row in found.rejected] == [(2, "key holds a NUL character")]


def test_fault_9_conflicting_duplicate_key(tmp_path: Path) -> None:
    rows = [f"{SECRET},ann,2026-01-02,5", "2,bob,2026-01-01,7", f"{SECRET},ann,2026-01-02,6"]
    error = refused(tmp_path, lines("id,who,at,amount", rows), key="id")
    assert error.first.code == "feed.duplicate_key"
    assert error.first.message == "1 keys stand on rows that differ; the first is at row 1 of till.csv"
    assert "keep_last" in error.first.hint


def test_fault_10_the_same_file_again_is_success_already_applied(tmp_path: Path) -> None:
    first = staged(tmp_path, GOOD)
    assert not first.feed.already_applied
    (tmp_path / "till.csv").unlink()
    again = staged(tmp_path, GOOD)
    assert again.feed.already_applied
    assert again.feed == first.feed


def test_fault_10_a_copy_of_a_file_beside_it_counts_once_and_is_told(tmp_path: Path) -> None:
    for name in ("jan.csv", "jan (1).csv", "feb.csv"):
        body = GOOD if "jan" in name else HEAD + "cleo,2026-02-01,1\n"
        (tmp_path / name).write_text(body, encoding="utf-8")
    found = staged(tmp_path, source="*.csv")
    assert found.column("customer_ref") == ["cleo", "ann", "bob"]
    assert found.feed.repeated == ["jan.csv"]


def test_fault_10_a_run_over_the_same_files_says_so(tmp_path: Path) -> None:
    workspace = company(
        tmp_path,
        feeds="feeds:\n  crm: {source: crm.csv, kind: customers, key: id}\n",
        files={"crm.csv": "id,name\n1,Ann\n2,Bob\n"},
    )
    assert unified(workspace).feeds == {"crm": "read"}
    again = unified(workspace)
    assert again.feeds == {"crm": "already applied"}
    assert again.customers == 2


def test_fault_11_naive_future_and_year_1600_times_are_kept_aside_with_their_reasons(tmp_path: Path) -> None:
    rows = [
        "a,2026-01-01T10:00Z",
        "b,2026-01-01 10:00",
        "c,1600-01-01T10:00Z",
        "d,2199-01-01T10:00Z",
        "e,9999-12-31T00:00Z",
    ]
    found = staged(tmp_path, lines("who,at", rows), timezone=None, reject_above=1, future="30d")
    assert [(row["row"], row["reason"]) for row in found.rejected if "not a time" not in row["reason"]] == [
        (3, "event_time is outside 1900-2199"),
        (4, "event_time lies more than 30d after the delivery"),
        (5, "event_time is outside 1900-2199"),
    ]
    assert found.rejected[0]["reason"].startswith("event_time has no time zone and the feed declares none")
    assert found.column("customer_ref") == ["a"]


def test_fault_11_an_end_that_lies_ahead_is_no_fault(tmp_path: Path) -> None:
    found = staged(
        tmp_path,
        lines("who,item,start,end", ["a,phone,2026-01-01,2099-06-01"]),
        kind="holdings",
        event=None,
        event_time=None,
        fields={"item": "item", "held_from": "start", "held_to": "end"},
    )
    assert found.column("held_to") == [datetime(2099, 6, 1, tzinfo=UTC)]


def test_fault_12_decimal_commas_are_found_where_the_values_leave_no_doubt(tmp_path: Path) -> None:
    body = 'who;at;amount;share\nann;2026-01-01;1.234,56;"0,5"\nbob;2026-01-02;7;"1,25"\n'
    found = staged(tmp_path, body, fields={"amount": "amount"})
    assert found.column("amount") == [1234.56, 7.0]
    assert found.column("till.share") == [0.5, 1.25]


def test_fault_12_a_file_that_mixes_the_marks_is_refused_rather_than_guessed_at(tmp_path: Path) -> None:
    error = refused(tmp_path, "who;at;amount;share\nann;2026-01-01;1.234,56;0.5\n", fields={"amount": "amount"})
    assert error.first.code == "feed.decimal"
    assert "'amount'" in error.first.message
    assert "'share'" in error.first.message
    assert "1.234" not in str(error)
    assert "set `decimal`" in error.first.hint


def test_fault_12_a_decimal_comma_in_a_file_parted_by_commas_is_no_number(tmp_path: Path) -> None:
    found = staged(tmp_path, GOOD + 'cleo,2026-01-03,"1.234,56"\n', fields={"amount": "amount"})
    assert found.feed.rejected == {"amount is not a number": 1}


def test_fault_12_integers_beyond_two_to_the_53_are_exact_as_keys_and_refused_as_amounts(tmp_path: Path) -> None:
    rows = ["9007199254740993,ann,2026-01-01,5", "9007199254740992,bob,2026-01-01,9007199254740993"]
    found = staged(tmp_path, lines("id,who,at,amount", rows), key="id", fields={"amount": "amount"})
    assert found.column("record_id") == ["9007199254740993"]
    assert [(row["row"], row["reason"]) for row in found.rejected] == [(2, "amount is too long a number")]


def test_fault_12_a_key_that_its_file_has_rounded_is_kept_aside(tmp_path: Path) -> None:
    keys = pa.array([12.0, 9007199254740993.0], pa.float64())
    pq.write_table(pa.table({"id": keys, "who": ["a", "b"], "at": ["2026-01-01"] * 2}), tmp_path / "till.parquet")
    found = staged(tmp_path, file="till.parquet", key="id")
    assert found.column("record_id") == ["12"]
    assert found.feed.rejected == {"key is a number that its type has rounded": 1}


def test_fault_13_a_renamed_column_is_refused_with_its_new_name(tmp_path: Path) -> None:
    first = staged(tmp_path, GOOD, fields={"amount": "amount"})
    before = table(first.folder / "rows.parquet")
    renamed = GOOD.replace("amount", "amounts").replace("ann", SECRET)
    error = refused(tmp_path, renamed, fields={"amount": "amount"})
    assert error.first.code == "feed.column_renamed"
    assert "'amount'" in error.first.message
    assert "did you mean 'amounts'" in error.first.hint
    assert table(first.folder / "rows.parquet") == before
    changed = staged(tmp_path, fields={"amount": "amounts"})  # whoever maps anew has looked
    assert changed.column("amount") == [1.5, 2.5]


def test_fault_13_a_retyped_column_is_refused_with_what_it_held(tmp_path: Path) -> None:
    rows = [f"p{n},2026-01-01,{n}" for n in range(40)]
    staged(tmp_path, lines("who,at,points", rows))
    retyped = lines("who,at,points", [f"{row} {SECRET}" for row in rows])
    error = refused(tmp_path, retyped)
    assert error.first.code == "feed.column_retyped"
    assert error.first.message == "the column 'points' held numbers in the last load and holds text in this one"
    feed = Feed.model_validate(
        {"source": "till.csv", "kind": "events", "event": "purchase", "event_time": "at", "timezone": "UTC"}
        | {"customer": "crm.id = till.who", "reject_above": 0.5}
    )
    taken = stage("till", feed, root=tmp_path, folder=tmp_path / "staged", accept=True)
    assert taken.rows == 40


def test_fault_13_a_retyped_parquet_column_is_refused(tmp_path: Path) -> None:
    pq.write_table(many(30), tmp_path / "till.parquet")
    staged(tmp_path, file="till.parquet")
    retyped = many(30)
    retyped = retyped.set_column(2, "amount", retyped["amount"].cast(pa.string()))
    pq.write_table(retyped, tmp_path / "till.parquet")
    assert refused(tmp_path, file="till.parquet").first.code == "feed.column_retyped"


def test_fault_14_a_load_that_lost_most_of_its_rows_is_refused_whole(tmp_path: Path) -> None:
    rows = [f"{n},Name{n}" for n in range(200)]
    workspace = company(
        tmp_path,
        feeds="feeds:\n  crm: {source: crm.csv, kind: customers, key: id}\n",
        files={"crm.csv": lines("id,name", rows)},
    )
    unified(workspace)
    (tmp_path / "crm.csv").write_text(lines("id,name", rows[:20]), encoding="utf-8")
    with pytest.raises(BadData) as caught:
        unified(workspace)
    assert caught.value.first.code == "quality.volume"
    assert len(table(workspace.staged / "crm" / "rows.parquet")) == 200
