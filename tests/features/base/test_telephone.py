"""A telephone number is the same number in every spelling, whoever reads it: identity, checks, repairs, privacy."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from features.base.database_engine import literal
from features.base.progress import Silent
from features.base.telephone import compared_sql, dialled_sql, e164, without_extension, without_extension_sql
from features.pipeline.unify import unify
from tests.features.tiny import company, lines, people, unified

WRITTEN = ("01632 960961", "(01632) 960-961", "+44 1632 960961", "0044 1632 960961", "+44 (0)1632/960961")
EXTENSIONS = (
    "x5", " x 5", " ext 5", " ext. 5", " Extn 12", ", extension 1234", "#12", " (ext 7)", ";ext=345", " EXT:9",
    " Durchwahl 3", " poste 44", " доб. 12", " anexo 6", " x5 (mornings)",
)  # fmt: skip
WITH_EXTENSION = tuple(f"01632 960961{extension}" for extension in EXTENSIONS)
SPELLINGS = (*WRITTEN, *WITH_EXTENSION)
NO_EXTENSION = ("Max 01632 960961", "tel. 01632 960961", "01632 960961 ext", "01632 960961 / 07700 900123", "", "x5")


def in_sql(sql: str) -> object:
    return duckdb.sql(f"SELECT {sql}").fetchall()[0][0]


@pytest.mark.parametrize("text", SPELLINGS)
def test_a_number_is_read_the_same_in_python_and_in_sql(text: str) -> None:
    assert e164(text, "GB") == "+441632960961"
    assert in_sql(compared_sql(literal(text))) == "632960961"
    assert str(in_sql(dialled_sql(literal(text)))).endswith("1632960961")


@pytest.mark.parametrize("text", [*SPELLINGS, *NO_EXTENSION])
def test_python_and_sql_take_away_the_same_extension(text: str) -> None:
    assert in_sql(without_extension_sql(literal(text))) == without_extension(text)
    assert (without_extension(text) != text) == (text in WITH_EXTENSION)


def test_numbers_with_and_without_extension_are_one_contact_point_and_one_customer(tmp_path: Path) -> None:
    feeds = """\
company: {country: GB}
feeds:
  crm:
    source: crm.csv
    kind: customers
    key: id
    updated_at: at
    timezone: UTC
    fields: {first_name: name, phone: tel}
    drop: [name, tel]
identity: {rules: exact, shared_by_at_most: 50}
quality: {repairs: [{rule: phone, field: phone}]}
"""
    spellings = [text for text in SPELLINGS if "," not in text]
    rows = [f"{at},Ann,{text},{text},2026-01-01" for at, text in enumerate(spellings)]
    workspace = company(
        tmp_path,
        feeds=feeds.replace("quality", "# quality"),
        files={"crm.csv": lines("id,name,tel,second,at", rows)},
    )
    report = unified(workspace)
    assert len(people(workspace)) == 1
    points = pq.read_table(workspace.personal / "contact_points.parquet").to_pylist()
    assert [(point["kind"], point["normalised"], point["valid"]) for point in points] == [
        ("phone", "+441632960961", True)
    ]
    assert {(check.outcome, check.feed) for check in report.checks if check.code == "FQ009"} == {("passed", "crm")}
    (found,) = [check.detail for check in report.checks if check.code == "FQ020"]
    assert "second" in found, "telephone numbers with extensions are personal data, too"
    company(tmp_path, feeds=feeds)
    unify(workspace, Silent(), accept=["crm"])
    assert set(pq.read_table(workspace.staged / "crm" / "rows.parquet")["phone"].to_pylist()) == {"+441632960961"}
