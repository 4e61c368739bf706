"""People who share a contact point, a home or a name stay apart; one person's records join however often they come."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.features.identity.test_matcher import FIRST, LAST, crowd, group_of, resolved
from tests.features.tiny import company, groups, lines, table, unified

CRM = """\
feeds:
  crm: {source: crm.csv, kind: customers, key: id, updated_at: at, timezone: UTC,
    fields: {first_name: first, last_name: last, email: mail, phone: tel, birth_date: born}}
identity: {rules: exact}
company: {country: GB}
"""


def exact(root: Path, rows: list[str], identity: str = "{rules: exact}") -> list[list[str]]:
    crm = lines("id,first,last,mail,tel,born,at", [f"{row},2026-01-01" for row in rows])
    workspace = company(root, feeds=CRM.replace("{rules: exact}", identity), files={"crm.csv": crm})
    unified(workspace)
    return groups(workspace)


@pytest.mark.parametrize(
    ("one", "other", "joined"),
    [
        ("Ann,Lee,h@x.org,,", "Bob,Lee,h@x.org,,", False),
        ("Ann,Lee,h@x.org,,1980-05-01", "Eve,Lee,h@x.org,,1980-05-01", False),  # twins
        ("Jo,Lee,h@x.org,,1950-02-03", "Jo,Lee,h@x.org,,1981-09-17", False),  # father and son
        ("Jo,Lee Jr.,h@x.org,,", "Jo,Lee Sr,h@x.org,,", False),
        ("Jo,Lee,h@x.org,,", "Jo,Lee Jr,h@x.org,,", False),
        ("Jo,Lee,h@x.org,,1980-05-01", "Jo,Lee Jr,h@x.org,,1980-05-01", True),
        ("Jo,Lee,h@x.org,,1980-05-01", "Jo,Lee,h@x.org,,1980-01-05", True),
        ("Lee,Jo,h@x.org,,", "Jo,Lee,h@x.org,,", True),
        ("Katherine,Lee,h@x.org,,", "Catherine,Lee,h@x.org,,", True),
        ("J,Lee,h@x.org,,", "Jo,Lee,h@x.org,,", True),
        (",,h@x.org,,", "Jo,Lee,h@x.org,,", True),
        ("Ann,Lee,,07700 900123,1950-02-03", "Ann,Lee,,+44 7700 900123,1981-09-17", False),
    ],
)
def test_what_separates_people_holds_against_a_shared_contact_point(
    tmp_path: Path, one: str, other: str, joined: bool
) -> None:
    assert (len(exact(tmp_path, [f"1,{one}", f"2,{other}"])) == 1) is joined


def test_a_record_that_fits_two_people_who_are_kept_apart_waits_for_review(tmp_path: Path) -> None:
    rows = ["1,Ann,Lee,h@x.org,,", "2,Bob,Lee,h@x.org,,", "3,,,h@x.org,,", "4,Ann,Lee,h@x.org,,"]
    assert exact(tmp_path, rows) == [["crm:1", "crm:4"], ["crm:2"], ["crm:3"]]
    reasons = {row["reason"] for row in table(tmp_path / "state" / "identity" / "review.parquet")}
    assert reasons == {"given name", "fits several people"}


def test_a_contact_point_on_many_equal_records_still_joins_them(tmp_path: Path) -> None:
    rows = [f"{at},Ann,Lee,a@x.org,,1980-05-01" for at in range(12)]
    assert len(exact(tmp_path, rows)) == 1


def test_versions_of_a_record_are_one_customer(tmp_path: Path) -> None:
    feeds = """\
feeds:
  crm: {source: crm.csv, kind: customers, key: [no, valid_from], updated_at: valid_from, timezone: UTC,
    fields: {city: town}}
  till: {source: till.csv, kind: events, event: buy, event_time: at, timezone: UTC, key: no,
    customer: crm.no = till.who}
"""
    crm = ["1,Oslo,2025-01-01", "1,Bergen,2025-09-01", "2,Oslo,2025-01-01"]
    files = {"crm.csv": lines("no,town,valid_from", crm), "till.csv": lines("no,who,at", ["a,1,2026-03-01"])}
    workspace = company(tmp_path, feeds=feeds, files=files)
    assert unified(workspace).customers == 2
    assert len(table(workspace.unified / "events.parquet")) == 1
    assert sorted(row["city"] for row in table(workspace.unified / "golden.parquet")) == ["Bergen", "Oslo"]


@pytest.mark.parametrize("copies", [2, 5, 8])
def test_equal_records_alone_are_one_customer_by_the_usual_weights(tmp_path: Path, copies: int) -> None:
    row = "Philippa,Winterbourne,,p@w.org,07700911911,1971-04-09,9 Elm Grove,QX1 1ZZ,Larkton,"
    found = resolved(tmp_path, [f"n{at},{row}" for at in range(copies)])
    assert found.customers == 1
    assert found.matcher is not None
    assert found.matcher.usual
    nobody = resolved(tmp_path, [f"n{at},Ann,Lee,,,,,,,," for at in range(copies)])
    assert nobody.customers == copies, "a name alone is nobody's own"


@pytest.mark.parametrize("people", [6, 14, 28])
def test_numbered_addresses_of_few_records_join_nobody(tmp_path: Path, people: int) -> None:
    """`ann1@` and `ann2@` are one edit apart, as are their names, numbers and birth dates: here that is usual."""
    rows = [
        f"n{at},Ann{at},Lee{at},,ann{at}@w.org,077009119{at:02d},1971-04-{at:02d},{at} Elm Grove,QX1 1ZZ,Larkton,"
        for at in range(1, people + 1)
    ]
    assert resolved(tmp_path, rows).customers == people
    again = rows[0].replace("n1", "n99").replace("Lee1", "Leigh1")
    assert resolved(tmp_path, [*rows, again]).customers == people


def test_frequent_customers_do_not_shatter(tmp_path: Path) -> None:
    rows = [f"c{at}{row[1:]}" for row in crowd() if row.startswith("a") for at in range(12)]
    rows = [row.replace(",", f"{at},", 1) for at, row in enumerate(rows)]
    found = resolved(tmp_path, rows)
    assert found.partition.num_rows == 12 * 90
    assert found.customers == 90
    assert resolved(tmp_path, rows, rules="exact").customers == 90


OWN = ("one{0}@x.org,07700 8{0:05d}", "two{0}@y.org,07700 7{0:05d}")
SHARED = ("home{0}@x.org,07700 8{0:05d}", "home{0}@x.org,07700 8{0:05d}")
TWINS = [f"1970-0{1 + n % 9}-{10 + n % 18}" for n in range(20)]


@pytest.mark.parametrize(("contacts", "alike"), [(OWN, False), (SHARED, False), (OWN, True)])
def test_two_people_of_one_home_are_two_customers(tmp_path: Path, contacts: tuple[str, str], alike: bool) -> None:
    """Twins, with contact points of their own or shared ones; a father and a son of one name."""
    rows = crowd()
    for n in range(20):
        last, home = LAST[n % 9], f"{n} Oak Lane,QX{n} 1ZZ,Larkton,"
        born = (f"1945-0{1 + n % 9}-{10 + n % 18}", f"1978-1{n % 3}-0{1 + (n + 4) % 9}") if alike else (TWINS[n],) * 2
        for side, first in enumerate((FIRST[n % 10], FIRST[n % 10] if alike else FIRST[(n + 5) % 10])):
            rows.append(f"t{n}{side},{first},{last},,{contacts[side].format(n)},{born[side]},{home}")
    found = resolved(tmp_path, rows)
    assert [n for n in range(20) if f"t{n}1" in group_of(found, f"t{n}0")] == []
    assert all(group_of(found, f"a{n:02d}") == {f"a{n:02d}", f"b{n:02d}"} for n in range(90))


def test_equal_addresses_with_nothing_against_them_join_records_without_a_name(tmp_path: Path) -> None:
    shop = [f"s{n:02d},,,,{first}.{last}@X.org,,,,,," for n, (first, last) in enumerate(_pairs())]
    found = resolved(tmp_path, [*crowd(), *shop])
    assert all(f"s{n:02d}" in group_of(found, f"a{n:02d}") for n in range(90))


def _pairs() -> list[tuple[str, str]]:
    return [(first, last) for first in FIRST for last in LAST]


def test_a_placeholder_on_all_records_is_left_out_and_reported(tmp_path: Path) -> None:
    rows = [f"{at},{first},{last},none@x.org,," for at, (first, last) in enumerate(_pairs()[:12])]
    crm = lines("id,first,last,mail,tel,born,at", [f"{row},2026-01-01" for row in rows])
    workspace = company(tmp_path, feeds=CRM.replace("exact", "people"), files={"crm.csv": crm})
    report = unified(workspace)
    assert report.customers == 12
    (check,) = [each for each in report.checks if each.code == "FQ005"]
    assert (check.outcome, check.detail) == ("repaired", "1 contact points on more than 6 records link nobody")


def test_a_record_under_a_new_key_stays_apart_from_what_it_was_judged_apart_from(tmp_path: Path) -> None:
    row = "Ann,Lee,a@x.org,,1980-05-01"
    never = '{rules: exact, never: [["crm:1", "crm:2"]]}'
    assert exact(tmp_path, [f"1,{row}", f"2,{row}"], never) == [["crm:1"], ["crm:2"]]
    assert exact(tmp_path, [f"1,{row}", f"77,{row}"], never) == [["crm:1"], ["crm:77"]]
    assert exact(tmp_path, [f"1,{row}", f"78,{row}"], never) == [["crm:1"], ["crm:78"]]
