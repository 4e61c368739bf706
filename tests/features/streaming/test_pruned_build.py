"""Builds before and after events are taken out: what no row asks to change stays, all else is as built anew."""

from __future__ import annotations

import shutil
from datetime import timedelta
from pathlib import Path

import pytest

from features.base.progress import Silent
from features.base.workspace import Workspace
from features.pipeline.build_features import build_features
from features.streaming.removal import Erased, Pruned, erase, prune
from tests.features.streaming.test_with_a_build import followed
from tests.features.streaming.world import NOW, SECOND, accept, customer, log_of, told, world
from tests.features.tiny import STORE, unified


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    """Return a built company, of whose three streamed events a feed has delivered one, the other two being its own."""
    made = world(tmp_path, build=False)
    made.file("features/feature_store.yaml").write_text(STORE, encoding="utf-8")
    build_features(made, Silent())
    accept(made, [told(1, "A1"), told(2, "B1"), told(9, "A1", feed="till", id="9")])
    till = tmp_path / "till.csv"
    late = "9,A1,2026-03-01T09:00:00,purchase,7.5,1,toy,app\n"
    till.write_text(till.read_text(encoding="utf-8") + late, encoding="utf-8")
    unified(made)
    build_features(made, Silent())
    followed(made, NOW + SECOND)
    return made


def snapshots(workspace: Workspace) -> dict[str, bytes]:
    found = [path for path in workspace.snapshots.rglob("*.parquet") if not path.name.startswith(".")]
    return {str(path.relative_to(workspace.snapshots)): path.read_bytes() for path in found}


def test_pruning_what_a_feed_holds_leaves_every_snapshot_as_it_is(workspace: Workspace) -> None:
    before, files = build_features(workspace, Silent()), snapshots(workspace)
    log = log_of(workspace)
    assert prune(workspace, log) == Pruned(1, 0, 0)
    log.close()
    assert (build_features(workspace, Silent()), snapshots(workspace)) == (before, files)


def test_after_old_events_went_a_build_renews_whom_they_were_about_as_if_built_anew(workspace: Workspace) -> None:
    files, log = snapshots(workspace), log_of(workspace)
    assert prune(workspace, log, before=NOW + timedelta(days=1)) == Pruned(0, 3, 0)
    report = build_features(workspace, Silent())
    renewed = snapshots(workspace)
    assert renewed != files
    assert report.last_event == 3
    shutil.rmtree(workspace.snapshots)
    build_features(workspace, Silent())
    assert snapshots(workspace) == renewed
    log.close()


def test_after_one_customer_was_erased_a_build_is_one_that_never_saw_the_events(workspace: Workspace) -> None:
    log = log_of(workspace)
    assert erase(workspace, log, customer(workspace, "B1")) == Erased(1, 0)
    build_features(workspace, Silent())
    renewed = snapshots(workspace)
    log.close()
    shutil.rmtree(workspace.streaming)
    shutil.rmtree(workspace.snapshots)
    accept(workspace, [told(1, "A1"), told(9, "A1", feed="till", id="9")])
    build_features(workspace, Silent())
    assert snapshots(workspace) == renewed
