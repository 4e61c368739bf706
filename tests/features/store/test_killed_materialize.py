"""Materialization killed at random moments: every record whole at any time, and one run afterwards completes it."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import pytest

from features.base.database_engine import EngineResources
from features.store.materialize import materialize, reconcile
from features.store.online_blocks import Source
from features.store.online_records import OnlineRecords
from features.store.online_records_redis import RedisRecords
from features.store.online_records_sqlite import SqliteRecords
from tests.repetitions import repetitions
from tests.tiny import REPOSITORY

JAN = datetime(2026, 1, 1, tzinfo=UTC)
FEB = datetime(2026, 2, 1, tzinfo=UTC)
SEED = 4
CUSTOMERS = 20_000
VIEWS = ("one", "two")
SCRIPT = """
import sys
from datetime import datetime
from pathlib import Path
from features.base.database_engine import EngineResources
from features.store.online_blocks import Source
from features.store.materialize import materialize
from tests.features.store.test_killed_materialize import opened

root, records = Path(sys.argv[1]), opened(Path(sys.argv[1]), sys.argv[3])
write, discard = records.write, records.discard

def pause(stage):
    print(stage, flush=True)
    sys.stdin.readline()

def telling_write(changed):
    taken = write(changed)
    pause("wrote")
    return taken

def telling_discard(view, customers, *, not_after_us):
    pause("discards")
    return discard(view, customers, not_after_us=not_after_us)

records.write, records.discard = telling_write, telling_discard
sources = [Source(view, root / "state" / "snapshots" / view, ((f"{view}__n", "int"),)) for view in ("one", "two")]
print("begins", flush=True)
resources = EngineResources(spill=root / ".scratch")
materialize(records, sources, as_of=datetime.fromisoformat(sys.argv[2]), resources=resources)
print("ends", flush=True)
"""


def opened(root: Path, url: str) -> OnlineRecords:
    """Return the records on a Redis server, or in a file where the address is empty."""
    return RedisRecords(url, name="killed") if url else SqliteRecords(root / "online.db")


def run(root: Path, url: str) -> subprocess.Popen[str]:
    """Begin a run that waits for a line, or for the end of its input, before it discards and after it wrote."""
    command = [sys.executable, "-c", SCRIPT, str(root), FEB.isoformat(), url]
    child = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "begins\n"
    return child


@pytest.mark.fuzz
@pytest.mark.parametrize(
    ("backend", "kills"), [("sqlite", repetitions(8, fuzz=60)), ("redis", repetitions(4, fuzz=30))]
)
def test_killed_at_any_moment_it_leaves_whole_records_and_one_run_completes_it(
    backend: str, kills: int, workspace: Path, write_view, request: pytest.FixtureRequest
) -> None:
    """Two views change together, with customers who leave and who come; the seed is fixed, the moments are not."""
    before = [(f"c{number:06}", 1) for number in range(CUSTOMERS)]
    after = [(f"c{number:06}", 2) for number in range(500, CUSTOMERS + 500)]
    views = [write_view(view, {f"{view}__n": "int"}, {JAN: before, FEB: after}) for view in VIEWS]
    sources = [Source(view.name, view.path, ((f"{view.name}__n", "int"),)) for view in views]
    url = request.getfixturevalue("redis_server").url if backend == "redis" else ""
    records = opened(workspace, url)
    resources = EngineResources(spill=workspace / ".scratch")
    materialize(records, sources, as_of=JAN, resources=resources)
    chance = random.Random(SEED)
    reached: list[int] = []
    for _ in range(kills):
        child = run(workspace, url)
        assert child.stdin is not None
        assert child.stdout is not None
        for _ in range(chance.randrange(4)):
            if child.stdout.readline() == "ends\n":  # there was nothing left to do
                break
            child.stdin.write("\n")
            child.stdin.flush()
        time.sleep(chance.uniform(0, 0.05))
        child.kill()
        child.communicate()
        held = {customer: {block.values for block in record.values()} for customer, record in records.scan()}
        assert all(values in ({(1,)}, {(2,)}) for values in held.values())  # never one view new and the other old
        reached.append(sum(values == {(2,)} for values in held.values()))
    assert reached == sorted(reached)
    assert any(0 < customers < CUSTOMERS for customers in reached)  # some were killed half-way
    child = run(workspace, url)
    assert child.communicate()[0].splitlines()[-1] == "ends"
    assert child.returncode == 0
    for difference in reconcile(records, sources, as_of=FEB, resources=resources, repair=False):
        assert (difference.cutoff, difference.counts) == (FEB, {})
    assert [customer for customer, _ in records.scan()] == [customer for customer, _ in after]
    records.close()
