"""Which customer a past id, or a record under its own key, leads to today."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pyarrow.compute as pc

from features.base.errors import BadData
from features.base.storage import read_parquet
from features.base.workspace import Workspace


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
        raise BadData("motion.not_unified", "there are no customers yet", hint="run `nextbest unify` first")
    led = read_parquet(ids)
    led = led.filter(pc.and_(led["live"], pc.equal(led["place"], 0)))
    known = read_parquet(records)
    named = pc.binary_join_element_wise(known["feed"], known["record_id"], ":")
    return Directory(
        dict(zip(led["past_id"].to_pylist(), led["customer_id"].to_pylist(), strict=True)),
        dict(zip(named.to_pylist(), known["customer_id"].to_pylist(), strict=True)),
    )
