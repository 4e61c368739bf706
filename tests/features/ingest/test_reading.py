"""Files as they come: missing, empty, cut off, in another encoding or with another delimiter."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.base.errors import BadConfiguration, BadData
from tests.features.tiny import staged

HEAD = "who,at,amount\n"
GOOD = HEAD + "ann,2026-01-01 10:00,1.5\nbob,2026-01-02 10:00,2.5\n"


def refused(root: Path, content: str | bytes | None, **settings: Any) -> BadData:
    with pytest.raises(BadData) as caught:
        staged(root, content, **settings)
    assert caught.value.exit_code == 65
    assert caught.value.first.hint
    assert caught.value.first.where == "feed till"
    return caught.value


def test_a_missing_file_is_named_by_its_pattern(tmp_path: Path) -> None:
    error = refused(tmp_path, None)
    assert error.first.code == "feed.missing"
    assert "'till.csv'" in error.first.message


@pytest.mark.parametrize("content", ["", HEAD, HEAD.strip(), HEAD + "\n \n"])
def test_a_file_without_rows_is_refused(tmp_path: Path, content: str) -> None:
    assert refused(tmp_path, content).first.code == "feed.empty"


def test_a_parquet_file_without_rows_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.table({"who": pa.array([], pa.string())}), tmp_path / "till.parquet")
    assert refused(tmp_path, None, file="till.parquet").first.code == "feed.empty"


def test_a_key_that_means_a_rows_place_is_refused_where_a_column_has_its_name(tmp_path: Path) -> None:
    people: dict[str, Any] = {
        "file": "people.csv",
        "kind": "customers",
        "event": None,
        "event_time": None,
        "customer": None,
    }
    content = "row,mail\n7,a@example.com\n8,b@example.com\n"
    with pytest.raises(BadConfiguration, match=r"write `key: \[row\]`"):
        staged(tmp_path, content, **people, key="row", fields={"email": "mail"})
    assert staged(tmp_path, content, **people, key=["row"], fields={"email": "mail"}).column("record_id") == ["7", "8"]


def test_a_cut_off_last_line_is_kept_aside_and_counted(tmp_path: Path) -> None:
    found = staged(tmp_path, GOOD + "cleo,2026-01-0", reject_above=0.5)
    assert found.feed.rows == 2
    assert found.feed.rows_read == 3
    assert found.feed.rejected == {"line has missing columns": 1}
    (aside,) = found.rejected
    assert (aside["line"], aside["reason"]) == (4, "line has missing columns")
    assert "cleo" in aside["as_read"]


def test_a_cut_off_last_line_above_the_limit_stops_the_run(tmp_path: Path) -> None:
    error = refused(tmp_path, GOOD + "cleo,2026-01-0", reject_above=0.1)
    assert error.first.code == "feed.too_many_rejected"
    assert "1 of 3 rows" in error.first.message
    assert "cleo" not in str(error)


def test_lines_with_too_many_or_too_few_values_are_kept_aside_by_reason(tmp_path: Path) -> None:
    found = staged(tmp_path, GOOD + "x,2026-01-01,1,9,9\ny\nz,2026-01-03,3\n", reject_above=0.5)
    assert found.feed.rejected == {"line has missing columns": 1, "line has too many columns": 1}
    assert found.column("customer_ref") == ["ann", "bob", "z"]


@pytest.mark.parametrize("kept", [0.99, 0.5, 0.01])
def test_a_truncated_parquet_file_is_refused(tmp_path: Path, kept: float) -> None:
    path = tmp_path / "till.parquet"
    pq.write_table(pa.table({"who": ["ann"] * 50, "at": ["2026-01-01"] * 50}), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * kept)])
    assert refused(tmp_path, None, file="till.parquet").first.code == "feed.truncated"


def test_a_wrongly_declared_delimiter_is_refused_with_the_right_one(tmp_path: Path) -> None:
    error = refused(tmp_path, GOOD, delimiter=";")
    assert error.first.code == "feed.delimiter"
    assert "','" in error.first.hint


@pytest.mark.parametrize("mark", [";", "|", "\t"])
def test_another_delimiter_is_found_in_the_header(tmp_path: Path, mark: str) -> None:
    found = staged(tmp_path, GOOD.replace(",", mark), fields={"amount": "amount"})
    assert found.column("amount") == [1.5, 2.5]


def test_delimiters_inside_a_quoted_header_do_not_count(tmp_path: Path) -> None:
    found = staged(tmp_path, 'who;at;"a,b,c,d"\nann;2026-01-01;1\n', fields={"amount": '"a,b,c,d"'})
    assert found.column("amount") == [1.0]


def test_a_byte_that_is_not_utf_8_is_named_by_its_line(tmp_path: Path) -> None:
    error = refused(tmp_path, GOOD.encode() + "zoë,2026-01-03,1\n".encode("latin-1"))
    assert error.first.code == "feed.encoding"
    assert "line 4" in error.first.message
    assert "zo" not in str(error)


@pytest.mark.parametrize("encoding", ["latin-1", "utf-16"])
def test_a_declared_encoding_is_read(tmp_path: Path, encoding: str) -> None:
    found = staged(tmp_path, (HEAD + "zoë,2026-01-03,1\n").encode(encoding), encoding=encoding)
    assert found.column("customer_ref") == ["zoë"]


def test_utf_16_with_the_high_byte_first_is_refused(tmp_path: Path) -> None:
    error = refused(tmp_path, ("\ufeff" + GOOD).encode("utf-16-be"), encoding="utf-16")
    assert error.first.code == "feed.encoding"


def test_a_byte_order_mark_belongs_to_no_column(tmp_path: Path) -> None:
    found = staged(tmp_path, b"\xef\xbb\xbf" + GOOD.encode(), fields={"amount": "amount"})
    assert found.column("customer_ref") == ["ann", "bob"]


def test_a_nul_character_is_refused_with_its_line(tmp_path: Path) -> None:
    error = refused(tmp_path, GOOD + "c\0leo,2026-01-03,1\n")
    assert error.first.code == "feed.nul"
    assert "line 4" in error.first.message


@pytest.mark.parametrize(
    "tail",
    [
        'cleo,2026-01-03,"1\ndan,2026-01-04,2\n',
        'cleo,2026-01-03,"1\ndan,2026-01-04,"2"\neve,2026-01-05,3\n',
        'cleo,2026-01-03,"1"2\ndan,2026-01-04,2\n',
        'cleo,2026-01-03,"1\n' + "dan,2026-01-04,2\n" * 150_000,
    ],
)
def test_an_unterminated_quote_swallows_nothing_silently(tmp_path: Path, tail: str) -> None:
    error = refused(tmp_path, GOOD + tail, reject_above=1)
    assert error.first.code == "feed.quote"
    assert "line 4" in error.first.message
    assert "cleo" not in str(error)


def test_a_quoted_value_may_hold_a_line_break(tmp_path: Path) -> None:
    found = staged(tmp_path, 'who,at,note\nann,2026-01-01,"two\nlines, ""quoted"""\n', fields={"text": "note"})
    assert found.column("text") == ['two\nlines, "quoted"']


def test_line_ends_of_windows_are_read(tmp_path: Path) -> None:
    assert staged(tmp_path, GOOD.replace("\n", "\r\n")).feed.rows == 2


@pytest.mark.parametrize("header", ["who,at,at", "who,at,", "who,at,At", "who,at,__row"])
def test_a_header_that_cannot_be_told_apart_is_refused(tmp_path: Path, header: str) -> None:
    assert refused(tmp_path, f"{header}\nann,2026-01-01,2\n").first.code == "feed.header"


def test_several_files_are_read_in_name_order(tmp_path: Path) -> None:
    (tmp_path / "b.csv").write_text(HEAD + "bob,2026-01-01,2\n", encoding="utf-8")
    (tmp_path / "a.csv").write_text(HEAD + "ann,2026-01-02,1\n", encoding="utf-8")
    assert staged(tmp_path, source="?.csv").column("customer_ref") == ["ann", "bob"]


@pytest.mark.parametrize("other", ["who,at,price\nbob,2026-01-01,2\n", GOOD.replace(",", ";")])
def test_files_of_one_feed_with_other_headers_or_delimiters_are_refused(tmp_path: Path, other: str) -> None:
    (tmp_path / "a.csv").write_text(GOOD, encoding="utf-8")
    (tmp_path / "b.csv").write_text(other, encoding="utf-8")
    error = refused(tmp_path, None, source="?.csv")
    assert error.first.code == "feed.header"
    assert "b.csv" in error.first.message


def test_csv_and_parquet_together_are_refused(tmp_path: Path) -> None:
    (tmp_path / "till.csv").write_text(GOOD, encoding="utf-8")
    pq.write_table(pa.table({"who": ["ann"]}), tmp_path / "till.parquet")
    assert refused(tmp_path, None, source="till.*").first.code == "feed.format"


def test_a_line_that_is_too_long_is_said_to_be(tmp_path: Path) -> None:
    error = refused(tmp_path, GOOD + "x" * 3_000_000 + ",2026-01-03,1\n")
    assert error.first.code == "feed.quote"
    assert "one line is longer than 2 MB" in error.first.message


def test_utf_16_that_is_declared_and_is_none_is_refused(tmp_path: Path) -> None:
    assert refused(tmp_path, GOOD + "\n", encoding="utf-16").first.code == "feed.encoding"


def test_a_sqlite_file_is_said_to_be_a_database(tmp_path: Path) -> None:
    (tmp_path / "till.db").write_bytes(b"SQLite format 3")
    error = refused(tmp_path, None, source="till.db")
    assert error.first.message == "cannot read files of kind .db"
    assert "sqlite:///PATH" in error.first.hint


def test_brotli_is_refused_before_it_is_read(tmp_path: Path) -> None:
    pq.write_table(pa.table({"who": ["ann"], "at": ["2026-01-01"]}), tmp_path / "till.parquet", compression="brotli")
    error = refused(tmp_path, None, file="till.parquet")
    assert error.first.code == "feed.codec"
    assert "zstd" in error.first.hint


def test_a_url_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match=r"feed\.source"):
        staged(tmp_path, source="https://example.org/till.csv")


def test_an_unchanged_feed_is_not_read_again_and_a_changed_one_is(tmp_path: Path) -> None:
    first = staged(tmp_path, GOOD)
    inode = (first.folder / "rows.parquet").stat().st_ino
    os.utime(tmp_path / "till.csv", (1, 1))  # a copy of the same bytes is the same feed
    assert staged(tmp_path).feed == first.feed
    assert (first.folder / "rows.parquet").stat().st_ino == inode
    changed = staged(tmp_path, GOOD + "cleo,2026-01-03,1\n")
    assert (changed.feed.rows, changed.feed.digest != first.feed.digest) == (3, True)
    assert staged(tmp_path, reject_above=0.2).feed.digest != changed.feed.digest


def test_a_feed_without_times_is_known_from_its_first_delivery_however_often_it_is_copied(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"kind": "customers", "key": "who", "event": None, "event_time": None, "customer": None}
    (tmp_path / "till.csv").write_text(GOOD, encoding="utf-8")
    os.utime(tmp_path / "till.csv", (1, 1))
    first = staged(tmp_path, **settings)
    os.utime(tmp_path / "till.csv", (2, 2))
    again = staged(tmp_path, **settings)
    assert first.feed.digest == again.feed.digest
    assert {moment.isoformat() for moment in again.column("known_at")} == {"1970-01-01T00:00:01+00:00"}


def test_a_damaged_or_older_report_means_that_the_feed_is_read_again(tmp_path: Path) -> None:
    first = staged(tmp_path, GOOD)
    (first.folder / "staged.json").write_text('{"feed": "ti', encoding="utf-8")
    assert staged(tmp_path).feed == first.feed


def test_the_same_rows_give_the_same_bytes_in_two_fresh_runs(tmp_path: Path) -> None:
    body = "".join(f"c{n % 97},2026-01-{n % 28 + 1:02d} 10:00,{n % 13}.5\n" for n in range(30_000))
    written = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        found = staged(tmp_path / name, HEAD + body + "x,never,1\n", fields={"amount": "amount * 2"})
        written.append([(found.folder / file).read_bytes() for file in ("rows.parquet", "rejected.parquet")])
    assert written[0] == written[1]
