"""The quality report: one page that works offline, and the same as JSON."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from features.base.storage import atomic_folder, write_json
from features.quality.report_charts import counted, filled, spread, volumes
from features.quality.report_content import OUTCOMES

#: What a reader sees for an outcome: a sign (never colour alone) and a word.
SIGNS = {"passed": ("✓", "passed"), "failed": ("✗", "failed"), "repaired": ("↻", "repaired")}
SIGNS |= {"not_applicable": ("·", "not applicable")}
REPORT = "report.json"
PAGE = "report.html"


def write_report(told: Mapping[str, Any], folder: Path) -> None:
    """Write ``report.html`` and ``report.json``, both or neither."""
    with atomic_folder(folder) as part:
        write_json(part / REPORT, told)
        (part / PAGE).write_text(page(told), encoding="utf-8")


def page(told: Mapping[str, Any]) -> str:
    """Return the report as HTML; `told` is what `features.quality.report_content.facts` gave."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    codes = sorted({check["code"] for check in told["checks"]})
    return environment.get_template(PAGE).render(
        told=told,
        signs=SIGNS,
        outcomes=OUTCOMES,
        codes=codes,
        titles={check["code"]: check["title"] for check in told["checks"]},
        matrix=_matrix(told["checks"], codes, list(told["feeds"])),
        odd=[check for check in told["checks"] if check["outcome"] in ("failed", "repaired")],
        feeds={name: _pictures(feed) for name, feed in told["feeds"].items()},
        sizes=counted(told["records_per_customer"], what="Customers by the number of their records"),
        aside=_aside(told["quarantine"]),
    )


def _matrix(
    checks: Sequence[Mapping[str, Any]], codes: Sequence[str], feeds: Sequence[str]
) -> list[tuple[str, list[Mapping[str, Any] | None]]]:
    """Return a row for each feed, and one for what is asked of all together: its answers in the order of `codes`."""
    found = {(check["feed"], check["code"]): check for check in checks}
    rows = [(name, [found.get((name, code)) for code in codes]) for name in feeds]
    together: list[Mapping[str, Any] | None] = [found.get(("", code)) for code in codes]
    return [*rows, ("all together", together)] if any(together) else rows


def _pictures(feed: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "filled": filled(feed["filled"]) if feed["filled"] else None,
        "volumes": volumes(feed["loads"]) if feed["loads"] else None,
        "spread": {column: spread(found) for column, found in feed["spread"].items()},
    }


def _aside(groups: Sequence[Mapping[str, Any]]) -> str | None:
    rows: dict[str, int] = {}
    for group in groups:
        rows[group["feed"]] = rows.get(group["feed"], 0) + group["rows"]
    return counted(rows, what="Rows kept aside by feed") if rows else None
