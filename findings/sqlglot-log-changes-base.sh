#!/usr/bin/env bash
# SQLGlot turns DuckDB's base-10 LOG into a natural logarithm for seven of nine dialects.
#
# Versions:  sqlglot 30.30.0, duckdb 2.0.0
# Expected:  LOG(100) is 2 in DuckDB. Written for another dialect it stays a base-10 logarithm
#            (LOG10, LOG(10, x) or whatever that dialect has), or a warning is printed.
# Seen:      For Spark, Databricks, BigQuery, MySQL, T-SQL and ClickHouse the text stays LOG(100),
#            which there is the natural logarithm; for Snowflake it becomes LN(100). Read back
#            from those dialects, SQLGlot itself writes LN for DuckDB, and DuckDB answers 4.605.
#            Only Trino and PostgreSQL keep 2. There is no warning, and no error where SQLGlot is told to raise.
# Matters:   Logarithms of spend are usual churn features. Features that are developed on DuckDB
#            and computed on the warehouse differ by a factor of 2.3, with the same name and shape.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check sqlglot==30.30.0 duckdb==2.0.0
venv/bin/python -W ignore - <<'EOF'
import sys

import duckdb
import sqlglot
from sqlglot import ErrorLevel

DIALECTS = "spark databricks bigquery mysql tsql clickhouse snowflake trino postgres".split()
query = "SELECT LOG(100)"
connection = duckdb.connect()
print("DuckDB itself:", query, "->", connection.execute(query).fetchall()[0][0])

answers = {}
for dialect in DIALECTS:
    there = sqlglot.transpile(query, read="duckdb", write=dialect, unsupported_level=ErrorLevel.RAISE)[0]
    back = sqlglot.transpile(there, read=dialect, write="duckdb", unsupported_level=ErrorLevel.RAISE)[0]
    answers[dialect] = round(connection.execute(back).fetchall()[0][0], 3)
    print(f"{dialect:10}  {there}  and back:  {back}  ->  {answers[dialect]}")

changed = {dialect for dialect, value in answers.items() if value == 4.605}
as_described = changed == set(DIALECTS) - {"trino", "postgres"}
sys.exit(None if as_described else "SQLGlot no longer behaves as described here")
EOF
