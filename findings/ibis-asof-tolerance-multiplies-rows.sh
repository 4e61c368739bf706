#!/usr/bin/env bash
# Ibis's asof_join returns more rows than its left table has once a tolerance is given.
#
# Versions:  ibis-framework 12.0.0, duckdb 2.0.0, pandas 2.3.3, pyarrow 25.0.1
# Expected:  An as-of join answers every row of the left table once. A tolerance only decides
#            whether the row found is near enough, else there is a null.
# Seen:      Without a tolerance three rows come back for three. With one, nine come back: the
#            join is made a second time on customer and time alone, so that left rows which share
#            both are matched with one another. Nothing is raised.
# Matters:   The tolerance is how one writes a feature's time to live. Several offers shown to one
#            customer at one moment are the usual case for next-best-offer, and each of them then
#            counts as often as there are offers, in training and in every measure.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
  'ibis-framework[duckdb]==12.0.0' duckdb==2.0.0 pandas==2.3.3 pyarrow==25.0.1
venv/bin/python -W ignore - <<'EOF'
import sys

import ibis
import pandas as pd

shown = pd.DataFrame(
    {
        "customer": [1, 1, 1],
        "moment": pd.to_datetime(["2026-01-05"] * 3),
        "offer": ["tablet", "phone", "router"],
    }
)
known = pd.DataFrame({"customer": [1], "moment": pd.to_datetime(["2026-01-04"]), "spend": [10.0]})

connection = ibis.duckdb.connect()
left, right = ibis.memtable(shown), ibis.memtable(known)
counts = {}
for name, tolerance in (("no tolerance", None), ("tolerance of 2 days", ibis.interval(days=2))):
    joined = left.asof_join(right, on="moment", predicates="customer", tolerance=tolerance)
    answer = connection.execute(joined)[["customer", "offer", "spend"]].sort_values("offer")
    counts[name] = len(answer)
    print(f"{name}: {len(answer)} rows for {len(shown)}", answer.to_string(index=False), sep="\n")

as_described = list(counts.values()) == [3, 9]
sys.exit(None if as_described else "Ibis no longer behaves as described here")
EOF
