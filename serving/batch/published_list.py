"""Published lists: another system reads the complete new list or the complete old one."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.csv

from features.base.parquet import write_parquet
from features.base.storage import atomic_folder, digest_file, write_json
from serving.decisioning.decision import NO_ACTION_OFFER, Decision
from serving.decisioning.sentences import explain_item

PARQUET = "decisions.parquet"
CSV = "decisions.csv"

_SCHEMA = pa.schema(
    [
        ("customer_id", pa.string()),
        ("decision_id", pa.string()),
        ("decision_time", pa.timestamp("us", "UTC")),
        ("rank", pa.int16()),
        ("offer", pa.string()),
        ("group", pa.string()),
        ("channel", pa.string()),
        ("purpose", pa.string()),
        ("propensity", pa.float64()),
        ("value", pa.float64()),
        ("priority", pa.float64()),
        ("selection_prob", pa.float64()),
        ("why", pa.string()),
        ("no_action_reason", pa.string()),
        ("control_group", pa.bool_()),
        ("policy_version", pa.string()),
        ("model_versions", pa.string()),
    ]
)


def table_of(decisions: Sequence[Decision]) -> pa.Table:
    """Return one row for each offer made, and one ``NO_ACTION`` row for each customer without any.

    Rows are ordered by customer and rank.
    """
    rows = [row for decision in sorted(decisions, key=lambda each: each.customer_id) for row in _rows(decision)]
    columns = {name: [row[at] for row in rows] for at, name in enumerate(_SCHEMA.names)}
    return pa.table(columns, schema=_SCHEMA)


def _rows(decision: Decision) -> list[tuple[object, ...]]:
    head = (decision.customer_id, decision.decision_id, decision.decision_time)
    models = " ".join(f"{model}@{version}" for model, version in sorted(decision.model_versions.items()))
    tail = (decision.no_action_reason, decision.control_group, decision.policy_version, models)
    if decision.is_no_action:
        return [(*head, 0, NO_ACTION_OFFER, *[None] * 6, decision.selection_prob, None, *tail)]
    return [
        (
            *head,
            item.rank,
            item.offer,
            item.group,
            item.channel,
            item.purpose,
            item.propensity,
            item.value,
            item.priority,
            item.selection_prob,
            explain_item(item),
            *tail,
        )
        for item in decision.items
    ]


def publish(table: pa.Table, folder: Path) -> Path:
    """Publish a list as Parquet and CSV; the link `folder`/decisions moves to the new list in one step.

    Parameters
    ----------
    table : as `table_of` gives it
    folder : where lists are published

    Returns
    -------
    the folder of the published files

    Raises
    ------
    StorageFailure : the disk is full or the folder cannot be written; the previous list stays published
    """
    versions = folder / ".decisions"
    staging = versions / "next"
    with atomic_folder(staging) as part:
        write_parquet(table, part / PARQUET)
        pyarrow.csv.write_csv(table, part / CSV)
        digest = digest_file(part / PARQUET)
        write_json(part / "manifest.json", {"rows": table.num_rows, "sha256": digest})
    version = versions / digest[:16]
    if version.exists():
        shutil.rmtree(staging)
    else:
        staging.rename(version)
    pointer = folder / "decisions"
    part_pointer = folder / f".decisions.{os.getpid()}.link"
    part_pointer.unlink(missing_ok=True)
    part_pointer.symlink_to(version.relative_to(folder))
    part_pointer.replace(pointer)
    for old in versions.iterdir():
        if old != version:
            shutil.rmtree(old, ignore_errors=True)
    return pointer
