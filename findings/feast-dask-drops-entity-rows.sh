#!/usr/bin/env bash
# Feast's dask offline store returns fewer rows than the entity frame has.
#
# Versions:  feast 0.67.0, dask 2026.8.0, pandas 2.3.3, pyarrow 25.0.1
# Expected:  get_historical_features answers every row of the entity frame once. A row for which
#            no value is known yet keeps its place, with a null.
# Seen:      Five entity rows come back as one. Rows that share customer and timestamp become one
#            row although another column tells them apart. Rows whose customer has only later
#            values, or only values older than the view's ttl, are gone. Nothing is raised.
# Matters:   The rows of a training frame for next-best-offer are offers, and one customer often
#            sees several offers at one moment. Customers without features are the ones that a
#            model must also learn about. Both kinds disappear before training begins.
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
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.types import Float64


def day(number):
    return pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta(days=number)


values = pd.DataFrame(
    {"customer": [1, 2, 3], "seen": [day(5), day(20), day(1)], "spend": [10.0, 20.0, 30.0]}
)
values["seen"] = values["seen"].astype("datetime64[us, UTC]")
values.to_parquet("spend.parquet")

customer = Entity(name="customer", join_keys=["customer"], value_type=ValueType.INT64)
view = FeatureView(
    name="spending",
    entities=[customer],
    ttl=timedelta(days=3),
    schema=[Field(name="spend", dtype=Float64)],
    source=FileSource(name="file", path="spend.parquet", timestamp_field="seen"),
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

asked = pd.DataFrame(
    {
        "customer": [1, 1, 1, 2, 3],
        "event_timestamp": [day(6)] * 5,
        "offer": ["tablet", "phone", "router", "tablet", "tablet"],
    }
)
answer = store.get_historical_features(asked, ["spending:spend"]).to_df()
print("asked:", asked, sep="\n")
print("answered:", answer, sep="\n")
as_described = len(answer) == 1 and answer["customer"].tolist() == [1]
sys.exit(None if as_described else "Feast no longer behaves as described here")
EOF
