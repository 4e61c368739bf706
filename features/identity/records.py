"""The records of all feeds of customers, side by side, as they are compared."""

from __future__ import annotations

import secrets
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from features.base.database_engine import literal, one_row, quoted
from features.base.errors import BadConfiguration
from features.base.telephone import NO_COUNTRY, PhoneCountries
from features.config.canonical import CANONICAL
from features.config.feed import Feed
from features.config.identity_settings import WEIGHED, Identity
from features.identity.blocking import NAME_KEY
from features.identity.keyed_digest import KEY_BYTES, keyed_digest, register_key
from features.identity.normalisation import (
    date_digits,
    email,
    family_name,
    first_filled,
    given_name,
    name_suffix,
    normalised,
)
from features.identity.presets import Compared, compared

#: The name under which the engine holds the key of the digests that matching stores.
KEY = "identity"
_NAMES = ("first_name", "last_name", "full_name")


@dataclass(frozen=True)
class Records:
    """Records of customers; a record's node is its row number here.

    Parameters
    ----------
    table : ``feed``, ``record_id``, ``known_at`` and ``digest`` (of what is compared: it changes when that does), in
        feed and record order
    compared : what the table ``compared`` of the engine holds, beside ``node``
    exclusive : by exclusive field, array of shape (n_records,); a code for each value, -1 where there is none
    """

    table: pa.Table
    compared: tuple[Compared, ...] = ()
    exclusive: Mapping[str, np.ndarray] = field(default_factory=dict)

    def names(self) -> pa.Array:
        """Return ``feed:key`` of every record."""
        columns = [self.table[name].combine_chunks().cast(pa.string()) for name in ("feed", "record_id")]
        return pc.binary_join_element_wise(*columns, ":")


def load_records(
    engine: duckdb.DuckDBPyConnection,
    feeds: Mapping[str, Feed],
    identity: Identity,
    staged: Path,
    *,
    key: bytes | None = None,
    phones: PhoneCountries = NO_COUNTRY,
) -> Records:
    """Write the tables ``nodes`` (as staged) and ``compared`` (normalised, for rules that weigh) into the engine.

    Parameters
    ----------
    engine : may read `staged`
    feeds : all declared feeds; those of other kinds are passed over
    identity : what is compared
    staged : folder of the staged feeds
    key : the secret of the digests; a random one if left out, whose digests no other run can compare with its own
    phones : by which country telephone numbers are read

    Raises
    ------
    BadConfiguration : a column that is compared is in no feed, or nothing that is compared is filled
    """
    register_key(engine, KEY, key if key is not None else secrets.token_bytes(KEY_BYTES))
    customers = sorted(name for name, feed in feeds.items() if feed.kind == "customers")
    fields = fields_of(identity)
    selects = [staged_select(name, staged, fields) for name in customers]
    _refuse_unknown(identity, customers, staged)
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE nodes AS
        SELECT row_number() OVER (ORDER BY feed, record_id) - 1 AS node, *
        FROM ({" UNION ALL BY NAME ".join(selects)}) ORDER BY feed, record_id
        """
    )
    give_countries(engine, phones)
    filled = (
        [name for name, some in zip(fields, one_row(engine, _filled(fields)), strict=True) if some] if fields else []
    )
    chosen = compared(identity, filled) if identity.rules in WEIGHED else ()
    if identity.rules in WEIGHED and not chosen:
        raise BadConfiguration(
            "identity.nothing",
            f"rules {identity.rules!r} find nothing to compare: no feed fills any of the fields",
            where="features/feeds.yaml: identity",
            hint="map first_name, last_name, email, phone, birth_date or an address",
        )
    write_whole(engine, chosen, phones, "nodes")
    if chosen:
        write_compared(engine, chosen, identity.shared_by_at_most)
    table = engine.sql(
        f"SELECT feed, record_id, known_at, {digest_expression(fields)} AS digest FROM nodes ORDER BY node"
    ).to_arrow_table()
    exclusive = {name: codes(engine, name, identity, phones) for name in identity.exclusive}
    return Records(table, chosen, exclusive)


def give_countries(engine: duckdb.DuckDBPyConnection, phones: PhoneCountries) -> None:
    """Write national telephone numbers in ``nodes`` with their country, where no country is declared.

    A national number is the only international one without its country; where there are several, it is none of them.
    """
    if phones.company is not None:
        return
    engine.execute(
        f"""
        WITH numbers AS (
          SELECT *, {phones.e164_sql("phone")} AS number, {phones.national_sql("phone")} AS digits
          FROM (SELECT DISTINCT phone, feed, country FROM nodes WHERE phone IS NOT NULL)
        ), known AS (
          SELECT digits, any_value(number) AS number FROM numbers WHERE number IS NOT NULL
          GROUP BY digits HAVING count(DISTINCT number) = 1
        )
        UPDATE nodes SET phone = found.number
        FROM (SELECT n.phone, n.feed, n.country, known.number FROM numbers n JOIN known USING (digits)
              WHERE n.number IS NULL) found
        WHERE nodes.phone = found.phone AND nodes.feed = found.feed AND nodes.country IS NOT DISTINCT FROM found.country
        """
    )


def fields_of(identity: Identity) -> list[str]:
    """Return every field and ``feed.column`` that resolution reads."""
    named = [field for fields in identity.fields().values() for field in fields]
    return list(dict.fromkeys([*CANONICAL["customers"].fields, *(name for name in named if "." in name)]))


def staged_select(name: str, staged: Path, fields: Sequence[str]) -> str:
    path = staged / name / "rows.parquet"
    present = set(pq.read_schema(path).names)
    columns = [quoted(each) for each in fields if each in present]
    return (
        f"SELECT {', '.join([f'{literal(name)} AS feed', 'record_id', 'known_at', *columns])} "
        f"FROM read_parquet({literal(str(path))})"
    )


def _refuse_unknown(identity: Identity, customers: Sequence[str], staged: Path) -> None:
    columns = {column for name in customers for column in pq.read_schema(staged / name / "rows.parquet").names}
    for place, fields in identity.fields().items():
        for absent in (each for each in fields if "." in each and each not in columns):
            raise BadConfiguration(
                "identity.column",
                f"no feed of customers keeps the column {absent!r}",
                where=f"features/feeds.yaml: identity.{'.'.join(str(part) for part in place)}",
                hint="name it feed.column as it survives: in snake_case, and not under `drop`",
            )


def _filled(fields: Sequence[str]) -> str:
    return f"SELECT {', '.join(f'count({quoted(name)}) > 0' for name in fields)} FROM nodes"


def digest_expression(fields: Sequence[str]) -> str:
    """Return SQL of the keyed digest of a record's fields: it changes when they do."""
    digested = ", ".join(f"coalesce(cast({quoted(name)} AS VARCHAR), '')" for name in fields) or "''"
    return f"left({keyed_digest(f'concat_ws(chr(31), {digested})', domain=literal('record'), key=KEY)}, 32)"


def whole_columns(chosen: Sequence[Compared], phones: PhoneCountries) -> list[str]:
    """Return SQL of the columns ``node`` and one a value, as it is compared, over ``nodes``."""
    columns = ["node"]
    for each in chosen:
        if each.kind == "person":
            first, last, full = (quoted(name) if name in each.of else "NULL" for name in _NAMES)
            columns += [
                f"{given_name(first, last, full)} AS given",
                f"{family_name(first, last, full)} AS family",
                f"{name_suffix(last, full)} AS suffix",
            ]
        else:
            value = first_filled([quoted(name) for name in each.of])
            columns.append(f"{normalised(value, each.kind, phones)} AS {each.column}")
    return columns


def write_whole(
    engine: duckdb.DuckDBPyConnection, chosen: Sequence[Compared], phones: PhoneCountries, source: str
) -> None:
    """Write ``whole``: of the records of `source`, which are among ``nodes``, the values as they are compared."""
    columns = ", ".join(whole_columns(chosen, phones))
    engine.execute(f"CREATE OR REPLACE TEMP TABLE whole AS SELECT {columns} FROM {source} ORDER BY node")


def write_person(engine: duckdb.DuckDBPyConnection, identity: Identity, source: str) -> None:
    """Write ``person`` (node, given, family, suffix, born): what separates the people of `source`."""
    declared = compared(identity, fields_of(identity))
    names = next((each for each in declared if each.kind == "person"), Compared("person", "person", _NAMES))
    own = Compared("birth_date", "date", ("birth_date",))
    born = next((each for each in declared if each.label == own.label), own)
    columns = ", ".join(whole_columns([names, born], NO_COUNTRY))
    engine.execute(
        f"CREATE OR REPLACE TEMP TABLE person AS SELECT node, given, family, suffix, {born.column} AS born "
        f"FROM (SELECT {columns} FROM {source})"
    )


def contacts(chosen: Sequence[Compared]) -> list[str]:
    """Return the columns that hold contact points, which identify nobody when too many share them."""
    return [each.column for each in chosen if each.kind in ("email", "phone")]


def compared_columns(chosen: Sequence[Compared]) -> list[str]:
    """Return the columns of ``whole`` beside the node."""
    return [column for each in chosen for column in (*each.columns, *(["suffix"] if each.kind == "person" else []))]


def same_expression(chosen: Sequence[Compared]) -> str:
    """Return SQL over ``whole`` of a keyed hash of all that is compared; equal records are compared as one."""
    listed = ", ".join(f"coalesce({column}, '')" for column in compared_columns(chosen))
    return f"hash({keyed_digest(f'concat_ws(chr(31), {listed})', domain=literal('same'), key=KEY)})"


def write_compared(engine: duckdb.DuckDBPyConnection, chosen: Sequence[Compared], shared_by_at_most: int) -> None:
    """Write ``copies`` (node, same, rep: the first record that is equal to it) and ``compared`` (of these first ones).

    Contact points that too many share are left empty. Records of one name count once among those that share one.
    """
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE copies AS
        SELECT node, same, min(node) OVER (PARTITION BY same) AS rep
        FROM (SELECT node, {same_expression(chosen)} AS same FROM whole)
        """
    )
    who = f"coalesce({NAME_KEY}, CAST(node AS VARCHAR))" if has_names(chosen) else "node"
    engine.execute(
        "CREATE OR REPLACE TEMP TABLE compared AS FROM whole WHERE node IN (SELECT rep FROM copies) ORDER BY node"
    )
    for column in contacts(chosen):
        shared = f"SELECT {column} FROM compared GROUP BY {column} HAVING count(DISTINCT {who}) > {shared_by_at_most:d}"
        engine.execute(f"UPDATE compared SET {column} = NULL WHERE {column} IN ({shared})")


def first_of_copies(engine: duckdb.DuckDBPyConnection) -> np.ndarray:
    """Return, by record, the first record that is compared as equal to it."""
    found = engine.sql("SELECT rep FROM copies ORDER BY node").to_arrow_table()
    return np.asarray(found["rep"].to_numpy(), dtype=np.int64)


def has_names(chosen: Sequence[Compared]) -> bool:
    """Return whether names of persons are compared."""
    return any(each.kind == "person" for each in chosen)


def of_all_copies(engine: duckdb.DuckDBPyConnection, edges: pa.Table) -> pa.Table:
    """Return edges between records that stand for their copies as edges of all records.

    Parameters
    ----------
    engine : has ``copies``
    edges : `EDGES` columns; one from a record to itself joins its copies with it
    """
    engine.register("edges_of_first", edges)
    found: pa.Table = engine.sql(
        """
        SELECT "left", "right", weight, cause FROM edges_of_first WHERE "left" < "right"
        UNION ALL
        SELECT "left", node, weight, cause FROM edges_of_first JOIN copies ON rep = "left" AND node > rep
        WHERE "left" = "right"
        ORDER BY ALL
        """
    ).to_arrow_table()
    engine.unregister("edges_of_first")
    return found.rename_columns(edges.column_names)


def codes(engine: duckdb.DuckDBPyConnection, name: str, identity: Identity, phones: PhoneCountries) -> np.ndarray:
    """Return a code for each value of an exclusive field, however spelt; -1 where there is none."""
    column = quoted(name)
    declared = identity.comparisons.get(name)
    match name:
        case "email":
            value = email(column)
        case "phone":
            value = phones.number_sql(column)
        case "birth_date":
            value = date_digits(column)
        case _ if declared is not None and declared.kind not in ("person", "none"):
            value = normalised(column, declared.kind, phones)
        case _:
            value = normalised(column, "identifier")
    codes = engine.sql(
        f"SELECT CASE WHEN v IS NULL THEN -1 ELSE dense_rank() OVER (ORDER BY v) END AS code "
        f"FROM (SELECT node, {value} AS v FROM nodes) ORDER BY node"
    ).to_arrow_table()
    return np.asarray(codes["code"].to_numpy(), dtype=np.int64)
