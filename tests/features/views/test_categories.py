"""The most frequent categories: chosen on training time alone, kept, and not moved by what comes later."""

from __future__ import annotations

import pytest
import yaml

from features.base.errors import BadData
from features.config.feeds_file import FeedsFile
from features.config.views_file import ViewsFile
from features.views.fitted import FittedView
from features.views.fitting import FittingResult, fit_views
from tests.features.views.world import FEEDS, Rows, day, engine_with, snapshots

TOP = """\
views:
  v: {from: events, by: item, top: 2, aggregates: {"*": [count]}, windows: [30d]}
fit: {until: 2026-01-05}
"""


def bought(*items: str, at: float, known: float | None = None) -> list[dict[str, object]]:
    return [
        {"customer_id": "ann", "item": item, "event_time": day(at), "known_at": day(at if known is None else known)}
        for item in items
    ]


def learnt(text: str, kept: dict[str, FittedView] | None = None, **tables: Rows) -> FittingResult:
    file = ViewsFile.model_validate(yaml.safe_load(text))
    with engine_with(**tables) as (engine, _):
        feeds = FeedsFile.model_validate(yaml.safe_load(FEEDS))
        return fit_views(engine, file.views, feeds, until=file.fit.until or day(4), kept=kept)["v"]


def test_the_most_frequent_by_the_fitting_moment_have_a_column_and_ties_go_by_name() -> None:
    rows = bought("jam", "jam", "tea", "bun", at=1) + bought("oil", "oil", "oil", at=9)
    found = snapshots(TOP, [day(10)], events=rows)["ann", day(10)]
    assert found == {"v__count_30d__jam": 2, "v__count_30d__bun": 1}


def test_what_happened_or_came_to_light_later_has_no_say() -> None:
    early = bought("jam", "tea", at=1)
    later = bought("oil", "oil", at=9) + bought("bun", "bun", at=1, known=9)
    assert learnt(TOP, events=early).fitted == learnt(TOP, events=early + later).fitted


def test_a_kept_choice_stands_and_an_unseen_category_changes_no_column_but_is_counted() -> None:
    before = learnt(TOP, events=bought("jam", "tea", at=1))
    after = learnt(
        TOP, {"v": before.fitted}, events=bought("jam", "tea", at=1) + bought("oil", "oil", "oil", at=2, known=7)
    )
    assert after == FittingResult(before.fitted, unseen=3)


def test_another_declaration_is_another_choice() -> None:
    before = learnt(TOP, events=bought("jam", "tea", at=1))
    other = TOP.replace("top: 2", "top: 1")
    assert learnt(other, {"v": before.fitted}, events=bought("jam", "tea", at=1)).fitted.categories == ("jam",)


def test_where_nothing_is_there_by_then_it_is_said() -> None:
    with pytest.raises(BadData, match=r"view\.nothing_to_fit"):
        learnt(TOP, events=bought("jam", at=9))


@pytest.mark.parametrize(
    "view",
    [
        "from: events, by: item, top: 2, aggregates: {'*': [count]}, windows: [30d]",
        "from: events, by: item, aggregates: {'*': [count]}, windows: [30d]",
        "from: events, text: {column: item, keywords: 1}, windows: [30d]",
        "from: holdings",
    ],
)
def test_a_cast_that_fails_in_where_is_said_by_the_view_and_not_the_value(view: str) -> None:
    text = f"views: {{v: {{{view}, where: cast(item as double) > 1}}}}"
    held = {"customer_id": "ann", "item": "nora jones", "held_from": day(1)}
    with pytest.raises(BadData) as caught:
        learnt(text, events=bought("2", "nora jones", at=1), holdings=[held])
    assert (caught.value.first.code, caught.value.first.where) == ("view.where", "view v")
    assert "nora" not in str(caught.value)


def test_a_cast_that_fails_in_where_later_is_said_while_the_unseen_are_counted() -> None:
    text = TOP.replace("by: item", "by: item, where: cast(channel as double) > 1")
    rows = [row | {"channel": "2"} for row in bought("jam", at=1)]
    before = learnt(text, events=rows)
    with pytest.raises(BadData, match=r"view\.where"):
        learnt(text, {"v": before.fitted}, events=[*rows, *(row | {"channel": "web"} for row in bought("tea", at=7))])


def test_the_items_most_held_have_a_flag() -> None:
    text = "views:\n  v: {from: holdings, top: 1}\nfit: {until: 2026-01-05}\n"
    held = [("tv", 1), ("tv", 1), ("phone", 1), ("oil", 9), ("oil", 9), ("oil", 9)]
    rows = [{"customer_id": "ann", "item": item, "held_from": day(at)} for item, at in held]
    assert learnt(text, holdings=rows).fitted.categories == ("tv",)


def test_without_top_every_known_category_has_a_column_of_zeros_before_it_was_known() -> None:
    text = 'views:\n  v: {from: events, by: item, aggregates: {"*": [count]}, windows: [30d]}\n'
    found = snapshots(text, [day(2), day(9)], events=bought("jam", at=1) + bought("oil", at=9))
    assert found["ann", day(2)] == {"v__count_30d__jam": 1, "v__count_30d__oil": 0}
