"""What the quality report says, as plain values: nothing in it is anybody's own value."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pyarrow.compute as pc

from features.base.storage import read_parquet
from features.base.workspace import Workspace
from features.config.feed_checks import RULES
from features.config.feeds_file import FeedsFile
from features.quality.check import Check
from features.quality.load_history import accepted
from features.quality.load_profile import ColumnProfile
from features.quality.quarantine_list import kept_aside
from features.quality.repairs import changed_cells

#: Of fewer rows the spread would tell single values.
FEW = 50
#: Fewer rows of one category could be told from each other: they are counted together.
RARE = 5
_MOST = 6  # records of one customer from which on customers are counted together
OUTCOMES = ("passed", "failed", "repaired", "not_applicable")


def facts(
    workspace: Workspace, file: FeedsFile, *, checks: Sequence[Check], counts: Mapping[str, int], digest: str
) -> dict[str, Any]:
    """Return the report of the last unification that succeeded.

    Parameters
    ----------
    workspace, file : what was unified, and its declaration
    checks : the answers of all checks
    counts : ``records``, ``customers``, ``quarantined`` and ``withheld``
    digest : of the unification
    """
    feeds = {name: _feed(workspace, file, name) for name in file.feeds}
    return {
        "digest": digest,
        "as_of": max((feed["newest"] for feed in feeds.values()), default=""),
        "counts": dict(counts),
        "outcomes": {outcome: sum(check.outcome == outcome for check in checks) for outcome in OUTCOMES},
        "checks": [
            {**check.as_dict(), "title": RULES[check.code].title, "severity": file.quality.severity(check.code)}
            for check in checks
        ],
        "feeds": feeds,
        "quarantine": [group.as_dict() for group in kept_aside(workspace, file.feeds)],
        "records_per_customer": _sizes(workspace),
        "purposes": {name: purpose.basis for name, purpose in file.purposes.items()},
    }


def _feed(workspace: Workspace, file: FeedsFile, name: str) -> dict[str, Any]:
    feed, known = file.feeds[name], accepted(workspace.quality, name)
    told: dict[str, Any] = {"kind": feed.kind, "owner": feed.owner, "rows": 0, "rows_read": 0, "newest": ""}
    told |= {"filled": {}, "loads": [], "spread": {}, "repaired": changed_cells(workspace.staged / name)}
    if known is None:
        return told
    columns = known.profile.columns
    rows = max(known.profile.rows, 1)
    return told | {
        "rows": known.profile.rows,
        "rows_read": known.profile.rows_read,
        "newest": known.profile.newest,
        "filled": {
            column: round(found.filled / rows, 4)
            for column, found in columns.items()
            if column in feed.fields or column.startswith(f"{name}.")
        },
        "loads": [dict(load) for load in known.loads],
        "spread": {column: _spread(found) for column, found in columns.items() if sum(found.counts.values()) >= FEW},
    }


def _spread(column: ColumnProfile) -> dict[str, Any]:
    if column.edges:
        return {"edges": list(column.edges), "rows": [column.counts[str(at)] for at in range(len(column.edges) + 1)]}
    common = {name: rows for name, rows in column.counts.items() if rows >= RARE}
    rare = sum(column.counts.values()) - sum(common.values())
    return {"categories": common | ({"(rare)": rare} if rare else {})}


def _sizes(workspace: Workspace) -> dict[str, int]:
    """Return how many customers have one record, two records, and so on."""
    customers = read_parquet(workspace.unified / "customers.parquet", columns=["customer_id"])["customer_id"]
    sizes = pc.value_counts(pc.value_counts(customers).field("counts")).to_pylist()
    told: dict[str, int] = {}
    for size in sorted(sizes, key=lambda found: int(found["values"])):
        label = str(size["values"]) if size["values"] < _MOST else f"{_MOST} or more"
        told[label] = told.get(label, 0) + int(size["counts"])
    return told
