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
from features.identity.keyed_digest import KEY_BYTES, keyed_digest, register_key
from features.identity.normalisation import date_digits, email, family_name, first_filled, given_name, normalised
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
    engine.execute(whole_select(chosen, phones))
    engine.execute(compared_select(chosen, identity.shared_by_at_most))
    table = engine.sql(
        f"SELECT feed, record_id, known_at, {digest_expression(fields)} AS digest FROM nodes ORDER BY node"
    ).to_arrow_table()
    exclusive = {name: codes(engine, name, identity, phones) for name in identity.exclusive}
    return Records(table, chosen, exclusive)


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


def whole_select(chosen: Sequence[Compared], phones: PhoneCountries) -> str:
    """Return SQL that writes ``whole``: one column a value, as it is compared, of the records in ``nodes``."""
    columns = ["node"]
    for each in chosen:
        if each.kind == "person":
            first, last, full = (quoted(name) if name in each.of else "NULL" for name in _NAMES)
            columns += [
                f"{given_name(first, last, full)} AS given",
                f"{family_name(first, last, full)} AS family",
            ]
        else:
            value = first_filled([quoted(name) for name in each.of])
            columns.append(f"{normalised(value, each.kind, phones)} AS {each.column}")
    return f"CREATE OR REPLACE TEMP TABLE whole AS SELECT {', '.join(columns)} FROM nodes ORDER BY node"


def contacts(chosen: Sequence[Compared]) -> list[str]:
    """Return the columns that hold contact points, which identify nobody when too many share them."""
    return [each.column for each in chosen if each.kind in ("email", "phone")]


def compared_select(chosen: Sequence[Compared], shared_by_at_most: int) -> str:
    """Return SQL that writes ``compared``: ``whole``, with contact points left empty that too many share."""
    replaced = ", ".join(
        f"CASE WHEN count(*) OVER (PARTITION BY {column}) <= {shared_by_at_most:d} THEN {column} END AS {column}"
        for column in contacts(chosen)
    )
    return (
        "CREATE OR REPLACE TEMP TABLE compared AS\n"
        f"SELECT * {f'REPLACE ({replaced})' if replaced else ''} FROM whole ORDER BY node"
    )


def codes(engine: duckdb.DuckDBPyConnection, name: str, identity: Identity, phones: PhoneCountries) -> np.ndarray:
    """Return a code for each value of an exclusive field, however spelt; -1 where there is none."""
    column = quoted(name)
    declared = identity.comparisons.get(name)
    match name:
        case "email":
            value = email(column)
        case "phone":
            value = phones.compared_sql(column)
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
