"""The quality report: an HTML page that works offline, and the same as JSON; neither holds a value of any person."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.compute as pc

from features.base.charts import ChartBar, horizontal_bars, number
from features.base.html_report import render_page, write_page
from features.base.masking import MIN_ROWS_PER_VALUE, MIN_ROWS_SHOWN
from features.base.parquet import read_parquet
from features.base.workspace import Workspace
from features.config.feed_checks import RULES
from features.config.feeds_file import FeedsFile
from features.ingest.row_history import UNTIL
from features.quality.check import Check
from features.quality.load_history import last_accepted
from features.quality.load_profile import ColumnStatistics
from features.quality.quarantine_list import quarantined_groups
from features.quality.repairs import changed_cells

REPORT = "report.json"
#: What a reader sees for an outcome: a sign (never colour alone) and a word.
SIGNS = {
    "passed": ("✓", "passed"),
    "failed": ("✗", "failed"),
    "repaired": ("↻", "repaired"),
    "not_applicable": ("·", "not applicable"),
}
_MANY_RECORDS = 6  # from so many records on customers are counted together


def report_content(
    workspace: Workspace, file: FeedsFile, *, checks: Sequence[Check], counts: Mapping[str, int], digest: str
) -> dict[str, Any]:
    """Return the report of the last unification that succeeded, as JSON holds it.

    Parameters
    ----------
    workspace, file : what was unified, and its declaration
    checks : the outcomes of all checks
    counts : ``records``, ``customers``, ``quarantined`` and ``withheld``
    digest : of the unification
    """
    feeds = {name: _feed(workspace, file, name) for name in file.feeds}
    return {
        "digest": digest,
        "as_of": max((feed["newest"] for feed in feeds.values()), default=""),
        "counts": dict(counts),
        "outcomes": {outcome: sum(check.outcome == outcome for check in checks) for outcome in SIGNS},
        "checks": [
            {**check.as_dict(), "title": RULES[check.code].title, "severity": file.quality.severity(check.code)}
            for check in checks
        ],
        "feeds": feeds,
        "quarantine": [group.as_dict() for group in quarantined_groups(workspace, file.feeds)],
        "records_per_customer": _records_per_customer(workspace),
        "purposes": {name: purpose.basis for name, purpose in file.purposes.items()},
    }


def write_report(content: Mapping[str, Any], folder: Path) -> Path:
    """Write ``report.html`` and ``report.json``, both or neither; return the page."""
    return write_page(folder, "report", report_page(content), content)


def report_page(content: Mapping[str, Any]) -> str:
    """Return the report as HTML; `content` is what `report_content` returned."""
    counts, outcomes = content["counts"], content["outcomes"]
    codes = sorted({check["code"] for check in content["checks"]})
    return render_page(
        Path(__file__).with_name("report.html"),
        report=content,
        tiles=[
            ("records", counts["records"]),
            ("customers", counts["customers"]),
            ("quarantined rows", counts["quarantined"]),
            ("without every consent", counts["withheld"]),
            ("checks failed", outcomes["failed"]),
            ("checks repaired", outcomes["repaired"]),
        ],
        signs=SIGNS,
        codes=codes,
        titles={check["code"]: check["title"] for check in content["checks"]},
        matrix=_matrix(content["checks"], codes, list(content["feeds"])),
        attention=[check for check in content["checks"] if check["outcome"] in ("failed", "repaired")],
        feeds={name: _charts(feed) for name, feed in content["feeds"].items()},
        sizes=_count_bars(content["records_per_customer"], subject="Customers by the number of their records"),
        quarantined=_quarantined(content["quarantine"]),
    )


def _feed(workspace: Workspace, file: FeedsFile, name: str) -> dict[str, Any]:
    feed, last = file.feeds[name], last_accepted(workspace.quality, name)
    content: dict[str, Any] = {"kind": feed.kind, "owner": feed.owner, "rows": 0, "rows_read": 0, "newest": ""}
    content |= {"filled": {}, "loads": [], "spread": {}, "repaired": changed_cells(workspace.staged / name)}
    if last is None:
        return content
    columns = last.profile.columns
    rows = max(last.profile.rows, 1)
    return content | {
        "rows": last.profile.rows,
        "rows_read": last.profile.rows_read,
        "newest": last.profile.newest,
        "filled": {
            column: round(found.filled / rows, 4)
            for column, found in columns.items()
            if column in feed.fields or column.startswith(f"{name}.")
        },
        "loads": [dict(load) for load in last.loads],
        "spread": {
            column: _distribution(found)
            for column, found in columns.items()
            if sum(found.counts.values()) >= MIN_ROWS_SHOWN
        },
    }


def _distribution(column: ColumnStatistics) -> dict[str, Any]:
    if column.edges:
        return {"edges": list(column.edges), "rows": [column.counts[str(at)] for at in range(len(column.edges) + 1)]}
    common = {name: rows for name, rows in column.counts.items() if rows >= MIN_ROWS_PER_VALUE}
    rare = sum(column.counts.values()) - sum(common.values())
    return {"categories": common | ({"(rare)": rare} if rare else {})}


def _records_per_customer(workspace: Workspace) -> dict[str, int]:
    """Return how many customers have one record, two records, and so on."""
    records = read_parquet(workspace.unified / "customers.parquet", columns=["customer_id", UNTIL])
    customers = records.filter(pc.is_null(records[UNTIL]))["customer_id"]
    sizes = pc.value_counts(pc.value_counts(customers).field("counts")).to_pylist()
    by_size: dict[str, int] = {}
    for size in sorted(sizes, key=lambda found: int(found["values"])):
        label = str(size["values"]) if size["values"] < _MANY_RECORDS else f"{_MANY_RECORDS} or more"
        by_size[label] = by_size.get(label, 0) + int(size["counts"])
    return by_size


def _matrix(
    checks: Sequence[Mapping[str, Any]], codes: Sequence[str], feeds: Sequence[str]
) -> list[tuple[str, list[Mapping[str, Any] | None]]]:
    """Return a row for each feed, and one for the checks over all feeds: outcomes in the order of `codes`."""
    found = {(check["feed"], check["code"]): check for check in checks}
    rows = [(name, [found.get((name, code)) for code in codes]) for name in feeds]
    over_all: list[Mapping[str, Any] | None] = [found.get(("", code)) for code in codes]
    return [*rows, ("all feeds", over_all)] if any(over_all) else rows


def _charts(feed: Mapping[str, Any]) -> dict[str, Any]:
    filled = [ChartBar(name, share) for name, share in feed["filled"].items()]
    subject = "Share of rows with a value"
    loads = [ChartBar(load["newest"][:10] or "no time", load["rows"], f"{load['rows']:,}") for load in feed["loads"]]
    return {
        "filled": horizontal_bars(filled, subject=subject, of_most=False, poor_below=0.5) if filled else None,
        "volumes": horizontal_bars(loads[-12:], subject="Rows of the accepted loads, the oldest first")
        if loads
        else None,
        "spread": {column: _distribution_bars(found) for column, found in feed["spread"].items()},
    }


def _distribution_bars(found: Mapping[str, Any]) -> str:
    if "categories" in found:
        labels, rows = list(found["categories"]), list(found["categories"].values())
    else:
        edges = [number(edge) for edge in found["edges"]]
        labels, rows = [*(f"≤ {edge}" for edge in edges), f"> {edges[-1]}"], found["rows"]
    total = max(sum(rows), 1)
    bars = [ChartBar(label, count / total) for label, count in zip(labels, rows, strict=True)]
    return horizontal_bars(bars, subject="Share of rows by value")


def _count_bars(counts: Mapping[str, int], *, subject: str) -> str:
    return horizontal_bars([ChartBar(name, count, f"{count:,}") for name, count in counts.items()], subject=subject)


def _quarantined(groups: Sequence[Mapping[str, Any]]) -> str | None:
    rows: dict[str, int] = {}
    for group in groups:
        rows[group["feed"]] = rows.get(group["feed"], 0) + group["rows"]
    return _count_bars(rows, subject="Quarantined rows by feed") if rows else None
