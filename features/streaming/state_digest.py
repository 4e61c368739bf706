"""Digests of the customers and features of today, by which the worker and the intake find that there are new ones."""

from __future__ import annotations

from features.base.storage import digest_of, read_json, write_json
from features.base.workspace import Workspace
from features.snapshots.build_report import REPORT, UNIFIED_REPORT

REMOVALS = "removals.json"


def customers_digest(workspace: Workspace) -> str:
    """Return the digest of the customers of today; empty where there are none."""
    path = workspace.unified / UNIFIED_REPORT
    return str(read_json(path)["digest"]) if path.is_file() else ""


def features_digest(workspace: Workspace) -> str:
    """Return a digest of the customers and features of today, and of removals; empty where no features are built."""
    path = workspace.snapshots / REPORT
    if not path.is_file():
        return ""
    return digest_of([customers_digest(workspace), read_json(path)["digest"], *last_removal(workspace)])


def record_removal(workspace: Workspace) -> None:
    """Record that rows were removed: the next build computes again, and a worker loads all rows anew."""
    write_json(workspace.streaming / REMOVALS, {"number": sum(_removals(workspace)) + 1})


def last_removal(workspace: Workspace) -> list[str]:
    """Return which removal was the last; empty where there was none."""
    return [f"removal {number}" for number in _removals(workspace)]


def _removals(workspace: Workspace) -> list[int]:
    path = workspace.streaming / REMOVALS
    return [int(read_json(path)["number"])] if path.is_file() else []
