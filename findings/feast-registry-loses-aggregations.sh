#!/usr/bin/env bash
# A Feast BatchFeatureView comes back from the registry without its aggregations.
#
# Versions:  feast 0.67.0, dask 2026.8.0, pandas 2.3.3, pyarrow 25.0.1
# Expected:  After apply, the registry gives back the view that was applied: the same class with
#            the same list of aggregations, so that materialize writes the sum.
# Seen:      The view comes back as a plain FeatureView without aggregations. Materialize reads
#            that one and writes the last raw value under the name of the sum. There is no
#            error; the one warning says that this class is experimental, not what gets lost.
# Matters:   The store serves one purchase where the model learnt the total of all purchases.
#            Both are plausible amounts of money, so nobody notices by looking at them.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
  feast==0.67.0 dask==2026.8.0 pandas==2.3.3 pyarrow==25.0.1
venv/bin/python -W ignore - <<'EOF'
import sys
from datetime import timedelta

import pandas as pd
from feast import Aggregation, BatchFeatureView, Entity, FeatureStore, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64

start = pd.Timestamp("2026-01-01", tz="UTC")
seen = [start + pd.Timedelta(days=number) for number in (0, 1, 2)]
purchases = pd.DataFrame({"customer": [1, 1, 1], "seen": seen, "spend": [10.0, 20.0, 30.0]})
purchases["seen"] = purchases["seen"].astype("datetime64[us, UTC]")
purchases.to_parquet("purchases.parquet")

customer = Entity(name="customer", join_keys=["customer"], value_type=ValueType.INT64)
view = BatchFeatureView(
    name="spending",
    entities=[customer],
    ttl=timedelta(days=365),
    schema=[Field(name="spend", dtype=Float64)],
    source=FileSource(name="file", path="purchases.parquet", timestamp_field="seen"),
    online=True,
    aggregations=[Aggregation(column="spend", function="sum", name="spend")],
)
store = FeatureStore(
    config=RepoConfig(
        project="shop",
        provider="local",
        registry="registry.db",
        offline_store={"type": "dask"},
        online_store={"type": "sqlite", "path": "online.db"},
        entity_key_serialization_version=3,
    )
)
store.apply([customer, view])
back = store.registry.get_any_feature_view("spending", "shop")
kept = getattr(back, "aggregations", None) or []
store.materialize((start - timedelta(days=1)).to_pydatetime(), (start + timedelta(days=9)).to_pydatetime())
online = store.get_online_features(["spending:spend"], [{"customer": 1}]).to_dict()["spend"][0]
print("applied:  ", type(view).__name__, "with", len(view.aggregations), "aggregation (a sum of 60.0)")
print("read back:", type(back).__name__, "with", len(kept), "aggregations")
print("materialized value:", online)
as_described = len(view.aggregations) == 1 and not kept and online == 30.0
sys.exit(None if as_described else "Feast no longer behaves as described here")
EOF
