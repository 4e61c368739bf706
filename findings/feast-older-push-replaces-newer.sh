#!/usr/bin/env bash
# An event that arrives late replaces a newer value in Feast's SQLite online store.
#
# Versions:  feast 0.67.0, dask 2026.8.0, pandas 2.3.3, pyarrow 25.0.1
# Expected:  The online store holds the latest value by event time. A push whose event time is
#            older than what is stored changes nothing.
# Seen:      The push with the older event time wins because it came last.
# Matters:   Streams deliver late and out of order. A balance or a count of complaints goes back
#            to an earlier state, and the offer is chosen on it, until the next event comes.
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
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, PushSource, RepoConfig, ValueType
from feast.data_source import PushMode
from feast.types import Int64


def event(day, complaints):
    seen = pd.Timestamp("2026-01-01", tz="UTC") + pd.Timedelta(days=day)
    return pd.DataFrame({"customer": [1], "seen": [seen], "complaints": [complaints]})


event(0, 0).to_parquet("complaints.parquet")
customer = Entity(name="customer", join_keys=["customer"], value_type=ValueType.INT64)
batch = FileSource(name="file", path="complaints.parquet", timestamp_field="seen")
view = FeatureView(
    name="service",
    entities=[customer],
    ttl=timedelta(days=365),
    schema=[Field(name="complaints", dtype=Int64)],
    source=PushSource(name="events", batch_source=batch),
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


def stored():
    return store.get_online_features(["service:complaints"], [{"customer": 1}]).to_dict()["complaints"][0]


store.push("events", event(10, 3), to=PushMode.ONLINE)
first = stored()
store.push("events", event(4, 1), to=PushMode.ONLINE)
second = stored()
print("after the event of day 10 with 3 complaints:", first)
print("after the late event of day 4 with 1 complaint:", second)
sys.exit(None if (first, second) == (3, 1) else "Feast no longer behaves as described here")
EOF
