#!/usr/bin/env bash
# Feast's online store answers a value that is past its ttl; its offline store answers a null.
#
# Versions:  feast 0.67.0, duckdb 2.0.0, pandas 2.3.3, pyarrow 25.0.1
# Expected:  One feature view has one ttl. For one customer at one moment, retrieval for training
#            and retrieval for serving agree whether the value is still valid.
# Seen:      Twenty days after the event, with a ttl of three days, the offline store (duckdb)
#            answers a null and the online store (SQLite) answers the old value, status PRESENT.
# Matters:   A churn model trained on nulls for silent customers is served their last values
#            instead. The customers who stopped coming are the ones it gets wrong.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
  'feast[duckdb]==0.67.0' ibis-framework==12.0.0 duckdb==2.0.0 pandas==2.3.3 pyarrow==25.0.1
venv/bin/python -W ignore - <<'EOF'
import sys
from datetime import datetime, timedelta, timezone

import pandas as pd
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.protos.feast.serving.ServingService_pb2 import FieldStatus
from feast.types import Float64

now = datetime.now(timezone.utc).replace(microsecond=0)
values = pd.DataFrame({"customer": [1], "seen": [now - timedelta(days=20)], "spend": [10.0]})
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
        offline_store={"type": "duckdb"},
        online_store={"type": "sqlite", "path": "online.db"},
        entity_key_serialization_version=3,
    )
)
store.apply([customer, view])
store.materialize(now - timedelta(days=30), now)

asked = pd.DataFrame({"customer": [1], "event_timestamp": [now]})
asked["event_timestamp"] = asked["event_timestamp"].astype("datetime64[us, UTC]")
offline = store.get_historical_features(asked, ["spending:spend"]).to_df()["spend"].tolist()
response = store.get_online_features(["spending:spend"], [{"customer": 1}])
online = response.to_dict()["spend"]
place = list(response.proto.metadata.feature_names.val).index("spend")
status = FieldStatus.Name(response.proto.results[place].statuses[0])
print("ttl: 3 days; age of the value: 20 days")
print("offline store:", offline)
print("online store: ", online, "with status", status)
as_described = pd.isna(offline[0]) and online == [10.0] and status == "PRESENT"
sys.exit(None if as_described else "Feast no longer behaves as described here")
EOF
