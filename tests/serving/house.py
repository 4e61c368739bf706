"""A small real workspace to serve from: features in Feast, two champions learnt from them, offers and roles."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa

from features.base.clock import iso
from features.base.parquet import write_parquet
from features.base.storage import write_json
from features.base.workspace import Workspace
from features.pipeline.feature_stages import EVERYTHING
from features.store.definitions import ColumnType, FeatureColumn, ServiceDefinition, SnapshotView
from features.store.repository import open_store
from features.views.catalogue import Feature
from tests.features.tiny import STORE
from training.models import classifier, golden_rows, ranker
from training.models.booster import BoosterSettings
from training.models.scorers import Classifier, Ranker
from training.registry import bundle
from training.registry.bundle import About, Bundle
from training.registry.champions import Champion, bundle_folder, set_champion

CUTOFF = datetime(2026, 6, 1, tzinfo=UTC)
NOW = CUTOFF + timedelta(hours=9)
CUSTOMERS = 240
QUICK = BoosterSettings(learning_rate=0.2, max_rounds=12, patience=4, folds=2, num_threads=1, min_positives=5)
GROUPS = ("wine", "toys")
COLUMNS: dict[str, dict[str, ColumnType]] = {
    "purchases": {"purchases__amount_sum_30d": "float", "purchases__count_30d": "int"},
    "profile": {"profile__region": "string"},
    "consent": {"consent__marketing": "int", "consent__marketing_record": "string"},
}
TTL = timedelta(days=7)

FILES = {
    "features/feature_store.yaml": STORE,
    "features/feeds.yaml": """\
company: {currency: GBP, timezone: Europe/London}
feeds:
  crm: {source: crm.csv, kind: customers, key: id}
purposes: {marketing: {basis: consent}, service: {basis: contract}}
""",
    "features/views.yaml": """\
views:
  purchases: {from: events, aggregates: {"*": [count], amount: [sum]}, windows: [30d], ttl: 7d}
  profile: {from: customers, fields: [region]}
""",
    "training/labels.yaml": """\
models:
  churn: {label: {kind: inactivity, event: purchase, horizon: 30d}}
  cross_sell: {label: {kind: acquisition, of: items.group, horizon: 30d}}
  newcomer: {label: {kind: inactivity, event: purchase, horizon: 90d}}
""",
    "serving/offers.yaml": """\
offers:
  - id: wine-case
    title: A case of wine
    group: upsell
    purpose: marketing
    channels: [email, agent]
    value: {margin: 40, cost: 0.1}
    score: {model: cross_sell, candidate: wine}
  - id: toy-box
    group: upsell
    purpose: marketing
    channels: [email]
    value: {margin: 30, cost: 0.1}
    suitability: purchases__count_30d >= 1
    caps: [{every: 7d, at_most: 1}]
    score: {model: cross_sell, candidate: toys}
  - id: stay-call
    group: retention
    purpose: service
    channels: [agent]
    value: {margin: 100 * score__churn, cost: 1}
    score: {propensity: 0.3, evidence: 100}
policy:
  exploration: {control: 0.05}
  top: 2
  capacity: {agent: 400/day}
""",
    "serving/roles.yaml": """\
roles:
  everything:
    key: ${file:state/keys/everything.key}
    purposes: [marketing, service]
    fields: [offers, reasons, blocked, propensity, value, decision, risk_band, scores, features, profile, consents,
      events, metrics]
  shop:
    key: ${file:state/keys/shop.key}
    purposes: [marketing]
    fields: [offers]
    channels: [email]
  north_service:
    key: ${file:state/keys/north_service.key}
    purposes: [service]
    rows: same_territory
    fields: [offers, risk_band, profile]
  reasons_only:
    key: ${file:state/keys/reasons_only.key}
    purposes: [marketing]
    fields: [offers, reasons, blocked]
  operator:
    key: ${file:state/keys/operator.key}
    purposes: [marketing, service]
    fields: [metrics]
  event_source:
    key: ${file:state/keys/event_source.key}
    purposes: [marketing, service]
    fields: [events]
  reporter:
    key: ${file:state/keys/reporter.key}
    purposes: [marketing]
    fields: [offers]
    actions: [outcomes]
    channels: [agent]
row_rules: {same_territory: profile__region = 'north'}
risk: {model: churn, medium: 0.2, high: 0.5}
""",
}


def build(root: Path) -> Workspace:
    """Write the workspace, its features and its champions."""
    workspace = Workspace(root)
    for name, text in FILES.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    frame = _customers()
    _unify(workspace, frame)
    _publish(workspace, frame)
    chance = np.random.default_rng(3)
    learnt = frame[["purchases__amount_sum_30d", "purchases__count_30d", "profile__region"]]
    idle = learnt["purchases__count_30d"].to_numpy() + chance.normal(size=CUSTOMERS) < 1.5
    _promote(workspace, "churn", classifier.fit(learnt, idle.astype(float), settings=QUICK, seed=1), learnt)
    likely = np.column_stack([learnt["profile__region"] == "north", learnt["purchases__count_30d"] > 2])
    taken = chance.random((CUSTOMERS, 2)) < 0.15 + 0.3 * likely  # each group for a reason of its own
    ranked = ranker.fit(learnt, taken.astype(float), candidates=GROUPS, settings=QUICK, seed=1)
    _promote(workspace, "cross_sell", ranked, learnt)
    return workspace


def customer(number: int) -> str:
    return f"c{number:04d}"


def _customers() -> pd.DataFrame:
    chance = np.random.default_rng(1)
    counts = chance.poisson(2.0, CUSTOMERS)
    consent = chance.choice([1.0, 0.0, np.nan], CUSTOMERS, p=[0.7, 0.15, 0.15])
    records = [None if np.isnan(word) else f"web:{row}" for row, word in enumerate(consent)]
    amounts = np.where(counts > 0, counts * chance.uniform(5, 50, CUSTOMERS), np.nan)
    return pd.DataFrame(
        {
            "customer_id": [customer(number) for number in range(CUSTOMERS)],
            "purchases__amount_sum_30d": amounts,
            "purchases__count_30d": counts,
            "profile__region": chance.choice(["north", "south"], CUSTOMERS),
            "consent__marketing": pd.array(consent, dtype="Int64"),
            "consent__marketing_record": records,
        }
    )


def _unify(workspace: Workspace, frame: pd.DataFrame) -> None:
    """Say who the customers are: a record of the feed `crm` each, under a key of its own."""
    ids, count = pa.array(frame["customer_id"]), len(frame)
    led = {"past_id": ids, "customer_id": ids, "place": pa.array([0] * count, pa.int32()), "live": [True] * count}
    records = {"feed": ["crm"] * count, "record_id": [str(number) for number in range(count)], "customer_id": ids}
    write_parquet(pa.table(led), workspace.unified / "ids.parquet")
    write_parquet(pa.table(records), workspace.personal / "records.parquet")
    write_json(workspace.unified / "unified.json", {"digest": "of these customers"})


def _publish(workspace: Workspace, frame: pd.DataFrame) -> None:
    views, types = [], {"float": pa.float64(), "int": pa.int64(), "string": pa.string()}
    moments = pa.array([CUTOFF] * len(frame), pa.timestamp("us", "UTC"))
    for name, columns in COLUMNS.items():
        path = (workspace.snapshots / f"{name}.parquet").resolve()
        table = {
            "customer_id": pa.array(frame["customer_id"]),
            "event_timestamp": moments,
            "created_timestamp": moments,
        }
        table |= {column: pa.array(frame[column], types[kind], from_pandas=True) for column, kind in columns.items()}
        write_parquet(pa.table(table), path)
        declared = tuple(FeatureColumn(column, kind) for column, kind in columns.items())
        views.append(SnapshotView(name, path, declared, ttl=TTL if name == "purchases" else None))
    (workspace.state / "feast").mkdir(parents=True)
    store = open_store(workspace.root)
    names = tuple(column.name for view in views for column in view.columns)
    store.apply(views, [ServiceDefinition(EVERYTHING, names)])
    store.materialize(as_of=CUTOFF)
    store.close()
    built = [
        {
            "name": name,
            "features": [asdict(Feature(column, name, _kind(kind))) for column, kind in columns.items()],
            "rows": len(frame),
        }
        for name, columns in COLUMNS.items()
    ]
    report = {"views": built, "as_of": iso(CUTOFF), "cutoffs": [iso(CUTOFF)], "online_customers": len(frame)}
    write_json(workspace.snapshots / "features.json", {**report, "digest": "d" * 64})


def _kind(kind: ColumnType) -> Any:
    return kind


def _promote(workspace: Workspace, model: str, scorer: Classifier | Ranker, frame: pd.DataFrame) -> None:
    rows = golden_rows.synthetic_rows(scorer.encoding, scorer.encoding.matrix(frame))
    made = Bundle.of(scorer, about=About(model=model, label="made up"), rows=rows)
    folder = workspace.models / "new" / model
    digest = bundle.write(made, folder)
    target = bundle_folder(workspace, model, digest)
    target.parent.mkdir(parents=True)
    folder.rename(target)
    set_champion(workspace, Champion(model, 1, digest), move="promote", reason="the first", at=CUTOFF)
