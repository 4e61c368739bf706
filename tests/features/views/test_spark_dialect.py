"""What is translated for Spark, and what rather stays with DuckDB than be understood otherwise."""

from __future__ import annotations

import pytest

from features.views.spark_dialect import tables_of, to_spark


def test_names_and_texts_are_quoted_as_spark_reads_them() -> None:
    select = r"""SELECT "crm.se`g", 'it''s \ so' FROM customers"""
    assert to_spark(select) == r"SELECT `crm.se``g`, 'it\'s \\ so' FROM customers"


def test_times_are_counted_in_microseconds() -> None:
    assert to_spark("SELECT epoch_us(known_at) FROM events") == "SELECT UNIX_MICROS(known_at) FROM events"


def test_the_value_of_the_greatest_row_is_never_a_null() -> None:
    alone, filtered = "SELECT arg_max(a, b) FROM t", "SELECT arg_max(a, b) FILTER (c OR d) FROM t"
    assert to_spark(alone) == "SELECT MAX_BY(a, b) FILTER(WHERE NOT a IS NULL) FROM t"
    assert to_spark(filtered) == "SELECT MAX_BY(a, b) FILTER(WHERE (c OR d) AND NOT a IS NULL) FROM t"


@pytest.mark.parametrize(
    "condition",
    [
        "regexp_matches(city, 'Y')",
        "city ILIKE 'y%'",
        "strptime(city, '%Y') > known_at",
        "CAST(city AS DATE) = DATE '2026-01-01'",
        "known_at + INTERVAL 1 MONTH > known_at",
        "known_at > TIMESTAMP '2026-01-01 00:00:00'",
        "round(1.5) = 2",
        "quantile_cont(n, 0.5) > 1",
    ],
)
def test_what_spark_might_understand_otherwise_is_not_translated(condition: str) -> None:
    assert to_spark(f"SELECT customer_id FROM customers WHERE {condition}") is None


def test_the_length_of_a_number_is_not_translated_since_the_engines_write_numbers_differently() -> None:
    select = 'SELECT length(CAST("crm.n" AS VARCHAR)) FROM customers'
    assert to_spark(select) is not None
    assert to_spark(select, numbers={"crm.n"}) is None


def test_the_tables_of_a_statement_are_those_that_it_does_not_make_itself() -> None:
    assert tables_of("WITH a AS (SELECT * FROM entity_rows) SELECT * FROM a JOIN (SELECT * FROM events) USING (x)") == {
        "entity_rows",
        "events",
    }
