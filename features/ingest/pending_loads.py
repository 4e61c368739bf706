"""Loads that were read and are not accepted yet: they replace the last accepted loads, each in one step."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path

from features.base.folder_swap import swap
from features.base.storage import read_done
from features.ingest.staging import StagedFeed


def load_folders(staged: Mapping[str, StagedFeed], *, accepted: Path, arriving: Path) -> dict[str, Path]:
    """Return the folder of each feed's rows: accepted, or still arriving."""
    return {
        name: (arriving if read_done(arriving / name / "staged.json", feed.digest) is not None else accepted) / name
        for name, feed in staged.items()
    }


def accept_loads(staged: Mapping[str, StagedFeed], *, accepted: Path, arriving: Path) -> None:
    """Move every arriving load to the accepted ones, each in one step.

    A process killed in between leaves some of them moved; the next run moves the rest without reading them again.
    """
    accepted.mkdir(parents=True, exist_ok=True)
    for name, folder in load_folders(staged, accepted=accepted, arriving=arriving).items():
        if folder.parent == arriving:
            swap(folder, accepted / name)
        else:
            shutil.rmtree(arriving / name, ignore_errors=True)
