"""Accepted streamed events among the canonical ``events``: where they lie as Parquet, and which of them count.

The log's rows lie in segments under ``state/streaming/events``, in the order of their acceptance; `MANIFEST` lists
them. A row counts as long as its customer is in ``customers``, and no feed has delivered the same (feed, record_id).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.dataset as ds

from features.base.database_engine import literal
from features.base.errors import StorageFailure
from features.base.storage import read_json, write_json

FOLDER = "events"
MANIFEST = "segments.json"
_TIME = pa.timestamp("us", "UTC")
SCHEMA = pa.schema(
    [
        ("customer_id", pa.string()),
        ("feed", pa.string()),
        ("record_id", pa.string()),
        ("event_time", _TIME),
        ("known_at", _TIME),
        ("event", pa.string()),
        ("item", pa.string()),
        ("amount", pa.float64()),
        ("quantity", pa.float64()),
        ("channel", pa.string()),
        ("text", pa.string()),
    ]
)


@dataclass(frozen=True)
class Segment:
    """One file of rows: the log's entries from `first` to `last`, without those that were taken out."""

    file: str
    first: int
    last: int


@dataclass(frozen=True)
class Segments:
    """The rows that are settled.

    Parameters
    ----------
    files : in the order of the log
    feeds : which feeds they are of
    by_record : whether a source named a customer of theirs by a record
    stamp : of the customers that records were resolved to
    through : the number up to which all entries that the log still holds are settled; 0 where there is none
    """

    files: tuple[Segment, ...] = ()
    feeds: tuple[str, ...] = ()
    by_record: bool = False
    stamp: str = ""
    through: int = 0


def read_segments(streaming: Path) -> Segments:
    """Return which rows are settled."""
    path = streaming / FOLDER / MANIFEST
    if not path.is_file():
        return Segments()
    document = read_json(path)
    files = tuple(Segment(**segment) for segment in document["files"])
    through = document.get("through", files[-1].last if files else 0)  # what was settled long ago shows no gap
    return Segments(files, tuple(document["feeds"]), document["by_record"], document["stamp"], through)


def write_segments(streaming: Path, segments: Segments) -> None:
    """Let these be the rows that are settled, from now on, in one step."""
    document: dict[str, Any] = asdict(segments)
    write_json(streaming / FOLDER / MANIFEST, document)


def load_streamed_events(engine: duckdb.DuckDBPyConnection, *, streaming: Path, unified: Path) -> bool:
    """Create the table ``streamed_events`` of the settled rows that count; return whether there are any files of them.

    Parameters
    ----------
    engine : may read `unified`
    streaming : folder of the segments, which the engine need not be able to read
    unified : folder of the canonical tables, and of where past ids lead

    Raises
    ------
    StorageFailure : a segment is gone or damaged
    """
    segments = read_segments(streaming)
    while segments.files:
        try:
            engine.register("settled", compacted_rows(streaming, segments))
            engine.execute(f"CREATE OR REPLACE TEMP TABLE streamed_events AS {_counting(segments, unified)}")
            return True
        except (OSError, pa.ArrowException, duckdb.InvalidInputException) as error:
            before, segments = segments, read_segments(streaming)
            if segments == before:  # else others have taken their place meanwhile
                raise unreadable(error) from error
        finally:
            engine.unregister("settled")
    return False


def compacted_rows(
    streaming: Path, segments: Segments, *, columns: list[str] | None = None, where: ds.Expression | None = None
) -> pa.RecordBatchReader:
    """Return the settled rows, of all columns where none is named, their page checksums verified as they are read."""
    checked = ds.ParquetFragmentScanOptions(page_checksum_verification=True)
    form = ds.ParquetFileFormat(default_fragment_scan_options=checked)
    paths = [str(streaming / FOLDER / segment.file) for segment in segments.files]
    return ds.dataset(paths, schema=SCHEMA, format=form).scanner(columns=columns, filter=where).to_reader()


def unreadable(error: Exception) -> StorageFailure:
    """Return the failure: a segment is gone or damaged."""
    return StorageFailure(
        "streaming.segment_unreadable",
        f"the streamed events cannot be read ({type(error).__name__})",
        where="state/streaming/events",
        hint="remove that folder: the log makes it again",
    )


def _counting(segments: Segments, unified: Path) -> str:
    """Return SQL of the rows that count, under the customers of today; the table ``settled`` can be read once."""
    ids, events, customers = (unified / f"{name}.parquet" for name in ("ids", "events", "customers"))
    feeds = ", ".join(map(literal, segments.feeds))
    led = f"""
        JOIN (SELECT past_id, customer_id FROM read_parquet({literal(str(ids))}) WHERE place = 0) i
        ON i.past_id = m.customer_id
        SEMI JOIN read_parquet({literal(str(customers))}) c ON c.customer_id = i.customer_id
    """
    delivered = f"""
        WHERE NOT EXISTS (
            SELECT 1 FROM read_parquet({literal(str(events))}) u
            WHERE u.feed IN ({feeds}) AND u.feed = m.feed AND u.record_id = m.record_id
        )"""
    return f"""
        SELECT {"i.customer_id, m.* EXCLUDE (customer_id)" if ids.is_file() else "m.*"}
        FROM settled m {led if ids.is_file() else ""} {delivered if events.is_file() else ""}
    """
