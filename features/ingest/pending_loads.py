"""Loads that were read and wait: a folder apart, until they are accepted and take the last ones' place."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from features.base.folder_swap import swap
from features.base.storage import read_done
from features.ingest.staging import StagedFeed


def folders(staged: Mapping[str, StagedFeed], *, accepted: Path, arriving: Path) -> dict[str, Path]:
    """Return where each feed's rows lie: among the accepted, or still among the arriving."""
    return {
        name: (arriving if read_done(arriving / name / "staged.json", feed.digest) is not None else accepted) / name
        for name, feed in staged.items()
    }


def take(staged: Mapping[str, StagedFeed], *, accepted: Path, arriving: Path) -> None:
    """Let every arriving load take its place among the accepted ones; each does in one step.

    A process killed in between leaves some of them taken; the next run takes the rest without reading them again.
    """
    accepted.mkdir(parents=True, exist_ok=True)
    for name, folder in folders(staged, accepted=accepted, arriving=arriving).items():
        if folder.parent == arriving:
            swap(folder, accepted / name)
        else:
            shutil.rmtree(arriving / name, ignore_errors=True)
