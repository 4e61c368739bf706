"""Tables cut at a moment, and features that somebody makes by hand from them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime

import pandas as pd
import pytest

from features.base.errors import BadData
from training.dataset.leaks.leak_report import ExaminedFrame, examine
from training.dataset.leaks.tables_as_of import as_known, recomputed

MARCH, APRIL, MAY = (pd.Timestamp(datetime(2026, month, 1, tzinfo=UTC)) for month in (3, 4, 5))
TABLES = {
    "events": pd.DataFrame(
        {
            "customer_id": ["ann", "ann", "ann", "bob"],
            "event_time": [MARCH, APRIL, MAY, MARCH],
            "known_at": [MARCH, APRIL, MAY, MAY],  # bob's purchase was delivered late
            "amount": [1.0, 2.0, 4.0, 8.0],
        }
    ),
    "customers": pd.DataFrame(
        {"customer_id": ["ann", "bob"], "event_time": [MAY, MAY], "known_at": [MARCH, MAY], "town": ["York", "Hull"]}
    ),
    "interactions": pd.DataFrame(
        {"customer_id": ["ann"], "event_time": [MARCH], "known_at": [MARCH], "outcome": ["yes"], "outcome_time": [MAY]}
    ),
    "shops": pd.DataFrame({"town": ["York"]}),
}
ROWS = pd.DataFrame({"customer_id": ["ann", "bob", "ann"], "as_of": [APRIL, APRIL, MAY]})


def everything(tables: Mapping[str, pd.DataFrame], rows: pd.DataFrame) -> pd.DataFrame:
    """Add up all that a customer ever spent: the naive join."""
    total = tables["events"].groupby("customer_id")["amount"].sum()
    return pd.DataFrame({"spent": rows["customer_id"].map(total).fillna(0.0)})


def until_then(tables: Mapping[str, pd.DataFrame], rows: pd.DataFrame) -> pd.DataFrame:
    """Add up what a customer had spent by the row's moment, as far as it was known."""
    joined = rows.reset_index().merge(tables["events"], on="customer_id")
    seen = joined[(joined["event_time"] <= joined["as_of"]) & (joined["known_at"] <= joined["as_of"])]
    return pd.DataFrame({"spent": seen.groupby("index")["amount"].sum().reindex(rows.index).fillna(0.0)})


def test_what_came_or_was_known_later_is_not_there_and_an_outcome_is_blank_until_its_time() -> None:
    cut = as_known(TABLES, APRIL)
    assert cut["events"]["amount"].tolist() == [1.0, 2.0]
    assert cut["customers"]["town"].tolist() == ["York"]  # it changed since, and was known before
    assert cut["interactions"]["outcome"].isna().all()
    assert cut["shops"].equals(TABLES["shops"])
    assert as_known(TABLES, MAY)["interactions"]["outcome"].tolist() == ["yes"]
    assert TABLES["interactions"]["outcome"].tolist() == ["yes"]


def test_a_naive_join_is_caught_and_one_that_looks_at_the_moment_passes() -> None:
    naive = ExaminedFrame(ROWS, everything(TABLES, ROWS), recompute=recomputed(everything, TABLES))
    answer = examine(naive).results[0]
    assert (answer.outcome, answer.features) == ("failed", ("spent",))
    right = ExaminedFrame(ROWS, until_then(TABLES, ROWS), recompute=recomputed(until_then, TABLES))
    assert examine(right).results[0].outcome == "passed"


def test_whoever_makes_too_few_lines_is_told() -> None:
    def one_line(tables: Mapping[str, pd.DataFrame], rows: pd.DataFrame) -> pd.DataFrame:
        return everything(tables, rows).iloc[:1]

    with pytest.raises(BadData, match="2 rows were requested, 1 were returned"):
        recomputed(one_line, TABLES)(ROWS)
