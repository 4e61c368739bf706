"""The profile of the features: one page that works offline, and the same as JSON."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from statistics import median
from typing import Any

from features.base.charts import SMALL, drift_line, drift_state, horizontal_bars, number, upright_bars
from features.base.html_report import render_page, write_page
from features.base.masking import MIN_ROWS_SHOWN
from features.monitoring.feature_profile import MOVED, SHIFTED, FeatureProfile, Profile, ViewProfile

#: Features of a view that are shown open; more are folded, and found through the index.
OPEN = 60
_SHOWN = 6  # features named of one remark
_TEXTS = 5  # bars of a text
#: Columns that every view reads.
_TIMES = (".event_time", ".known_at")


@dataclass(frozen=True)
class FeatureRemark:
    """A remark about some features of one view."""

    view: str
    text: str
    features: tuple[str, ...]

    @property
    def shown(self) -> tuple[str, ...]:
        return self.features[:_SHOWN]

    @property
    def more(self) -> int:
        return len(self.features) - len(self.shown)


def write_profile(profile: Profile, folder: Path) -> Path:
    """Write ``profile.html`` and ``profile.json``, both or neither; return the page's path."""
    return write_page(folder, "profile", profile_page(profile), profile.as_dict())


def profile_page(profile: Profile) -> str:
    """Return the profile as HTML."""
    features = [feature for view in profile.views for feature in view.features]
    return render_page(
        Path(__file__).with_name("profile.html"),
        profile=profile,
        tiles=[
            ("features", len(features)),
            ("views", len(profile.views)),
            ("customers", profile.customers),
            ("cutoffs compared", len(profile.cutoffs)),
            ("features shifted", sum(feature.moved > SHIFTED for feature in features)),
        ],
        remarks=list(_remarks(profile.views)),
        index=[_summary(view) for view in profile.views],
        charts_of={feature.feature.name: _charts(profile, feature) for feature in features},
        limits=(MOVED, SHIFTED),
        open_to=OPEN,
        number=number,
    )


def _remarks(views: Sequence[ViewProfile]) -> Iterator[FeatureRemark]:
    for view in views:
        by_text: dict[str, list[str]] = {}
        for found in view.features:
            for text in found.remarks:
                by_text.setdefault(text, []).append(found.feature.name)
        yield from (FeatureRemark(view.name, text, tuple(names)) for text, names in by_text.items())


def _summary(view: ViewProfile) -> dict[str, Any]:
    furthest = max(view.features, key=lambda found: found.moved)
    return {
        "view": view,
        "missing": median(found.now.missing for found in view.features),
        "shifted": sum(found.moved > SHIFTED for found in view.features),
        "furthest": furthest if furthest.moved > MOVED else None,
    }


def _charts(profile: Profile, found: FeatureProfile) -> dict[str, Any]:
    bars = found.now.bars
    subject = "Share of customers by value"
    text = found.feature.type == "string"
    labelled = [replace(bar, text="< 1%" if bar.share < 0.005 else f"{bar.share:.0%}") for bar in bars[:_TEXTS]]
    last = found.drift[-1]
    return {
        "distribution": (
            None
            if not bars
            else horizontal_bars(labelled, subject=subject, size=SMALL)
            if text
            else upright_bars(bars, subject=subject)
        ),
        "drift": drift_line(profile.cutoffs, found.drift, profile.reference, moved=MOVED, shifted=SHIFTED)
        if any(index is not None for index in found.drift)
        else None,
        "state": None if last is None else drift_state(last, moved=MOVED, shifted=SHIFTED),
        "why_hidden": _why_hidden(found),
        "sources": [source for source in found.feature.sources if not source.endswith(_TIMES)],
    }


def _why_hidden(found: FeatureProfile) -> str:
    """Return why no value is shown."""
    if found.feature.personal:
        return "derived from personal data: no value is shown"
    if not found.now.filled:
        return "no customer has a value"
    few = found.now.filled < MIN_ROWS_SHOWN
    return "too few customers to show values" if few else "no value is shared by five customers"
