"""The profile of the features: one page that works offline, and the same as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from features.base.storage import atomic_folder, write_json
from features.monitoring.distributions import number
from features.monitoring.feature_profile import MOVED, SHIFTED, FeatureProfile, Profile, ViewProfile
from features.monitoring.profile_charts import bars_of_numbers, bars_of_texts, drift_line, state_of
from features.quality.report_content import FEW

PAGE = "profile.html"
DATA = "profile.json"
#: Features of a view that are shown open; more are folded, and found through the index.
OPEN = 60
_SHOWN = 6
#: What every view reads, and what says nothing about a feature.
_TIMES = (".event_time", ".known_at")


@dataclass(frozen=True)
class Remark:
    """What asks for attention in one view: the same said of some of its features."""

    view: str
    text: str
    features: tuple[str, ...]

    @property
    def shown(self) -> tuple[str, ...]:
        return self.features[:_SHOWN]

    @property
    def more(self) -> int:
        return len(self.features) - len(self.shown)


def write_page(profile: Profile, folder: Path) -> Path:
    """Write ``profile.html`` and ``profile.json``, both or neither; return the page's path."""
    with atomic_folder(folder) as part:
        write_json(part / DATA, profile.as_dict())
        (part / PAGE).write_text(page(profile), encoding="utf-8")
    return folder / PAGE


def page(profile: Profile) -> str:
    """Return the profile as HTML."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    every = [feature for view in profile.views for feature in view.features]
    return environment.get_template(PAGE).render(
        profile=profile,
        features=len(every),
        shifted=sum(feature.moved > SHIFTED for feature in every),
        remarks=list(_remarks(profile.views)),
        index=[_summary(view) for view in profile.views],
        pictures={feature.feature.name: _pictures(profile, feature) for feature in every},
        limits=(MOVED, SHIFTED),
        open_to=OPEN,
        number=number,
    )


def _remarks(views: Sequence[ViewProfile]) -> Iterator[Remark]:
    for view in views:
        by_text: dict[str, list[str]] = {}
        for found in view.features:
            for text in found.remarks:
                by_text.setdefault(text, []).append(found.feature.name)
        yield from (Remark(view.name, text, tuple(names)) for text, names in by_text.items())


def _summary(view: ViewProfile) -> dict[str, Any]:
    furthest = max(view.features, key=lambda found: found.moved)
    return {
        "view": view,
        "missing": median(found.now.missing for found in view.features),
        "shifted": sum(found.moved > SHIFTED for found in view.features),
        "furthest": furthest if furthest.moved > MOVED else None,
    }


def _pictures(profile: Profile, found: FeatureProfile) -> dict[str, Any]:
    bars = found.now.bars
    drawn = bars_of_texts if found.feature.type == "string" else bars_of_numbers
    last = found.drift[-1]
    return {
        "spread": drawn(bars) if bars else None,
        "drift": drift_line(profile.cutoffs, found.drift, profile.reference, moved=MOVED, shifted=SHIFTED)
        if any(index is not None for index in found.drift)
        else None,
        "state": None if last is None else state_of(last, moved=MOVED, shifted=SHIFTED),
        "why_hidden": _why_hidden(found),
        "sources": [source for source in found.feature.sources if not source.endswith(_TIMES)],
    }


def _why_hidden(found: FeatureProfile) -> str:
    """Return why no value is shown."""
    if found.feature.personal:
        return "made of what identifies people: no value is shown"
    if not found.now.filled:
        return "nobody has a value"
    return "too few customers to tell" if found.now.filled < FEW else "no value is shared by five customers"
