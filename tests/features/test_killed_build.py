"""`nextbest features` that is killed, runs twice at once or finds the disk full: the last good state stands."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from features.base.errors import StorageFailure
from features.base.manifest import Manifest
from features.base.progress import Silent
from features.base.workspace import Workspace
from features.pipeline.build_features import build_features
from features.snapshots.build_report import read_report
from tests.features.other_command import other_command
from tests.features.tiny import STORE, company, lines, unified
from tests.repetitions import repetitions
from tests.serving.forking import Forking, Moments

REPOSITORY = Path(__file__).resolve().parents[2]
KILLS = repetitions(10, fuzz=60)
FEEDS = """
company: {currency: GBP, timezone: UTC}
feeds:
  crm: {source: crm.csv, kind: customers, key: no, updated_at: changed, timezone: UTC, fields: {city: town}}
  till:
    {source: till.csv, kind: events, event: purchase, key: receipt, customer: crm.no = till.who, event_time: at,
     known_at: at, timezone: UTC, fields: {amount: price, item: sku}}
"""
VIEWS = """
views:
  buys: {from: events, aggregates: {amount: [sum, mean, last], "*": [count, recency], item: [nunique]}, windows: [7d]}
  place: {from: customers, fields: [city]}
snapshots: {every: 7d}
"""


def files(rows: int) -> dict[str, str]:
    people = range(30)
    days = [f"2026-{1 + n % 6:02d}-{1 + n % 28:02d}" for n in range(rows)]
    return {
        "features/feature_store.yaml": STORE,
        "crm.csv": lines("no,changed,town", [f"{n},2026-01-01,Town{n % 7}" for n in people]),
        "till.csv": lines(
            "receipt,who,at,price,sku", [f"{n},{n % 30},{day},{n % 9},s{n % 5}" for n, day in enumerate(days)]
        ),
    }


def built(root: Path, rows: int = 200) -> Workspace:
    workspace = company(root, feeds=FEEDS, views=VIEWS, files=files(rows))
    unified(workspace)
    build_features(workspace, Silent())
    return workspace


def deliver(workspace: Workspace, rows: int) -> None:
    for name, text in files(rows).items():
        (workspace.root / name).write_text(text, encoding="utf-8")
    unified(workspace)


def look(workspace: Workspace) -> dict[str, bytes]:
    """Return all that is published, once every file is found to be what was written; the report's counts hold."""
    kept = Manifest.read(workspace.snapshots)
    assert kept.files
    assert kept.intact(workspace.snapshots) == set(kept.files)
    report = read_report(workspace)
    assert {view.name for view in report.views} == {"buys", "place"}
    assert len(list(workspace.snapshots.rglob("*.parquet"))) == 2 * len(report.cutoffs)
    return {name: (workspace.snapshots / name).read_bytes() for name in kept.files}


@pytest.fixture(scope="module")
def forking() -> Iterator[Forking]:
    with Forking() as server:
        yield server


@pytest.mark.slow
@pytest.mark.fuzz
def test_killed_at_any_moment_it_leaves_a_good_state_and_ends_as_if_never_killed(
    forking: Forking, tmp_path: Path
) -> None:
    rows = 200
    workspace = built(tmp_path / "killed")

    command, log = ["features", "--workspace", str(workspace.root)], tmp_path / "log.txt"
    deliver(workspace, rows := rows + 10)
    forking.start(command, log=log)
    assert forking.wait() == 0, log.read_text(encoding="utf-8")
    moments, kills = Moments(random.Random(20261125), takes=forking.took), 0
    while kills < KILLS:
        deliver(workspace, rows := rows + 10)
        while forking.kill(command, log=log, moments=moments):
            kills += 1
            look(workspace)
    full = built(tmp_path / "full", rows)
    assert look(workspace) == look(full)
    assert [path.name for path in workspace.state.rglob(".*.part")] == []


def test_a_damaged_snapshot_is_noticed_and_it_alone_is_made_again(tmp_path: Path) -> None:
    workspace = built(tmp_path)
    good = look(workspace)
    folder = workspace.snapshots
    stood = {path.relative_to(folder): path.stat().st_ino for path in folder.rglob("*.parquet")}
    damaged = folder / sorted(stood)[3]
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(bytes(content))
    build_features(workspace, Silent())
    assert look(workspace) == good
    changed = [path for path, inode in stood.items() if (workspace.snapshots / path).stat().st_ino != inode]
    assert changed == [damaged.relative_to(folder)]


def test_a_second_build_at_the_same_time_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    workspace = built(tmp_path)
    good = look(workspace)
    deliver(workspace, 300)
    with other_command(workspace):
        with pytest.raises(StorageFailure) as caught:
            build_features(workspace, Silent())
        assert (caught.value.first.code, caught.value.exit_code) == ("workspace.busy", 74)
        assert look(workspace) == good
    build_features(workspace, Silent())
    assert look(workspace) != good


def test_on_a_full_disk_it_says_so_and_the_last_good_state_stands(tmp_path: Path) -> None:
    workspace = built(tmp_path)
    good = look(workspace)
    deliver(workspace, 3_000)
    nextbest = str(Path(sys.executable).with_name("nextbest"))
    limited = f"ulimit -f 4; exec {nextbest} features --json --workspace {tmp_path}"  # blocks of 1 kB a file
    full = subprocess.run(["bash", "-c", limited], check=False, capture_output=True, text=True, cwd=REPOSITORY)
    assert full.returncode == 74, full.stdout + full.stderr
    assert set(json.loads(full.stdout)["error"]) >= {"code", "message", "hint"}
    assert look(workspace) == good
    build_features(workspace, Silent())
    assert look(workspace) != good
