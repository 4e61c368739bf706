"""Nothing that identifies a person stands outside the folder that is kept for it."""

from __future__ import annotations

import stat
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from features.base.progress import Silent
from features.base.workspace import Workspace
from features.pipeline.build_features import build_features
from tests.features.tiny import STORE, company, lines, unified

FEEDS = """\
feeds:
  crm:
    {source: crm.csv, kind: customers, key: account, updated_at: changed, timezone: UTC,
     fields: {email: mail, phone: tel, last_name: family, birth_date: dob, street: road, city: town},
     pii: [login], drop: [tel]}
  said:
    {source: said.csv, kind: consents, customer: crm.account = said.who, key: [who, what], event_time: at,
     timezone: UTC, fields: {purpose: what, status: word}}
  optouts:
    {source: optouts.csv, kind: consents, customer: crm.mail = optouts.address, event_time: at, timezone: UTC,
     fields: {purpose: what, status: word}}
  clicks:
    {source: clicks.csv, kind: events, event: click, customer: crm.login = clicks.login, event_time: at,
     timezone: UTC, pii: [login], fields: {channel: device}}
identity: {rules: exact, match: [email]}
quality: {unknown_customers_above: 1.0}
purposes: {care: {basis: legitimate_interest}}
"""
VIEWS = """\
views:
  clicks: {from: events, aggregates: {"*": [count]}, by: channel, windows: [30d]}
  profile: {from: customers, fields: [city, crm.tier]}
snapshots: {every: 7d}
"""
#: Three people; the last three columns were declared by nobody.
PEOPLE = [
    "ACC-7001,2026-01-01,ann@mail.example,+44 1632 960961,Archibald,1971-03-04,17 Quince Row,York,gold,login_ann,"
    "Annabel,ann.second@mail.example,+44 1632 960001",
    "ACC-7002,2026-01-02,bob@mail.example,+44 1632 960962,Bartholomew,1972-03-04,18 Quince Row,Hull,basic,login_bob,"
    "Bobby,bob.second@mail.example,+44 1632 960002",
    "ACC-7003,2026-01-03,cleo@mail.example,+44 1632 960963,Clementine,1973-03-04,19 Quince Row,Hull,gold,login_cleo,"
    "Cleopatra,cleo.second@mail.example,+44 1632 960003",
]
CLICKS = ["login_ann,2026-01-04,phone,ann@mail.example", "login_bob,2026-01-05,desk,bob@mail.example"]
SHOWN = {"York", "Hull", "gold", "basic"}


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("named")
    header = "account,changed,mail,tel,family,dob,road,town,tier,login,forename,backup,second"
    files = {
        "crm.csv": lines(header, PEOPLE),
        "said.csv": lines(
            "who,what,word,at", ["ACC-7001,care,granted,2026-01-05", "ACC-7002,care,objected,2026-01-05"]
        ),
        "optouts.csv": lines("address,what,word,at", ["CLEO@mail.example,care,objected,2026-01-06"]),
        "clicks.csv": lines("login,at,device,typed", CLICKS),
        "features/feature_store.yaml": STORE,
    }
    made = company(root, feeds=FEEDS, views=VIEWS, files=files)
    unified(made)
    build_features(made, Silent())
    return made


def texts(path: Path) -> set[str]:
    """Return every text of a file: the values of a table, the whole of anything else."""
    if path.suffix != ".parquet":
        return {path.read_bytes().decode("utf-8", "replace")}
    columns = pq.read_table(path, partitioning=None).to_pydict()
    return {str(value) for values in columns.values() for value in values if value is not None} | set(columns)


def known() -> set[str]:
    """Return what identifies somebody, in the forms in which it may be held."""
    values = {value for row in PEOPLE for value in row.split(",")} - SHOWN
    return {value for value in values if not value.startswith("2026-")}


def test_no_value_that_identifies_a_person_stands_outside_its_folder(workspace: Workspace) -> None:
    folders = (
        workspace.unified,
        workspace.snapshots,
        workspace.published,
        workspace.consent,
        workspace.state / "feast",
    )
    looked = [
        path
        for folder in folders
        for path in folder.rglob("*")
        if path.is_file() and workspace.personal not in path.parents
    ]
    assert len(looked) > 8
    for path in looked:
        said = "\n".join(texts(path)).lower()
        assert [value for value in known() if value.lower() in said] == [], path.relative_to(workspace.root)


def test_the_search_finds_them_where_they_are_kept(workspace: Workspace) -> None:
    said = "\n".join(text for path in workspace.personal.rglob("*.parquet") for text in texts(path)).lower()
    assert {value for value in known() if value.lower() not in said} == set()


def test_their_folder_is_for_its_owner_alone(workspace: Workspace) -> None:
    assert stat.S_IMODE(workspace.personal.stat().st_mode) == 0o700
    files = [path for path in workspace.personal.rglob("*") if path.is_file()]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_what_nobody_declared_is_told(workspace: Workspace) -> None:
    (told,) = (check for check in unified(workspace).checks if check.code == "FQ020" and check.feed == "crm")
    assert (told.outcome, told.detail) == (
        "repaired",
        "treated as personal though not declared under pii: backup, forename, second",
    )
