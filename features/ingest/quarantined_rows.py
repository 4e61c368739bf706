"""Quarantined rows of a feed: carried from load to load until a replay reads them again.

Beside a feed's ``rows.parquet`` lie ``rejected.parquet``, the quarantined rows of this load and of earlier ones
whose files have gone since, and ``returned.parquet``, the rows of earlier loads that were read again and could be used.
A row that the files hold (again) is the files' own: it leaves both. A row whose key the files bring is superseded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from features.base.database_engine import literal, one_row, quoted
from features.base.parquet import stream_parquet
from features.base.storage import digest_file

REJECTED = "rejected.parquet"
RETURNED = "returned.parquet"
_PRIVATE = 0o600
_SCALARS = ("STRUCT", "MAP", "UNION")


@dataclass(frozen=True)
class Quarantine:
    """Rows that a feed's last accepted load quarantined, and rows that a replay returned.

    Parameters
    ----------
    folder : the last accepted load of the feed; nothing is carried where it does not exist
    replay : whether quarantined rows of earlier loads are read again
    """

    folder: Path
    replay: bool = False

    @property
    def digest(self) -> list[str]:
        """Digest of the returned rows, which every reading of the feed has to bring; none when there are none."""
        return digest_of_returned(self.folder)

    def open(self, engine: duckdb.DuckDBPyConnection, raw: str) -> bool:
        """Create ``quarantined_before``: rows that earlier loads left and the files lack; return whether there are any.

        Parameters
        ----------
        engine : may read `folder`
        raw : the table of the rows that the files hold now
        """
        engine.execute(
            """
            CREATE TEMP TABLE quarantined_before (
                "row" BIGINT, line BIGINT, reason VARCHAR, as_read VARCHAR, again BOOLEAN, __row BIGINT
            )
            """
        )
        for file, again in ((REJECTED, self.replay), (RETURNED, True)):
            if (self.folder / file).is_file() and "earlier" in pq.read_schema(self.folder / file).names:
                whole = "json_valid(as_read) AND starts_with(as_read, '{')"  # a line that is no row never becomes one
                engine.execute(
                    f"""
                    INSERT INTO quarantined_before
                    SELECT "row", line, reason, as_read, {again} AND {whole}, NULL
                    FROM read_parquet({literal(str(self.folder / file))})
                    """
                )
        if not one_row(engine, "SELECT count(*) FROM quarantined_before")[0]:
            return False
        bare = "json_merge_patch({}, '{{\"__row\": null}}')"
        engine.execute(
            f"""
            DELETE FROM quarantined_before WHERE json_valid(as_read) AND hash({bare.format("as_read")}) IN (
                SELECT hash({bare.format(f"to_json({raw})")}) FROM {raw}
            )
            """
        )
        engine.execute(
            "DELETE FROM quarantined_before "
            "WHERE NOT json_valid(as_read) AND as_read IN (SELECT as_read FROM broken_lines)"
        )
        return bool(one_row(engine, "SELECT count(*) FROM quarantined_before")[0])


def read_again(engine: duckdb.DuckDBPyConnection, raw: str, types: Mapping[str, str]) -> None:
    """Add the rows of ``quarantined_before`` that are read again to `raw`, after the rows that the files hold."""
    engine.execute(
        f"""
        UPDATE quarantined_before SET __row = n.nth
        FROM (
            SELECT rowid AS id, (SELECT coalesce(max(__row), 0) FROM {raw}) + row_number() OVER (ORDER BY rowid) AS nth
            FROM quarantined_before WHERE again
        ) n
        WHERE quarantined_before.rowid = n.id
        """
    )
    columns = [f"{_value(column, kind)} AS {quoted(column)}" for column, kind in types.items()]
    engine.execute(
        f"INSERT INTO {raw} BY NAME "
        f"SELECT __row, {', '.join(columns)} FROM quarantined_before WHERE again ORDER BY __row"
    )


def _value(column: str, kind: str) -> str:
    path = literal('$."' + column.replace("\\", "\\\\").replace('"', '\\"') + '"')
    nested = kind.endswith("]") or kind.startswith(_SCALARS)
    value = f"json_extract(as_read, {path})" if nested else f"json_extract_string(as_read, {path})"
    return value if kind == "VARCHAR" else f"TRY_CAST({value} AS {kind})"


def drop_superseded(engine: duckdb.DuckDBPyConnection, *, keyed: bool) -> None:
    """Delete from ``mapped`` the replayed rows whose key the files now hold, or that still cannot be used."""
    if keyed:
        engine.execute(
            """
            CREATE TEMP TABLE superseded AS
            SELECT __row FROM mapped
            WHERE __row IN (SELECT __row FROM quarantined_before WHERE again) AND record_id IN (
                SELECT record_id FROM mapped
                WHERE __keep AND __reason IS NULL AND __row NOT IN (SELECT __row FROM quarantined_before WHERE again)
            )
            """
        )
        engine.execute("DELETE FROM mapped WHERE __row IN (FROM superseded)")
        engine.execute("DELETE FROM quarantined_before WHERE __row IN (FROM superseded)")
    engine.execute(
        """
        UPDATE quarantined_before SET again = false, reason = mapped.__reason
        FROM mapped WHERE mapped.__row = quarantined_before.__row AND mapped.__keep AND mapped.__reason IS NOT NULL
        """
    )
    engine.execute(
        "DELETE FROM mapped WHERE __row IN (SELECT __row FROM quarantined_before WHERE __row IS NOT NULL AND NOT again)"
    )


def write(engine: duckdb.DuckDBPyConnection, rejected: str, folder: Path) -> None:
    """Write the quarantined and the returned rows beside a feed's rows.

    Parameters
    ----------
    engine : has ``quarantined_before``
    rejected : SQL of this load's own rows that cannot be used: row, line, reason, as_read
    folder : where the rows are written
    """
    held = f"""
        SELECT *, false AS earlier FROM ({rejected})
        UNION ALL
        SELECT "row", line, reason, as_read, true FROM quarantined_before WHERE NOT again
    """
    stream_parquet(engine.sql(held).to_arrow_reader(), folder / REJECTED)
    (folder / REJECTED).chmod(_PRIVATE)
    returned = 'SELECT "row", line, reason, as_read, true AS earlier FROM quarantined_before WHERE again ORDER BY __row'
    if one_row(engine, f"SELECT count(*) FROM ({returned})")[0]:
        stream_parquet(engine.sql(returned).to_arrow_reader(), folder / RETURNED)
        (folder / RETURNED).chmod(_PRIVATE)


def digest_of_returned(folder: Path) -> list[str]:
    """Return the digest of a folder's returned rows; nothing when there are none."""
    return [digest_file(folder / RETURNED)] if (folder / RETURNED).is_file() else []
