"""Plots of the quality report as SVG: bars that need nothing from elsewhere, each with the same said in words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import Any

_WIDTH, _ROW, _BAR = 480, 24, 15
_LABEL, _TEXT = 170, 74  # room for names at the left, for numbers at the right
_COLUMNS = 150  # height of upright bars
_HALF = 0.5  # share of filled rows below which a bar is drawn as poor
_LONGEST = 24  # letters of a label


def filled(shares: Mapping[str, float]) -> str:
    """Return bars of how full each column is."""
    texts = [f"{share:.0%}" if share in (0, 1) else f"{share:.1%}" for share in shares.values()]
    words = ", ".join(f"{name} {text}" for name, text in zip(shares, texts, strict=True))
    return _bars(list(shares), list(shares.values()), texts, f"Share of rows that are filled: {words}.", poor=_HALF)


def spread(found: Mapping[str, Any]) -> str:
    """Return bars of how one column's values are spread."""
    if "categories" in found:
        labels, rows = list(found["categories"]), list(found["categories"].values())
    else:
        edges = [_number(edge) for edge in found["edges"]]
        labels = [*(f"≤ {edge}" for edge in edges), f"> {edges[-1]}"]
        rows = list(found["rows"])
    whole = max(sum(rows), 1)
    shares = [number / whole for number in rows]
    texts = [f"{share:.1%}" for share in shares]
    words = ", ".join(f"{label} {text}" for label, text in zip(labels, texts, strict=True))
    most = max(shares, default=0) or 1
    return _bars(labels, [share / most for share in shares], texts, f"Share of rows by value: {words}.")


def counted(numbers: Mapping[str, int], *, what: str) -> str:
    """Return bars of counts by name."""
    most = max(numbers.values(), default=0) or 1
    words = ", ".join(f"{name}: {number:,}" for name, number in numbers.items())
    texts = [f"{number:,}" for number in numbers.values()]
    return _bars(list(numbers), [number / most for number in numbers.values()], texts, f"{what}: {words}.")


def volumes(loads: Sequence[Mapping[str, Any]]) -> str:
    """Return upright bars of the rows of every accepted load, the newest marked."""
    rows = [int(load["rows"]) for load in loads]
    most = max(rows, default=0) or 1
    step = min(64.0, (_WIDTH - 20) / len(rows))
    drawn = []
    for at, number in enumerate(rows):
        height = _COLUMNS * number / most
        newest = at == len(rows) - 1
        drawn.append(
            f'<rect class="{"bar" if newest else "then"}" x="{10 + at * step:.1f}" y="{20 + _COLUMNS - height:.1f}" '
            f'width="{step * 0.75:.1f}" height="{height:.1f}" rx="2"/>'
        )
        if newest or len(rows) <= 6:
            middle = 10 + (at + 0.375) * step
            drawn.append(_written(f"{number:,}", middle, 14 + _COLUMNS - height, "middle"))
            drawn.append(_written(str(loads[at]["newest"])[:7], middle, 38 + _COLUMNS, "middle"))
    said = ", ".join(f"{number:,}" for number in rows)
    return _svg(drawn, _COLUMNS + 46, f"Rows of the accepted loads, the oldest first: {said}.")


def _bars(labels: Sequence[str], lengths: Sequence[float], texts: Sequence[str], words: str, *, poor: float = 0) -> str:
    """Return one lying bar a label; `lengths` run from 0 to 1."""
    room = _WIDTH - _LABEL - _TEXT
    drawn = []
    for at, (label, length, text) in enumerate(zip(labels, lengths, texts, strict=True)):
        top = at * _ROW + (_ROW - _BAR) / 2
        middle = at * _ROW + _ROW / 2 + 4.5
        drawn.append(_written(_short(label), _LABEL - 8, middle, "end"))
        drawn.append(_bar("track", _LABEL, top, room))
        drawn.append(_bar("poor" if length < poor else "bar", _LABEL, top, room * length))
        drawn.append(_written(text, _WIDTH - _TEXT + 8, middle, "start"))
    return _svg(drawn, len(labels) * _ROW, words)


def _bar(kind: str, left: float, top: float, width: float) -> str:
    return f'<rect class="{kind}" x="{left:.1f}" y="{top:.1f}" width="{width:.1f}" height="{_BAR}" rx="2"/>'


def _written(text: str, x: float, y: float, anchor: str) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}">{escape(text)}</text>'


def _svg(drawn: Sequence[str], height: float, words: str) -> str:
    inside = "".join(drawn)
    return f'<svg role="img" aria-label="{escape(words)}" viewBox="0 0 {_WIDTH} {height:.0f}">{inside}</svg>'


def _short(text: str) -> str:
    return text if len(text) <= _LONGEST else text[: _LONGEST - 1] + "…"


def _number(value: float) -> str:
    return f"{value:,.0f}" if value == round(value) else f"{value:,.4g}"
