"""Nobody reads a customer's data for a purpose without a basis, and who was withheld is counted with the reason."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import pytest

from features.base import workspace as workspace_module
from features.base.database_engine import open_engine
from features.base.errors import BadConfiguration, BadData, StorageFailure
from features.base.generations import current_generation
from features.base.progress import Silent
from features.base.workspace import Workspace
from features.config.workspace_files import load_feeds
from features.consent import customer_data
from features.consent.customer_consents import consent_status_of
from features.consent.customer_data import CustomerData, Withheld, allowed_customers, open_customer_data, rows_of
from features.identity import customer_tables
from features.identity.customer_directory import open_directory
from features.pipeline.build_features import build_features
from tests.features.consent.world import FEEDS, who, world
from tests.features.tiny import STORE, table, unified

VIEWS = """\
views:
  buys: {from: events, aggregates: {amount: [sum]}, windows: [30d], purpose: marketing}
  seen: {from: events, aggregates: {"*": [count]}, windows: [30d]}
snapshots: {every: 7d}
"""
SAID = [
    "A1,marketing,granted,v1,2026-01-02",
    "B1,marketing,granted,v1,2026-01-02",
    "B1,marketing,withdrawn,v1,2026-01-06",
    "C1,care,objected,v1,2026-01-02",
]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = world(tmp_path, SAID, views=VIEWS)
    (tmp_path / "features" / "feature_store.yaml").write_text(STORE, encoding="utf-8")
    unified(made)
    return made


def allowed(workspace: Workspace, purpose: str | None, *, as_of: datetime | None = None) -> set[str]:
    return set(allowed_customers(workspace, load_feeds(workspace)[0].purposes, purpose=purpose, as_of=as_of))


def people_of(workspace: Workspace, *records: str) -> set[str]:
    return {who(workspace, record) for record in records}


def test_each_basis_asks_for_what_it_needs(workspace: Workspace) -> None:
    assert allowed(workspace, "marketing") == people_of(workspace, "A1")
    assert allowed(workspace, "care") == people_of(workspace, "A1", "B1")
    assert allowed(workspace, "service") == people_of(workspace, "A1", "B1", "C1")
    assert allowed(workspace, None) == people_of(workspace, "A1", "B1", "C1")


def test_a_grant_expires(workspace: Workspace) -> None:
    assert allowed(workspace, "marketing", as_of=datetime(2027, 1, 1, tzinfo=UTC)) == people_of(workspace, "A1")
    assert allowed(workspace, "marketing", as_of=datetime(2027, 1, 2, tzinfo=UTC)) == set()


def test_an_earlier_moment_does_not_bring_back_who_has_withdrawn(workspace: Workspace) -> None:
    assert allowed(workspace, "marketing", as_of=datetime(2026, 1, 4, tzinfo=UTC)) == people_of(workspace, "A1")


def test_one_read_is_of_one_generation_though_the_next_is_published_meanwhile(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    purposes, ann, first = load_feeds(workspace)[0].purposes, who(workspace, "A1"), workspace.unified
    till = workspace.root / "till.csv"
    till.write_text(till.read_text(encoding="utf-8").replace("A1,2026-01-05,10", "A1,2026-01-05,99"), encoding="utf-8")
    unified(workspace)
    published = current_generation(workspace.state / "unified")
    assert published != first

    def read(job: Callable[[], object]) -> object:
        found = iter([first])
        monkeypatch.setattr(workspace_module, "current_generation", lambda _: next(found, published))
        return job()

    rows = read(lambda: rows_of(workspace, purposes, "events", ann, purpose=None)["amount"].to_pylist())
    assert rows == [10]
    assert read(lambda: allowed_customers(workspace, purposes, purpose=None)[ann]) == 1
    assert read(lambda: consent_status_of(workspace, purposes, ann))
    (first / "personal" / "records.parquet").unlink()
    with pytest.raises(StorageFailure, match=r"records\.parquet"):  # that of the other generation is there
        read(lambda: open_directory(workspace))


def test_every_table_lacks_the_rows_of_who_is_withheld(workspace: Workspace) -> None:
    with open_engine(folders=[workspace.unified]) as engine:
        purposes = load_feeds(workspace)[0].purposes
        access = open_customer_data(engine, workspace, purposes, purpose="marketing")
        for kind in ("customers", "events"):
            found = engine.execute(f"SELECT DISTINCT customer_id FROM {kind}").fetchall()
            assert {customer for (customer,) in found} == people_of(workspace, "A1")
    assert access.withheld == (Withheld("marketing", "no_consent", 1), Withheld("marketing", "withdrawn", 1))


def test_a_build_opens_the_tables_once_for_all_purposes(workspace: Workspace, monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[Path] = []

    def counted(engine: Any, folder: Path, **settings: Any) -> Any:
        opened.append(folder)
        return customer_tables.register(engine, folder, **settings)

    monkeypatch.setattr(customer_data, "register", counted)
    build_features(workspace, Silent())
    assert opened == [workspace.unified]


def test_no_table_can_be_read_before_a_purpose_is_let_through(workspace: Workspace) -> None:
    with open_engine(folders=[workspace.unified]) as engine:
        data = CustomerData(engine, workspace, load_feeds(workspace)[0].purposes)
        with pytest.raises(duckdb.CatalogException):
            engine.execute("SELECT * FROM customers")
        for purpose, people in (("marketing", ["A1"]), ("service", ["A1", "B1", "C1"]), ("care", ["A1", "B1"])):
            data.allow(purpose=purpose)
            found = engine.execute("SELECT DISTINCT customer_id FROM events").fetchall()
            assert {customer for (customer,) in found} <= people_of(workspace, *people)


def test_without_a_basis_for_any_purpose_somebody_is_not_there_at_all(tmp_path: Path) -> None:
    made = world(tmp_path, SAID, feeds=FEEDS.replace(", service: {basis: contract}", ""))
    unified(made)
    assert allowed(made, None) == people_of(made, "A1", "B1")


def test_without_declared_purposes_everybody_is_there(tmp_path: Path) -> None:
    made = world(tmp_path, SAID, feeds=FEEDS[: FEEDS.index("purposes:")])
    unified(made)
    assert allowed(made, None) == people_of(made, "A1", "B1", "C1")


def test_an_undeclared_purpose_is_refused_with_the_nearest_one(workspace: Workspace) -> None:
    with pytest.raises(BadConfiguration, match="marketing") as caught:
        allowed(workspace, "marketin")
    assert caught.value.first.code == "purpose.undeclared"


def test_unification_tells_who_is_withheld_from_what_and_why(workspace: Workspace) -> None:
    report = unified(workspace)
    assert report.withheld == 2
    assert report.withheld_by == {
        "care": {"objected": 1},
        "marketing": {"no_consent": 1, "withdrawn": 1},
        "service": {},
    }


def test_a_view_holds_only_those_with_a_basis_for_its_purpose_at_any_cutoff(workspace: Workspace) -> None:
    report = build_features(workspace, Silent())
    buys = {row["customer_id"] for row in table(workspace.snapshots / "buys")}
    seen = {row["customer_id"] for row in table(workspace.snapshots / "seen")}
    assert (buys, seen) == (people_of(workspace, "A1"), people_of(workspace, "A1", "B1", "C1"))
    assert report.withheld_by == {"marketing": {"no_consent": 1, "withdrawn": 1}}


def test_the_purpose_of_the_file_holds_for_views_without_one(workspace: Workspace) -> None:
    path = workspace.file("features/views.yaml")
    path.write_text("purpose: care\n" + VIEWS, encoding="utf-8")
    build_features(workspace, Silent())
    seen = {row["customer_id"] for row in table(workspace.snapshots / "seen")}
    assert seen == people_of(workspace, "A1", "B1")


def test_one_customer_is_shown_for_a_purpose_or_not_at_all(workspace: Workspace) -> None:
    purposes = load_feeds(workspace)[0].purposes
    shown = rows_of(workspace, purposes, "golden", who(workspace, "A1"), purpose="marketing", personal=True)
    assert shown["email"].to_pylist() == ["ann@x.org"]
    with pytest.raises(BadData) as caught:
        rows_of(workspace, purposes, "golden", who(workspace, "B1"), purpose="marketing")
    assert caught.value.first.code == "customers.withheld_or_unknown"
