"""A whole workspace built with Spark: the snapshots that DuckDB makes, and errors that say what to do."""

from __future__ import annotations

import socket
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import pytest

from features.base.errors import BadConfiguration, BadData, NextbestError, Unreachable
from features.base.progress import Silent
from features.base.workspace import Workspace
from features.config.views_file import SparkSettings
from features.pipeline.build_features import build_features
from features.snapshots.build_report import read_report
from features.views.spark import Spark, open_spark, refuse_a_silent_master
from tests.features.tiny import STORE, company, lines, table, unified
from tests.features.views import reference
from tests.features.views.reference import Asked
from tests.features.views.world import DAY, day, snapshots

LONDON = ZoneInfo("Europe/London")
#: Local times around both changes of the clocks, and on the edges of the windows of fourteen days that hold these.
TIMES = [
    "2025-10-23 01:00:00",
    "2025-10-23 01:00:00.000001",
    "2025-10-26 00:59:59",
    "2025-10-26 02:00:00",
    "2025-11-06 00:00:00",
    "2025-11-06 00:00:00.000001",
    "2026-03-26 00:00:00",
    "2026-03-26 00:00:00.000001",
    "2026-03-29 00:59:59.999999",
    "2026-03-29 02:00:00",
    "2026-03-29 02:00:00",
    "2026-04-09 01:00:00",
    "2026-04-09 01:00:00.000001",
]
AUTUMN, SPRING = datetime(2025, 11, 6, tzinfo=UTC), datetime(2026, 4, 9, tzinfo=UTC)
FEEDS = """\
company: {currency: GBP, timezone: Europe/London}
feeds:
  crm: {source: crm.csv, kind: customers, key: id, updated_at: changed, timezone: UTC, fields: {city: town}}
  till:
    {source: till.csv, kind: events, event: buy, key: [no, who], customer: crm.id = till.who, event_time: at,
     timezone: Europe/London, fields: {amount: price, item: sku}}
  lines:
    {source: lines.csv, kind: holdings, key: no, customer: crm.id = lines.who, timezone: Europe/London,
     fields: {item: tariff, held_from: since, held_to: until, price: fee}}
  said:
    {source: said.csv, kind: consents, customer: crm.id = said.who, event_time: at, timezone: Europe/London,
     fields: {purpose: what, status: word}}
purposes: {marketing: {basis: consent}}
"""
VIEWS = """\
purpose: marketing
views:
  buys:
    from: events
    where: event = 'buy' AND NOT regexp_matches(coalesce(item, ''), '^x')
    aggregates: {"*": [count, recency, tenure, trend], amount: [sum, mean, std, last], item: [nunique]}
    windows: [1d, 14d]
  market: {from: events, of: company, aggregates: {amount: [sum]}, windows: [7d]}
  kinds: {from: events, by: item, aggregates: {"*": [count, share]}, windows: [7d]}
  profile: {from: customers, fields: [city, crm.points, crm.joined]}
  held: {from: holdings}
snapshots: {every: 14d, engine: ENGINE, spark: {master: "local[2]", memory: 1g}}
"""
FILES = {
    "features/feature_store.yaml": STORE,
    "crm.csv": lines(
        "id,changed,town,points,joined",
        ["1,2025-10-20,York,1.5,1970-02-03", "2,2025-10-21,Ærø,,", "3,2025-10-22,Hull,3,2000-01-01"],
    ),
    "till.csv": lines(
        "no,who,at,price,sku",
        [f"{n},{who},{at},{0.1 * n:.2f},{'xmas' if n == 3 else 'tea'}" for n, at in enumerate(TIMES) for who in (1, 2)]
        + ["77,3,2026-01-01 12:00,5,tea"],
    ),
    "lines.csv": lines(
        "no,who,tariff,since,until,fee", ["1,1,fibre,2025-10-26,2026-03-29,9.99", "2,2,tv,2026-01-01,,5"]
    ),
    "said.csv": lines("who,what,word,at", ["1,marketing,yes,2025-10-20", "2,marketing,yes,2025-10-20"]),
}


def shop(root: Path, engine: str) -> Workspace:
    views, delivered = VIEWS.replace("ENGINE", engine), datetime(2026, 4, 10, 12, tzinfo=UTC)
    return company(root, feeds=FEEDS, views=views, files=FILES, delivered=delivered)


@pytest.fixture(scope="module")
def shops(spark: Spark, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Workspace]:  # noqa: ARG001  # is running
    root = tmp_path_factory.mktemp("shops")
    built = {engine: shop(root / engine, engine) for engine in ("duckdb", "spark")}
    for workspace in built.values():
        unified(workspace)
        build_features(workspace, Silent())
    return built


def snapshot_files(workspace: Workspace) -> dict[str, Path]:
    return {str(path.relative_to(workspace.snapshots)): path for path in workspace.snapshots.rglob("*.parquet")}


def test_both_engines_make_the_same_snapshots(shops: dict[str, Workspace]) -> None:
    embedded, spark = (snapshot_files(shops[engine]) for engine in ("duckdb", "spark"))
    assert len(embedded) >= 6
    assert embedded.keys() == spark.keys()
    for name, path in embedded.items():
        assert table(path) == table(spark[name]), name
        assert path.read_bytes() == spark[name].read_bytes(), name


def test_another_engine_makes_no_snapshot_again(shops: dict[str, Workspace]) -> None:
    workspace = shops["duckdb"]
    before = {name: path.stat().st_ino for name, path in snapshot_files(workspace).items()}
    views = workspace.file("features/views.yaml")
    views.write_text(VIEWS.replace("ENGINE", "spark"), encoding="utf-8")
    build_features(workspace, Silent())
    assert {name: path.stat().st_ino for name, path in snapshot_files(workspace).items()} == before


def test_both_engines_leave_out_whom_they_may_not_see(shops: dict[str, Workspace]) -> None:
    for workspace in shops.values():
        report = read_report(workspace)
        assert report.withheld_by == {"any": {"no_basis": 1}, "marketing": {"no_consent": 1}}
        assert {row["customer_id"] for path in snapshot_files(workspace).values() for row in table(path)} == {
            row["customer_id"] for row in table(workspace.personal / "records.parquet") if row["record_id"] != "3"
        }


@pytest.mark.parametrize("engine", ["duckdb", "spark"])
def test_local_times_count_where_they_lie_in_utc_across_both_changes_of_the_clocks(
    shops: dict[str, Workspace], engine: str
) -> None:
    moments = [datetime.fromisoformat(at).replace(tzinfo=LONDON).astimezone(UTC) for at in TIMES]
    assert moments[11] == SPRING  # one o'clock in London, midnight in UTC
    rows = [
        {"customer_id": "1", "feed": "till", "event_time": at, "known_at": at, "n": n}
        for n, at in enumerate(moments)
        if n != 3
    ]
    asked = Asked(aggregates={"*": ["count", "recency", "tenure", "trend"]}, windows={"1d": DAY, "14d": 14 * DAY})
    (ann,) = {
        row["customer_id"] for row in table(shops[engine].personal / "records.parquet") if row["record_id"] == "1"
    }
    built = {
        row["event_timestamp"]: row
        for name, path in snapshot_files(shops[engine]).items()
        if name.startswith("buys")
        for row in table(path)
        if row["customer_id"] == ann
    }
    assert [built[as_of]["buys__count_14d"] for as_of in (AUTUMN, SPRING)] == [3, 5]
    for as_of, row in built.items():
        for name, value in reference.windowed(asked, rows, "1", as_of).items():
            assert row[f"buys__{name}"] == value, (as_of, name)


def test_nothing_that_was_handed_over_is_left_behind(shops: dict[str, Workspace]) -> None:
    assert not (shops["spark"].state / ".spark").exists()


# ── what goes wrong ──────────────────────────────────────────────────────────────────────────────────────────────────
SUMS = "views:\n  v: {from: events, aggregates: {amount: [sum]}, windows: [7d]}\n"


@pytest.mark.parametrize("amounts", [[float("nan")], [float("inf")], [1e29], [9e28, 9e28]])
def test_a_number_that_cannot_be_added_is_named_by_its_view_and_not_shown(
    spark: Spark, capfd: pytest.CaptureFixture[str], amounts: list[float]
) -> None:
    rows = [{"customer_id": "ann", "event_time": day(0), "amount": amount} for amount in amounts]
    with pytest.raises(BadData) as caught:
        snapshots(SUMS, [day(1)], spark=spark, events=rows)
    assert (caught.value.first.code, caught.value.first.where) == ("feature.range", "view v")
    assert "9" not in str(caught.value).replace("29 digits", "") + capfd.readouterr().err


def refused(build: Callable[[], Any]) -> tuple[type[NextbestError], str]:
    with pytest.raises(NextbestError) as caught:
        build()
    assert caught.value.first.hint
    return type(caught.value), caught.value.first.code


def opened(folder: Path, master: str = "local[1]") -> None:
    with open_spark(SparkSettings(master=master), folder=folder):
        pass


def test_without_pyspark_or_java_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.delenv("JAVA_HOME", raising=False)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert refused(lambda: opened(tmp_path)) == (BadConfiguration, "spark.no_java")
    monkeypatch.setattr("features.views.spark.find_spec", lambda _: None)
    assert refused(lambda: opened(tmp_path)) == (BadConfiguration, "spark.absent")


def test_a_master_that_does_not_answer_is_named_within_seconds() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        free = server.getsockname()[1]
    began = datetime.now(UTC)
    assert refused(lambda: refuse_a_silent_master(f"spark://127.0.0.1:{free}")) == (Unreachable, "spark.unreachable")
    assert datetime.now(UTC) - began < timedelta(seconds=60)
