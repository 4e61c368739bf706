"""A view's snapshot at one cutoff as blocks of the online record: customer by customer, in bounded memory; no Feast."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from pathlib import Path

import duckdb
import pyarrow as pa

from features.base.checksums import damaged_column
from features.base.clock import from_microseconds, to_microseconds
from features.base.database_engine import EngineResources, open_engine, quoted
from features.base.errors import StorageFailure
from features.base.storage import digest_file, digest_of
from features.store.definitions import CUSTOMER
from features.store.online_records import Block, Layout, OnlineRecords
from features.store.snapshot_files import files_at, latest_files, parquet_pattern, plain_values

ROWS_AT_ONCE = 2_000


@dataclass(frozen=True)
class Source:
    """A view's snapshots, and the features that go online."""

    view: str
    path: Path
    layout: Layout


@dataclass(frozen=True)
class Snapshot:
    """One cutoff of a view.

    Parameters
    ----------
    source : the view's snapshots, of which this is the newest
    cutoff_us : microseconds since 1970
    digest : of the bytes of the files that hold it
    files : those files
    last_event : the number of the last streamed event that it includes; of two blocks of one moment, the one that
        includes more events is the newer one
    """

    source: Source
    cutoff_us: int
    digest: str
    files: tuple[Path, ...]
    last_event: int = 0

    @property
    def view(self) -> str:
        """The view's name."""
        return self.source.view

    @property
    def cutoff(self) -> datetime:
        """The cutoff as a moment."""
        return from_microseconds(self.cutoff_us)


@dataclass(frozen=True)
class Watermark:
    """Which snapshot of a view the online store holds; a fact of the store, written once all of it is there.

    Parameters
    ----------
    cutoff_us : its cutoff; nothing older is ever written over it
    digest, layout : of the snapshot; another one at the same cutoff is written again
    customers : how many it holds
    """

    cutoff_us: int
    digest: str
    layout: str
    customers: int


def newest_snapshots(
    sources: Sequence[Source], *, as_of: datetime, resources: EngineResources | None, last_event: int = 0
) -> list[Snapshot | None]:
    """Return each view's newest snapshot that was known at `as_of`; None where there is none.

    Parameters
    ----------
    sources : the views
    as_of : the moment
    resources : what the engine may use
    last_event : see `Snapshot`
    """
    snapshots: list[Snapshot | None] = []
    with open_engine(folders=[source.path for source in sources], resources=resources) as engine:
        for source in sources:
            found = latest_files(source.path, as_of=as_of, engine=engine)
            if found is None:
                snapshots.append(None)
                continue
            cutoff, files = found
            digest = digest_of([digest_file(path) for path in files])
            snapshots.append(Snapshot(source, to_microseconds(cutoff), digest, files, last_event))
    return snapshots


def has_snapshot(source: Source, *, cutoff_us: int) -> bool:
    """Return whether a view has a snapshot of this cutoff."""
    return bool(files_at(source.path, cutoff=from_microseconds(cutoff_us)))


def read_watermark(records: OnlineRecords, view: str) -> Watermark | None:
    """Return the watermark of a view; None where there is none that can be read."""
    text = records.fact(_fact(view))
    try:
        return None if text is None else Watermark(**json.loads(text))
    except (ValueError, TypeError):
        return None


def put_watermark(records: OnlineRecords, view: str, watermark: Watermark) -> None:
    """Set the watermark of a view."""
    records.put_fact(_fact(view), json.dumps(asdict(watermark), sort_keys=True))


@contextmanager
def open_snapshot_records(
    snapshots: Sequence[tuple[Snapshot, str]], *, resources: EngineResources | None
) -> Iterator[Iterator[tuple[str, dict[str, Block]]]]:
    """Yield what the online store should hold: every customer of the snapshots with their blocks, in order.

    Parameters
    ----------
    snapshots : each with the identity of its layout in the online store
    resources : what the engine may use

    Raises
    ------
    StorageFailure : a snapshot is damaged
    """
    for snapshot, _ in snapshots:
        _refuse_damage(snapshot)
    with open_engine(folders=[snapshot.source.path for snapshot, _ in snapshots], resources=resources) as engine:
        streams = [_blocks(engine.cursor(), snapshot, layout) for snapshot, layout in snapshots]
        yield _by_customer(streams)


def _by_customer(streams: Sequence[Iterator[tuple[str, str, Block]]]) -> Iterator[tuple[str, dict[str, Block]]]:
    in_order = heapq.merge(*streams, key=itemgetter(0))
    for customer, parts in groupby(in_order, key=itemgetter(0)):
        yield customer, {view: block for _, view, block in parts}


def _blocks(engine: duckdb.DuckDBPyConnection, snapshot: Snapshot, layout: str) -> Iterator[tuple[str, str, Block]]:
    names = [name for name, _ in snapshot.source.layout]
    listed = ", ".join(quoted(name) for name in names)
    reader = engine.sql(
        f"""
        SELECT customer_id, epoch_us(created_timestamp) AS created_us, {listed}
        FROM read_parquet($files)
        WHERE event_timestamp = make_timestamptz($cutoff_us)
        ORDER BY customer_id
        """,
        params={"files": parquet_pattern(snapshot.source.path), "cutoff_us": snapshot.cutoff_us},
    ).to_arrow_reader(ROWS_AT_ONCE)
    for batch in reader:
        table = plain_values(pa.Table.from_batches([batch]), names)
        columns = [table.column(name).to_pylist() for name in names]
        customers, created = table.column(CUSTOMER).to_pylist(), table.column("created_us").to_pylist()
        for customer, known, values in zip(customers, created, zip(*columns, strict=True), strict=True):
            yield customer, snapshot.view, Block(snapshot.cutoff_us, known + snapshot.last_event, layout, values)


def _refuse_damage(snapshot: Snapshot) -> None:
    columns = [CUSTOMER, "event_timestamp", "created_timestamp", *(name for name, _ in snapshot.source.layout)]
    for path in snapshot.files:
        column = damaged_column(path, columns)
        if column is not None:
            raise StorageFailure(
                "store.snapshot_damaged",
                f"{path.name} does not match its checksums (first in {column})",
                where=snapshot.view,
                hint="`nextbest features` builds it again",
            )


def _fact(view: str) -> str:
    return f"{view}:watermark"
