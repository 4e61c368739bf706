"""Loads that were read and are not accepted yet: they replace the last accepted loads, each in one step."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Mapping
from datetime import datetime
from pathlib import Path

import pyarrow as pa

from features.base.database_engine import EngineResources
from features.base.folder_swap import swap
from features.base.storage import atomic_folder, read_done
from features.config.feed import Feed
from features.ingest.row_history import ROWS, VERSIONS, date_rows, moment_of_loads, waits_for
from features.ingest.staging import StagedFeed


def load_folders(staged: Mapping[str, StagedFeed], *, accepted: Path, arriving: Path) -> dict[str, Path]:
    """Return the folder of each feed's rows: accepted, or still arriving."""
    return {
        name: (arriving if read_done(arriving / name / "staged.json", feed.digest) is not None else accepted) / name
        for name, feed in staged.items()
    }


def date_loads(
    feeds: Mapping[str, Feed],
    staged: Mapping[str, StagedFeed],
    *,
    accepted: Path,
    arriving: Path,
    streamed: Callable[[str], pa.Table | None],
    resources: EngineResources,
) -> None:
    """Date the rows of the arriving loads, and those of accepted ones that waited for a newer moment.

    Parameters
    ----------
    feeds, staged : the feeds
    accepted, arriving : folders of their loads
    streamed : returns ``record_id`` and ``known_at`` of the events of a feed that were streamed
    resources : of the engine
    """
    moment = moment_of_loads(staged.values())
    for name, folder in load_folders(staged, accepted=accepted, arriving=arriving).items():
        if folder.parent == accepted:
            if not waits_for(folder, moment):
                continue
            with atomic_folder(arriving / name) as part:
                shutil.copytree(folder, part, dirs_exist_ok=True)
        date_rows(
            feeds[name],
            arriving / name,
            moment=moment,
            delivered=datetime.fromisoformat(staged[name].delivered),
            before=accepted / name,
            streamed=streamed(name) if feeds[name].kind == "events" else None,
            resources=resources,
        )


def link_loads(staged: Mapping[str, StagedFeed], *, accepted: Path, arriving: Path, into: Path) -> None:
    """Link the rows of each feed, accepted or still arriving, into one folder."""
    for name, folder in load_folders(staged, accepted=accepted, arriving=arriving).items():
        (into / name).mkdir(mode=0o700, parents=True)
        for file in (ROWS, VERSIONS):
            if (folder / file).is_file():
                os.link(folder / file, into / name / file)


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
