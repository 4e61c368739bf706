"""A small frame that tests of the training story share."""

from __future__ import annotations

import numpy as np
import pandas as pd

from training.dataset.frame import Frame
from training.dataset.leaks.leak_report import LeakReport


def frame_of(target: np.ndarray, *, days: list[int], candidates: tuple[str, ...] = ()) -> Frame:
    """Return one row per label and cutoff day of 2026, with features that lean towards the label."""
    customers = len(target) // len(days)
    lean = target if target.ndim == 1 else target[:, 0]
    moments = pd.Timestamp("2026-01-01", tz="UTC") + pd.to_timedelta(np.repeat(days, customers), unit="D")
    names = [f"c{at}" for at in range(customers)] * len(days)
    noise = np.random.default_rng(1).normal(size=len(target))
    return Frame(
        rows=pd.DataFrame({"customer_id": names, "as_of": moments}),
        features=pd.DataFrame({"signal": lean + noise, "noise": noise[::-1]}),
        target=target,
        candidates=candidates,
        leaks=LeakReport(),
    )
