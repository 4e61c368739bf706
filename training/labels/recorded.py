"""Labels that a field records: one row for each customer, no history."""

from __future__ import annotations

from datetime import datetime

import duckdb
import numpy as np
import pandas as pd

from features.base.database_engine import literal
from features.base.errors import BadConfiguration
from features.config.feeds_file import FeedsFile
from features.identity.survivorship_rules import survivor
from training.labels.label_settings import RecordedField
from training.labels.labelled_rows import Labels


def recorded(engine: duckdb.DuckDBPyConnection, label: RecordedField, as_of: datetime, feeds: FeedsFile) -> Labels:
    """Return who has the positive value, of those for whom the field is filled."""
    columns = [row[0] for row in engine.execute("DESCRIBE customers").fetchall()]
    if label.field not in columns:
        raise BadConfiguration(
            "label.unknown_field", f"customers has no column {label.field!r}", hint="write it as feed.column"
        )
    value = survivor(label.field, feeds)
    positive = str(label.positive).lower() if isinstance(label.positive, bool) else str(label.positive)
    found = (
        engine.sql(
            f"""
        SELECT customer_id, CAST(CAST(value AS VARCHAR) IN ({_spellings(positive)}) AS DOUBLE) AS target
        FROM (SELECT customer_id, {value} AS value FROM customers WHERE known_until IS NULL GROUP BY customer_id)
        ORDER BY customer_id
        """
        )
        .to_arrow_table()
        .to_pandas()
    )
    known = found.dropna(subset=["target"]).reset_index(drop=True)
    return Labels(
        rows=pd.DataFrame({"customer_id": known["customer_id"], "as_of": pd.Timestamp(as_of)}),
        target=known["target"].to_numpy(dtype=np.float64),
        candidates=(),
        description=f"{label.field} is {label.positive}",
        closes_after=label.closes_after,
        excluded={"not_recorded": len(found) - len(known)},
    )


def _spellings(positive: str) -> str:
    """Return the ways in which the engine may write the positive value: 1 is also 1.0."""
    words = {positive}
    if positive.lstrip("-").isdigit():
        words.add(f"{positive}.0")
    return ", ".join(literal(word) for word in sorted(words))
