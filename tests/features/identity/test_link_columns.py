"""Rows find their customer by a column: in any spelling, and nobody where it stands on several customers."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.base.workspace import Workspace
from features.pipeline.unify_report import UnifyReport
from features.quality.quarantine_list import REASONS, quarantined_groups
from tests.features.tiny import company, groups, lines, people, table, unified

CARDS = """\
feeds:
  crm: {source: crm.csv, kind: customers, key: id, updated_at: changed, timezone: UTC, fields: {first_name: name}}
  till: {source: till.csv, kind: events, event: buy, event_time: at, timezone: UTC, key: no,
    customer: crm.card = till.card, fields: {amount: amount}}
"""
OPT_OUTS = """\
company: {{country: {country}}}
feeds:
  crm: {{source: crm.csv, kind: customers, key: id, updated_at: changed, timezone: UTC,
    fields: {{first_name: name, phone: phone, country: land}}}}
  stop: {{source: stop.csv, kind: consents, key: [number, purpose], customer: crm.phone = stop.number,
    event_time: day, timezone: UTC, fields: {{purpose: purpose, status: "'withdrawn'"}}}}
purposes: {{marketing: {{basis: legitimate_interest}}}}
"""


def test_rows_of_a_shared_card_are_given_to_nobody_in_particular(tmp_path: Path) -> None:
    crm = ["1,Ann,K1,2026-01-01", "2,Bob,K1,2026-01-01", "3,Cid,K3,2026-01-01"]
    till = ["a,K1,2026-03-01,10", "b,K3,2026-03-01,20"]
    found = []
    for name in ("one", "two", "three"):  # with another key the ids sort in another order
        (tmp_path / name / "state" / "keys").mkdir(parents=True)
        (tmp_path / name / "state" / "keys" / "identity.key").write_text(f"{name:k<40}", encoding="ascii")
        files = {"crm.csv": lines("id,name,card,changed", crm), "till.csv": lines("no,card,at,amount", till)}
        workspace = company(tmp_path / name, feeds=CARDS, files=files)
        report = unified(workspace)
        assert report.quarantined == 1
        assert [(each.outcome, each.detail) for each in report.checks if each.code == "FQ003"] == [
            ("failed", "1 rows quarantined: what they name a customer by stands on several customers")
        ]
        assert [(group.reason, group.rows) for group in quarantined_groups(workspace, ["till"])] == [
            (REASONS["ambiguous"], 1)
        ]
        names = people(workspace)
        events = table(workspace.unified / "events.parquet")
        found.append([(names[row["customer_id"]], row["amount"]) for row in events])
    assert found == [[(["crm:3"], 20.0)]] * 3


def opted_out(root: Path, country: str, crm: list[str], numbers: list[str]) -> tuple[Workspace, UnifyReport]:
    files = {
        "crm.csv": lines("id,name,phone,land,changed", [f"{line},2026-01-01" for line in crm]),
        "stop.csv": lines("number,purpose,day", [f"{number},marketing,2026-02-01" for number in numbers]),
    }
    workspace = company(root, feeds=OPT_OUTS.format(country=country), files=files)
    return workspace, unified(workspace)


@pytest.mark.parametrize(
    ("country", "crm", "numbers", "withheld"),
    [
        ("NO", ["1,Kari,22 33 44 55,", "2,Ola,22 33 44 66,"], ["+47 22 33 44 55", "22334466"], 2),
        ("US", ["1,Janet,(212) 555-0134,", "2,Bob,312-555-0134,"], ["+1 212 555 0134"], 1),
        ("MX", ["1,Ana,55 1234 5678,", "2,Luz,55 1234 5679,"], ["+52 1 55 1234 5678"], 1),
        ("GB", ["1,Uwe,030 123456,Germany", "2,Ann,020 7946 0018,"], ["+49 30 123456"], 1),
        ("GB", ["1,Uwe,+49 30 123456,Germany", "2,Ann,020 7946 0018,"], ["030 123456"], 1),
    ],
)
def test_a_withdrawal_by_telephone_covers_the_number_in_every_spelling(
    tmp_path: Path, country: str, crm: list[str], numbers: list[str], withheld: int
) -> None:
    _, report = opted_out(tmp_path, country, crm, numbers)
    assert report.withheld_by == {"marketing": {"objected": withheld}}


def test_withdrawals_of_people_who_come_later_are_accepted_and_counted_as_waiting(tmp_path: Path) -> None:
    numbers = ["22 33 44 55", "22 33 44 99"]
    _, report = opted_out(tmp_path, "NO", ["1,Kari,22 33 44 55,"], numbers)
    (check,) = [each for each in report.checks if each.code == "FQ004"]
    assert check.outcome == "passed"
    assert check.detail == "1 statements (50.0%) about unknown customers wait in the ledger for them"
    assert (report.quarantined, report.withheld_by) == (0, {"marketing": {"objected": 1}})
    crm = ["1,Kari,22 33 44 55,", "2,Ola,22334499,"]
    _, report = opted_out(tmp_path, "NO", crm, numbers)
    assert report.withheld_by == {"marketing": {"objected": 2}}


@pytest.mark.parametrize(
    ("country", "numbers", "expected"),
    [
        ("US", ("(212) 555-0134", "+1 312 555 0134", "212 555 0134"), [["crm:0", "crm:2"], ["crm:1"]]),
        ("CN", ("138 1234 5678", "+86 158 1234 5678", "+86 138 1234 5678"), [["crm:0", "crm:2"], ["crm:1"]]),
        ("NO", ("22 33 44 55", "22334466", "+47 22 33 44 55"), [["crm:0", "crm:2"], ["crm:1"]]),
    ],
)
def test_numbers_are_compared_whole_and_by_country(
    tmp_path: Path, country: str, numbers: tuple[str, ...], expected: list[list[str]]
) -> None:
    feeds = OPT_OUTS.format(country=country).split("  stop:")[0] + "identity: {rules: exact}\n"
    crm = [f"{at},Jo,{number},,2026-01-01" for at, number in enumerate(numbers)]
    workspace = company(tmp_path, feeds=feeds, files={"crm.csv": lines("id,name,phone,land,changed", crm)})
    unified(workspace)
    assert groups(workspace) == expected


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        (("+1 212 555 0123", "+44 21 2555 0123"), [["crm:0"], ["crm:1"]]),
        (("+1 212 555 0123", "+44 21 2555 0123", "212 555 0123"), [["crm:0"], ["crm:1"], ["crm:2"]]),
        (("+1 212 555 0123", "(212) 555-0123", "001 212 555 0123"), [["crm:0", "crm:1", "crm:2"]]),
        (("212 555 0123", "0212-555-0123"), [["crm:0", "crm:1"]]),
    ],
)
def test_without_a_declared_country_two_numbers_that_have_theirs_are_compared_with_it(
    tmp_path: Path, numbers: tuple[str, ...], expected: list[list[str]]
) -> None:
    feeds = OPT_OUTS.format(country="GB").split("  stop:")[0].partition("\n")[2] + "identity: {rules: exact}\n"
    crm = [f"{at},Jo,{number},,2026-01-01" for at, number in enumerate(numbers)]
    workspace = company(tmp_path, feeds=feeds, files={"crm.csv": lines("id,name,phone,land,changed", crm)})
    for added in ([], [f"{len(numbers)},Al,+1 312 555 0199,,2026-01-02"]):
        (tmp_path / "crm.csv").write_text(lines("id,name,phone,land,changed", [*crm, *added]), encoding="utf-8")
        unified(workspace)
        assert groups(workspace)[: len(expected)] == expected


MEMBERS = """\
feeds:
  crm: {source: crm.csv, kind: customers, key: id, fields: {first_name: name, email: mail}}
  loy: {source: loy.csv, kind: customers, key: no, customer: crm.id = loy.crm_id,
    fields: {first_name: name, email: mail}}
identity: {rules: RULES}
"""


@pytest.mark.parametrize("rules", ["exact", "people"])
def test_a_link_that_no_record_has_ties_nobody(tmp_path: Path, rules: str) -> None:
    crm = ["1,Ann,ann@a.example", "2,Bob,bob@a.example"]
    members = ["L1,1,Ann,ann@b.example", "L2,0,Zed,zed@b.example", "L3,0,Una,una@b.example", "L4,N/A,Kit,kit@b.example"]
    files = {"crm.csv": lines("id,name,mail", crm), "loy.csv": lines("no,crm_id,name,mail", members)}
    workspace = company(tmp_path, feeds=MEMBERS.replace("RULES", rules), files=files)
    unified(workspace)
    assert groups(workspace) == [["crm:1", "loy:L1"], ["crm:2"], ["loy:L2"], ["loy:L3"], ["loy:L4"]]
