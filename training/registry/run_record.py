"""What a training run has to say, as a value; the sink writes it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure


@dataclass(frozen=True)
class TrainingRun:
    """One run.

    Parameters
    ----------
    name : of the model
    parameters : settings that decided it
    metrics : numbers, ours by name and the peers' as ``PEER.metric``
    tags : versions of data and code, the verdict
    figures : plots by file name
    documents : JSON documents by file name
    booster : LightGBM's Booster
    bundle : the exported folder, kept as an artifact
    """

    name: str
    parameters: Mapping[str, str]
    metrics: Mapping[str, float]
    tags: Mapping[str, str]
    figures: Mapping[str, Figure]
    documents: Mapping[str, Any]
    booster: Any
    bundle: Path
