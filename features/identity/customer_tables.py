"""The canonical tables of all feeds together, with one ``customer_id`` on every row that has a customer.

What identifies people lies in the folder ``personal`` and nowhere else: there a record of a customer stands under its
own key, with all that it holds now. In every other table it stands under its place among its feed's keys, which keeps
their order and reveals nothing; ``customers`` and ``holdings`` also have what a record held before, until
``known_until``.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pyarrow.parquet as pq

from features.base.database_engine import literal, one_row, quoted
from features.base.errors import StorageFailure
from features.base.generations import hold_generation
from features.base.manifest import MANIFEST, Manifest
from features.base.parquet import stream_parquet
from features.base.workspace import Workspace
from features.config.canonical import CANONICAL, Kind, attribute_name
from features.config.feed import Feed
from features.config.feeds_file import FeedsFile
from features.identity.links import reference
from features.identity.personal_values import columns_of_people
from features.identity.streamed_events import load_streamed_events
from features.identity.survivorship_rules import refuse_unknown, with_ranks
from features.ingest.mapping import reference_name
from features.ingest.personal_columns import apart_attributes, found_personal, look_at, personal_columns
from features.ingest.row_history import HAVE_VERSIONS, UNTIL, VERSIONS

#: Columns of each canonical table: name → whether it holds numbers.
Columns = Mapping[Kind, Mapping[str, bool]]
_NUMBERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")


@dataclass(frozen=True)
class Attached:
    """How many rows of a feed found their customer.

    Parameters
    ----------
    feed : the feed
    rows : rows with a customer
    anonymous : rows that name no customer
    unknown : rows that name a customer whom no record has; quarantined
    ambiguous : rows of which the named value stands on several customers; quarantined
    """

    feed: str
    rows: int
    anonymous: int
    unknown: int
    ambiguous: int = 0


@dataclass(frozen=True)
class Written:
    """What was written.

    Parameters
    ----------
    attached : one for each feed that is about customers
    found : attributes that look personal though nobody declared them, kept out like those that are declared
    """

    attached: tuple[Attached, ...]
    found: tuple[str, ...]


#: Where the records of customers lie as they are, under their own keys.
PERSONAL = "personal"
#: Folders in it of quarantined rows: about customers whom no record has, and about one of several customers.
UNKNOWN, AMBIGUOUS = "unknown", "ambiguous"
#: The relation of those records.
WHOLE = "whole_customers"


def refuse_damaged_tables(workspace: Workspace) -> None:
    """Refuse tables that are not what was written: the engine might read other values without an error.

    Raises
    ------
    StorageFailure : naming the first one
    """
    generation = workspace.unified
    manifest = Manifest.read(generation)
    damaged = sorted(manifest.files.keys() - manifest.intact(generation)) or ([] if manifest.files else [MANIFEST])
    if damaged:
        raise StorageFailure(
            "unify.damaged_table",
            f"{damaged[0]} does not match its checksums",
            where="state/unified",
            hint="run `nextbest unify`, which makes it again",
        )


def seal(folder: Path) -> None:
    """Make a folder, and every file in it, readable by its owner alone."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    for path in folder.rglob("*"):
        path.chmod(0o700 if path.is_dir() else 0o600)


def write_tables(engine: duckdb.DuckDBPyConnection, feeds: FeedsFile, *, staged: Path, folder: Path) -> Written:
    """Write every canonical table that some feed maps to.

    Rows about a customer whose records are gone stay theirs, so that features of the past do not change.

    Parameters
    ----------
    engine : has ``records`` and ``former_records`` (feed, record_id, customer_id), may read `staged` and write
        `folder`; `WHOLE` is created in it
    feeds : the declared feeds
    staged : folder of the staged feeds
    folder : where ``KIND.parquet``, ``personal/customers.parquet`` and quarantined rows go

    Returns
    -------
    Written

    Raises
    ------
    BadConfiguration : a rule of survivorship names an attribute that there is not
    """
    counts: list[Attached] = []
    found: list[str] = []
    declared = apart_attributes(feeds)
    for kind, table in CANONICAL.items():
        members = {name: feed for name, feed in sorted(feeds.feeds.items()) if feed.kind == kind}
        if not members:
            continue
        selects = [_select(name, feed, feeds, staged) for name, feed in members.items()]
        engine.execute("DROP TABLE IF EXISTS joined")  # first: to replace it would hold both in memory
        engine.execute(f"CREATE TEMP TABLE joined AS {' UNION ALL BY NAME '.join(selects)}")
        columns = {name: type_ for name, type_, *_ in engine.execute("DESCRIBE joined").fetchall()}
        keep = "customer_id IS NOT NULL" if table.about_customer else "true"
        order = "customer_id, event_time, feed, record_id" if table.about_customer else "feed, record_id"
        order += f", {UNTIL}" if UNTIL in columns else ""
        if kind == "customers":
            now = f"FROM joined WHERE {UNTIL} IS NULL"
            whole = f"SELECT * EXCLUDE (__ref, __ambiguous, {UNTIL}) {now} ORDER BY {order}"
            path = folder / PERSONAL / f"{kind}.parquet"
            refuse_unknown(list(columns), feeds)
            stream_parquet(engine.sql(whole).to_arrow_reader(), path)
            engine.execute(f"CREATE OR REPLACE TEMP VIEW {WHOLE} AS SELECT * FROM read_parquet({literal(str(path))})")
        new = _undeclared(engine, kind, {name: type_ for name, type_ in columns.items() if name not in declared}, feeds)
        found += new
        source = f"({with_ranks('joined', feeds)})" if kind == "customers" else "joined"
        hidden = personal_columns(columns, {*declared, *new})
        listed = ", ".join(map(quoted, ["__ref", "__ambiguous", *hidden]))
        numbered = sorted(numbered_feeds(feeds) & set(members))
        pseudonymous = (
            f"SELECT * EXCLUDE ({listed}) REPLACE ({_ordinal(numbered)} AS record_id)\n"
            f"FROM {source} WHERE {keep} ORDER BY {order}"
        )
        stream_parquet(engine.sql(pseudonymous).to_arrow_reader(), folder / f"{kind}.parquet")
        if table.about_customer:
            counts += [_attached(engine, name, kind, folder / PERSONAL) for name in members]
    return Written(tuple(counts), tuple(sorted(found)))


def _undeclared(
    engine: duckdb.DuckDBPyConnection, kind: Kind, columns: Mapping[str, str], feeds: FeedsFile
) -> list[str]:
    """Return which own columns of ``joined``, of these with their types, are personal though undeclared."""
    own = {name: type_ for name, type_ in columns.items() if "." in name and type_ != "BOOLEAN"}
    if not own:
        return []
    is_customer = kind == "customers"
    about_customer = is_customer or CANONICAL[kind].about_customer
    look_at(engine, "joined", own, "customer_id" if about_customer else "CAST(NULL AS VARCHAR)")
    texts = [name for name, type_ in own.items() if not _is_number(type_)]
    found = found_personal(engine, texts, of_customers=is_customer)
    if "customers" in {feed.kind for feed in feeds.feeds.values()}:
        found |= columns_of_people(engine, WHOLE, feeds.phone_countries, about_customer=about_customer)
    return sorted(found)


def numbered_feeds(feeds: FeedsFile) -> frozenset[str]:
    """Return the feeds whose rows stand outside ``personal`` under their place among the feed's keys."""
    declared = apart_attributes(feeds)
    return frozenset(
        name for name, feed in feeds.feeds.items() if feed.kind == "customers" or _telling(name, feed, declared)
    )


def _telling(name: str, feed: Feed, declared: frozenset[str]) -> bool:
    """Return whether a feed's key identifies whom its rows are about."""
    link = feed.link(name)
    about = {link[2]} if link is not None else set()
    return bool(about & set(feed.keys)) or any(attribute_name(name, column) in declared for column in feed.keys)


def _ordinal(numbered: list[str]) -> str:
    """Return SQL of the id under which a row stands outside ``personal``: for some feeds its place, in key order."""
    if not numbered:
        return "record_id"
    listed = ", ".join(map(literal, numbered))
    place = "lpad(CAST(dense_rank() OVER (PARTITION BY feed ORDER BY record_id) AS VARCHAR), 12, '0')"
    return f"CASE WHEN feed IN ({listed}) THEN {place} ELSE record_id END"


def _select(name: str, feed: Feed, feeds: FeedsFile, staged: Path) -> str:
    rows = staged / name / "rows.parquet"
    hidden = _hidden(name, feed, feeds, rows)
    exclude = f"EXCLUDE ({', '.join(quoted(column) for column in hidden)})" if hidden else ""
    source, versions = f"read_parquet({literal(str(rows))})", rows.with_name(VERSIONS)
    if feed.kind in HAVE_VERSIONS:
        source = f"(SELECT *, CAST(NULL AS TIMESTAMPTZ) AS {UNTIL} FROM {source})"
        if versions.is_file():
            source = f"({source} UNION ALL BY NAME SELECT * FROM read_parquet({literal(str(versions))}))"
    if feed.kind == "customers":
        owners = "(FROM records UNION ALL FROM former_records)" if versions.is_file() else "records"
        return (
            f"SELECT r.customer_id, {literal(name)} AS feed, s.* {exclude}, NULL AS __ref, false AS __ambiguous "
            f"FROM {source} s JOIN {owners} r ON r.feed = {literal(name)} AND r.record_id = s.record_id"
        )
    link = feed.link(name)
    if link is None:
        return f"SELECT {literal(name)} AS feed, s.* {exclude}, NULL AS __ref, false AS __ambiguous FROM {source} s"
    other = link[0]
    theirs, ours = link_sides(name, feeds)
    known = "SELECT ref, min(customer_id) AS first, count(DISTINCT customer_id) > 1 AS several FROM ("
    known += _owners(other, theirs, staged / other / "rows.parquet", records="records")
    versions = staged / other / VERSIONS
    if versions.is_file():  # whoever has the value today comes before those who had it and are gone
        known += f" UNION ALL {_owners(other, theirs, versions, records='former_records')}"
    known += ") GROUP BY ref, former QUALIFY former = min(former) OVER (PARTITION BY ref)"
    return (
        f"SELECT CASE WHEN NOT k.several THEN k.first END AS customer_id, {literal(name)} AS feed, s.* {exclude}, "
        f"s.customer_ref AS __ref, coalesce(k.several, false) AS __ambiguous "
        f"FROM {source} s LEFT JOIN ({known}) k ON k.ref = {ours}"
        # what was held by somebody who is gone goes with them
        + (f" WHERE s.{UNTIL} IS NULL OR k.ref IS NOT NULL" if feed.kind in HAVE_VERSIONS else "")
    )


def _owners(feed: str, value: str, path: Path, *, records: str) -> str:
    """Return SQL of the customers of a feed's rows ``o``, with the value that other feeds name them by."""
    return (
        f"SELECT {value} AS ref, r.customer_id, {records == 'former_records'} AS former "
        f"FROM read_parquet({literal(str(path))}) o "
        f"JOIN (SELECT record_id AS rid, customer_id FROM {records} WHERE feed = {literal(feed)}) r "
        "ON r.rid = o.record_id WHERE ref IS NOT NULL"
    )


def link_sides(name: str, feeds: FeedsFile) -> tuple[str, str]:
    """Return SQL of what ``customer:`` compares, over the linked feed's rows ``o`` and over this feed's rows ``s``.

    E-mail addresses and telephone numbers are compared as identity compares them, in any spelling. A consent statement
    by telephone number covers the number in every country: a withdrawal may reach more people than one, never fewer.

    Parameters
    ----------
    name : a feed with ``customer:``
    feeds : the declared feeds
    """
    feed = feeds.feeds[name]
    other, column, _ = feed.link(name) or ("", "", "")
    owner, phones = feeds.feeds[other], feeds.phone_countries
    sides = (f"o.{reference(owner, column)}", "s.customer_ref")
    if _maps(owner, "email", column):
        return f"lower(trim({sides[0]}))", f"lower(trim({sides[1]}))"
    if not _maps(owner, "phone", column):
        return sides
    compared = phones.national_sql if feed.kind == "consents" else phones.compared_sql
    theirs = compared(sides[0], feed=literal(other), country="o.country")
    ours = compared(sides[1], feed=literal(name), country="NULL")
    return f"coalesce({theirs}, trim({sides[0]}))", f"coalesce({ours}, trim({sides[1]}))"


def international_sides(name: str, feeds: FeedsFile) -> tuple[str, str]:
    """Return SQL of the telephone numbers of `link_sides` with their country; null where no number or country is read.

    Parameters
    ----------
    name, feeds : see `link_sides`
    """
    other, column, _ = feeds.feeds[name].link(name) or ("", "", "")
    owner, phones = feeds.feeds[other], feeds.phone_countries
    if _maps(owner, "email", column) or not _maps(owner, "phone", column):
        return "CAST(NULL AS VARCHAR)", "CAST(NULL AS VARCHAR)"
    theirs = phones.e164_sql(f"o.{reference(owner, column)}", feed=literal(other), country="o.country")
    return theirs, phones.e164_sql("s.customer_ref", feed=literal(name), country="NULL")


def _maps(owner: Feed, field: str, column: str) -> bool:
    """Return whether a feed takes a field from this column, as it stands or by an expression."""
    return re.search(rf"(?<!\w){re.escape(column)}(?!\w)", owner.fields.get(field, "")) is not None


def _hidden(name: str, feed: Feed, feeds: FeedsFile, rows: Path) -> list[str]:
    """Return the columns that stay behind: all references and, outside ``customers``, personal columns."""
    versions = rows.with_name(VERSIONS)
    present = {*pq.read_schema(rows).names, *(pq.read_schema(versions).names if versions.is_file() else ())}
    hidden = {"customer_ref", *map(reference_name, feeds.named_by_others(name))}
    if feed.kind != "customers":
        hidden |= {attribute_name(name, column) for column in feed.pii}
        link = feed.link(name)
        if link is not None:
            hidden.add(attribute_name(name, link[2]))
    return sorted(hidden & present)


def _attached(engine: duckdb.DuckDBPyConnection, name: str, kind: Kind, folder: Path) -> Attached:
    """Count a feed's rows and write those that are quarantined; of consents none is: the ledger holds them all."""
    of_feed = f"feed = {literal(name)}" + (f" AND {UNTIL} IS NULL" if kind in HAVE_VERSIONS else "")
    conditions = {
        UNKNOWN: "customer_id IS NULL AND __ref IS NOT NULL AND NOT __ambiguous",
        AMBIGUOUS: "customer_id IS NULL AND __ambiguous",
    }
    rows, anonymous, unknown, ambiguous = one_row(
        engine,
        f"""
        SELECT count(customer_id), count(*) FILTER (customer_id IS NULL AND __ref IS NULL),
               {", ".join(f"count(*) FILTER ({condition})" for condition in conditions.values())}
        FROM joined WHERE {of_feed}
        """,
    )
    if kind == "consents":
        return Attached(feed=name, rows=rows + ambiguous, anonymous=anonymous, unknown=0)
    for why, condition in conditions.items():
        quarantined = (
            f"SELECT * EXCLUDE (customer_id, __ambiguous) FROM joined "
            f"WHERE {of_feed} AND {condition} ORDER BY record_id"
        )
        stream_parquet(engine.sql(quarantined).to_arrow_reader(), folder / why / f"{name}.parquet")
    return Attached(feed=name, rows=rows, anonymous=anonymous, unknown=unknown, ambiguous=ambiguous)


def register(
    engine: duckdb.DuckDBPyConnection,
    folder: Path,
    *,
    streaming: Path | None = None,
    prefix: str = "",
) -> Columns:
    """Make the canonical tables of a folder known to the engine; return their columns and which of them hold numbers.

    Parameters
    ----------
    engine : may read `folder`
    folder : of the pseudonymous tables
    streaming : folder of the streamed events, which are among ``events`` as they are compacted now; none if left out
    prefix : before the names of the tables in the engine
    """
    hold_generation(engine, folder)
    columns: dict[Kind, dict[str, bool]] = {}
    moving = streaming is not None and load_streamed_events(engine, streaming=streaming, unified=folder)
    for kind in CANONICAL:
        path = folder / f"{kind}.parquet"
        parts = [f"SELECT * FROM read_parquet({literal(str(path))})"] if path.is_file() else []
        parts += ["SELECT * FROM streamed_events"] if moving and kind == "events" else []
        if parts:
            engine.execute(f"CREATE OR REPLACE VIEW {prefix}{kind} AS {' UNION ALL BY NAME '.join(parts)}")
            described = engine.execute(f"DESCRIBE {prefix}{kind}").fetchall()
            columns[kind] = {name: _is_number(type_) for name, type_, *_ in described}
    return columns


def _is_number(type_: str) -> bool:
    return type_ in (*_NUMBERS, "DOUBLE", "FLOAT") or type_.startswith("DECIMAL")
