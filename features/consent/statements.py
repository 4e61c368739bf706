"""What the feeds of consents say, on its way into the ledger and out to today's customers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow as pa

from features.base.errors import StorageFailure
from features.config.feeds_file import FeedsFile
from features.consent.consent_ledger import UNDATED, append_statements, new_statements, read_statements
from features.consent.subjects import remember_subjects, statements_of, subjects_today, write_consents
from features.identity.keyed_digest import load_key


@dataclass(frozen=True)
class LedgerUpdate:
    """The ledger as it is, what the feeds add to it, and whose statements they are today.

    Parameters
    ----------
    ledger, fresh : statements of `ledger.SCHEMA`
    subjects : what `subjects_today` gave
    waiting : statements about nobody who is known yet; they count from when their customer comes
    untimed : statements without a time that can be read; they count from the load that first held them
    """

    ledger: pa.Table
    fresh: pa.Table
    subjects: pa.Table
    waiting: int
    untimed: int

    def enter(self, folder: Path) -> None:
        """Enter the new statements into the ledger, for good."""
        if self.ledger.num_rows or self.fresh.num_rows:
            append_statements(folder, self.fresh)
            remember_subjects(folder, self.subjects)


def gather(
    engine: duckdb.DuckDBPyConnection,
    feeds: FeedsFile,
    *,
    staged: Path,
    ledger_folder: Path,
    key_file: Path,
    past: pa.Table,
    folder: Path,
) -> LedgerUpdate | None:
    """Write ``consents.parquet`` from the ledger and the feeds' new statements; the ledger itself is left alone.

    Parameters
    ----------
    engine : has ``records`` (feed, record_id, customer_id)
    feeds : all declared feeds
    staged : folder of the staged feeds
    ledger_folder : of the consent ledger
    key_file : with the secret that subjects are pseudonyms under
    past : where past ids lead (past_id, customer_id)
    folder : of the unified tables

    Returns
    -------
    The update to enter once the run is accepted; None where no statement was ever made and no feed of them is declared
    """
    ledger = read_statements(ledger_folder)
    if not ledger.num_rows and all(feed.kind != "consents" for feed in feeds.feeds.values()):
        return None
    key = _pseudonym_key(key_file, needed=ledger.num_rows > 0)
    fresh = new_statements(ledger, statements_of(engine, feeds, staged, key=key))
    subjects = subjects_today(engine, feeds, staged=staged, remembered=ledger_folder, past=past, key=key)
    whole = pa.concat_tables([ledger, fresh])
    waiting = write_consents(engine, whole, subjects, folder / "consents.parquet")
    return LedgerUpdate(ledger, fresh, subjects, waiting, sum(filter(None, whole[UNDATED].to_pylist())))


def _pseudonym_key(path: Path, *, needed: bool) -> bytes:
    """Return the key of the pseudonyms; where there is none yet, a new random one.

    Parameters
    ----------
    path : of the key
    needed : whether the ledger holds pseudonyms, which only the old key can match

    Raises
    ------
    StorageFailure : the key cannot be read or written, or is missing though it is needed
    """
    if needed and not path.is_file():
        raise StorageFailure(
            "consent.key",
            "the key of the consent ledger's subjects is missing: no statement in it can be matched with its customer",
            where=path.name,
            hint="restore state/keys/pseudonym.key from a copy",
        )
    return load_key(path)
