"""Which records are one customer, and what becomes of rows whose customer nobody knows."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from features.base.errors import BadData
from features.base.workspace import Workspace
from tests.features.tiny import company, groups, lines, people, table, unified

CRM = """\
  crm: {source: crm.csv, kind: customers, key: id, updated_at: changed, timezone: UTC,
    fields: {email: mail, phone: tel, first_name: name}, drop: [mail, tel, name], pii: [login]}
"""
HEAD = "id,changed,mail,tel,name,login"


def contacts(root: Path, rows: list[str], identity: str = "{rules: exact}", more: str = "") -> Workspace:
    feeds = f"feeds:\n{CRM}{more}identity: {identity}\n"
    return company(root, feeds=feeds, files={"crm.csv": lines(HEAD, rows)})


def test_under_keys_alone_equal_contact_points_join_nobody(tmp_path: Path) -> None:
    rows = ["1,2026-01-01,a@x.org,,Ann,", "2,2026-01-02,a@x.org,,Ann,"]
    workspace = contacts(tmp_path, rows, identity="{rules: keys}")
    unified(workspace)
    assert groups(workspace) == [["crm:1"], ["crm:2"]]


@pytest.mark.parametrize(
    ("one", "other", "joined"),
    [
        ("Ann@X.org,,Ann", " ann@x.ORG ,,Annie", True),
        ("ann@x.org,,Ann", "bob@x.org,,Ann", False),
        ("none,,Ann", "none,,Ann", False),
        (",+44 7700 900123,Ann", ",07700 900123,ann", True),
        (",(07700) 900-123,Ann", ",0044.7700.900123,Anna", True),
        (",07700900123,Ann", ",07700900124,Ann", False),
        (",900123,Ann", ",900123,Ann", False),
        (",07700 900123,Ann", ",07700 900123,Bob", False),
        (",,Ann", ",,Ann", False),
    ],
)
def test_equal_normalised_contact_points_join_two_records(tmp_path: Path, one: str, other: str, joined: bool) -> None:
    workspace = contacts(tmp_path, [f"1,2026-01-01,{one},", f"2,2026-01-02,{other},"])
    unified(workspace)
    assert (len(groups(workspace)) == 1) is joined


def test_joining_is_transitive(tmp_path: Path) -> None:
    rows = ["1,2026-01-01,a@x.org,,Ann,", "2,2026-01-02,a@x.org,07700900123,Ann,", "3,2026-01-03,,07700900123,Ann,"]
    workspace = contacts(tmp_path, [*rows, "4,2026-01-03,d@x.org,,Dan,"])
    assert unified(workspace).customers == 2
    assert groups(workspace) == [["crm:1", "crm:2", "crm:3"], ["crm:4"]]


def test_a_contact_point_that_too_many_share_joins_nobody_and_is_counted(tmp_path: Path) -> None:
    rows = [f"{n},2026-01-01,info@x.org,,P{n}," for n in range(4)]
    workspace = contacts(tmp_path, rows, identity="{rules: exact, shared_by_at_most: 3}")
    report = unified(workspace)
    assert report.customers == 4
    (check,) = [check for check in report.checks if check.code == "FQ005"]
    assert (check.outcome, check.detail) == ("repaired", "1 contact points on more than 3 records link nobody")
    again = contacts(tmp_path, rows[:3], identity="{rules: exact, shared_by_at_most: 3}")
    assert unified(again).customers == 1


def test_a_declared_link_joins_two_sources_by_key_or_by_another_column(tmp_path: Path) -> None:
    more = """\
  shop: {source: shop.csv, kind: customers, key: no, customer: crm.id = shop.crm_id, updated_at: at, timezone: UTC}
  web: {source: web.csv, kind: customers, key: no, customer: web.login = crm.login, updated_at: at, timezone: UTC}
"""
    more = more.replace("web.login = crm.login", "crm.login = web.user")
    workspace = contacts(tmp_path, ["1,2026-01-01,,,Ann,77", "2,2026-01-01,,,Bob,78"], "{rules: keys}", more)
    (tmp_path / "shop.csv").write_text("no,crm_id,at\na,1,2026-01-02\nb,,2026-01-02\n", encoding="utf-8")
    (tmp_path / "web.csv").write_text("no,user,at\nx,77,2026-01-02\ny,99,2026-01-02\n", encoding="utf-8")
    unified(workspace)
    assert groups(workspace) == [["crm:1", "shop:a", "web:x"], ["crm:2"], ["shop:b"], ["web:y"]]


EVENTS = """\
  till: {source: till.csv, kind: events, event: buy, event_time: at, timezone: UTC, key: no,
    customer: crm.login = till.who, pii: [card], fields: {amount: amount}}
"""


def with_events(root: Path, rows: list[str], quality: str = "") -> Workspace:
    workspace = contacts(
        root, ["1,2026-01-01,a@x.org,,Ann,77", "2,2026-01-01,b@x.org,,Bob,78"], "{rules: keys}", EVENTS + quality
    )
    (root / "till.csv").write_text(lines("no,who,at,amount,card", rows), encoding="utf-8")
    return workspace


def test_events_find_their_customer_by_a_column_that_looks_like_a_number(tmp_path: Path) -> None:
    workspace = with_events(tmp_path, ["1,77,2026-01-02,5,c", "2,78,2026-01-02,6,c", "3,,2026-01-02,7,c"])
    report = unified(workspace)
    by_record = {record: customer for customer, records in people(workspace).items() for record in records}
    found = {row["amount"]: row["customer_id"] for row in table(workspace.unified / "events.parquet")}
    assert found == {5: by_record["crm:1"], 6: by_record["crm:2"]}
    outcomes = {check.code: (check.outcome, check.detail) for check in report.checks if check.feed == "till"}
    assert outcomes["FQ003"] == ("repaired", "1 rows without a customer left out")
    assert outcomes["FQ004"] == ("passed", "")


def test_the_naming_column_may_be_dropped_as_an_attribute(tmp_path: Path) -> None:
    workspace = with_events(tmp_path, ["1,77,2026-01-02,5,c"])
    text = workspace.file("features/feeds.yaml").read_text(encoding="utf-8")
    workspace.file("features/feeds.yaml").write_text(text.replace("tel, name]", "tel, name, login]"), encoding="utf-8")
    unified(workspace)
    assert len(table(workspace.unified / "events.parquet")) == 1
    assert "crm.login" not in pq.read_schema(workspace.unified / "customers.parquet").names


def test_a_row_about_an_unknown_customer_is_kept_aside_and_counted(tmp_path: Path) -> None:
    rows = [f"{n},77,2026-01-02,5,c" for n in range(30)] + ["x,nobody,2026-01-02,9,c"]
    workspace = with_events(tmp_path, rows)
    report = unified(workspace)
    assert report.quarantined == 1
    (aside,) = table(workspace.personal / "unknown" / "till.parquet")
    assert aside["record_id"] == "x"
    assert 9 not in {row["amount"] for row in table(workspace.unified / "events.parquet")}


def test_too_many_rows_about_unknown_customers_stop_the_run_and_the_last_good_tables_stand(tmp_path: Path) -> None:
    workspace = with_events(tmp_path, ["1,77,2026-01-02,5,c"])
    unified(workspace)
    good = (workspace.unified / "events.parquet").read_bytes()
    with_events(tmp_path, ["1,77,2026-01-02,5,c", "2,secret,2026-01-02,5,c"])
    with pytest.raises(BadData) as caught:
        unified(workspace)
    assert (caught.value.exit_code, caught.value.first.code) == (65, "quality.unknown_customers")
    assert caught.value.first.where == "feed till"
    assert "1 rows (50.0%)" in caught.value.first.message
    assert "secret" not in str(caught.value)
    assert (workspace.unified / "events.parquet").read_bytes() == good
    with_events(
        tmp_path, ["1,77,2026-01-02,5,c", "2,secret,2026-01-02,5,c"], "quality: {unknown_customers_above: 0.5}\n"
    )
    assert unified(workspace).quarantined == 1


def test_personal_columns_stand_in_no_table_but_those_kept_apart(tmp_path: Path) -> None:
    workspace = with_events(tmp_path, ["1,77,2026-01-02,5,4242"])
    unified(workspace)
    personal = {"email", "phone", "first_name", "crm.login", "till.card", "till.who"}
    for path in workspace.unified.rglob("*.parquet"):
        if workspace.personal not in path.parents:
            assert not personal & set(pq.read_schema(path).names), path.name
    assert {"email", "crm.login"} <= set(pq.read_schema(workspace.personal / "customers.parquet").names)


ROWS = ["1,2026-01-01,a@x.org,,Ann,", "2,2026-01-05,A@x.org,,Ann,", "3,2026-01-03,c@x.org,,Cleo,"]


def test_a_customers_id_does_not_depend_on_the_order_of_the_rows(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    one, two = contacts(tmp_path / "one", ROWS), contacts(tmp_path / "two", ROWS[::-1])
    unified(one)
    unified(two)
    assert people(one) == people(two)
    assert table(one.unified / "golden.parquet") == table(two.unified / "golden.parquet")


def test_a_customers_id_stays_when_later_records_join(tmp_path: Path) -> None:
    workspace = contacts(tmp_path, ROWS)
    unified(workspace)
    before = people(workspace)
    contacts(tmp_path, ["0,2026-02-01,a@x.org,,Ann,", *ROWS, "9,2026-02-01,new@x.org,,Nel,"])
    unified(workspace)
    after = people(workspace)
    assert set(before) < set(after)
    assert sorted(len(records) for records in after.values()) == [1, 1, 3]
