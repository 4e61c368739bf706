"""Small plots of one feature as SVG: its values today, and its drift; each with the same said in words."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from html import escape

from features.monitoring.distributions import Bar

_WIDTH, _TALL, _WIDEST = 240, 58, 36
_ROW, _LABEL, _SHARE = 17, 92, 44
_TEXTS = 5  # bars of a text that are drawn; the words tell of all of them
_DRIFT, _LOW = 170, 46
_LONGEST = 15  # letters of a label


def bars_of_numbers(bars: Sequence[Bar]) -> str:
    """Return upright bars, the lowest values at the left."""
    most = max((bar.share for bar in bars), default=0.0) or 1.0
    step = min(_WIDTH / len(bars), _WIDEST)
    drawn = "".join(
        f"M{at * step:.1f} {_TALL}v{-_TALL * bar.share / most:.1f}h{step * 0.86:.1f}V{_TALL}z"
        for at, bar in enumerate(bars)
        if bar.share
    )
    if step == _WIDEST:  # few of them: each has its label
        names = [(bar.label, (at + 0.43) * step, "middle") for at, bar in enumerate(bars)]
    else:
        right = len(bars) * step
        names = [(bars[0].label.partition(" to ")[0], 0, "start"), (bars[-1].label.rpartition(" to ")[2], right, "end")]
    labels = "".join(_written(text, x, _TALL + 14, anchor) for text, x, anchor in names)
    base = f'<path class="base" d="M0 {_TALL + 0.5}h{_WIDTH}"/>'
    return _svg(f'<path class="bar" d="{drawn}"/>{base}{labels}', _WIDTH, _TALL + 18, _words(bars))


def bars_of_texts(bars: Sequence[Bar]) -> str:
    """Return lying bars, the commonest first."""
    most = max((bar.share for bar in bars), default=0.0) or 1.0
    room = _WIDTH - _LABEL - _SHARE
    drawn = []
    for at, bar in enumerate(bars[:_TEXTS]):
        top = at * _ROW
        drawn.append(_written(_short(bar.label), _LABEL - 6, top + 12, "end"))
        width = max(room * bar.share / most, 1)
        drawn.append(f'<rect class="bar" x="{_LABEL}" y="{top + 3}" width="{width:.1f}" height="11"/>')
        drawn.append(
            _written("< 1%" if bar.share < 0.005 else f"{bar.share:.0%}", _LABEL + width + 5, top + 12, "start")
        )
    return _svg("".join(drawn), _WIDTH, min(len(bars), _TEXTS) * _ROW, _words(bars))


def drift_line(
    cutoffs: Sequence[datetime], drift: Sequence[float | None], reference: datetime, *, moved: float, shifted: float
) -> str:
    """Return the stability index over the cutoffs, with the two limits as faint lines and the reference as a tick.

    Parameters
    ----------
    cutoffs, drift : oldest first; None where nobody can say
    reference : the cutoff that it is held against
    moved, shifted : the limits
    """
    top = max(shifted * 1.3, *(index for index in drift if index is not None), 0)
    first, span = cutoffs[0], (cutoffs[-1] - cutoffs[0]).total_seconds() or 1.0

    def x(moment: datetime) -> float:
        return 3 + (_DRIFT - 8) * (moment - first).total_seconds() / span

    def y(index: float) -> float:
        return 3 + (_LOW - 3) * (1 - min(index / top, 1.0))

    limits = "".join(f'<path class="limit" d="M0 {y(limit):.1f}h{_DRIFT}"/>' for limit in (moved, shifted))
    points = [(x(at), y(index)) for at, index in zip(cutoffs, drift, strict=True) if index is not None]
    line = " ".join(f"{a:.1f},{b:.1f}" for a, b in points)
    tick = f'<path class="tick" d="M{x(reference):.1f} {_LOW - 4}v8"/>'
    base = f'<path class="base" d="M0 {_LOW + 0.5}h{_DRIFT}"/>'
    last = drift[-1]
    state = "none" if last is None else state_of(last, moved=moved, shifted=shifted)
    end = f'<circle class="{state}" cx="{points[-1][0]:.1f}" cy="{points[-1][1]:.1f}" r="3"/>' if points else ""
    ends = [(first, 0, "start"), (cutoffs[-1], _DRIFT, "end")]
    labels = "".join(_written(f"{at:%b %Y}", place, _LOW + 16, anchor) for at, place, anchor in ends)
    told = ", ".join(
        f"{at:%Y-%m-%d} {index:.2f}" for at, index in zip(cutoffs, drift, strict=True) if index is not None
    )
    words = f"Stability index against {reference:%Y-%m-%d}: {told or 'nobody can say'}."
    return _svg(f'{limits}{base}{tick}<polyline class="line" points="{line}"/>{end}{labels}', _DRIFT, _LOW + 20, words)


def state_of(index: float, *, moved: float, shifted: float) -> str:
    """Return ``steady``, ``moved`` or ``shifted``."""
    return "shifted" if index > shifted else "moved" if index > moved else "steady"


def _words(bars: Sequence[Bar]) -> str:
    told = ", ".join(f"{bar.label}: {bar.share:.1%}" for bar in bars if bar.share)
    return f"Share of customers by value, {told}."


def _written(text: str, x: float, y: float, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(drawn: str, width: int, height: int, words: str) -> str:
    told = escape(words)
    return (
        f'<svg role="img" aria-label="{told}" viewBox="0 0 {width} {height}" width="{width}" height="{height}">'
        f"<title>{told}</title>{drawn}</svg>"
    )


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"
