"""Which snapshots are kept, mended for a few customers or made anew, and the doing of it."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from features.base.storage import digest_of
from features.identity.customer_tables import Columns
from features.snapshots.changes import (
    everybody_again,
    find_touched,
    keep_marks,
    mark,
    only_touched,
    touched_at,
    touched_by,
)
from features.snapshots.snapshot_manifest import SnapshotManifest, marks_of, name_of, write_kept
from features.views.compute import (
    RowsOf,
    compute,
    keep_computed,
    make_spine,
    patched_at,
    rows_in,
    write_snapshot,
)
from features.views.plan import PlannedView
from features.views.spark_dialect import tables_of

#: Raised when other bytes would be written for the same input.
VERSION = 6
#: From this share of a snapshot's customers on, it is computed whole.
MOST_TOUCHED = 0.3


@dataclass
class Renewal:
    """The snapshots of one build, made in a folder of their own beside those of the build before.

    Parameters
    ----------
    old, new : the folder as it stands, and the one that will take its place
    kept : what the last build wrote
    intact : those of its files whose bytes are still those that were written
    cutoffs : all cutoffs, oldest first
    every : the length of the cells of time by which changes are found
    numbered : feeds whose rows stand under their place among all rows
    rows_of_view : the engine that computes a view
    """

    old: Path
    new: Path
    kept: SnapshotManifest
    intact: frozenset[str]
    cutoffs: Sequence[datetime]
    every: timedelta
    numbered: frozenset[str]
    rows_of_view: RowsOf
    _made_of: dict[str, str] = field(default_factory=dict)
    _cells: dict[str, str] = field(default_factory=dict)
    _spine: tuple[str, tuple[datetime, ...]] = ("", ())

    def look(self, engine: duckdb.DuckDBPyConnection, columns: Columns, purpose: str) -> None:
        """Find what has changed in the tables since the last build, as far as a purpose shows them.

        Parameters
        ----------
        engine : knows the canonical tables
        columns : of those tables
        purpose : what they were opened for
        """
        self._spine = ("", ())
        self._cells[purpose] = digest_of(
            [VERSION, duckdb.__version__, str(self.every), sorted(self.numbered), _plain(columns)]
        )
        mark(engine, columns, cell=self.every, first=self.cutoffs[0], numbered=sorted(self.numbered))
        keep_marks(engine, self.new / marks_of(purpose))
        if self._knows(purpose):
            first = max(self.cutoffs[0], self.kept.since or self.cutoffs[0])
            find_touched(engine, self.old / marks_of(purpose), cell=self.every, first=first)

    def fill(self, engine: duckdb.DuckDBPyConnection, columns: Columns, view: PlannedView, purpose: str) -> None:
        """Make all snapshots of a view.

        Parameters
        ----------
        engine : that `look` has looked at for the purpose
        columns : of the canonical tables
        view : the planned view
        purpose : of the view
        """
        self._made_of[view.name] = digest_of(
            [
                [VERSION, duckdb.__version__, purpose],
                [[asdict(feature) for feature in view.features], view.source, _said(view), view.shared],
            ]
        )
        (self.new / view.name).mkdir()
        whole, mended = [], []
        for cutoff in self.cutoffs:
            name = name_of(view.name, cutoff)
            known = self._knows(purpose) and self.kept.made_of.get(view.name) == self._made_of[view.name]
            touched = self._touched(engine, view, cutoff) if known and name in self.intact else None
            if touched is None:
                whole.append(cutoff)
            elif touched:
                mended.append(cutoff)
            else:
                _link(self.old / name, self.new / name)
        if whole:
            self._make_spine(engine, columns, whole)
            paths = {cutoff: self.new / name_of(view.name, cutoff) for cutoff in whole}
            compute(engine, view, paths, rows_of_view=self.rows_of_view)
        if mended:
            self._mend(engine, columns, view, mended)

    def rows(self, view: str) -> int:
        """Return how many rows the snapshots of a view hold."""
        return sum(rows_in(self.new / name_of(view, cutoff)) for cutoff in self.cutoffs)

    def close(self) -> None:
        """Write down what was made, for the next build."""
        write_kept(self.new, made_of=self._made_of, cells=self._cells, since=self.cutoffs[0], before=self.kept)

    def _knows(self, purpose: str) -> bool:
        """Say whether the marks of the last build can be held against those of this one."""
        return self.kept.cells.get(purpose) == self._cells[purpose] and marks_of(purpose) in self.intact

    def _touched(self, engine: duckdb.DuckDBPyConnection, view: PlannedView, cutoff: datetime) -> int | None:
        """Return for how many customers a snapshot may be other than it was; None where that may be for all."""
        customers, shared = touched_by(engine, cutoff, cell=self.every)
        read = tables_of(view.select) | (tables_of(view.source) if view.source else set())
        if shared & read or (view.shared and customers):
            return None
        rows = rows_in(self.old / name_of(view.name, cutoff))
        return customers if customers <= MOST_TOUCHED * rows else None

    def _make_spine(self, engine: duckdb.DuckDBPyConnection, columns: Columns, cutoffs: list[datetime]) -> None:
        if self._spine != ("whole", tuple(cutoffs)):
            make_spine(engine, columns, cutoffs)
            self._spine = ("whole", tuple(cutoffs))

    def _mend(
        self, engine: duckdb.DuckDBPyConnection, columns: Columns, view: PlannedView, cutoffs: list[datetime]
    ) -> None:
        """Compute a view for the touched customers alone, and put their rows in the place of those that were there."""
        self._spine = ("", ())
        make_spine(engine, columns, cutoffs)
        only_touched(engine, columns, cell=self.every)
        try:
            keep_computed(engine, view, rows_of_view=self.rows_of_view)
        finally:
            everybody_again(engine, columns)
        for cutoff in cutoffs:
            name = name_of(view.name, cutoff)
            mended = patched_at(cutoff, self.old / name, touched_at(cutoff, cell=self.every))
            write_snapshot(engine.sql(mended).to_arrow_reader(), self.new / name)


def _said(view: PlannedView) -> str:
    """Return what a view computes, in the same words in every process: Ibis numbers inner tables as it meets them."""
    return view.windows.said if view.windows is not None else re.sub(r'"t\d+"', '"t"', view.select)


def _plain(columns: Columns) -> dict[str, dict[str, bool]]:
    return {kind: dict(known) for kind, known in columns.items()}


def _link(old: Path, new: Path) -> None:
    """Let a file stand in another folder too; where the disk knows no links, as a copy."""
    with suppress(OSError):
        os.link(old, new)
        return
    shutil.copyfile(old, new)
