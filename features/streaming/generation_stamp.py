"""Of which customers and features the present state is: the worker and the intake see by it that there are new ones."""

from __future__ import annotations

from features.base.storage import digest_of, read_json, write_json
from features.base.workspace import Workspace
from features.snapshots.build_report import REPORT, UNIFIED_REPORT

CUT = "cut.json"


def customers_stamp(workspace: Workspace) -> str:
    """Return the digest of the customers of today; empty where there are none."""
    path = workspace.unified / UNIFIED_REPORT
    return str(read_json(path)["digest"]) if path.is_file() else ""


def features_stamp(workspace: Workspace) -> str:
    """Return a digest of the customers and features of today, and of the cuts; empty where no features are built."""
    path = workspace.snapshots / REPORT
    if not path.is_file():
        return ""
    return digest_of([customers_stamp(workspace), read_json(path)["digest"], *removal_stamp(workspace)])


def record_removal(workspace: Workspace) -> None:
    """Tell that rows are gone: the next build looks again, and a worker loads everything anew before its next batch."""
    write_json(workspace.streaming / CUT, {"number": sum(_cuts(workspace)) + 1})


def removal_stamp(workspace: Workspace) -> list[str]:
    """Return which cut was the last; empty where there was none."""
    return [f"cut {number}" for number in _cuts(workspace)]


def _cuts(workspace: Workspace) -> list[int]:
    path = workspace.streaming / CUT
    return [int(read_json(path)["number"])] if path.is_file() else []
