"""The survey: how likely people say they are to recommend the company, and a few words."""

from __future__ import annotations

import numpy as np
import pyarrow as pa

from features.simulate.arrays import Table, Text, instants, joined, padded, word
from features.simulate.dirt import without
from features.simulate.history import Answers

_WORDS = (
    "Never again.", "Too expensive for what it is.", "Support takes for ever.", "Outages all the time.",
    "It works, mostly.", "Fine, but the price keeps rising.", "Nothing special.", "Good speed, slow support.",
    "Happy so far.", "Fast and reliable.", "The engineer was lovely.", "Would recommend to anyone.",
)  # fmt: skip
SILENT = 0.45  # share of the answers without words


def survey_feed(answers: Answers, *, contact: Text, rng: np.random.Generator) -> Table:
    """Return the answers in order of time."""
    count = len(answers.at)
    tone = answers.score // 4  # 0 to 3 bad, 4 to 7 so-so, 8 to 10 good
    comment = word(_WORDS, tone * 4 + rng.integers(0, 4, count))
    return pa.table(
        {
            "response_id": joined("N", padded(np.arange(1, count + 1), width=7)),
            "contact_id": contact,
            "answered_at": instants(answers.at),
            "score": answers.score,
            "comment": without(comment, where=rng.random(count) < SILENT),
        }
    )
