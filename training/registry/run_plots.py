"""Figures of a training run: lift, calibration, importance. Values in, figures out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import cycle

import numpy as np
from matplotlib.figure import Figure
from numpy.typing import NDArray

from training.evaluate.calibration import Reliability
from training.evaluate.ranking import GainCurve

_OURS = "#0b6e4f"
_THEIRS = ("#8d99ae", "#b08968", "#adb5bd", "#c9ada7", "#90be6d")
_SIZE = (6.4, 4.4)


def lift(curves: Mapping[str, GainCurve], *, title: str) -> Figure:
    """Draw how many times more positives than at random the highest scored customers hold, and their share of all."""
    figure = Figure(figsize=(10.4, 4.4), layout="constrained")
    left, right = figure.subplots(1, 2)
    others = [name for name in curves if name != "model"]
    lines = [(name, _label(name), colour, 1.2) for name, colour in zip(others, cycle(_THEIRS), strict=False)]
    for name, label, colour, width in [*lines, ("model", "nextbest", _OURS, 2.4)]:
        share, found = curves[name].share, curves[name].found
        left.plot(share[1:], found[1:] / share[1:], color=colour, linewidth=width, label=label)
        right.plot(share, found, color=colour, linewidth=width)
    left.axhline(1, color="#dddddd", linewidth=1, zorder=0)
    right.plot([0, 1], [0, 1], color="#dddddd", linewidth=1, zorder=0)
    left.set(xlabel="share of customers, highest score first", ylabel="lift", title=title)
    right.set(xlabel="share of customers, highest score first", ylabel="share of positives found")
    left.legend(frameon=False, loc="upper right", fontsize=8)
    return _tidy(figure)


def calibration(reliability: Reliability, *, title: str) -> Figure:
    """Draw the observed share against the predicted probability."""
    figure = Figure(figsize=_SIZE, layout="constrained")
    axes = figure.add_subplot()
    top = float(max(reliability.predicted.max(), reliability.observed.max())) * 1.05
    axes.plot([0, top], [0, top], color="#dddddd", linewidth=1, zorder=0)
    axes.plot(reliability.predicted, reliability.observed, color=_OURS, marker="o", linewidth=1.6, markersize=5)
    axes.set(xlabel="predicted probability", ylabel="observed share", title=title, xlim=(0, top), ylim=(0, top))
    return _tidy(figure)


def importance(names: Sequence[str], gain: NDArray[np.float64], *, title: str, top: int = 20) -> Figure:
    """Draw the features that the trees gained most from."""
    ranked = sorted(zip(names, [float(value) for value in gain], strict=True), key=lambda pair: -pair[1])[:top]
    total = sum(float(value) for value in gain) or 1.0
    figure = Figure(figsize=(7.2, 0.26 * len(ranked) + 1.4), layout="constrained")
    axes = figure.add_subplot()
    axes.barh([name for name, _ in reversed(ranked)], [value / total for _, value in reversed(ranked)], color=_OURS)
    axes.set(xlabel="share of all gain", title=title)
    axes.tick_params(axis="y", labelsize=8)
    return _tidy(figure)


def _label(name: str) -> str:
    return {"bg_nbd_p_alive": "BG/NBD P(alive)", "default_lightgbm": "default LightGBM"}.get(
        name, name.replace("_", " ")
    )


def _tidy(figure: Figure) -> Figure:
    for axes in figure.axes:
        axes.spines[["top", "right"]].set_visible(False)
        axes.title.set_fontsize(11)
    return figure
