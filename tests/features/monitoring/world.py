"""A tiny shop whose till says when each row became known; built, and served by the test itself."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path

from features.base.progress import Silent
from features.base.workspace import Workspace
from features.pipeline.build_features import build_features
from features.store.feature_read_log import FeatureReadLog
from features.store.online_reader import OnlineRow, open_reader
from features.views.declarations import definition_of
from tests.features.tiny import STORE, company, lines, table, unified

FEEDS = """\
company: {currency: GBP, timezone: Europe/London}
feeds:
  crm:
    {source: crm.csv, kind: customers, key: id, updated_at: changed, timezone: UTC, fields: {city: town}, drop: [town]}
  till:
    {source: till.csv, kind: events, event: buy, key: no, customer: crm.id = till.who, event_time: at, known_at: known,
     timezone: UTC, fields: {amount: price, item: sku}}
  said:
    {source: said.csv, kind: consents, customer: crm.id = said.who, event_time: at, timezone: UTC,
     fields: {purpose: what, status: word}}
purposes: {marketing: {basis: consent}, service: {basis: contract}}
"""
VIEWS = """\
views:
  buys: {from: events, aggregates: {amount: [sum, mean], "*": [count, recency]}, windows: [7d, 30d], ttl: 3d}
  market: {from: events, of: company, aggregates: {"*": [count]}, windows: [7d]}
  profile: {from: customers, fields: [city]}
snapshots: {every: 7d}
"""
TILL = (
    "1,1,2026-01-04,2026-01-04,bear,5.10",
    "2,2,2026-01-08 12:00,2026-01-08 12:00,jam,3",
    "3,3,2026-01-08 12:00,2026-01-08 12:00,jam,4.2",
    "4,1,2026-01-08 13:00,2026-01-08 13:00,jam,0.7",
)
MIDNIGHT = datetime(2026, 1, 9, tzinfo=UTC)
FEATURES = ("buys__amount_sum_7d", "buys__count_30d", "buys__recency", "market__count_7d", "profile__city")


def shop(
    root: Path,
    *,
    till: Sequence[str] = TILL,
    said: Sequence[str] = ("1,marketing,granted,2026-01-05",),
    delivered: datetime = datetime(2026, 1, 9, 12, tzinfo=UTC),
) -> Workspace:
    """Write the shop, and make its customers."""
    files: Mapping[str, str] = {
        "features/feature_store.yaml": STORE,
        "crm.csv": lines("id,changed,town", ["1,2026-01-01,York", "2,2026-01-03,Leeds", "3,2026-01-02,Hull"]),
        "till.csv": lines("no,who,at,known,sku,price", till),
        "said.csv": lines("who,what,word,at", said),
    }
    workspace = company(root, feeds=FEEDS, views=VIEWS, files=files, delivered=delivered)
    unified(workspace)
    return workspace


def build(workspace: Workspace, *, as_of: datetime | None = None) -> None:
    build_features(workspace, Silent(), as_of=as_of)


def built_shop(root: Path) -> Workspace:
    """Write the shop and build it."""
    made = shop(root)
    build(made)
    return made


def copied(built: Workspace, root: Path) -> Workspace:
    """Return a copy of a built shop, registered where it lies now."""
    shutil.copytree(built.root, root, dirs_exist_ok=True)
    build(Workspace(root))
    return Workspace(root)


def customers(workspace: Workspace) -> list[str]:
    """Return the ids of the customers whose records are 1, 2 and 3."""
    rows = table(workspace.personal / "records.parquet")
    return [row["customer_id"] for row in sorted(rows, key=lambda row: row["record_id"])]


def serve(
    workspace: Workspace, asked: Sequence[str], *, at: datetime, features: Sequence[str] = FEATURES
) -> list[OnlineRow]:
    """Read features as the service does, and log all of them."""
    reader = open_reader(workspace.root)
    rows = reader.read(asked, features, as_of=at, deadline=timedelta(seconds=10))
    reader.close()
    log = FeatureReadLog(
        workspace.served,
        definition=definition_of(workspace),
        sample=1.0,
        keep=timedelta(days=30),
        rng=lambda: 0.0,
    )
    log.add(rows, at=at)
    log.close()
    return rows
