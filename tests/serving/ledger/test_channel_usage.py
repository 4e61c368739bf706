"""The offers of a channel are counted as the ledger grows: the counts are those of a query over all of it."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from serving.decisioning.contact_history import micros
from serving.ledger.ledger import DecisionLedger
from tests.serving.decisioning.world import NOW
from tests.serving.ledger.test_ledger import boost

ALL = """
SELECT i.channel, COUNT(*)
FROM decisions d
JOIN interactions i ON i.decision_id = d.decision_id
WHERE d.decision_time >= ? AND d.decision_time < ? AND i.channel IS NOT NULL
GROUP BY i.channel
"""
hours = st.integers(-300, 300).map(lambda number: NOW + timedelta(hours=number))
steps = st.lists(st.tuples(st.sampled_from(["write", "write elsewhere", "count"]), hours, hours), max_size=12)


@given(steps=steps)
def test_counts_are_those_of_the_whole_ledger(steps: list, tmp_path_factory) -> None:
    path = Path(tmp_path_factory.mktemp("usage")) / "decisions.db"
    with DecisionLedger(path) as ledger, DecisionLedger(path) as other:
        for number, (step, one, two) in enumerate([*steps, ("count", NOW, NOW + timedelta(hours=400))]):
            if step == "count":
                since, before = min(one, two), max(one, two)
                with ledger.connections.reading() as connection:
                    expected = dict(connection.execute(ALL, [micros(since), micros(before)]).fetchall())
                assert ledger.capacity_used(since=since, before=before) == expected
            else:
                writer = ledger if step == "write" else other
                writer.append(boost(f"c{number}", as_of=one), actor_role="batch")


def test_a_decision_is_read_once(tmp_path: Path) -> None:
    with DecisionLedger(tmp_path / "decisions.db") as ledger:
        ledger.append(boost("ann", "bob"), actor_role="batch")
        day = {"since": NOW, "before": NOW + timedelta(days=1)}
        first = ledger.capacity_used(**day)
        statements: list[str] = []
        with ledger.connections.reading() as connection:
            connection.set_trace_callback(statements.append)
        assert ledger.capacity_used(**day) == first
        assert [text for text in statements if "JOIN" in text] == []
