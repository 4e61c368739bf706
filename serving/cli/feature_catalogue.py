"""``nextbest features list``, ``describe`` and ``profile``: what features there are, and what they hold."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from features.base.charts import number
from features.base.errors import UsageError
from features.config.loading import did_you_mean
from features.monitoring.feature_description import FeatureDescription
from features.monitoring.feature_description import describe as described
from features.monitoring.feature_profile import profile_features
from features.monitoring.profile_page import write_profile
from features.snapshots.build_report import FeaturesReport, read_report
from features.views.catalogue import Feature
from serving.cli.options import AsJson, Folder, moment_of, workspace_of
from serving.cli.terminal import Terminal

_BAR = 24  # letters of the longest bar


def list_features(
    workspace: Folder = Path(),
    view: Annotated[str | None, typer.Option("--view", help="Of one view; of all if left out.")] = None,
    owner: Annotated[str | None, typer.Option("--owner", help="Of one owner; of all if left out.")] = None,
    as_json: AsJson = False,
) -> None:
    """List the features that were built: type, unit, meaning, owner, purpose, and where each comes from."""
    terminal = Terminal(as_json=as_json)
    report = read_report(workspace_of(workspace))
    found = _chosen(report, view, owner)
    terminal.answer({"as_of": report.as_of.isoformat(), "features": [asdict(feature) for feature in found]})
    for line in _listed(found):
        terminal.say(line)
    views = len({feature.view for feature in found})
    terminal.say(f"{len(found)} features in {views} view{'' if views == 1 else 's'}")
    terminal.next_step("nextbest features describe FEATURE")


def describe(
    feature: Annotated[str, typer.Argument(help="The feature's name, such as purchases__amount_sum_30d.")],
    workspace: Folder = Path(),
    as_json: AsJson = False,
) -> None:
    """Tell all of one feature: its rule, the feeds' columns behind it, freshness, values today and drift."""
    terminal = Terminal(as_json=as_json)
    place = workspace_of(workspace)
    with terminal.progress() as progress:
        found = described(place, read_report(place), feature, progress)
    terminal.answer(found.as_dict())
    for line in _described(found):
        terminal.say(line)
    terminal.next_step("nextbest features profile")


def profile(
    workspace: Folder = Path(),
    reference: Annotated[
        str | None, typer.Option("--reference", help="The moment that drift is held against; the middle cutoff.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Write one page of what every feature holds: its values, what is missing, its drift; and the same as JSON."""
    terminal = Terminal(as_json=as_json)
    place = workspace_of(workspace)
    with terminal.progress() as progress:
        found = profile_features(
            place, read_report(place), progress, reference=moment_of(reference, option="--reference")
        )
        progress.step("writing the page")
        page = write_profile(found, place.published / "features")
    every = [each for view in found.views for each in view.features]
    remarks = {each.feature.name: list(each.remarks) for each in every if each.remarks}
    terminal.answer(
        {
            "features": len(every),
            "customers": found.customers,
            "as_of": found.as_of.isoformat(),
            "reference": found.reference.isoformat(),
            "remarks": remarks,
            "page": str(page),
            "data": str(page.with_name("profile.json")),
        }
    )
    terminal.say(f"{len(every)} features of {found.customers} customers; {len(remarks)} ask for attention")
    terminal.say(f"written: {page}")
    terminal.next_step("nextbest train")


def _chosen(report: FeaturesReport, view: str | None, owner: str | None) -> list[Feature]:
    every = [feature for built in report.views for feature in built.features]
    for what, requested, known in (
        ("view", view, {feature.view for feature in every}),
        ("owner", owner, {feature.owner for feature in every}),
    ):
        if requested is not None and requested not in known:
            names = sorted(known - {""})
            raise UsageError(
                f"features.unknown_{what}", f"there is no {what} {requested!r}", hint=did_you_mean(requested, names)
            )
    return [f for f in every if view in (None, f.view) and owner in (None, f.owner)]


def _listed(features: Sequence[Feature]) -> Iterator[str]:
    width = max((len(feature.name) for feature in features), default=0)
    before = ""
    for feature in features:
        if feature.view != before:
            before = feature.view
            about = [f"owner {feature.owner}"] if feature.owner else []
            about += [f"for {feature.purpose}"] if feature.purpose else []
            yield f"{feature.view}" + (f" ({', '.join(about)})" if about else "")
        unit = f", {feature.unit}" if feature.unit else ""
        yield f"  {feature.name:{width}}  {feature.description} ({feature.type}{unit})"


def _described(found: FeatureDescription) -> Iterator[str]:
    feature, now = found.feature, found.profile.now
    yield f"{feature.name}: {feature.description}"
    yield f"  {feature.type}{f', {feature.unit}' if feature.unit else ''}; view {feature.view}, {found.rule}"
    whose = [f"owner {feature.owner}" if feature.owner else "", f"for {feature.purpose}" if feature.purpose else ""]
    yield "  " + ", ".join([part for part in [*whose, f"declared in {found.place}" if found.place else ""] if part])
    for origin in found.origins:
        feeds = "; ".join(f"{feed}: {text}" for feed, text in origin.feeds.items())
        yield f"  {origin.column} ← {feeds or 'not mapped by any feed'}"
    if feature.personal:
        yield f"  made of what identifies people: {', '.join(feature.personal)}; no value is shown"
    stale = found.as_dict()["freshness"]["stale_after"]
    newest = ", ".join(f"{feed} to {moment[:10]}" for feed, moment in found.newest.items())
    yield f"  as of {found.as_of:%Y-%m-%d}; {f'served values are stale after {stale}' if stale else 'no ttl'}" + (
        f"; rows of {newest}" if newest else ""
    )
    yield f"  {now.rows} customers, {now.missing:.1%} of them without a value, {now.distinct} different values"
    yield from _values(found)
    drift = found.profile.drift[-1]
    yield f"  drift against {found.reference:%Y-%m-%d}: " + ("nobody can say" if drift is None else f"{drift:.3f}")
    yield from (f"  note: {remark}" for remark in found.profile.remarks)


def _values(found: FeatureDescription) -> Iterator[str]:
    quantiles: Any = found.profile.now.quantiles
    if quantiles:
        low, half, high = (number(value) for value in quantiles)
        yield f"  5 % up to {low}, half up to {half}, 95 % up to {high}"
    bars = found.profile.now.bars
    if not bars and found.profile.now.filled:
        yield "  no value is shown: it would tell of somebody"
    width = max((len(bar.label) for bar in bars), default=0)
    most = max((bar.share for bar in bars), default=1.0)
    for bar in bars:
        yield f"    {bar.label:>{width}}  {'▇' * round(_BAR * bar.share / most) or '▏'} {bar.share:.1%}"
