"""Files of the state that are not what was written: noticed before they are used, and how each is mended."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from features.base.errors import NextbestError, StorageFailure
from features.base.progress import Silent
from features.base.workspace import Workspace
from features.pipeline.build_features import build_features
from features.snapshots.build_report import REPORT, read_report
from tests.features.test_build import tiny
from tests.features.tiny import table, unified


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a workspace whose features are built."""
    workspace = tiny(tmp_path_factory.mktemp("made"))
    unified(workspace)
    build_features(workspace, Silent())
    return workspace.root


@pytest.fixture
def built(made: Path, tmp_path: Path) -> Workspace:
    """Return a copy of it, to be damaged."""
    shutil.copytree(made, tmp_path / "copy")
    return Workspace(tmp_path / "copy")


def flip(path: Path, *, at: int) -> None:
    content = bytearray(path.read_bytes())
    content[at] ^= 0xFF
    path.write_bytes(bytes(content))


def test_a_damaged_table_is_refused_by_name_and_made_again_by_unify(built: Workspace) -> None:
    path = built.unified / "events.parquet"
    before = table(path)
    flip(path, at=60)
    built.snapshots.joinpath(REPORT).unlink()
    with pytest.raises(StorageFailure, match=r"events\.parquet does not match its checksums"):
        build_features(built, Silent())
    unified(built)
    assert table(built.unified / "events.parquet") == before
    build_features(built, Silent())


def test_a_file_among_the_snapshots_that_is_none_of_ours_is_taken_away(built: Workspace) -> None:
    rows = [view.rows for view in read_report(built).views]
    newest = max((built.snapshots / "buys").iterdir())
    stranger = newest.with_name("9999.parquet")
    shutil.copy(newest, stranger)
    report = build_features(built, Silent())
    assert not (built.snapshots / "buys" / stranger.name).exists()
    assert [view.rows for view in report.views] == rows


@pytest.mark.parametrize("text", ["[]", "{}", "7", "no json"])
def test_a_damaged_report_is_said_and_written_again(built: Workspace, text: str) -> None:
    before = read_report(built)
    (built.snapshots / REPORT).write_text(text, encoding="utf-8")
    with pytest.raises(StorageFailure):
        read_report(built)
    build_features(built, Silent())
    assert read_report(built) == before


@pytest.mark.parametrize("name", ["online.db", "registry.db"])
def test_a_damaged_database_is_said_with_what_mends_it(built: Workspace, name: str) -> None:
    online = read_report(built).online_customers
    path = built.state / "feast" / name
    path.write_bytes(b"this is no database " * 1000)
    for beside in path.parent.glob(f"{name}-*"):
        beside.unlink()
    with pytest.raises(NextbestError) as refused:
        build_features(built, Silent())
    (problem,) = refused.value.problems
    assert isinstance(refused.value, StorageFailure)
    assert "remove" in problem.hint
    path.unlink()
    assert build_features(built, Silent()).online_customers == online


def test_staged_rows_are_readable_by_their_owner_alone(built: Workspace) -> None:
    folders = [file.parent for file in built.staged.rglob("rows.parquet")]
    assert {oct(folder.stat().st_mode & 0o777) for folder in folders} == {"0o700"}
