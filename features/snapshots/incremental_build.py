"""Incremental build: each snapshot is reused, patched for a few customers, or recomputed."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from features.base.clock import iso
from features.base.errors import StorageFailure
from features.base.storage import digest_of, read_json, write_json
from features.identity.customer_tables import Columns
from features.snapshots.changes import (
    changed_at,
    count_changed,
    find_changed,
    hash_rows,
    lift_restriction,
    restrict_to_changed,
    write_row_hashes,
)
from features.views.compute import (
    RowsOf,
    compute,
    create_entity_rows_at,
    file_of,
    keep_computed,
    patched_at,
    rows_in,
    write_snapshot,
)
from features.views.plan import PlannedView
from features.views.spark_dialect import tables_of

#: Raised when other bytes would be written for the same input.
VERSION = 6
#: From this share of a snapshot's customers on, it is computed whole.
MAX_CHANGED_SHARE = 0.3
#: The file of the inputs of a build.
INPUTS = "inputs.json"


@dataclass(frozen=True)
class SnapshotInputs:
    """What the snapshots of a build were computed from, as far as the next build compares it.

    Parameters
    ----------
    definitions : of each view a digest of its definition
    hashed_with : of each purpose a digest of the settings that its row hashes were made with
    since : the first cutoff; what became known by then is one time bucket
    """

    definitions: Mapping[str, str] = field(default_factory=dict)
    hashed_with: Mapping[str, str] = field(default_factory=dict)
    since: datetime | None = None

    @classmethod
    def read(cls, folder: Path) -> SnapshotInputs:
        """Return the inputs of a build; empty ones where there are none, or they are damaged."""
        try:
            document: Mapping[str, Any] = read_json(folder / INPUTS)
            since = datetime.fromisoformat(document["since"])
            return cls(dict(document["definitions"]), dict(document["hashed_with"]), since)
        except (StorageFailure, KeyError, TypeError, ValueError):
            return cls()

    def write(self, folder: Path) -> None:
        """Write the inputs into the folder of the snapshots."""
        since = iso(self.since) if self.since else None
        write_json(folder / INPUTS, {**asdict(self), "since": since})


@dataclass
class IncrementalBuild:
    """The snapshots of one build, in a new folder beside that of the last build.

    Parameters
    ----------
    old, new : the folder as it stands, and the one that will take its place
    before : what the snapshots of the last build were computed from
    intact : the files of the last build whose bytes are still those that were written
    cutoffs : all cutoffs, oldest first
    every : the length of the time buckets by which changes are found
    numbered : feeds whose rows are named by their place among all rows
    rows_of_view : the engine that computes a view
    """

    old: Path
    new: Path
    before: SnapshotInputs
    intact: frozenset[str]
    cutoffs: Sequence[datetime]
    every: timedelta
    numbered: frozenset[str]
    rows_of_view: RowsOf
    _definitions: dict[str, str] = field(default_factory=dict)
    _hashed_with: dict[str, str] = field(default_factory=dict)
    _entity_rows: tuple[str, tuple[datetime, ...]] = ("", ())

    def detect_changes(self, engine: duckdb.DuckDBPyConnection, columns: Columns, purpose: str) -> None:
        """Find the customers whose rows have changed since the last build, in the tables as opened for a purpose.

        Parameters
        ----------
        engine : has the canonical tables
        columns : of those tables
        purpose : what they were opened for
        """
        self._entity_rows = ("", ())
        self._hashed_with[purpose] = digest_of(
            [VERSION, duckdb.__version__, str(self.every), sorted(self.numbered), _plain(columns)]
        )
        hash_rows(engine, columns, bucket=self.every, first=self.cutoffs[0], numbered=sorted(self.numbered))
        write_row_hashes(engine, self.new / row_hashes_of(purpose))
        if self._is_comparable(purpose):
            first = max(self.cutoffs[0], self.before.since or self.cutoffs[0])
            find_changed(engine, self.old / row_hashes_of(purpose), bucket=self.every, first=first)

    def build_view(self, engine: duckdb.DuckDBPyConnection, columns: Columns, view: PlannedView, purpose: str) -> None:
        """Reuse, patch or recompute each snapshot of a view.

        Parameters
        ----------
        engine : in which `detect_changes` has run for the purpose
        columns : of the canonical tables
        view : the planned view
        purpose : of the view
        """
        self._definitions[view.name] = digest_of(
            [
                [VERSION, duckdb.__version__, purpose],
                [[asdict(feature) for feature in view.features], view.source, _definition_text(view), view.shared],
            ]
        )
        (self.new / view.name).mkdir()
        whole, patched = [], []
        for cutoff in self.cutoffs:
            name = name_of(view.name, cutoff)
            known = (
                self._is_comparable(purpose) and self.before.definitions.get(view.name) == self._definitions[view.name]
            )
            changed = self._count_changed(engine, view, cutoff) if known and name in self.intact else None
            if changed is None:
                whole.append(cutoff)
            elif changed:
                patched.append(cutoff)
            else:
                _link(self.old / name, self.new / name)
        if whole:
            self._create_entity_rows(engine, columns, whole)
            paths = {cutoff: self.new / name_of(view.name, cutoff) for cutoff in whole}
            compute(engine, view, paths, rows_of_view=self.rows_of_view)
        if patched:
            self._patch(engine, columns, view, patched)

    def rows(self, view: str) -> int:
        """Return how many rows the snapshots of a view hold."""
        return sum(rows_in(self.new / name_of(view, cutoff)) for cutoff in self.cutoffs)

    def write_inputs(self) -> None:
        """Write what the snapshots were computed from, for the next build."""
        SnapshotInputs(self._definitions, self._hashed_with, self.cutoffs[0]).write(self.new)

    def _is_comparable(self, purpose: str) -> bool:
        """Return whether the row hashes of the last build can be compared with those of this one."""
        return (
            self.before.hashed_with.get(purpose) == self._hashed_with[purpose] and row_hashes_of(purpose) in self.intact
        )

    def _count_changed(self, engine: duckdb.DuckDBPyConnection, view: PlannedView, cutoff: datetime) -> int | None:
        """Return for how many customers a snapshot may differ; None where it may for all."""
        customers, shared = count_changed(engine, cutoff, bucket=self.every)
        read = tables_of(view.source) if view.source else set()
        if view.windows is None:  # else it reads its source alone
            read |= tables_of(view.select)
        if shared & read or (view.shared and customers):
            return None
        rows = rows_in(self.old / name_of(view.name, cutoff))
        return customers if customers <= MAX_CHANGED_SHARE * rows else None

    def _create_entity_rows(self, engine: duckdb.DuckDBPyConnection, columns: Columns, cutoffs: list[datetime]) -> None:
        if self._entity_rows != ("whole", tuple(cutoffs)):
            create_entity_rows_at(engine, columns, cutoffs)
            self._entity_rows = ("whole", tuple(cutoffs))

    def _patch(
        self, engine: duckdb.DuckDBPyConnection, columns: Columns, view: PlannedView, cutoffs: list[datetime]
    ) -> None:
        """Compute a view for the changed customers alone, and replace their rows in the last snapshots."""
        self._entity_rows = ("", ())
        create_entity_rows_at(engine, columns, cutoffs)
        restrict_to_changed(engine, columns, bucket=self.every)
        try:
            keep_computed(engine, view, rows_of_view=self.rows_of_view)
        finally:
            lift_restriction(engine, columns)
        for cutoff in cutoffs:
            name = name_of(view.name, cutoff)
            patched = patched_at(cutoff, self.old / name, changed_at(cutoff, bucket=self.every))
            write_snapshot(engine.sql(patched).to_arrow_reader(), self.new / name)


def name_of(view: str, cutoff: datetime) -> str:
    """Return where a snapshot lies below the folder of snapshots.

    Examples
    --------
    >>> from datetime import UTC
    >>> name_of("buys", datetime(2026, 1, 31, tzinfo=UTC))
    'buys/2026-01-31T000000Z.parquet'
    """
    return f"{view}/{file_of(cutoff)}"


def row_hashes_of(purpose: str) -> str:
    """Return where the row hashes of a purpose lie below the folder of snapshots."""
    return f"{purpose or 'any'}.row_hashes"


def _definition_text(view: PlannedView) -> str:
    """Return what a view computes, equal in every process: Ibis numbers inner tables in the order of their use."""
    return view.windows.key if view.windows is not None else re.sub(r'"t\d+"', '"t"', view.select)


def _plain(columns: Columns) -> dict[str, dict[str, bool]]:
    return {kind: dict(known) for kind, known in columns.items()}


def _link(old: Path, new: Path) -> None:
    """Link a file into another folder; copy it where the disk has no hard links."""
    with suppress(OSError):
        os.link(old, new)
        return
    shutil.copyfile(old, new)
