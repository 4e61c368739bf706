"""Random corruptions of a good export: unify gives the right tables, or says what was lost."""

from __future__ import annotations

import random
import shutil
import tempfile
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from features.base.errors import BadConfiguration, BadData
from features.config.feed import Feed
from features.ingest.staging import StagedFeed, stage
from tests.features.tiny import table
from tests.repetitions import repetitions

Rows = list[list[str]]
HEADER = ["no", "who", "at", "amount", "town"]
#: Of each corruption: more than a thousand in all in `make fuzz`.
EXAMPLES = repetitions(4, fuzz=60)


def good(count: int, seed: int) -> Rows:
    rng = random.Random(seed)
    return [
        [
            f"A{number:05}",
            f"c{rng.randrange(9)}",
            datetime(2026, rng.randrange(1, 7), rng.randrange(1, 29), tzinfo=UTC).strftime("%Y-%m-%d"),
            f"{rng.randrange(100, 500_000) / 100:.2f}",
            rng.choice(["Bath", "Hull", "York"]),
        ]
        for number in range(count)
    ]


def truth(rows: Rows) -> set[tuple[str, str, str, float]]:
    return {(row[0], row[1], row[2], float(row[3])) for row in rows}


# ── corruptions: each returns the header and the rows that are written ───────────────────────────────────────────────
def drop_column(header: list[str], rows: Rows, place: int, _few: list[int]) -> tuple[list[str], Rows]:
    return [name for at, name in enumerate(header) if at != place], [
        [cell for at, cell in enumerate(row) if at != place] for row in rows
    ]


def swap_columns(header: list[str], rows: Rows, place: int, _few: list[int]) -> tuple[list[str], Rows]:
    order = list(range(len(header)))
    order[place], order[place - 1] = order[place - 1], order[place]
    return [header[at] for at in order], [[row[at] for at in order] for row in rows]


def shift_cells(header: list[str], rows: Rows, place: int, few: list[int]) -> tuple[list[str], Rows]:
    return header, [[*row[:place], "", *row[place:]] if at in few else row for at, row in enumerate(rows)]


def shift_within(header: list[str], rows: Rows, _place: int, few: list[int]) -> tuple[list[str], Rows]:
    return header, [["", *row[:-1]] if at in few else row for at, row in enumerate(rows)]


def blank_cells(header: list[str], rows: Rows, place: int, few: list[int]) -> tuple[list[str], Rows]:
    place = 0 if place < 2 else 2  # a blank amount is an event without one; FQ003 counts blank customers
    return header, [[*row[:place], "", *row[place + 1 :]] if at in few else row for at, row in enumerate(rows)]


def rewritten(place: int, write: Callable[[str], str]) -> Callable[..., tuple[list[str], Rows]]:
    def corrupt(header: list[str], rows: Rows, _: int, few: list[int]) -> tuple[list[str], Rows]:
        return header, [
            [*row[:place], write(row[place]), *row[place + 1 :]] if at in few else row for at, row in enumerate(rows)
        ]

    return corrupt


def day_of(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=UTC)


def grouped(text: str, mark: str, parts: str) -> str:
    return f"{float(text):,.2f}".replace(",", "t").replace(".", mark).replace("t", parts)


CORRUPTIONS: dict[str, Callable[..., tuple[list[str], Rows]]] = {
    "a column is dropped": drop_column,
    "two columns are swapped": swap_columns,
    "cells are shifted beyond the row": shift_cells,
    "cells are shifted within the row": shift_within,
    "cells are blank": blank_cells,
    "dates with points": rewritten(2, lambda text: day_of(text).strftime("%d.%m.%Y")),
    "dates with slashes, day first": rewritten(2, lambda text: day_of(text).strftime("%d/%m/%Y")),
    "dates with slashes, month first": rewritten(2, lambda text: day_of(text).strftime("%m/%d/%Y")),
    "months by name": rewritten(2, lambda text: day_of(text).strftime("%d %b %Y")),
    "epochs": rewritten(2, lambda text: str(int(day_of(text).timestamp()))),
    "words for dates": rewritten(2, lambda _: "yesterday"),
    "decimal commas": rewritten(3, lambda text: grouped(text, ",", "")),
    "decimal commas and points": rewritten(3, lambda text: grouped(text, ",", ".")),
    "commas for thousands": rewritten(3, lambda text: grouped(text, ".", ",")),
    "spaces for thousands": rewritten(3, lambda text: grouped(text, ",", " ")),
    "a currency's symbol": rewritten(3, lambda text: f"€{text}"),
    "another currency's symbol": rewritten(3, lambda text: f"${text}"),
    "words for amounts": rewritten(3, lambda _: "n/a"),
}


def written(header: list[str], rows: Rows) -> str:
    return "".join(";".join(cells) + "\n" for cells in [header, *rows])


def staged(root: Path, text: str) -> StagedFeed:
    (root / "till.csv").write_text(text)
    declared = {"source": "till.csv", "kind": "events", "event": "purchase", "key": "no", "event_time": "at"}
    declared |= {"timezone": "UTC", "customer": "crm.id = till.who"}
    feed = Feed.model_validate({**declared, "fields": {"amount": "amount"}, "reject_above": 0.5})
    return stage("till", feed, root=root, folder=root / "staged")


def read(root: Path) -> set[tuple[str, str, str, float]]:
    return {
        (row["record_id"], row["customer_ref"] or "", row["event_time"].strftime("%Y-%m-%d"), row["amount"])
        for row in table(root / "staged" / "till" / "rows.parquet")
    }


@pytest.mark.parametrize("name", CORRUPTIONS)
@given(data=st.data())
@settings(
    max_examples=EXAMPLES,
    deadline=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_a_corrupted_export_gives_the_right_rows_or_a_word(name: str, data: st.DataObject) -> None:
    count = data.draw(st.integers(8, 60), label="rows")
    rows = good(count, data.draw(st.integers(0, 1_000), label="seed"))
    place = data.draw(st.integers(0, len(HEADER) - 1), label="column")
    few = data.draw(
        st.lists(st.integers(0, count - 1), min_size=1, max_size=count, unique=True), label="corrupted rows"
    )
    root = Path(tempfile.mkdtemp())
    try:
        try:
            found = staged(root, written(*CORRUPTIONS[name](list(HEADER), rows, place, few)))
        except (BadData, BadConfiguration):
            return
        right = truth(rows)
        kept = read(root)
        assert kept <= right, "a row was read otherwise than it is"
        lost = len(right) - len(kept)
        assert (
            lost == sum(found.rejected.values()) + sum(found.skipped.values()) or lost == found.rows_read - found.rows
        )
    finally:
        shutil.rmtree(root)
