"""A tiny company on disk: files and settings written by the test itself."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq

from features.base.progress import Silent
from features.base.workspace import Workspace
from features.config.feed import Feed
from features.identity.keyed_digest import store_key
from features.ingest.staging import StagedFeed, stage
from features.pipeline.unify import unify
from features.pipeline.unify_report import UnifyReport

#: The online store in a file of the workspace; no test is about how soon it answers, so a slow machine may be slow.
SQLITE = "{type: features.store.online.SqliteOnlineStore, path: state/feast/online.db, deadline: 60s}"
#: Feast's own file, for a workspace that keeps everything in its folder.
STORE = f"""\
project: nextbest
provider: local
registry: {{registry_type: sql, path: "sqlite:///state/feast/registry.db"}}
offline_store: {{type: features.store.offline.PointInTimeOfflineStore}}
online_store: {SQLITE}
entity_key_serialization_version: 3
"""
#: With the same key the same records get the same ids.
ID_KEY = "a key that is no secret, for tests"


@dataclass(frozen=True)
class Staged:
    """A staged feed, and its rows as dictionaries."""

    feed: StagedFeed
    folder: Path

    @property
    def rows(self) -> list[dict[str, Any]]:
        return table(self.folder / "rows.parquet")

    @property
    def rejected(self) -> list[dict[str, Any]]:
        return table(self.folder / "rejected.parquet")

    def column(self, name: str) -> list[Any]:
        return [row[name] for row in self.rows]


def table(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a Parquet file."""
    return [dict(row) for row in pq.read_table(path, partitioning=None).to_pylist()]


def staged(root: Path, content: str | bytes | None = None, *, file: str = "till.csv", **settings: Any) -> Staged:
    """Write one file, if content is given, and stage a feed of events from it."""
    if content is not None:
        (root / file).write_bytes(content if isinstance(content, bytes) else content.encode())
    declared: dict[str, Any] = {
        "source": file,
        "kind": "events",
        "event": "purchase",
        "event_time": "at",
        "timezone": "UTC",
        "customer": "crm.id = till.who",
        "reject_above": 0.5,
    }
    feed = Feed.model_validate({name: value for name, value in {**declared, **settings}.items() if value is not None})
    return Staged(stage("till", feed, root=root, folder=root / "staged"), root / "staged" / "till")


def company(
    root: Path,
    *,
    feeds: str,
    views: str = "",
    files: Mapping[str, str] | None = None,
    delivered: datetime | None = None,
) -> Workspace:
    """Write a workspace: its settings, its other files by name, and the key of its ids, the same for all.

    With `delivered` these files came on the same day, whenever the test runs.
    """
    (root / "features").mkdir(parents=True, exist_ok=True)
    (root / "features" / "feeds.yaml").write_text(feeds, encoding="utf-8")
    if views:
        (root / "features" / "views.yaml").write_text(views, encoding="utf-8")
    for name, text in (files or {}).items():
        (root / name).write_text(text, encoding="utf-8")
        if delivered is not None:
            os.utime(root / name, (delivered.timestamp(),) * 2)
    store_key(Workspace(root).identity_key, ID_KEY)
    store_key(Workspace(root).pseudonym_key, ID_KEY)
    return Workspace(root)


def unified(workspace: Workspace) -> UnifyReport:
    return unify(workspace, Silent())


def people(workspace: Workspace) -> dict[str, list[str]]:
    """Return the records (``feed:key``) of every customer, by customer id."""
    found: dict[str, list[str]] = {}
    for row in table(workspace.personal / "records.parquet"):
        found.setdefault(row["customer_id"], []).append(f"{row['feed']}:{row['record_id']}")
    return found


def groups(workspace: Workspace) -> list[list[str]]:
    """Return the records of every customer, sorted."""
    return sorted(sorted(records) for records in people(workspace).values())


def lines(header: str, rows: Sequence[str]) -> str:
    return "\n".join([header, *rows, ""])
