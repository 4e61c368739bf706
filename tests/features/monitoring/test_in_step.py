"""Snapshots, registry and online store out of step: each case is told by name, or mended."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from features.base.clock import to_microseconds
from features.base.errors import BadData, StorageFailure
from features.base.parquet import write_parquet
from features.base.workspace import Workspace
from features.monitoring.reconciliation import reconcile
from features.snapshots.incremental_build import name_of
from features.store.online_backend import open_records
from features.store.repository import open_store
from tests.features.monitoring.world import FEATURES, MIDNIGHT, build, customers
from tests.features.other_command import other_command

NOW = MIDNIGHT + timedelta(hours=1)
REGISTRY = Path("state") / "feast" / "registry.db"


def online(workspace: Workspace) -> list[dict[str, object]]:
    store = open_store(workspace.root)
    rows = store.online(customers(workspace), FEATURES, as_of=MIDNIGHT)
    store.close()
    return [dict(row.values) for row in rows]


def test_online_and_offline_are_held_against_each_other_and_mended(workspace: Workspace) -> None:
    assert (reconcile(workspace, repair=False, now=NOW).wrong, reconcile(workspace, repair=True, now=NOW).wrong) == (
        0,
        0,
    )
    before = online(workspace)
    ann = customers(workspace)[0]
    open_records(workspace.root).delete(ann)
    told = reconcile(workspace, repair=False, now=NOW)
    assert (told.wrong, told.still_wrong) == (4, 4)
    assert {view.view: (view.counts, view.examples) for view in told.found} == {
        view: ({"missing": 1}, {"missing": (ann,)}) for view in ("buys", "market", "profile", "consent")
    }
    mended = reconcile(workspace, repair=True, now=NOW)
    assert (mended.wrong, mended.still_wrong) == (4, 0)
    assert online(workspace) == before


def test_an_online_store_that_was_removed_is_mended_and_filled_by_the_next_build(workspace: Workspace) -> None:
    before = online(workspace)
    for mend in (lambda: reconcile(workspace, repair=True, now=NOW), lambda: build(workspace)):
        for file in (workspace.state / "feast").glob("online.db*"):
            file.unlink()
        mend()
        assert online(workspace) == before


def test_a_registry_that_was_removed_is_told_and_made_again_by_the_next_build(workspace: Workspace) -> None:
    before = online(workspace)
    (workspace.root / REGISTRY).unlink()
    with pytest.raises(BadData) as caught:
        reconcile(workspace, repair=True, now=NOW)
    assert {(problem.code, problem.where) for problem in caught.value.problems} == {
        ("store.view_unregistered", view) for view in ("buys", "market", "profile", "consent")
    }
    assert "nextbest features" in caught.value.first.hint
    build(workspace)
    assert (reconcile(workspace, repair=False, now=NOW).wrong, online(workspace)) == (0, before)


def test_a_registry_of_another_build_is_told_and_made_again_by_the_next_build(workspace: Workspace) -> None:
    """A view that was built and not registered, one registered and not built, and one of other features."""
    registry = (workspace.root / REGISTRY).read_bytes()
    file = workspace.root / "features" / "views.yaml"
    views = file.read_text(encoding="utf-8")
    other = views.replace("windows: [7d, 30d]", "windows: [7d]").replace("profile:", "people:")
    file.write_text(other, encoding="utf-8")
    build(workspace)
    (workspace.root / REGISTRY).write_bytes(registry)
    with pytest.raises(BadData) as caught:
        reconcile(workspace, repair=True, now=NOW)
    assert [(problem.code, problem.where) for problem in caught.value.problems] == [
        ("store.view_otherwise", "buys"),
        ("store.view_unregistered", "people"),
        ("store.view_not_built", "profile"),
    ]
    build(workspace)
    assert reconcile(workspace, repair=False, now=NOW).wrong == 0


def test_views_of_an_earlier_online_store_are_dropped(workspace: Workspace) -> None:
    """An old copy of the file came back: other views, other features, an older moment."""
    old = workspace.root / "old.db"
    store = open_store(workspace.root)
    store.close()
    shutil.copyfile(workspace.state / "feast" / "online.db", old)
    file = workspace.root / "features" / "views.yaml"
    views = file.read_text(encoding="utf-8")
    file.write_text(
        views.replace("windows: [7d, 30d]", "windows: [7d]").replace("profile:", "people:"), encoding="utf-8"
    )
    build(workspace)
    for left in (workspace.state / "feast").glob("online.db*"):
        left.unlink()
    shutil.copyfile(old, workspace.state / "feast" / "online.db")
    told = {view.view: view.counts for view in reconcile(workspace, repair=True, now=NOW).found}
    assert told == {
        "buys": {"different": 3},
        "market": {},
        "people": {"missing": 3},
        "consent": {},
        "profile": {"extra": 3},
    }
    assert reconcile(workspace, repair=False, now=NOW).wrong == 0


def test_a_moment_that_has_not_come_yet_is_taken_out(workspace: Workspace) -> None:
    """A source with a wrong clock wrote through Feast: until then, nothing newer could be written over it."""
    before = online(workspace)
    ann = customers(workspace)[0]
    records = open_records(workspace.root)
    (held,) = records.read([ann], deadline_s=5)
    ahead = {
        "buys": replace(held["buys"], event_us=to_microseconds(NOW + timedelta(days=900))),
        "profile": replace(held["profile"], event_us=to_microseconds(NOW), values=("Bath",)),
    }
    records.write([(ann, ahead), ("gil", {"buys": ahead["buys"]})])
    found = {view.view: view.counts for view in reconcile(workspace, repair=True, now=NOW).found}
    assert (found["buys"], found["profile"]) == ({"future": 2}, {"ahead": 1})
    after = online(workspace)
    assert after[0] == before[0] | {"profile__city": "Bath"}
    assert after[1:] == before[1:]
    assert reconcile(workspace, repair=False, now=NOW).wrong == 0
    assert records.read(["gil"], deadline_s=5) == [{}]


def test_a_snapshot_of_another_digest_is_told_and_made_again_by_the_next_build(workspace: Workspace) -> None:
    """Somebody put another file in its place: readable, of the same customers, and of other values."""
    before = online(workspace)
    file = workspace.snapshots / name_of("buys", MIDNIGHT)
    built = pq.read_table(file)
    column = built.schema.get_field_index("buys__count_30d")
    write_parquet(built.set_column(column, "buys__count_30d", pa.array([9] * built.num_rows, pa.int64())), file)
    for repair in (False, True):
        with pytest.raises(BadData) as caught:
            reconcile(workspace, repair=repair, now=NOW)
        assert [problem.code for problem in caught.value.problems] == ["store.snapshot_otherwise"]
        assert caught.value.first.where.startswith("buys/")
    assert online(workspace) == before
    build(workspace)
    assert (reconcile(workspace, repair=False, now=NOW).wrong, online(workspace)) == (0, before)


def test_a_snapshot_that_was_removed_is_told_and_made_again_by_the_next_build(workspace: Workspace) -> None:
    file = workspace.snapshots / name_of("buys", MIDNIGHT)
    file.unlink()
    with pytest.raises(BadData) as caught:
        reconcile(workspace, repair=True, now=NOW)
    assert [problem.code for problem in caught.value.problems] == ["store.snapshot_otherwise"]
    build(workspace)
    assert reconcile(workspace, repair=False, now=NOW).wrong == 0


def test_nothing_is_mended_while_a_build_runs(workspace: Workspace) -> None:
    with other_command(workspace):
        with pytest.raises(StorageFailure) as caught:
            reconcile(workspace, repair=True, now=NOW)
        assert caught.value.first.code == "workspace.busy"
        assert reconcile(workspace, repair=False, now=NOW).wrong == 0


def test_nothing_built_is_said(tmp_path: Path) -> None:
    with pytest.raises(BadData) as caught:
        reconcile(Workspace(tmp_path), repair=True, now=NOW)
    assert caught.value.first.code == "features.not_built"
