"""A telephone number is the same number in every spelling, whoever reads it: identity, checks, repairs, privacy."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from features.base.database_engine import literal, open_engine
from features.base.progress import Silent
from features.base.telephone import PhoneCountries, e164, national_number, without_extension, without_extension_sql
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
    with open_engine(folders=[]) as engine:
        return engine.sql(f"SELECT {sql}").fetchall()[0][0]


@pytest.mark.parametrize("text", SPELLINGS)
def test_a_number_is_read_the_same_in_python_and_in_sql(text: str) -> None:
    assert e164(text, "GB") == "+441632960961"
    assert in_sql(PhoneCountries("GB").compared_sql(literal(text), feed="'crm'", country="NULL")) == "+441632960961"
    assert in_sql(PhoneCountries().compared_sql(literal(text), feed="'crm'", country="NULL")) == "1632960961"


@pytest.mark.parametrize(
    ("country", "spellings", "number"),
    [
        ("MX", ("55 1234 5678", "+52 55 1234 5678", "+52 1 55 1234 5678", "044 55 1234 5678"), "+525512345678"),
        ("AR", ("011 15-1234-5678", "+54 9 11 1234 5678", "+54 11 15 1234 5678"), "+5491112345678"),
        ("CI", ("07 08 09 10 11", "+225 0708091011", "00225 07 08 09 10 11"), "+2250708091011"),
        ("IT", ("06 1234 5678", "+39 06 1234 5678"), "+390612345678"),
        ("NO", ("22 33 44 55", "22334455", "+47 22 33 44 55"), "+4722334455"),
        ("US", ("(212) 555-0134", "212-555-0134", "1 212 555 0134", "+1 212 555 0134"), "+12125550134"),
        ("CN", ("138 1234 5678", "+86 138 1234 5678"), "+8613812345678"),
    ],
)
def test_each_countrys_spellings_are_one_number(country: str, spellings: tuple[str, ...], number: str) -> None:
    assert {e164(text, country) for text in spellings} == {number}


def test_the_country_of_the_record_comes_before_that_of_the_company() -> None:
    numbers = PhoneCountries("NO", {"web": "US"})
    read = [
        in_sql(numbers.compared_sql(literal(text), feed=feed, country=country))
        for text, feed, country in [
            ("030 123456", "'crm'", "'Germany'"),
            ("22 33 44 55", "'crm'", "'Atlantis'"),
            ("212 555 0134", "'web'", "NULL"),
        ]
    ]
    assert read == ["+4930123456", "+4722334455", "+12125550134"]


def test_strangers_whose_numbers_end_alike_do_not_share_a_number() -> None:
    assert national_number("212 555 0134", None, None) != national_number("+1 312 555 0134", None, None)


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
