"""Checks on values: FQ007 to FQ015, each passing, failing and not applicable."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.base.countries import COUNTRIES
from features.base.database_engine import literal
from features.base.errors import BadConfiguration
from features.base.telephone import e164, e164_by_library
from features.config.feed_checks import RULES
from features.quality.value_checks import is_email, plain_email
from tests.features.quality.world import FEEDS, PEOPLE, SALES, answer, outcome, write
from tests.features.tiny import company, lines, unified

BARE = """\
feeds:
  crm: {source: crm.csv, kind: customers, key: id}
"""


def person(**values: str) -> str:
    """Return a third person's line."""
    usual = {"id": "3", "mail": "cat@larkmoor.co.uk", "tel": "01632 960003", "born": "1990-01-01", "zip": "YO1 7HH"}
    return ",".join({**usual, "land": "GB", "at": "2026-01-01", **values}.values())


def test_fq007_a_mapped_field_that_is_empty_fails_and_a_declared_share_is_held_to(tmp_path: Path) -> None:
    assert answer(unified(write(tmp_path)), "FQ007", "crm")[0] == "passed"
    empty = [line.replace("@larkmoor.co.uk", "").replace(",ann,", ",,").replace(",bob,", ",,") for line in PEOPLE]
    report = unified(write(tmp_path, people=empty, more="quality: {checks: {FQ018: {severity: warn}}}"))
    assert answer(report, "FQ007", "crm") == ("failed", "filled: email 0.0%")
    half = [PEOPLE[0], PEOPLE[1].replace("bob@larkmoor.co.uk", "")]
    more = "quality: {complete: {crm.email: 0.9}, checks: {FQ018: {severity: warn}}}"
    assert answer(unified(write(tmp_path, people=half, more=more)), "FQ007", "crm") == (
        "failed",
        "filled: email 50.0% instead of 90%",
    )


def test_fq007_does_not_apply_where_nothing_is_mapped(tmp_path: Path) -> None:
    workspace = company(tmp_path, feeds=BARE, files={"crm.csv": lines("id,what", ["1,a", "2,b"])})
    for code in ("FQ007", "FQ008", "FQ009", "FQ010", "FQ011", "FQ012", "FQ013", "FQ014"):
        assert outcome(workspace, code, "crm") == "not_applicable"


@pytest.mark.parametrize(
    ("code", "fault"),
    [
        ("FQ008", {"mail": "cat at larkmoor"}),
        ("FQ009", {"tel": "12"}),
        ("FQ010", {"born": "1850-01-01"}),
        ("FQ010", {"born": "2031-01-01"}),
        ("FQ011", {"zip": "12345"}),
    ],
)
def test_fq008_fq009_fq010_fq011_judge_what_a_field_says_and_never_quote_it(
    tmp_path: Path, code: str, fault: dict[str, str]
) -> None:
    assert outcome(write(tmp_path), code, "crm") == "passed"
    found, detail = answer(unified(write(tmp_path, people=[*PEOPLE, person(**fault)])), code, "crm")
    assert found == "failed"
    assert "1 of 3" in detail
    assert next(iter(fault.values())) not in detail


def test_fq008_an_address_is_judged_by_its_writing_alone(tmp_path: Path) -> None:
    few = "quality: {checks: {FQ008: {above: 0.4}}}"
    odd = person(mail="cat@nobody")
    assert answer(unified(write(tmp_path, people=[*PEOPLE, odd], more=few)), "FQ008", "crm") == (
        "passed",
        "1 of 3 in email are no addresses (33.3%)",
    )


@settings(max_examples=200, deadline=None)
@given(st.from_regex(r"[A-Za-z0-9_%+.-]{1,70}@([A-Za-z0-9-]{1,12}\.){1,3}[a-z]{2,4}", fullmatch=True))
def test_fq008_what_the_engine_lets_pass_unseen_is_an_address(text: str) -> None:
    (plain,) = duckdb.sql(f"SELECT {plain_email(literal(text))}").fetchall()[0]
    assert not plain or is_email(text)


def test_fq009_a_national_number_needs_a_country_to_be_judged_by(tmp_path: Path) -> None:
    people = [line.replace("+44 20 7946 0018", "020 7946 0018") for line in PEOPLE]
    nowhere = write(tmp_path, people=people)
    path = nowhere.file("features/feeds.yaml")
    path.write_text(path.read_text(encoding="utf-8").replace(", country: GB}", "}"), encoding="utf-8")
    assert outcome(nowhere, "FQ009", "crm") == "not_applicable"
    for region, expected in (("GB", "passed"), ("US", "failed")):
        more = f"quality: {{phone_regions: {{crm: {region}}}}}"
        assert outcome(write(tmp_path, people=people, more=more), "FQ009", "crm") == expected


def test_fq009_a_number_is_one_in_any_spelling() -> None:
    spellings = ("01632 960001", "(01632) 960-001", "+44 1632 960001", "0044 1632 960001", "01632960001 x12")
    assert {e164(text, "GB") for text in spellings} == {"+441632960001"}
    assert e164("020 7946 0018", "GB") == e164("+44 20 7946 0018", None) == "+442079460018"
    assert e164("nonsense", "GB") is None


@settings(max_examples=400, deadline=None)
@given(
    st.sampled_from(["GB", "US", "DE", "FR", "IE", "JP", "IT", "BR", "CA", "AU"]),
    st.from_regex(r"[(]?(0|1|00|44|\\+)?[0-9]{2,5}[ ().-]{0,2}[0-9]{3,4}[ -]?[0-9]{0,5}", fullmatch=True),
)
def test_fq009_numbers_read_without_the_library_are_read_as_it_would(region: str, text: str) -> None:
    assert e164(text, region) == e164_by_library(text, region)


def test_fq011_a_country_that_is_not_in_the_table_is_not_judged(tmp_path: Path) -> None:
    elsewhere = [line.replace(",GB,", ",Atlantis,") for line in PEOPLE]
    assert outcome(write(tmp_path, people=elsewhere), "FQ011", "crm") == "not_applicable"


@pytest.mark.parametrize("code", sorted(COUNTRIES))
def test_fq011_no_country_is_written_as_another(code: str) -> None:
    others = {name for other, (_, names) in COUNTRIES.items() if other != code for name in (other.lower(), *names)}
    assert not others & {code.lower(), *COUNTRIES[code][1]}


def test_fq012_a_number_outside_its_declared_range_fails(tmp_path: Path) -> None:
    assert outcome(write(tmp_path), "FQ012", "till") == "not_applicable"
    assert (
        outcome(write(tmp_path, more="quality: {ranges: {till.amount: {min: 0, max: 10}}}"), "FQ012", "till")
        == "passed"
    )
    low = "quality: {ranges: {till.amount: {max: 7}}}"
    assert answer(unified(write(tmp_path, more=low)), "FQ012", "till") == (
        "failed",
        "1 of 3 in amount lie outside (33.3%), more than 5%",
    )


def test_fq012_a_column_that_is_not_there_is_bad_configuration_with_a_hint(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="did you mean 'amount'"):
        unified(write(tmp_path, more="quality: {ranges: {till.amuont: {min: 0}}}"))


def test_fq013_every_row_says_the_declared_unit(tmp_path: Path) -> None:
    more = "quality: {units: {till.amount: {unit: GBP, column: unit}}}"
    assert outcome(write(tmp_path), "FQ013", "till") == "not_applicable"
    assert outcome(write(tmp_path, more=more), "FQ013", "till") == "passed"
    foreign = [SALES[0].replace("GBP", "EUR"), *SALES[1:]]
    assert outcome(write(tmp_path, sales=foreign, more=more), "FQ013", "till") == "failed"


def test_fq013_feeds_that_share_a_field_agree_on_its_unit(tmp_path: Path) -> None:
    second = (
        FEEDS.partition("  till:")[2].partition("{more}")[0].replace("till", "shop").replace("shop.csv", "till.csv")
    )
    units = "quality: {units: {till.amount: {unit: GBP}, shop.amount: {unit: pence}}}"
    more = f"  shop:{second}".format() + units
    assert answer(unified(write(tmp_path, more=more)), "FQ013", "till") == (
        "failed",
        "amount is in GBP here and in pence elsewhere",
    )


def test_fq014_a_value_that_should_be_unique_stands_once(tmp_path: Path) -> None:
    more = "quality: {unique: [crm.email]}"
    assert outcome(write(tmp_path), "FQ014", "crm") == "not_applicable"
    assert outcome(write(tmp_path, more=more), "FQ014", "crm") == "passed"
    twice = [*PEOPLE, person(mail="ann@larkmoor.co.uk")]
    assert outcome(write(tmp_path, people=twice, more=more), "FQ014", "crm") == "failed"


def test_fq015_two_birth_dates_within_one_customer_are_found(tmp_path: Path) -> None:
    both = "identity: {rules: exact, match: [email]}"
    assert outcome(write(tmp_path), "FQ015") == "not_applicable"
    same = person(mail="ann@larkmoor.co.uk", born="1980-02-03")
    assert outcome(write(tmp_path, people=[*PEOPLE, same], more=both), "FQ015") == "passed"
    other = person(mail="ann@larkmoor.co.uk", born="1980-03-02")
    found, detail = answer(unified(write(tmp_path, people=[*PEOPLE, other], more=both)), "FQ015")
    assert found == "failed"
    assert detail == "1 of 1 customers with several records hold two values of birth_date (100.0%)"


def test_a_check_that_is_turned_off_does_not_look(tmp_path: Path) -> None:
    off = "quality: {checks: {FQ008: {severity: 'off'}}}"
    people = [*PEOPLE, person(mail="nobody")]
    assert answer(unified(write(tmp_path, people=people, more=off)), "FQ008", "crm") == ("not_applicable", "turned off")


def test_an_unknown_code_or_feed_is_refused_with_the_nearest_known_one(tmp_path: Path) -> None:
    with pytest.raises(BadConfiguration, match="did you mean 'FQ0"):
        unified(write(tmp_path, more="quality: {checks: {FQ08X: {severity: warn}}}"))
    with pytest.raises(BadConfiguration, match="did you mean 'till'"):
        unified(write(tmp_path, more="quality: {freshness: {tll: 3d}}"))


def test_every_rule_answers_for_an_ordinary_company(tmp_path: Path) -> None:
    assert {check.code for check in unified(write(tmp_path)).checks} == set(RULES)
