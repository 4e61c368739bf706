"""Charts of the HTML reports as inline SVG; each carries a description in words for screen readers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from html import escape


@dataclass(frozen=True)
class ChartBar:
    """One bar of a chart.

    Parameters
    ----------
    label : name of a value, or of a range of values
    share : of the rows, from 0 to 1
    text : written beside the bar; the share in percent if left out
    """

    label: str
    share: float
    text: str = ""

    @property
    def shown(self) -> str:
        return self.text or percent(self.share)


@dataclass(frozen=True)
class ChartSize:
    """Measures of a chart in pixels: `label` and `text` are the space left and right of horizontal bars."""

    width: int
    row: int
    label: int
    text: int
    letters: int
    css: str = ""


WIDE = ChartSize(width=480, row=24, label=170, text=74, letters=24)
SMALL = ChartSize(width=240, row=17, label=92, text=44, letters=15, css="small")
_TALL, _WIDEST = 58, 36  # upright bars: height, and greatest width
_LINE_WIDTH, _LINE_HEIGHT = 170, 46


def percent(share: float) -> str:
    """Return a share in percent, one decimal where it is not nothing or all.

    Examples
    --------
    >>> percent(0.1234), percent(1)
    ('12.3%', '100%')
    """
    return f"{share:.0%}" if share in (0, 1) else f"{share:.1%}"


def number(value: float) -> str:
    """Return a number with at most as many digits as a reader compares.

    Examples
    --------
    >>> number(1234.56), number(0.123456), number(7.0), number(12_345_678)
    ('1,235', '0.123', '7', '1.23e+07')
    """
    size = abs(value)
    if size >= 1e6:
        return f"{value:.3g}"
    return f"{value:,.0f}" if value == round(value) or size >= 1000 else f"{value:.3g}"


def describe_bars(subject: str, bars: Sequence[ChartBar]) -> str:
    """Return the description of a chart: its subject, then each bar.

    Examples
    --------
    >>> describe_bars("Rows by feed", [ChartBar("till", 0.25, "1,000"), ChartBar("crm", 0.75)])
    'Rows by feed: till: 1,000, crm: 75.0%.'
    """
    return f"{subject}: {', '.join(f'{bar.label}: {bar.shown}' for bar in bars)}."


def horizontal_bars(
    bars: Sequence[ChartBar], *, subject: str, size: ChartSize = WIDE, of_most: bool = True, poor_below: float = 0
) -> str:
    """Return a chart of one horizontal bar a row.

    Parameters
    ----------
    bars : from top to bottom
    subject : what the bars count
    size : of the chart
    of_most : the longest bar fills the width; otherwise a share of 1 does
    poor_below : bars of a smaller share are marked as poor
    """
    most = (max((bar.share for bar in bars), default=0) or 1) if of_most else 1
    width, thick = size.width - size.label - size.text, size.row - 8
    parts = []
    for place, bar in enumerate(bars):
        top = place * size.row + (size.row - thick) / 2
        middle = place * size.row + size.row / 2 + 4.5
        length = max(width * bar.share / most, 1 if bar.share else 0)
        parts.append(_text(_shortened(bar.label, size.letters), size.label - 8, middle, "end"))
        parts.append(_rect("track", size.label, top, width, thick))
        parts.append(_rect("poor" if bar.share < poor_below else "bar", size.label, top, length, thick))
        parts.append(_text(bar.shown, size.width - size.text + 8, middle, "start"))
    return _svg(parts, size.width, len(bars) * size.row, describe_bars(subject, bars), css=size.css)


def upright_bars(bars: Sequence[ChartBar], *, subject: str) -> str:
    """Return a small histogram, the lowest values at the left."""
    width = SMALL.width
    most = max((bar.share for bar in bars), default=0.0) or 1.0
    step = min(width / len(bars), _WIDEST)
    path = "".join(
        f"M{place * step:.1f} {_TALL}v{-_TALL * bar.share / most:.1f}h{step * 0.86:.1f}V{_TALL}z"
        for place, bar in enumerate(bars)
        if bar.share
    )
    if step == _WIDEST:  # few bars: each has its label
        labels = [(bar.label, (place + 0.43) * step, "middle") for place, bar in enumerate(bars)]
    else:
        last = bars[-1].label.rpartition(" to ")[2]
        labels = [(bars[0].label.partition(" to ")[0], 0, "start"), (last, len(bars) * step, "end")]
    parts = [f'<path class="bar" d="{path}"/>', f'<path class="base" d="M0 {_TALL + 0.5}h{width}"/>']
    parts += [_text(text, x, _TALL + 14, anchor) for text, x, anchor in labels]
    shown = [bar for bar in bars if bar.share]
    return _svg(parts, width, _TALL + 18, describe_bars(subject, shown), css=SMALL.css)


def drift_line(
    cutoffs: Sequence[datetime], drift: Sequence[float | None], reference: datetime, *, moved: float, shifted: float
) -> str:
    """Return the population stability index over the cutoffs, with the two limits and the reference marked.

    Parameters
    ----------
    cutoffs, drift : oldest first; None where it cannot be computed
    reference : the cutoff that the others are compared with
    moved, shifted : the limits
    """
    top = max(shifted * 1.3, *(index for index in drift if index is not None), 0)
    first, span = cutoffs[0], (cutoffs[-1] - cutoffs[0]).total_seconds() or 1.0

    def x(moment: datetime) -> float:
        return 3 + (_LINE_WIDTH - 8) * (moment - first).total_seconds() / span

    def y(index: float) -> float:
        return 3 + (_LINE_HEIGHT - 3) * (1 - min(index / top, 1.0))

    computed = [(at, index) for at, index in zip(cutoffs, drift, strict=True) if index is not None]
    points = [(x(at), y(index)) for at, index in computed]
    parts = [f'<path class="limit" d="M0 {y(limit):.1f}h{_LINE_WIDTH}"/>' for limit in (moved, shifted)]
    parts.append(f'<path class="base" d="M0 {_LINE_HEIGHT + 0.5}h{_LINE_WIDTH}"/>')
    parts.append(f'<path class="tick" d="M{x(reference):.1f} {_LINE_HEIGHT - 4}v8"/>')
    parts.append(f'<polyline class="line" points="{" ".join(f"{a:.1f},{b:.1f}" for a, b in points)}"/>')
    if points:
        last = drift[-1]
        state = "none" if last is None else drift_state(last, moved=moved, shifted=shifted)
        parts.append(f'<circle class="{state}" cx="{points[-1][0]:.1f}" cy="{points[-1][1]:.1f}" r="3"/>')
    ends = [(first, 0, "start"), (cutoffs[-1], _LINE_WIDTH, "end")]
    parts += [_text(f"{at:%b %Y}", place, _LINE_HEIGHT + 16, anchor) for at, place, anchor in ends]
    values = ", ".join(f"{at:%Y-%m-%d} {index:.2f}" for at, index in computed)
    words = f"Stability index against {reference:%Y-%m-%d}: {values or 'cannot be computed'}."
    return _svg(parts, _LINE_WIDTH, _LINE_HEIGHT + 20, words, css=SMALL.css)


def drift_state(index: float, *, moved: float, shifted: float) -> str:
    """Return ``steady``, ``moved`` or ``shifted``.

    Examples
    --------
    >>> drift_state(0.15, moved=0.1, shifted=0.25)
    'moved'
    """
    return "shifted" if index > shifted else "moved" if index > moved else "steady"


def _rect(css: str, left: float, top: float, width: float, height: float) -> str:
    return f'<rect class="{css}" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{height:.1f}" rx="2"/>'


def _text(text: str, x: float, y: float, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(parts: Sequence[str], width: float, height: float, description: str, *, css: str) -> str:
    words = escape(description)
    fixed = f' width="{width:.0f}" height="{height:.0f}"' if css else ""
    start = f'<svg class="{css}" role="img" aria-label="{words}" viewBox="0 0 {width:.0f} {height:.0f}"{fixed}>'
    return f"{start}<title>{words}</title>{''.join(parts)}</svg>"


def _shortened(text: str, letters: int) -> str:
    return text if len(text) <= letters else text[: letters - 1] + "…"
