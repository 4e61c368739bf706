"""Every feed check answers passed, failed, repaired or not applicable: FQ001 FQ002 FQ003 FQ004 FQ005 FQ006 FQ021."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from features.config.feeds_file import FeedsFile
from features.identity.customer_tables import Attached
from features.identity.resolve import Resolution
from features.ingest.staging import StagedFeed
from features.quality.checks import (
    LARGE_CUSTOMER,
    RULES,
    Check,
    check_all,
    check_personal_columns,
    check_unknown_customers,
)
from tests.features.tiny import company, lines, unified

REPOSITORY = Path(__file__).resolve().parents[3]


def declared(*, key: str | None = "no", rules: str = "exact", duplicates: str = "refuse") -> FeedsFile:
    till = {"source": "b.csv", "kind": "events", "event": "x", "event_time": "at", "customer": "crm.id = till.who"}
    till |= {"key": key, "duplicates": duplicates}  # type: ignore[dict-item]
    crm = {"source": "a.csv", "kind": "customers", "key": "id"}
    return FeedsFile.model_validate({"feeds": {"crm": crm, "till": till}, "identity": {"rules": rules}})


def staged(**counts: object) -> StagedFeed:
    usual = {"feed": "till", "kind": "events", "rows_read": 10, "rows": 10, "excluded": 0, "rejected": {}}
    usual |= {"duplicates": 0, "versions": 0, "ahead": 0, "open_times": 0, "newest": "", "delivered": ""}
    return StagedFeed(**{**usual, "digest": "", **counts})  # type: ignore[arg-type]


def answer(
    code: str,
    *,
    file: FeedsFile | None = None,
    feed: StagedFeed | None = None,
    attached: tuple[Attached, ...] = (Attached("till", 10, 0, 0),),
    shared: int = 0,
    odd: tuple[int, int, int] | None = (0, 0, 0),
) -> tuple[str, str]:
    checks: list[Check] = check_all(
        file or declared(),
        {"till": feed or staged()},
        attached,
        Resolution(partition=None, customers=1, shared=shared),
        odd_consents=odd,
    )
    (found,) = [check for check in checks if check.code == code]
    return found.outcome, found.detail


def test_fq001_rows_that_cannot_be_used_are_kept_aside() -> None:
    assert answer("FQ001") == ("passed", "10 rows")
    soiled = staged(rows=7, excluded=1, rejected={"key is missing": 2})
    assert answer("FQ001", feed=soiled) == ("repaired", "2 of 10 rows quarantined (key is missing: 2)")


def test_fq002_rows_that_share_a_key_are_dropped_as_declared() -> None:
    assert answer("FQ002")[0] == "passed"
    assert answer("FQ002", feed=staged(rows=8, duplicates=2)) == ("repaired", "2 rows dropped, as declared")
    assert answer("FQ002", file=declared(key=None))[0] == "not_applicable"
    assert answer("FQ002", file=declared(key=None, duplicates="drop_identical"))[0] == "passed"


def test_fq003_rows_about_nobody_are_kept_out() -> None:
    assert answer("FQ003")[0] == "passed"
    assert answer("FQ003", attached=(Attached("till", 8, 2, 0),)) == ("repaired", "2 rows without a customer left out")
    assert answer("FQ003", attached=())[0] == "not_applicable"


def test_fq004_rows_about_unknown_customers_are_kept_aside_up_to_the_declared_share() -> None:
    def found(rows: int, unknown: int) -> Check:
        return check_unknown_customers(Attached("till", rows, 0, unknown), declared())

    assert found(10, 0).outcome == "passed"
    assert found(95, 5).outcome == "repaired"
    assert found(94, 6) == Check("FQ004", "till", "failed", "6 rows (6.0%) about unknown customers quarantined")


def test_fq004_is_found_once_and_compares_telephones_as_the_join_does(tmp_path: Path) -> None:
    feeds = """\
feeds:
  crm: {source: crm.csv, kind: customers, key: id, fields: {phone: tel}}
  calls: {source: calls.csv, kind: events, event: call, customer: crm.tel = calls.tel, event_time: at, timezone: UTC}
  shops: {source: shops.csv, kind: items, key: sku}
"""
    files = {
        "crm.csv": lines("id,tel", ["1,01632 960001", "2,01632 960002"]),
        "calls.csv": lines("tel,at", ["+44 1632 960001,2026-01-03", "01632 960002 ext 4,2026-01-04"]),
        "shops.csv": lines("sku", ["lamp", "chair"]),
    }
    report = unified(company(tmp_path, feeds=feeds, files=files))
    assert [check for check in report.checks if check.code == "FQ004"] == [Check("FQ004", "calls", "passed", "")]


def test_fq005_contact_points_that_too_many_share_join_nobody() -> None:
    assert answer("FQ005")[0] == "passed"
    assert answer("FQ005", shared=3)[0] == "repaired"
    assert answer("FQ005", file=declared(rules="keys"))[0] == "not_applicable"


def test_fq006_consents_with_unknown_words_or_purposes_are_counted() -> None:
    assert answer("FQ006")[0] == "passed"
    unknown = "2 consents with an unknown status count against their purpose"
    undeclared = "1 consents with a purpose that is not declared count for nothing"
    assert answer("FQ006", odd=(2, 0, 0)) == ("failed", unknown)
    assert answer("FQ006", odd=(2, 1, 0)) == ("failed", f"{unknown}; {undeclared}")
    untimed = "3 consents without a time count from the load that first held them"
    assert answer("FQ006", odd=(0, 0, 3)) == ("passed", untimed)
    assert answer("FQ006", odd=None)[0] == "not_applicable"


def test_fq020_columns_that_look_personal_and_are_not_declared_are_named_by_feed() -> None:
    told, quiet = check_personal_columns(declared(), ["crm.login", "crm.backup_mail"])
    assert (told.code, told.feed, told.outcome) == ("FQ020", "crm", "repaired")
    assert told.detail.endswith(": backup_mail, login")
    assert (quiet.feed, quiet.outcome) == ("till", "passed")


def test_fq021_reports_a_customer_of_many_records_and_what_is_not_compared() -> None:
    found = {
        largest: check_all(
            declared(), {}, (), Resolution(partition=None, customers=1, shared=0, largest=largest), odd_consents=None
        )
        for largest in (LARGE_CUSTOMER, LARGE_CUSTOMER + 1)
    }
    outcomes = {
        largest: check.outcome for largest, checks in found.items() for check in checks if check.code == "FQ021"
    }
    assert outcomes == {LARGE_CUSTOMER: "passed", LARGE_CUSTOMER + 1: "failed"}
    many = Resolution(partition=None, customers=1, shared=0, left_out=3)
    (check,) = [each for each in check_all(declared(), {}, (), many, odd_consents=None) if each.code == "FQ021"]
    assert check.detail == "3 values that many records share are not used to find pairs"


@pytest.mark.parametrize("code", sorted(RULES))
def test_every_rule_has_a_title_a_test_and_a_line_in_the_docs(code: str) -> None:
    assert RULES[code].code == code
    assert RULES[code].title
    tests = "".join(path.read_text(encoding="utf-8") for path in Path(__file__).parent.glob("test_*.py"))
    assert re.search(rf"def test_(fq[0-9]+_)*{code.lower()}_", tests)
    page = REPOSITORY / "features" / "quality" / "README.md"
    if page.is_file():
        assert code in page.read_text(encoding="utf-8")
