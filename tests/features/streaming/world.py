"""A small company with streamed events: unified, its features built as far as the worker needs, without Feast."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from features.base.clock import as_utc, iso
from features.base.database_engine import open_engine
from features.base.storage import digest_of, write_json
from features.base.workspace import Workspace
from features.consent.customer_data import CustomerData, open_customer_data
from features.snapshots.build_report import REPORT, BuiltView, FeaturesReport, as_json
from features.store.online_records_sqlite import SqliteRecords
from features.streaming.compaction import compact_all
from features.streaming.event_log import EventLog
from features.streaming.event_log_sqlite import SqliteLog
from features.streaming.intake import Intake
from features.views.compute import compute, create_entity_rows_at
from features.views.fitted import read_fitted, write_fitted
from features.views.fitting import learn_views
from features.views.recompute import ViewDeclarations
from tests.features.tiny import company, lines, people, table, unified

NOW = datetime(2026, 3, 1, 9, tzinfo=UTC)
SECOND = timedelta(seconds=1)
FEEDS = """\
company: {currency: GBP}
feeds:
  crm:
    {source: crm.csv, kind: customers, key: id, updated_at: changed, timezone: UTC, fields: {city: town, email: mail}}
  till:
    {source: till.csv, kind: events, key: no, customer: crm.id = till.who, event_time: at, timezone: UTC,
     fields: {event: what, amount: amount, quantity: pieces, item: sku, channel: channel}}
  said:
    {source: said.csv, kind: consents, customer: crm.id = said.who, event_time: at, timezone: UTC,
     fields: {purpose: purpose, status: word}}
  goods: {source: goods.csv, kind: items, key: sku, fields: {item: sku, group: family}}
identity: {rules: exact, match: [email]}
purposes: {marketing: {basis: consent, expires: 60d}, service: {basis: contract}}
quality: {unknown_customers_above: 1.0}
"""
VIEWS = """\
purpose: service
views:
  purchases:
    from: events
    where: event = 'purchase'
    aggregates: {amount: [sum, mean, min, max], item: [nunique], "*": [count, recency, tenure]}
    windows: [1d, 30d]
  families:
    {from: events, by: items.group, aggregates: {"*": [count], quantity: [sum]}, windows: [30d], purpose: marketing}
  market: {from: events, of: company, aggregates: {"*": [count]}, windows: [30d]}
  profile: {from: customers, fields: [city]}
"""
CUSTOMERS = ("A1", "B1", "C1", "D1")


def world(root: Path, *, feeds: str = FEEDS, views: str = VIEWS, build: bool = True) -> Workspace:
    """Write the company, and unify it: four customers, of whom B1 allows no marketing, and A1 does until April."""
    customers = [f"{name},2026-01-01,{name.lower()}@x.org,Town {name}" for name in CUSTOMERS]
    till = [
        "1,A1,2026-02-01T10:00:00,purchase,10,1,wine-red,shop",
        "2,A1,2026-02-25T10:00:00,purchase,20,2,toy,web",
        "3,B1,2026-02-28T09:00:00,purchase,5,1,toy,web",
        "4,C1,2026-01-15T10:00:00,return,-5,1,wine-red,shop",
    ]
    words = [f"{name},marketing,granted,2026-02-0{place + 1}" for place, name in enumerate(CUSTOMERS) if name != "B1"]
    files = {
        "crm.csv": lines("id,changed,mail,town", customers),
        "till.csv": lines("no,who,at,what,amount,pieces,sku,channel", till),
        "said.csv": lines("who,purpose,word,at", words),
        "goods.csv": lines("sku,family", ["wine-red,wine", "toy,toys"]),
    }
    workspace = company(root, feeds=feeds, views=views, files=files)
    unified(workspace)
    if build:
        built(workspace)
    return workspace


def built(workspace: Workspace, as_of: datetime | None = None) -> FeaturesReport:
    """Leave the report of a build of the features, as `nextbest features` does."""
    last_event = compact_all(workspace)
    declared = ViewDeclarations.load(workspace)
    feeds, views = declared.feeds, declared.views
    workspace.snapshots.mkdir(parents=True, exist_ok=True)
    with open_engine(folders=[workspace.state]) as engine:
        data = CustomerData(engine, workspace, feeds.purposes, as_of=as_of)
        access = data.allow(purpose=None)
        moment = as_of or access.moment
        learnt = learn_views(engine, data, views, feeds, until=moment, kept=read_fitted(workspace.snapshots))
        fitted = {name: view.fitted for name, view in learnt.items()}
        planned = declared.plan(access.columns, fitted)
        write_fitted(workspace.snapshots, fitted)
        report = FeaturesReport(
            views=tuple(BuiltView(view.name, view.features, 0) for view in planned),
            as_of=moment,
            cutoffs=(moment,),
            online_customers=0,
            digest=digest_of([iso(moment), last_event, views.model_dump(mode="json")]),
            last_event=last_event,
        )
    write_json(workspace.snapshots / REPORT, as_json(report))
    return report


def offline(workspace: Workspace, as_of: datetime) -> dict[str, dict[str, tuple[Any, ...]]]:
    """Return every customer's features as of a moment, view by view, as the snapshots hold them."""
    declared = ViewDeclarations.load(workspace)
    feeds, views = declared.feeds, declared.views
    found: dict[str, dict[str, tuple[Any, ...]]] = {}
    part = workspace.state / "part.parquet"
    with open_engine(folders=[workspace.state]) as engine:
        access = open_customer_data(engine, workspace, feeds.purposes, purpose=None, as_of=as_of)
        for view in declared.plan(access.columns, read_fitted(workspace.snapshots)):
            purpose = views.purpose_of(view.name)
            access = open_customer_data(engine, workspace, feeds.purposes, purpose=purpose, as_of=as_of)
            create_entity_rows_at(engine, access.columns, [as_of])
            compute(engine, view, {as_of: part})
            for row in table(part):
                values = tuple(row[feature.name] for feature in view.features)
                found.setdefault(row["customer_id"], {})[view.name] = values
    part.unlink()
    return found


def customer(workspace: Workspace, record: str) -> str:
    """Return the customer that a record of the customers' feed is part of today."""
    return next(one for one, records in people(workspace).items() if f"crm:{record}" in records)


def told(number: int, who: str, at: datetime = NOW, **more: Any) -> str:
    """Return a purchase as a source tells it; `who` is a record of the customers' feed, or a customer's id."""
    named = {"record": f"crm:{who}"} if who in CUSTOMERS else {"customer_id": who}
    document: dict[str, Any] = {
        "feed": "app",
        "id": f"e{number}",
        **named,
        "event": "purchase",
        "event_time": at.isoformat(),
    }
    document |= {"amount": 7.5, "quantity": 1, "item": "toy", "channel": "app"} | more
    return json.dumps({name: value for name, value in document.items() if value is not None})


def records_of(workspace: Workspace) -> SqliteRecords:
    """Return the online records; in the tests of streaming always of SQLite."""
    return SqliteRecords(workspace.state / "online" / "records.db")


def log_of(workspace: Workspace) -> SqliteLog:
    return SqliteLog(workspace.streaming)


def accept(workspace: Workspace, events: Iterable[str], *, at: datetime = NOW, log: EventLog | None = None) -> Any:
    """Take events in, and return the receipt."""
    opened = log or log_of(workspace)
    try:
        return Intake(workspace, opened).accept(events, at=as_utc(at))
    finally:
        if log is None:
            opened.close()


def values_of(record: Mapping[str, Any]) -> dict[str, Sequence[Any]]:
    return {view: tuple(block.values) for view, block in record.items()}
