"""Ruling out pairs by a cheaper count of edits changes no answer."""

from __future__ import annotations

import itertools

import duckdb
import pytest

from features.identity.comparisons import within


@pytest.mark.parametrize("edits", [1, 2])
def test_so_few_edits_are_those_that_the_dear_count_alone_finds(edits: int) -> None:
    words = ["".join(letters) for length in range(5) for letters in itertools.product("abc", repeat=length)]
    with duckdb.connect() as engine:
        engine.execute("CREATE TABLE words AS SELECT unnest(?) AS c", [words])
        differing, alike = engine.execute(
            f"""
            SELECT count(*) FILTER (({within("c", edits)}) <> (damerau_levenshtein(c_l, c_r) <= {edits})),
                   count(*) FILTER ({within("c", edits)})
            FROM (SELECT l.c AS c_l, r.c AS c_r FROM words l CROSS JOIN words r)
            """
        ).fetchall()[0]
    assert differing == 0
    assert alike > len(words)
