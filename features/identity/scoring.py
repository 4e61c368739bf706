"""Splink at work on a table of pairs: weights, patterns of agreement, and the steps to one weight."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
from splink import DuckDBAPI, Linker
from splink.internals.exceptions import SplinkException

from features.base.database_engine import literal, quoted
from features.base.errors import StorageFailure
from features.identity.keyed_digest import keyed_digest
from features.identity.records import KEY
from features.identity.weight_estimation import Patterns


def term_columns(settings: Mapping[str, Any]) -> list[str]:
    """Return the columns of which rarer values count more."""
    return sorted(
        {
            level["tf_adjustment_column"]
            for comparison in settings["comparisons"]
            for level in comparison["comparison_levels"]
            if "tf_adjustment_column" in level
        }
    )


def count_terms(engine: duckdb.DuckDBPyConnection, columns: list[str]) -> tuple[pa.Table, dict[str, float]]:
    """Return how frequent each repeated value of ``compared`` is, by its keyed digest, and a single one's share."""
    parts, floors = [], {}
    for column in columns:
        parts.append(engine.sql(_terms_select(column)).to_arrow_table())
        (filled,) = engine.execute(f"SELECT count({quoted(column)}) FROM compared").fetchall()[0]
        floors[column] = 1.0 / max(int(filled), 1)
    empty = pa.schema([("column", pa.string()), ("digest", pa.uint64()), ("share", pa.float64())]).empty_table()
    return pa.concat_tables([empty, *(part.cast(empty.schema) for part in parts)]), floors


def _terms_select(column: str) -> str:
    return f"""
        SELECT {literal(column)} AS column, {_term_digest(column, quoted(column))} AS digest,
               count(*) / (SELECT count({quoted(column)}) FROM compared) AS share
        FROM compared WHERE {quoted(column)} IS NOT NULL
        GROUP BY {quoted(column)} HAVING count(*) > 1 ORDER BY share DESC, digest
        """


def _term_digest(column: str, value: str) -> str:
    return f"hash({keyed_digest(value, domain=literal(column), key=KEY)})"


@contextmanager
def linked(
    engine: duckdb.DuckDBPyConnection,
    settings: Mapping[str, Any],
    pairs: str,
    *,
    terms: pa.Table,
    floors: Mapping[str, float],
) -> Iterator[Linker]:
    """Yield a linker over ``compared`` that weighs the pairs of a table; what it writes into the engine is removed.

    Parameters
    ----------
    engine : has ``compared`` and the table `pairs`
    settings : Splink's settings
    pairs : a table of ``join_key_l``, ``join_key_r``, ``match_key``
    terms, floors : frequencies of values, as `count_terms` gave them

    Raises
    ------
    StorageFailure : Splink failed; its message, which may quote values, is not passed on
    """
    logging.getLogger("splink").setLevel(logging.CRITICAL)
    database = DuckDBAPI(engine)
    try:
        linker = Linker(database.register("compared"), dict(settings), log_level=None, validate_settings=False)
        engine.register("__terms", terms)
        for column in floors:
            engine.execute(_frequencies(column, floors[column]))
            linker.table_management.register_term_frequency_lookup(database.register(f"__tf_{column}"), column)
        engine.unregister("__terms")
        linker.table_management.register_blocked_pairs_for_predict(database.register(pairs))
        yield linker
    except duckdb.OutOfMemoryException:
        raise
    except (SplinkException, duckdb.Error) as error:
        raise StorageFailure(
            "identity.splink",
            f"the records could not be weighed ({type(error).__name__})",
            hint="if memory is short, free some; otherwise leave out the last change under `identity`",
        ) from None
    finally:
        database.delete_tables_created_by_splink_from_db()


def _frequencies(column: str, floor: float) -> str:
    """Return SQL of the table of how frequent each value of ``compared`` is; one never seen counts as a single one."""
    name = quoted(column)
    return f"""
        CREATE OR REPLACE TEMP TABLE {quoted(f"__tf_{column}")} AS
        SELECT v AS {name}, coalesce(share, {floor!r}::DOUBLE) AS {quoted(f"tf_{column}")}
        FROM (SELECT DISTINCT {name} AS v FROM compared WHERE {name} IS NOT NULL)
        LEFT JOIN __terms ON __terms.column = {literal(column)} AND digest = {_term_digest(column, "v")}
        """


def patterns(linker: Linker, engine: duckdb.DuckDBPyConnection, levels: Mapping[str, int]) -> Patterns:
    """Count the patterns of agreement of the linker's pairs, by ``match_key``.

    Parameters
    ----------
    linker : weighs the pairs, in detail
    engine : where the linker works
    levels : by comparison, how many levels it has
    """
    predicted = linker.inference.predict(warning_mode="never")
    gammas = ", ".join(quoted(f"gamma_{name}") for name in levels)
    counted = engine.sql(
        f"SELECT match_key, {gammas}, count(*) AS pairs FROM {predicted.physical_name} GROUP BY ALL ORDER BY ALL"
    ).to_arrow_table()
    found = [
        np.where(gamma < 0, -1, number - 1 - gamma)
        for number, gamma in (
            (number, counted[f"gamma_{name}"].to_numpy().astype(np.int64)) for name, number in levels.items()
        )
    ]
    return Patterns(
        level=np.stack(found, axis=1),
        pairs=counted["pairs"].to_numpy().astype(float),
        key=np.array([int(key) for key in counted["match_key"].to_pylist()], dtype=np.int64),
    )
