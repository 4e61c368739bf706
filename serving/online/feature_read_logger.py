"""A sample of what the service reads, noted for the proof of consistency; who asks waits for none of it."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from features.base.workspace import Workspace
from features.store.feature_read_log import VectorLog
from features.store.online_reader import OnlineRow
from features.views.declarations import definition_of
from serving.online.role_settings import Served


class OnlineReads(Protocol):
    """What is needed of the online store."""

    def read(self, customers: Sequence[str], features: Sequence[str], *, as_of: datetime) -> list[OnlineRow]: ...


@dataclass(frozen=True)
class Noting:
    """Reads as `reader` does, and notes a sample of the rows."""

    reader: OnlineReads
    log: VectorLog

    def read(self, customers: Sequence[str], features: Sequence[str], *, as_of: datetime) -> list[OnlineRow]:
        """Return what the reader returns."""
        rows = self.reader.read(customers, features, as_of=as_of)
        self.log.note(rows, at=as_of)
        return rows


def noting(
    reader: OnlineReads, workspace: Workspace, served: Served, *, chance: Callable[[], float] = random.random
) -> OnlineReads:
    """Return the reader, with a sample of what it reads noted where `served` asks for one.

    Parameters
    ----------
    chance : gives a number from 0 to 1 for each customer who is read
    """
    if not served.sample:
        return reader
    log = VectorLog(
        workspace.served,
        definition=definition_of(workspace),
        sample=served.sample,
        keep=served.keep,
        chance=chance,
    )
    return Noting(reader, log)
