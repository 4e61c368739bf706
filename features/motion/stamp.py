"""Of which customers and features the present state is: the worker and the intake see by it that there are new ones."""

from __future__ import annotations

from features.base.storage import digest_of, read_json
from features.base.workspace import Workspace
from features.built import REPORT
from features.one_customer import REPORT as UNIFY_REPORT


def customers_stamp(workspace: Workspace) -> str:
    """Return the digest of the customers of today; empty where there are none."""
    path = workspace.unified / UNIFY_REPORT
    return str(read_json(path)["digest"]) if path.is_file() else ""


def features_stamp(workspace: Workspace) -> str:
    """Return a digest of the customers and features of today; empty where no features are built."""
    path = workspace.snapshots / REPORT
    if not path.is_file():
        return ""
    return digest_of([customers_stamp(workspace), read_json(path)["digest"]])
