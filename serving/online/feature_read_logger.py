"""Logs a sample of the features that the service reads, for `nextbest features consistency`; no request waits."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Protocol

from features.base.workspace import Workspace
from features.store.feature_read_log import FeatureReadLog
from features.store.online_reader import OnlineRow
from features.views.declarations import definition_of
from serving.online.role_settings import FeatureReadSampling


class OnlineReads(Protocol):
    """What the service needs of an online store."""

    def read(self, customers: Sequence[str], features: Sequence[str], *, as_of: datetime) -> list[OnlineRow]: ...


@dataclass(frozen=True)
class FeatureReadLogger:
    """Reads as `reader` does, and logs a sample of the rows."""

    reader: OnlineReads
    log: FeatureReadLog

    def read(self, customers: Sequence[str], features: Sequence[str], *, as_of: datetime) -> list[OnlineRow]:
        """Return what the reader returns."""
        rows = self.reader.read(customers, features, as_of=as_of)
        self.log.add(rows, at=as_of)
        return rows


def log_reads(
    reader: OnlineReads,
    workspace: Workspace,
    sampling: FeatureReadSampling,
    *,
    rng: Callable[[], float] = random.random,
) -> OnlineReads:
    """Return the reader, with a sample of what it reads logged where `sampling` is above 0.

    Parameters
    ----------
    rng : gives a number from 0 to 1 for each customer who is read
    """
    if not sampling.sample:
        return reader
    log = FeatureReadLog(
        workspace.served,
        definition=definition_of(workspace),
        sample=sampling.sample,
        keep=sampling.keep,
        rng=rng,
    )
    return FeatureReadLogger(reader, log)
