"""One golden record in full: values, the origin of each value, contact points, and every owner's own view beside it."""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path

import duckdb

from features.config.feeds_file import FeedsFile
from features.identity.contact_points import write_contact_points
from features.identity.golden_values import choose, write_golden
from features.identity.owner_views import write_owner_views
from features.identity.provenance import write_provenance


def write_golden_record(
    engine: duckdb.DuckDBPyConnection,
    feeds: FeedsFile,
    personal: Collection[str],
    *,
    source: str,
    shown: str,
    folder: Path,
) -> None:
    """Write all that is known of customers beside their records.

    Parameters
    ----------
    engine : has `source`, may write `folder`
    feeds : the declared feeds and rules
    personal : attributes that identify a person, beside the canonical fields that do
    source : relation of all customers' records with all their fields, personal ones too
    shown : relation of the same records without what identifies people
    folder : where ``golden.parquet``, ``owners/`` and, for what identifies people, ``personal/`` go

    Raises
    ------
    BadConfiguration : a rule of survivorship names an attribute that there is not
    """
    won = choose(engine, feeds, source=source)
    write_golden(engine, won, personal, folder=folder)
    write_provenance(engine, won, folder=folder)
    write_contact_points(engine, source=source, folder=folder, phones=feeds.phone_countries)
    write_owner_views(engine, feeds, source=shown, folder=folder)
