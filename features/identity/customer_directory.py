"""Which customer a past id, or a record under its own key, leads to today."""

from __future__ import annotations

from collections.abc import Mapping, Set
from dataclasses import dataclass

import pyarrow.compute as pc

from features.base.errors import BadData
from features.base.parquet import read_parquet
from features.base.workspace import Workspace
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
    ids, records = workspace.unified / "ids.parquet", workspace.personal / "records.parquet"
    if not ids.is_file():
        raise _not_unified()
    led = read_parquet(ids)
    led = led.filter(pc.and_(led["live"], pc.equal(led["place"], 0)))
    known = read_parquet(records)
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
    path = workspace.unified / "ids.parquet"
    if not path.is_file():
        raise _not_unified()
    led = read_parquet(path)
    led = led.filter(pc.and_(pc.equal(led["customer_id"], customer), pc.equal(led["place"], 0)))
    assigned = read_ledger(workspace.identity).ledger.assignments
    record = pc.binary_join_element_wise(assigned["feed"], assigned["record_id"], ":")
    theirs = pc.unique(record.filter(pc.equal(assigned["customer_id"], customer)))
    once = pc.is_in(record, value_set=theirs)
    last = dict(zip(record.filter(once).to_pylist(), assigned["customer_id"].filter(once).to_pylist(), strict=True))
    records = frozenset(name for name, owner in last.items() if owner == customer)
    return Names(frozenset(led["past_id"].to_pylist()), records)


def _not_unified() -> BadData:
    return BadData("streaming.not_unified", "there are no customers yet", hint="run `nextbest unify` first")
