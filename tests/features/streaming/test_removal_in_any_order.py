"""Events received, compacted, seen, pruned and erased in any order: each counts once, none is lost, but the erased."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from features.base.database_engine import open_engine
from features.base.storage import write_json
from features.base.workspace import Workspace
from features.config.workspace_files import load_feeds
from features.consent.customer_data import open_customer_data
from features.snapshots.build_report import REPORT, as_json, read_report
from features.streaming.compaction import compact
from features.streaming.event_log import EventLog, WorkerPosition
from features.streaming.removal import erase, prune
from tests.features.streaming.test_worker import emptied
from tests.features.streaming.world import CUSTOMERS, NOW, SECOND, accept, customer, log_of, told, world

STEPS = st.one_of(
    st.lists(
        st.tuples(st.sampled_from(["app", "till"]), st.integers(1, 6), st.sampled_from(CUSTOMERS)),
        min_size=1,
        max_size=5,
    ),
    st.sampled_from(["compact", "see", "prune", "prune", "erase"]),
)


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return world(tmp_path_factory.mktemp("company"))


@pytest.mark.property
@given(steps=st.lists(STEPS, min_size=4, max_size=14))
@settings(max_examples=12, deadline=None)
def test_whatever_happens_in_whatever_order_every_event_counts_once_but_the_erased(
    workspace: Workspace, steps: list[list[tuple[str, int, str]] | str]
) -> None:
    emptied(workspace)
    delivered = {("till", str(number)) for number in range(1, 5)}
    ann, log, report = customer(workspace, "A1"), log_of(workspace), read_report(workspace)
    write_json(workspace.snapshots / REPORT, as_json(replace(report, last_event=0)))
    theirs: dict[tuple[str, str], str] = {}  # whose an event is: of those who told it first
    barred: set[tuple[str, str]] = set()
    for number, step in enumerate([*steps, "compact"]):
        if not isinstance(step, str):
            at = NOW + number * SECOND
            accept(workspace, [told(n, who, feed=feed, id=str(n)) for feed, n, who in step], at=at, log=log)
            for feed, n, who in step:
                if (feed, str(n)) not in barred:
                    theirs.setdefault((feed, str(n)), who)
        elif step == "see":
            seq = compact(workspace, log)
            write_json(workspace.snapshots / REPORT, as_json(replace(report, last_event=seq)))
            log.set_position(WorkerPosition(seq, ""))
        elif step == "compact":
            compact(workspace, log)
        elif step == "prune":
            prune(workspace, log)
            gone = set(theirs) - keys(log)
            assert gone <= delivered
            theirs = {key: who for key, who in theirs.items() if key not in gone}
        else:
            erase(workspace, log, ann)
            barred |= {key for key, who in theirs.items() if who == "A1"}
            theirs = {key: who for key, who in theirs.items() if who != "A1"}
        assert keys(log) == set(theirs)
        assert (set(theirs) | delivered) >= counted(workspace).keys()
    assert counted(workspace) == dict.fromkeys(set(theirs) | delivered, 1)
    log.close()


def keys(log: EventLog) -> set[tuple[str, str]]:
    return {(entry.event.feed, entry.event.id) for entry in log.read(after=0, limit=1000)}


def counted(workspace: Workspace) -> dict[tuple[str, str], int]:
    """Return how many rows of ``events`` there are of each key."""
    with open_engine(folders=[workspace.unified]) as engine:
        open_customer_data(engine, workspace, load_feeds(workspace)[0].purposes, purpose=None)
        found = engine.execute("SELECT feed, record_id, count(*) FROM events GROUP BY ALL").fetchall()
    return {(feed, record): number for feed, record, number in found}
