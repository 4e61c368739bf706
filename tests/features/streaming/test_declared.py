"""What was chosen on training time, counted in texts or written in Python is the same in streaming as in a snapshot."""

from __future__ import annotations

from pathlib import Path

from features.streaming.event import from_us
from tests.features.streaming.test_worker import caught_up
from tests.features.streaming.world import accept, customer, log_of, offline, told, world

VIEWS = """\
purpose: service
python: features/mine.py
fit: {until: 2026-03-01}
views:
  goods: {from: events, by: item, top: 1, aggregates: {"*": [count, share]}, windows: [30d]}
  words: {from: events, text: {column: item}, aggregates: {item.words: [sum], item.characters: [max]}, windows: [30d]}
  mine: {from: events, python: [a_piece, newest], windows: [30d]}
"""
MINE = """\
from features.views.python_features import feature


@feature(type="float", description="money a piece")
def a_piece(rows):
    return rows.amount.sum() / rows.quantity.sum()


@feature(type="string", description="the last item")
def newest(rows):
    return rows.item.argmax(rows.order)
"""


def test_declared_features_are_the_same_in_streaming(tmp_path: Path) -> None:
    (tmp_path / "features").mkdir()
    (tmp_path / "features" / "mine.py").write_text(MINE)
    workspace = world(tmp_path, views=VIEWS)
    accept(workspace, [told(1, "A1", item="a boat"), told(2, "B1", amount=3.25, item="toy"), told(3, "D1")])
    found = caught_up(workspace)
    moment = from_us(log_of(workspace).read(after=0, limit=9)[-1].known_us)
    assert found == {one: row for one, row in offline(workspace, moment).items() if one in found}
    ann = found[customer(workspace, "A1")]
    assert ann["goods"] == (1, 1 / 3)  # of an item that nobody knew when the items were chosen there is no column
    assert ann["mine"] == (37.5 / 4, "a boat")
