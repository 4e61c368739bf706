"""Money of several feeds: one money by declared rates, or kept apart; amounts of two currencies are never added."""

from __future__ import annotations

from pathlib import Path

from features.base.progress import Silent
from features.base.workspace import Workspace
from features.pipeline.build_features import build_features
from features.pipeline.unify_report import UnifyReport
from tests.features.tiny import STORE, company, lines, table, unified

FEEDS = """\
company: {currency: EUR, timezone: UTC, rates: {RATES}}
feeds:
  crm: {source: crm.csv, kind: customers, key: id}
  till:
    {source: till.csv, kind: events, event: purchase, key: no, customer: crm.id = till.who, event_time: at,
     timezone: UTC, fields: {amount: paid}}
  abroad:
    {source: abroad.csv, kind: events, event: purchase, key: no, customer: crm.id = abroad.who, event_time: at,
     timezone: UTC, currency: money, reject_above: 1, fields: {amount: paid}}
"""
VIEWS = "views:\n  spend: {from: events, aggregates: {amount: [sum], '*': [count]}, windows: [30d]}\n"


def built(root: Path, rates: str) -> tuple[Workspace, UnifyReport, dict[str, float]]:
    files = {
        "crm.csv": lines("id,name", ["1,Ann", "2,Bob"]),
        "till.csv": lines("no,who,at,paid", ["a,1,2026-03-01,10", "b,2,2026-03-02,20"]),
        "abroad.csv": lines("no,who,at,paid,money", ["x,1,2026-03-01,100,USD", "y,1,2026-03-02,7,EUR"]),
        "features/feature_store.yaml": STORE,
    }
    feeds = FEEDS.replace("{RATES}", rates)
    workspace = company(root, feeds=feeds, views=VIEWS, files=files)
    report = unified(workspace)
    build_features(workspace, Silent())
    keys = {row["customer_id"]: row["record_id"] for row in table(workspace.personal / "records.parquet")}
    (newest,) = sorted((workspace.snapshots / "spend").glob("*.parquet"))[-1:]
    return workspace, report, {keys[row["customer_id"]]: row["spend__amount_sum_30d"] for row in table(newest)}


def test_declared_rates_make_one_money_of_all_feeds(tmp_path: Path) -> None:
    _, report, sums = built(tmp_path, "{USD: 0.5}")
    assert report.quarantined == 0
    assert sums == {"1": 10 + 50 + 7, "2": 20}


def test_without_a_rate_the_rows_are_kept_apart_and_counted(tmp_path: Path) -> None:
    workspace, report, sums = built(tmp_path, "{}")
    assert report.quarantined == 1
    assert sums == {"1": 10 + 7, "2": 20}
    (row,) = table(workspace.staged / "abroad" / "rejected.parquet")
    assert row["reason"] == "paid is not in EUR and company.rates has no rate for its currency"
