"""``nextbest features reconcile`` and ``consistency``: what lies online, and what was served, against the snapshots."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.table import Table
from rich.text import Text

from features.base.clock import iso, system_clock
from features.base.errors import BadData, Problem
from features.monitoring.consistency import ConsistencyReport, FeatureConsistency, prove
from features.monitoring.reconciliation import ReconciliationReport
from features.monitoring.reconciliation import reconcile as hold
from features.store.materialize import Difference
from serving.cli.options import AsJson, Folder, workspace_of
from serving.cli.terminal import Terminal

SHOWN = 30  # features of a page


def reconcile(
    workspace: Folder = Path(),
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only tell; 65 where there is something to mend.")] = False,
    as_json: AsJson = False,
) -> None:
    """Hold the whole online store against the last build's snapshots, and mend what differs."""
    terminal = Terminal(as_json=as_json)
    done = hold(workspace_of(workspace), repair=not dry_run, now=system_clock())
    problems = [] if not done.still_wrong else [_differs(done)]
    views = {view.view: _difference(view) for view in done.found}
    document = {"views": views, "different": done.wrong, "left": done.still_wrong}
    terminal.answer(document | _error(problems))
    for view in done.found:
        terminal.say(_line(view))
    if problems:
        _fail(terminal, problems)
    terminal.say(f"{done.wrong} differences mended" if done.wrong else "online and offline are the same")
    terminal.next_step("nextbest features consistency")


def consistency(
    workspace: Folder = Path(),
    limit: Annotated[float, typer.Option(min=0, max=1, help="The greatest mismatch rate of a feature.")] = 0.001,
    missing_limit: Annotated[float, typer.Option(min=0, max=1, help="The greatest missing rate.")] = 0.01,
    stale_limit: Annotated[
        float, typer.Option(min=0, max=1, help="The greatest stale rate; only reported at 1.")
    ] = 1.0,
    newest: Annotated[int, typer.Option(min=1, help="How many of the newest logged vectors are compared.")] = 10_000,
    as_json: AsJson = False,
) -> None:
    """Compute logged served features again offline, and tell per feature what was wrong, missing or stale."""
    terminal = Terminal(as_json=as_json)
    found = prove(workspace_of(workspace), newest=newest)
    limits = {"mismatch_rate": limit, "missing_rate": missing_limit, "stale_rate": stale_limit}
    problems = [*_above(found, limits)]
    document: dict[str, Any] = {
        "vectors": found.vectors,
        "redefined": found.redefined,
        "gone": found.gone,
        "dropped": found.dropped,
        "limits": limits,
        "features": {feature.feature: feature.as_dict() for feature in found.features},
    }
    terminal.answer(document | _error(problems))
    terminal.show(_table(found))
    for line in _footnotes(found):
        terminal.say(line)
    if problems:
        _fail(terminal, problems)
    terminal.say("served and offline features are the same within the limits")
    terminal.next_step("nextbest train")


def _difference(view: Difference) -> dict[str, Any]:
    return {
        "cutoff": None if view.cutoff is None else iso(view.cutoff),
        "counts": dict(view.counts),
        "customers": {kind: list(customers) for kind, customers in view.examples.items()},
    }


def _line(view: Difference) -> str:
    if not view.counts:
        return f"{view.view}: the same"
    parts = []
    for kind, count in view.counts.items():
        some = view.examples.get(kind, ())
        named = f" ({', '.join(some)}{', …' if count > len(some) else ''})" if some else ""
        parts.append(f"{count} {kind}{named}")
    return f"{view.view}: {'; '.join(parts)}"


def _differs(done: ReconciliationReport) -> Problem:
    views = ", ".join(view.view for view in done.left if view.wrong)
    return Problem(
        "store.differs",
        f"the online store differs from the snapshots in {done.still_wrong} customers' views",
        views,
        "`nextbest features reconcile` mends it; when it does not, something else writes into the store",
    )


def _above(found: ConsistencyReport, limits: dict[str, float]) -> Iterator[Problem]:
    for feature in found.features:
        for rate, limit in limits.items():
            value = getattr(feature, rate)
            if value > limit:
                name = rate.removesuffix("_rate")
                yield Problem(
                    f"consistency.{name}", f"{name} rate {value:.4f}, above {limit:g}", feature.feature, _HINTS[name]
                )


_HINTS = {
    "mismatch": "`nextbest features reconcile` shows whether the online store differs now; see what fills it otherwise",
    "missing": "`nextbest features reconcile` fills in what is missing online",
    "stale": "build more often, or let the worker follow the streamed events",
}


def _table(found: ConsistencyReport) -> Table:
    table = Table("feature", "served", "compared", "mismatch", "missing", "stale", box=None, pad_edge=False)
    for column in table.columns[1:]:
        column.justify = "right"
    for feature in found.features[:SHOWN]:
        table.add_row(Text(feature.feature), str(feature.served), str(feature.compared), *_rates(feature))
    return table


def _rates(feature: FeatureConsistency) -> list[str]:
    return [f"{rate:.4f}" for rate in (feature.mismatch_rate, feature.missing_rate, feature.stale_rate)]


def _footnotes(found: ConsistencyReport) -> Iterator[str]:
    yield f"{found.vectors} served vectors, {len(found.features)} features"
    if len(found.features) > SHOWN:
        yield f"  the other {len(found.features) - SHOWN} features differ no more than the last one shown"
    if found.redefined:
        yield f"  {found.redefined} more were served under feeds or views as they were declared before"
    behind = sum(feature.behind for feature in found.features)
    if behind:
        yield f"  {behind} values were those of a moment ago: an event was on its way, and they count as equal"
    if found.gone:
        yield f"  of {found.gone} the customer is no longer there to be computed for"
    if found.dropped:
        yield f"  {found.dropped} reads were not logged: the service had too many waiting, or no space"


def _error(problems: list[Problem]) -> dict[str, Any]:
    if not problems:
        return {}
    more = [problem.as_dict() for problem in problems[1:]]
    return {"error": {**problems[0].as_dict(), **({"more": more} if more else {})}}


def _fail(terminal: Terminal, problems: list[Problem]) -> None:
    if not terminal.as_json:
        terminal.fail(problems[:SHOWN])
    raise typer.Exit(BadData.exit_code)
