"""Each command's work, and what it has to say: as JSON for programs, as text for people."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from time import perf_counter
from typing import Any

from features.base.clock import Clock, iso
from features.base.errors import NextbestError
from features.base.progress import Progress
from features.base.workspace import Workspace
from features.pipeline.unify import UnifyReport, unify
from features.snapshots.build_report import read_report
from training.registry.champions import Deployment


@dataclass(frozen=True)
class Done:
    """What a command has to say when it is done."""

    document: dict[str, Any]
    text: str


def unify_step(workspace: Workspace, progress: Progress, *, accept: Sequence[str] = (), refit: bool = False) -> Done:
    """Run ``unify``."""
    return _told_unify(unify(workspace, progress, accept=accept, refit=refit))


def _told_unify(report: UnifyReport) -> Done:
    odd = [check for check in report.checks if check.outcome in ("failed", "repaired")]
    lines = [
        f"{report.records} records are {report.customers} customers; "
        f"{report.quarantined} rows kept aside, {report.withheld} customers without every consent"
    ]
    same = [name for name, told in report.feeds.items() if told == "already applied"]
    lines += [f"  already applied, and not read again: {', '.join(same)}"] if same else []
    lines += told_withheld(report.withheld_by)
    lines += [f"  {check.code} {check.feed or 'all feeds'}: {check.outcome}, {check.detail}" for check in odd]
    return Done(
        {
            "records": report.records,
            "customers": report.customers,
            "quarantined": report.quarantined,
            "withheld": report.withheld,
            "withheld_by": report.withheld_by,
            "checks": [check.as_dict() for check in report.checks],
            "feeds": dict(report.feeds),
        },
        "\n".join(lines),
    )


def told_back(before: datetime | None, now: datetime) -> list[str]:
    """Return a line where features are of an earlier moment than they were."""
    if before is None or before <= now:
        return []
    return [f"  they were as of {iso(before)}: the online store went back, too; `nextbest features` brings it forward"]


def told_unseen(unseen: Mapping[str, int]) -> list[str]:
    """Return a line for each view with rows of categories that came after its columns were chosen."""
    return [
        f"  {view}: {rows} rows of categories that were not there when its columns were chosen; "
        "`nextbest features --refit` chooses again"
        for view, rows in unseen.items()
    ]


def told_unread(unread: Mapping[str, int]) -> list[str]:
    """Return a line for each view with ends of contracts that cannot be read."""
    return [f"  {view}: {values} values of `ends` are no times, and count as none" for view, values in unread.items()]


def told_withheld(withheld_by: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Return a line for each purpose for which customers are withheld."""
    return [
        f"  withheld from {purpose}: {', '.join(f'{count} {reason}' for reason, count in sorted(reasons.items()))}"
        for purpose, reasons in sorted(withheld_by.items())
        if reasons
    ]


def features_step(
    workspace: Workspace,
    progress: Progress,
    *,
    as_of: datetime | None = None,
    refit: bool = False,
    allow_type_change: bool = False,
) -> Done:
    """Run ``features``."""
    from features.pipeline.build_features import build_features  # imports Feast, which takes seconds

    before = _built_as_of(workspace)
    report = build_features(workspace, progress, as_of=as_of, refit=refit, allow_type_change=allow_type_change)
    views = {view.name: {"columns": len(view.features), "rows": view.rows} for view in report.views}
    unseen = {view.name: view.unseen for view in report.views if view.unseen}
    unread = {view.name: view.unread for view in report.views if view.unread}
    columns = sum(len(view.features) for view in report.views)
    told = (
        f"{columns} features in {len(views)} views as of {len(report.cutoffs)} cutoffs, the last {iso(report.as_of)}; "
        f"{report.online_customers} customers online"
    )
    return Done(
        {
            "views": views,
            "as_of": iso(report.as_of),
            "as_of_before": before and iso(before),
            "online_customers": report.online_customers,
            "withheld_by": report.withheld_by,
            "unseen": unseen,
            "unread": unread,
        },
        "\n".join(
            [
                told,
                *told_back(before, report.as_of),
                *told_unseen(unseen),
                *told_unread(unread),
                *told_withheld(report.withheld_by),
            ]
        ),
    )


def _built_as_of(workspace: Workspace) -> datetime | None:
    """Return the moment of the last build; None where there is none that can be read."""
    try:
        return read_report(workspace).as_of
    except NextbestError:
        return None


def train_step(workspace: Workspace, models: Sequence[str], progress: Progress, *, clock: Clock) -> Done:
    """Run ``train``."""
    from training.pipeline import Trained, train  # imports MLflow, which takes seconds

    def told(name: str, model: Trained) -> list[str]:
        main = [key for key in ("auc", "lift_10", "hit_5", "ndcg_5", "log_loss", "ece") if key in model.metrics]
        width = max(len(peer) for peer in ["nextbest", *model.peers])
        rows = [("nextbest", model.metrics), *sorted(model.peers.items())]
        return [
            f"{name} version {model.version}: {model.verdict} ({model.rows} rows, {model.positives} positives)",
            *(f"  {why}" for why in model.reasons),
            *told_withheld(model.withheld_by),
            f"  {'':{width}}  " + "  ".join(f"{key:>8}" for key in main),
            *(
                f"  {peer:{width}}  " + "  ".join(f"{numbers[key]:8.4f}" if key in numbers else " " * 8 for key in main)
                for peer, numbers in rows
            ),
        ]

    trained = train(workspace, models, progress, clock=clock)
    return Done(
        {
            "models": {
                name: {
                    "version": model.version,
                    "metrics": model.metrics,
                    "peers": model.peers,
                    "verdict": model.verdict,
                    "reasons": list(model.reasons),
                    "leaks": list(model.leaks),
                    "withheld_by": model.withheld_by,
                }
                for name, model in trained.items()
            }
        },
        "\n".join(line for name, model in trained.items() for line in told(name, model)),
    )


def promote_step(workspace: Workspace, model: str, *, version: int | None, reason: str, at: datetime) -> Done:
    """Run ``promote``."""
    from training.registry.mlflow_settings import load_mlflow
    from training.registry.mlflow_sink import connect
    from training.registry.promotion import promote

    settings, _ = load_mlflow(workspace)
    client = connect(settings, workspace)
    return _told_deployment(promote(client, settings, workspace, model, version=version, reason=reason, at=at))


def rollback_step(workspace: Workspace, model: str, *, reason: str, at: datetime) -> Done:
    """Run ``rollback``."""
    from training.registry.mlflow_settings import load_mlflow
    from training.registry.mlflow_sink import connect
    from training.registry.promotion import roll_back

    settings, _ = load_mlflow(workspace)
    client = connect(settings, workspace)
    return _told_deployment(roll_back(client, settings, workspace, model, reason=reason, at=at))


def _told_deployment(entry: Deployment) -> Done:
    before = f"instead of version {entry.instead_of}" if entry.instead_of else "the first champion"
    return Done(
        {
            "model": entry.model,
            "version": entry.version,
            "move": entry.move,
            "instead_of": entry.instead_of,
            "reason": entry.reason,
        },
        f"{entry.model} version {entry.version} decides now, {before}",
    )


def decide_step(workspace: Workspace, progress: Progress, *, customers: Path | None = None) -> Done:
    """Run ``decide``."""
    from serving.batch.decide_job import decide_all

    done = decide_all(workspace, progress, customers=customers)
    none = sum(done.no_action.values())
    lines = [f"{done.decided} customers decided, {none} of them without an offer"]
    lines += [f"  {offer}: {count}" for offer, count in sorted(done.by_offer.items(), key=lambda pair: -pair[1])]
    lines += [f"  no action, {reason}: {count}" for reason, count in done.no_action.items()]
    lines += [f"  without {what}" for what in done.degraded]
    lines.append(f"published: {done.folder}")
    return Done(
        {
            "decided": done.decided,
            "by_offer": done.by_offer,
            "no_action": none,
            "published": str(done.folder),
            "no_action_reasons": done.no_action,
            "degraded": list(done.degraded),
        },
        "\n".join(lines),
    )


def run_all(workspace: Workspace, progress: Progress, *, as_of: datetime | None, clock: Clock) -> Done:
    """Run every step from feeds to decisions; a step whose input has not changed is not done again."""
    steps: Mapping[str, Callable[[], Done]] = {
        "unify": lambda: unify_step(workspace, progress),
        "features": lambda: features_step(workspace, progress, as_of=as_of),
        "train": lambda: train_step(workspace, [], progress, clock=clock),
        "decide": lambda: decide_step(workspace, progress),
    }
    document: dict[str, Any] = {}
    texts = []
    for name, step in steps.items():
        began = perf_counter()
        done = step()
        seconds = round(perf_counter() - began, 2)
        document[name] = {**done.document, "seconds": seconds}
        texts.append(f"{name} ({seconds:.1f} s)\n{done.text}")
    return Done(document, "\n\n".join(texts))
