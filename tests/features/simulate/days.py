"""Day by day the whole state of two feeds of customers: records arrive, change and leave, and the truth goes along."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv

from features.base.errors import UsageError
from features.base.storage import atomic_file
from features.simulate.arrays import Flags, Ints, Table, instants, joined, text, word
from features.simulate.calendar import DAY
from features.simulate.dirt import put
from features.simulate.names import STREETS
from features.simulate.random_streams import rng_for
from features.simulate.source_records import DOMAINS
from tests.features.simulate.many_records import END, FEEDS, family_names, many_records

ARRIVE, CHANGE, LEAVE = 0.01, 0.01, 0.005
"""Shares a day, of the records there are on the first."""
CHANGES = ("moved", "new e-mail", "renamed", "corrected")

SETTINGS = "\n".join(
    ["feeds:"]
    + [
        f"""  {feed}:
    source: data/{feed}.csv
    owner: {feed.removeprefix("crm_")}
    kind: customers
    key: record_id
    known_at: known_at
    updated_at: updated_at
    timezone: UTC
    fields: {{first_name: first_name, last_name: last_name, email: email, phone: phone, birth_date: birth_date,
             street: street, city: city, postcode: postcode}}"""
        for feed in FEEDS
    ]
)
"""The declaration of the two feeds, as ``features/feeds.yaml`` has it."""


@dataclass(frozen=True)
class Day:
    """The state of the feeds at the end of a day.

    Parameters
    ----------
    at : the day
    feeds : by name, the whole feed: one row a record, in key order
    truth : table of ``feed``, ``key``, ``person``: whose each of these records is
    arrived, changed, left : keys of the records that were touched since the day before
    """

    at: date
    feeds: dict[str, Table]
    truth: Table
    arrived: tuple[str, ...]
    changed: tuple[str, ...]
    left: tuple[str, ...]

    def write(self, root: Path) -> None:
        """Lay the feeds into ``data`` and the truth into ``truth``, in place of the day before.

        Raises
        ------
        StorageFailure : the folder cannot be written
        """
        for name, table in self.feeds.items():
            with atomic_file(root / "data" / f"{name}.csv") as part:
                pyarrow.csv.write_csv(table, part)
        with atomic_file(root / "truth" / "records.csv") as part:
            pyarrow.csv.write_csv(self.truth, part)


def days(people: int, days: int = 30, seed: int = 1) -> Iterator[Day]:
    """Play `days` days of a company of about `people` people; the first day is the start, with nothing touched.

    Parameters
    ----------
    people : about how many there are on the first day
    days : how many days
    seed : of the random generator; the same arguments give the same days

    Raises
    ------
    UsageError : nobody, or no day
    """
    if people < 1 or days < 1:
        raise UsageError("simulate.days", "at least one person and one day are needed", hint="ask for more")
    rng = rng_for(seed, "days")
    start = round(people * 1.75)
    arriving = max(round(start * ARRIVE), 1)
    crowd = many_records(start + arriving * (days - 1), seed)
    count = crowd.records.num_rows
    order = rng.permutation(count)
    arrives = np.empty(count, dtype=np.int64)
    arrives[order] = np.maximum(np.arange(count) - start, -1) // arriving + 1
    records = _dated(crowd.records, at=arrives, new=arrives > 0)
    keys = crowd.truth["key"].combine_chunks()
    here, gone = arrives <= 0, np.zeros(count, dtype=bool)
    first = date(1970, 1, 1) + timedelta(days=END)
    yield _state(records, crowd.truth, first, here)
    for day in range(1, days):
        new = arrives == day
        fate = rng.random(count)
        leave = here & (fate < LEAVE)
        change = here & ~leave & (fate < LEAVE + CHANGE)
        records = _changed(records, crowd.clean, where=change, day=day, rng=rng)
        gone |= leave
        here = (here | new) & ~gone
        touched = [tuple(keys.filter(pa.array(mask)).to_pylist()) for mask in (new, change, leave)]
        yield _state(records, crowd.truth, first + timedelta(days=day), here, *touched)


def _dated(records: Table, *, at: Ints, new: Flags) -> Table:
    """Return the records with those that arrive known from the day on which they do."""
    moment = instants((END + at) * DAY)
    for name in ("known_at", "updated_at"):
        column = records.schema.get_field_index(name)
        records = records.set_column(column, name, pc.if_else(pa.array(new), moment, records[name].combine_chunks()))
    return records


def _changed(records: Table, clean: Table, *, where: Flags, day: int, rng: np.random.Generator) -> Table:
    """Return the records of which the marked ones were moved, renamed, corrected or given a new e-mail address."""
    count = len(where)
    kind = rng.integers(0, len(CHANGES), count)
    new = {name: records[name].combine_chunks() for name in records.column_names}
    serial = np.arange(count) + count * (day + 2)

    moved = where & (kind == CHANGES.index("moved"))
    street = joined(text(rng.integers(1, 190, count)), " ", word(STREETS, rng.integers(0, len(STREETS), count)))
    new["street"] = put(new["street"], where=moved, other=street)
    mailed = where & (kind == CHANGES.index("new e-mail"))
    address = joined("reader", text(serial), "@", word(DOMAINS, serial % len(DOMAINS)))
    new["email"] = put(new["email"], where=mailed, other=address)
    renamed = where & (kind == CHANGES.index("renamed"))
    new["last_name"] = put(new["last_name"], where=renamed, other=family_names(rng.integers(0, 1 << 30, count)))
    corrected = where & (kind == CHANGES.index("corrected"))
    for name in ("first_name", "last_name", "email", "phone", "birth_date"):
        new[name] = put(new[name], where=corrected, other=clean[name].combine_chunks())
    moment = instants(np.full(count, (END + day) * DAY))
    new["updated_at"] = put(new["updated_at"], where=where, other=moment)
    return pa.table(new)


def _state(
    records: Table, truth: Table, at: date, here: Flags,
    arrived: tuple[str, ...] = (), changed: tuple[str, ...] = (), left: tuple[str, ...] = (),
) -> Day:  # fmt: skip
    there = records.filter(pa.array(here))
    feeds = {name: there.filter(pc.equal(there["feed"], name)).drop_columns(["feed"]) for name in FEEDS}
    return Day(at, feeds, truth.filter(pa.array(here)), arrived, changed, left)
