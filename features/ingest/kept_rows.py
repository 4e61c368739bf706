"""Map a feed's raw rows, and keep one row a key, or the versions of each record."""

from __future__ import annotations

from dataclasses import replace

import duckdb

from features.base.database_engine import quoted, ran_out
from features.base.errors import BadData
from features.config.company import Company
from features.ingest.feed_times import decide_conventions
from features.ingest.mapped_select import OWN, mapped_select
from features.ingest.mapping import TYPED, FeedMapping
from features.ingest.quarantined_rows import drop_superseded
from features.ingest.row_history import UNTIL


def map_rows(engine: duckdb.DuckDBPyConnection, mapping: FeedMapping, company: Company) -> None:
    """Create ``mapped`` (each row's reason to be kept aside), ``ranked`` (its rank under its key) and ``kept``."""
    feed = mapping.feed
    try:
        engine.execute(f"CREATE TEMP VIEW {TYPED} AS {mapping.typed_select()}")
        kinds = {
            text: engine.execute(f"DESCRIBE SELECT {sql} AS v FROM {TYPED}").fetchall()[0][1]
            for text, sql in mapping.described().items()
        }
        mapping = replace(mapping, given=kinds)
        mapping = replace(mapping, conventions=decide_conventions(engine, mapping))
        if feed.has_versions:
            _keep_versions(engine, mapping, company)
        elif feed.keys and feed.duplicates in ("keep_first", "keep_last"):
            _keep_one(engine, mapping, company)
        else:
            _keep_identical(engine, mapping, company)
    except duckdb.Error as error:
        if ran_out(error):
            raise
        raise BadData(
            "feed.expression",
            f"an expression of the mapping fails on the data ({type(error).__name__})",
            where=f"feeds.{mapping.name}",
            hint="use TRY_CAST where a value may not convert, and compare values of one type",
        ) from None


def _keep_one(engine: duckdb.DuckDBPyConnection, mapping: FeedMapping, company: Company) -> None:
    """Rank rows by their key and time alone; the fields, which may be costly, are made for the rows that stay."""
    order = "event_time DESC, __row DESC" if mapping.feed.duplicates == "keep_last" else "event_time, __row"
    engine.execute(
        f"""
        CREATE TEMP TABLE mapped AS
        SELECT __row, record_id, event_time, __reason, __keep FROM ({mapped_select(mapping, company)})
        """
    )
    drop_superseded(engine, keyed=True)
    engine.execute(
        f"""
        CREATE TEMP TABLE ranked AS
        SELECT __row, row_number() OVER (PARTITION BY record_id ORDER BY {order}) AS __nth
        FROM mapped WHERE __keep AND __reason IS NULL
        """
    )
    stay = f"(SELECT * FROM {TYPED} WHERE __row IN (SELECT __row FROM ranked WHERE __nth = 1))"
    engine.execute(f"CREATE TEMP TABLE kept AS {mapped_select(mapping, company, source=stay)}")


def _keep_versions(engine: duckdb.DuckDBPyConnection, mapping: FeedMapping, company: Company) -> None:
    """Keep the version of each record that held at the delivery; create ``versions`` of those before it."""
    engine.execute(f"CREATE TEMP TABLE mapped AS {mapped_select(mapping, company)}")
    drop_superseded(engine, keyed=False)
    engine.execute(
        f"""
        CREATE TEMP TABLE ranked AS
        SELECT *, row_number() OVER records AS __nth, lag(known_at) OVER records AS {UNTIL}
        FROM mapped WHERE __keep AND __reason IS NULL
        WINDOW records AS (PARTITION BY record_id ORDER BY __ahead, event_time DESC NULLS LAST, __row DESC)
        """
    )
    engine.execute(f"CREATE TEMP VIEW kept AS SELECT * EXCLUDE (__nth, {UNTIL}) FROM ranked WHERE __nth = 1")
    engine.execute(f"CREATE TEMP VIEW versions AS SELECT * EXCLUDE (__nth) FROM ranked WHERE known_at < {UNTIL}")


def _keep_identical(engine: duckdb.DuckDBPyConnection, mapping: FeedMapping, company: Company) -> None:
    """Rank rows by their key, or by all they hold; rows that differ under one key can be told apart by a hash."""
    feed = mapping.feed
    engine.execute(f"CREATE TEMP TABLE mapped AS {mapped_select(mapping, company)}")
    drop_superseded(engine, keyed=bool(feed.keys))
    same = "__as_row" if not feed.keys and feed.duplicates == "drop_identical" else "record_id"
    columns = [row[0] for row in engine.execute("DESCRIBE mapped").fetchall()]
    compared = [quoted(column) for column in columns if column not in OWN]
    compared = [column for column in compared if feed.keys or column != '"record_id"']
    engine.execute(
        f"""
        CREATE TEMP TABLE ranked AS
        SELECT *, row_number() OVER (PARTITION BY {same} ORDER BY event_time, __row) AS __nth
        FROM (SELECT *, hash({", ".join(compared)}) AS __as_row FROM mapped WHERE __keep AND __reason IS NULL)
        """
    )
    engine.execute("CREATE TEMP VIEW kept AS SELECT * EXCLUDE (__nth, __as_row) FROM ranked WHERE __nth = 1")
