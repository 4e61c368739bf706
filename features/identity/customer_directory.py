"""Which customer a past id, or a record under its own key, leads to today."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from features.base.generations import not_published
from features.base.parquet import read_parquet
from features.base.workspace import Workspace
from features.identity.customer_tables import PERSONAL
from features.identity.id_ledger import former_records, past_ids
from features.identity.ledger_files import read_ledger


@dataclass(frozen=True)
class Directory:
    """Held in memory, to look up event after event.

    Parameters
    ----------
    ids : every id that was ever given, with the customer of today that kept most of it
    records : ``FEED:KEY`` of every record of a customer
    """

    ids: Mapping[str, str]
    records: Mapping[str, str]


def open_directory(workspace: Workspace) -> Directory:
    """Read who is who today; ids whose records have all gone lead nowhere.

    Raises
    ------
    BadData : there are no customers yet
    """
    unified = workspace.unified
    led = _read_ids(workspace, unified)
    led = led.filter(pc.and_(led["live"], pc.equal(led["place"], 0)))
    known = read_parquet(unified / PERSONAL / "records.parquet")
    named = pc.binary_join_element_wise(known["feed"], known["record_id"], ":")
    return Directory(
        dict(zip(led["past_id"].to_pylist(), led["customer_id"].to_pylist(), strict=True)),
        dict(zip(named.to_pylist(), known["customer_id"].to_pylist(), strict=True)),
    )


@dataclass(frozen=True)
class Names:
    """By what a customer can be named, whether they have records today or had them once.

    Parameters
    ----------
    ids : every id that leads to them
    records : ``FEED:KEY`` of every record that is theirs, or that was theirs when it went
    """

    ids: Set[str]
    records: Set[str]


def names_of(workspace: Workspace, customer: str) -> Names:
    """Return by what a customer is named; a past id that leads to another customer today has no names.

    Raises
    ------
    BadData : there are no customers yet
    StorageFailure : the id ledger cannot be read
    """
    led = _read_ids(workspace, workspace.unified)
    led = led.filter(pc.and_(pc.equal(led["customer_id"], customer), pc.equal(led["place"], 0)))
    assigned = read_ledger(workspace.identity).ledger.assignments
    record = pc.binary_join_element_wise(assigned["feed"], assigned["record_id"], ":")
    theirs = pc.unique(record.filter(pc.equal(assigned["customer_id"], customer)))
    once = pc.is_in(record, value_set=theirs)
    last = dict(zip(record.filter(once).to_pylist(), assigned["customer_id"].filter(once).to_pylist(), strict=True))
    records = frozenset(name for name, owner in last.items() if owner == customer)
    return Names(frozenset(led["past_id"].to_pylist()), records)


def records_of(workspace: Workspace, customer: str) -> dict[str, list[str]]:
    """Return the keys of a customer's records, those that are gone among them, by feed.

    Raises
    ------
    StorageFailure : the id ledger cannot be read
    """
    ledger = read_ledger(workspace.identity).ledger
    records = pa.concat_tables([ledger.open(), former_records(ledger, past_ids(ledger))])
    found: dict[str, list[str]] = {}
    for row in records.filter(pc.equal(records["customer_id"], customer)).to_pylist():
        found.setdefault(row["feed"], []).append(row["record_id"])
    return found


def _read_ids(workspace: Workspace, unified: Path) -> pa.Table:
    if not (unified / "ids.parquet").is_file():
        raise not_published("streaming.not_unified", workspace.state / "unified", "customers", "unify")
    return read_parquet(unified / "ids.parquet")
