"""What the stages from feeds to one customer take and give: settings of a run, and artefacts."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from features.consent.statements import LedgerUpdate
from features.identity.customer_tables import Columns
from features.identity.id_ledger import IdLedger
from features.identity.incremental_matching import Gathered
from features.identity.resolve import Resolution
from features.ingest.staging import StagedFeed
from features.pipeline.unify_report import UnifyReport
from features.quality.check import Check


@dataclass(frozen=True)
class UnifyRequest:
    """What one run is asked for.

    Parameters
    ----------
    accept : feeds whose loads are taken though a check would refuse them
    replay : feeds that are read again with their rows in quarantine
    refit : whether the weights of identity are learnt anew
    """

    accept: frozenset[str] = frozenset()
    replay: frozenset[str] = frozenset()
    refit: bool = False


@dataclass(frozen=True)
class LastingState:
    """Folders and files that outlive a run.

    Parameters
    ----------
    root : of the sources' relative paths
    accepted, arriving : staged loads, and those that are read and not accepted yet
    history : profiles of accepted loads
    identity, identity_key : the id ledger, and the secret that new ids are made of
    consent, pseudonym_key : the consent ledger, and the secret of its subjects
    """

    root: Path
    accepted: Path
    arriving: Path
    history: Path
    identity: Path
    identity_key: Path
    consent: Path
    pseudonym_key: Path


@dataclass(frozen=True)
class StagedFeeds:
    """Every feed as it was read."""

    feeds: dict[str, StagedFeed]


@dataclass(frozen=True)
class CheckedRows:
    """The folder of the rows of the loads that have passed the checks of loads, one folder a feed."""

    folder: Path


@dataclass(frozen=True)
class Matches:
    """Which records are one customer, the judgements behind it, and what the next run needs to weigh only changes."""

    resolution: Resolution
    gathered: Gathered
    ledger: IdLedger


@dataclass(frozen=True)
class CustomerIds:
    """The id ledger with this run's customers: who each record is, and where past ids lead."""

    ledger: IdLedger
    records: pa.Table
    past: pa.Table


@dataclass(frozen=True)
class ConsentStatements:
    """New consent statements; None where nobody ever made one and no feed of them is declared."""

    update: LedgerUpdate | None


@dataclass(frozen=True)
class CanonicalTables:
    """Columns of the canonical tables, which the engine knows now."""

    columns: Columns


@dataclass(frozen=True)
class QualityChecks:
    """The answers of all checks of a run that none of them refuses."""

    checks: tuple[Check, ...]


@dataclass(frozen=True)
class QualityReport:
    """How the quality report is written."""

    write: Callable[[UnifyReport], Path]
