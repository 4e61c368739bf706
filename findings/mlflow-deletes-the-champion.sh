#!/usr/bin/env bash
# MLflow deletes a model version that an alias points at, and the alias with it.
#
# Versions:  mlflow-skinny 3.17.2, sqlalchemy 2.1.9, alembic 1.20.1, pandas 2.3.3
# Expected:  Deleting the version that carries the alias `champion` is refused, or asks for the
#            alias to be moved first.
# Seen:      It is deleted without a word. The alias is gone as well: loading by alias raises from
#            then on, and nothing in the registry tells which version was the champion.
# Matters:   Aliases replaced stages as the way to say which model is in use. A clean-up of old
#            versions that does not ask about aliases takes the model that serves offers.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
cd "$folder"
python3 -m venv venv
venv/bin/pip install --quiet --disable-pip-version-check \
  mlflow-skinny==3.17.2 sqlalchemy==2.1.9 alembic==1.20.1 pandas==2.3.3
export MLFLOW_DISABLE_TELEMETRY=true
venv/bin/python -W ignore - <<'EOF'
import logging
import sys
from pathlib import Path

logging.disable(logging.INFO)
from mlflow import MlflowClient
from mlflow.exceptions import MlflowException

client = MlflowClient(tracking_uri="sqlite:///mlflow.db")
client.create_registered_model("churn")
for number in (1, 2):
    client.create_model_version("churn", source=Path(f"model-{number}").absolute().as_uri())
client.set_registered_model_alias("churn", "champion", "1")
print("before:", dict(client.get_registered_model("churn").aliases))

client.delete_model_version("churn", "1")
after = dict(client.get_registered_model("churn").aliases)
print("after deleting version 1:", after)
try:
    client.get_model_version_by_alias("churn", "champion")
    found = True
except MlflowException as error:
    found = False
    print("by alias:", error.message)

sys.exit(None if after == {} and not found else "MLflow no longer behaves as described here")
EOF
