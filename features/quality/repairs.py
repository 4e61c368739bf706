"""Declared repairs of a load: each change recorded with the value before, so that they can be undone.

The record holds people's values: it belongs to its owner alone, and no message ever quotes it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import duckdb
import pyarrow as pa

from features.base.database_engine import EngineResources, literal, one_row, open_engine, quoted
from features.base.errors import BadConfiguration
from features.base.parquet import read_parquet, stream_parquet
from features.base.storage import digest_of
from features.base.telephone import PhoneCountries
from features.config.feed import Feed
from features.config.loading import did_you_mean
from features.config.quality_settings import Repair
from features.ingest.staging import RowTransform

#: Raised when a repair would write other values.
VERSION = 2
REPAIRS = "repairs.parquet"
_PRIVATE = 0o600


def repairs_of(
    name: str, feed: Feed, repairs: Sequence[Repair], *, country: str | None, resources: EngineResources | None = None
) -> RowTransform | None:
    """Return the repairs of one feed as work on its staged rows; None when there are none.

    Parameters
    ----------
    name, feed : the feed
    repairs : all declared repairs, in order
    country : of national telephone numbers, where a repair names none
    resources : what the engine may use
    """
    own = [repair for repair in repairs if repair.feed == name or (repair.feed is None and _maps(feed, repair.field))]
    own += [
        repair
        for repair in repairs
        if repair.feed is None and not _maps(feed, repair.field) and repair.field.startswith(f"{name}.")
    ]
    if not own:
        return None
    digest = digest_of([VERSION, country, [repair.model_dump(mode="json") for repair in own]])
    return RowTransform(lambda folder: _repair(name, folder, own, country, resources), digest)


def _maps(feed: Feed, field: str) -> bool:
    return field in feed.fields


def _repair(
    name: str, folder: Path, repairs: Sequence[Repair], country: str | None, resources: EngineResources | None
) -> None:
    rows = folder / "rows.parquet"
    with open_engine(folders=[folder], resources=resources) as engine:
        source = f"read_parquet({literal(str(rows))})"
        engine.execute(f"CREATE TEMP TABLE rows AS SELECT row_number() OVER () AS __row, * FROM {source}")
        engine.execute(
            """
            CREATE TEMP TABLE repairs (
                step INTEGER, record_id VARCHAR, "row" BIGINT, "column" VARCHAR, rule VARCHAR,
                before VARCHAR, after VARCHAR
            )
            """
        )
        types = {column: kind for column, kind, *_ in engine.execute("DESCRIBE rows").fetchall() if column != "__row"}
        for step, repair in enumerate(repairs):
            column = _column(name, repair, types)
            _one(engine, step, repair, column, types, _when(name, repair, types), country)
        (changed,) = one_row(engine, "SELECT count(*) FROM repairs")
        if changed:
            stream_parquet(engine.sql("SELECT * EXCLUDE (__row) FROM rows ORDER BY __row").to_arrow_reader(), rows)
        stream_parquet(engine.sql('SELECT * FROM repairs ORDER BY step, "row"').to_arrow_reader(), folder / REPAIRS)
    (folder / REPAIRS).chmod(_PRIVATE)


def _column(name: str, repair: Repair, types: Mapping[str, str]) -> str:
    for column in (repair.field, f"{name}.{repair.field}"):
        if column in types:
            return column
    known = sorted(column.removeprefix(f"{name}.") for column in types)
    raise BadConfiguration(
        "quality.column",
        f"feed {name} has no column {repair.field!r}",
        where="features/feeds.yaml: quality.repairs",
        hint=did_you_mean(repair.field, known),
    )


def _when(name: str, repair: Repair, types: Mapping[str, str]) -> str:
    tests = ["true"]
    for field, text in repair.when.items():
        column = _column(name, repair.model_copy(update={"field": field}), types)
        tests.append(f"CAST({quoted(column)} AS VARCHAR) = {literal(text)}")
    return " AND ".join(tests)


def _one(
    engine: duckdb.DuckDBPyConnection,
    step: int,
    repair: Repair,
    column: str,
    types: Mapping[str, str],
    when: str,
    country: str | None,
) -> None:
    """Do one repair: note every value that it changes, then change it."""
    name = quoted(column)
    after = f"CAST(({_expression(repair, name, country, types)}) AS {types[column]})"
    changes = f"{name} IS NOT NULL AND {when} AND ({after}) IS DISTINCT FROM {name}"
    if repair.rule in ("phone", "convert", "clamp"):  # what cannot be made right is left as it was
        changes += f" AND ({after}) IS NOT NULL"
    engine.execute(
        f"""
        INSERT INTO repairs
        SELECT {step:d}, record_id, __row, {literal(column)}, {literal(repair.rule)},
               CAST({name} AS VARCHAR), CAST({after} AS VARCHAR)
        FROM rows WHERE {changes}
        """
    )
    engine.execute(f"UPDATE rows SET {name} = {after} WHERE {changes}")


def _expression(repair: Repair, name: str, country: str | None, types: Mapping[str, str]) -> str:
    text = f"CAST({name} AS VARCHAR)"
    match repair.rule:
        case "trim":
            return f"nullif(trim(regexp_replace({text}, '\\s+', ' ', 'g')), '')"
        case "lower":
            return f"lower({text})"
        case "upper":
            return f"upper({text})"
        case "replace" if isinstance(repair.values, dict):
            cases = " ".join(f"WHEN {literal(old)} THEN {literal(new)}" for old, new in repair.values.items())
            return f"CASE {text} {cases} ELSE {text} END"
        case "placeholder":
            nothing = ", ".join(literal(value.lower()) for value in repair.values)
            return f"CASE WHEN lower(trim({text})) IN ({nothing}) THEN NULL ELSE {name} END"
        case "clamp":
            least = f"greatest({name}, {repair.min!r})" if repair.min is not None else name
            return f"least({least}, {repair.max!r})" if repair.max is not None else least
        case "convert":
            return f"{name} * {repair.factor!r}"
        case _:
            # the country that a repair names holds for all rows; else each record's own comes first
            own = "country" if repair.region is None and "country" in types else "NULL"
            return PhoneCountries(repair.region or country).e164_sql(name, feed="NULL", country=own)


def changed_cells(folder: Path) -> dict[str, int]:
    """Return how many values of each column the repairs of a staged feed have changed."""
    if not (folder / REPAIRS).is_file():
        return {}
    counted: dict[str, int] = {}
    for column in read_parquet(folder / REPAIRS, columns=["column"])["column"].to_pylist():
        counted[column] = counted.get(column, 0) + 1
    return counted


def unrepair(folder: Path, rule: str | None = None, *, resources: EngineResources | None = None) -> pa.Table:
    """Return a staged feed's rows with repairs undone: those of one rule, or all.

    A value that a later repair has changed again goes back to what it was before `rule` touched it.

    Parameters
    ----------
    folder : holds ``rows.parquet`` and ``repairs.parquet``
    rule : such as ``phone``; every rule if left out
    resources : what the engine may use

    Returns
    -------
    pa.Table, the rows of ``rows.parquet`` in their order
    """
    with open_engine(folders=[folder], resources=resources) as engine:
        source = f"read_parquet({literal(str(folder / 'rows.parquet'))})"
        engine.execute(f"CREATE TEMP TABLE rows AS SELECT row_number() OVER () AS __row, * FROM {source}")
        if (folder / REPAIRS).is_file():
            chosen = "true" if rule is None else f"rule = {literal(rule)}"
            engine.execute(
                f"""
                CREATE TEMP TABLE first AS
                SELECT "row", "column", arg_min(before, step) AS before
                FROM read_parquet({literal(str(folder / REPAIRS))})
                WHERE {chosen}
                GROUP BY ALL
                """
            )
            kinds = {column: kind for column, kind, *_ in engine.execute("DESCRIBE rows").fetchall()}
            for (column,) in engine.execute('SELECT DISTINCT "column" FROM first').fetchall():
                engine.execute(
                    f"""
                    UPDATE rows SET {quoted(column)} = CAST(first.before AS {kinds[column]})
                    FROM first WHERE first."row" = rows.__row AND first."column" = {literal(column)}
                    """
                )
        return engine.sql("SELECT * EXCLUDE (__row) FROM rows ORDER BY __row").to_arrow_table()
