"""What a view may name; everything that does not fit is said at once."""

from __future__ import annotations

import re
from datetime import datetime, timedelta
from itertools import pairwise

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from features.base.errors import BadConfiguration, BadData
from features.config.feeds_file import FeedsFile
from features.config.loading import Lines
from features.config.views_file import Snapshots, ViewsFile
from features.identity.customer_tables import Columns
from features.views.catalogue import aggregate_name
from features.views.compute import create_entity_rows_at, cutoffs_between, keep_computed
from features.views.plan import plan_views
from features.views.view_checks import check_views
from tests.features.views.world import DAY, FEEDS, day, engine_with, snapshots

COLUMNS: Columns = {
    "customers": {"city": False, "email": False, "crm.login": False},
    "events": {"event": False, "amount": True, "item": False},
    "holdings": {"item": False, "held_to": False},
    "items": {"group": False},
}


def problems(text: str, **options: object) -> list[tuple[str, str, str]]:
    file = ViewsFile.model_validate(yaml.safe_load(text))
    found = check_views(file.views, Lines("features/views.yaml"), COLUMNS, **options)  # type: ignore[arg-type]
    return [(problem.code, problem.message, problem.hint) for problem in found]


def test_everything_that_views_name_and_feeds_do_not_give_is_said_at_once() -> None:
    text = """\
views:
  a: {from: events, where: evnt = 'x', aggregates: {amuont: [sum], item: [mean]}, by: itm, windows: [7d]}
  b: {from: customers, fields: [cty, email, crm.login]}
  c: {from: interactions, aggregates: {"*": [count]}, windows: [7d]}
  d: {from: holdings, where: held_to is null}
  e: {from: events, by: items.grp, aggregates: {"*": [count]}, windows: [7d]}
  f: {from: events, where: "now() > 1", aggregates: {"*": [count]}, windows: [7d]}
"""
    *found, (last, message, _) = problems(text, personal={"crm.login"})
    assert (last, "now()" in message) == ("expression", True)
    assert found == [
        ("view.unknown_column", "view a: events has no column 'amuont'", "did you mean 'amount'?"),
        ("view.unknown_column", "view a: events has no column 'itm'", "did you mean 'item'?"),
        ("view.unknown_column", "view a: events has no column 'evnt'", "did you mean 'event'?"),
        ("view.not_a_number", "view a: mean of item, which is text", "use nunique, first or last"),
        ("view.unknown_column", "view b: customers has no column 'cty'", "did you mean 'city'?"),
        ("view.personal", "view b: email identifies a person", "a feature may not"),
        ("view.personal", "view b: crm.login identifies a person", "a feature may not"),
        ("view.no_source", "view c: no feed maps to interactions", "add such a feed"),
        (
            "view.future",
            "view d: where reads held_to, a future end",
            "leave it out: holdings that have ended by a cutoff are left out anyway, and later ends are not known yet",
        ),
        ("view.unknown_column", "view e: events has no column 'items.grp'", "did you mean 'items.group'?"),
    ]


@pytest.mark.parametrize("place", ["postcode", "crm.login"])
def test_a_place_that_identifies_a_person_is_refused_with_what_to_name_instead(place: str) -> None:
    views = ViewsFile.model_validate({"views": {"v": {"from": "context", "place": place, "fields": ["open.people"]}}})
    columns: Columns = {**COLUMNS, "context": {"place": False, "open.people": True}}
    found = check_views(views.views, Lines("features/views.yaml"), columns, personal={"crm.login"})
    assert [(problem.code, problem.message, problem.hint) for problem in found] == [
        (
            "view.personal",
            f"view v: place: {place} identifies a person",
            "name a coarser column that customers keep, such as `place: crm.district`",
        )
    ]


def test_columns_of_a_feed_that_cannot_be_read_are_believed() -> None:
    text = "views:\n  b: {from: customers, fields: [web.device, city]}\n"
    assert [code for code, *_ in problems(text)] == ["view.unknown_column"]
    assert problems(text, unseen={"web"}) == []


PERSON = [{"customer_id": "ann", "event_time": day(0), "crm.login": "x", "crm.mail": "y", "crm.town": "z"}]


@pytest.mark.parametrize("field", ["email", "crm.login", "crm.mail"])
def test_a_personal_field_is_refused_under_whatever_name_it_survives(field: str) -> None:
    with pytest.raises(BadConfiguration, match=r"view\.personal"):
        snapshots(f"views:\n  p: {{from: customers, fields: [{field}]}}\n", [day(1)], customers=PERSON)


def test_other_attributes_are_features() -> None:
    found = snapshots("views:\n  p: {from: customers, fields: [crm.town]}\n", [day(1)], customers=PERSON)
    assert found["ann", day(1)] == {"p__crm_town": "z"}


def test_two_categories_of_one_name_are_refused_rather_than_one_lost() -> None:
    rows = [{"customer_id": "ann", "event_time": day(0), "item": item} for item in ("T-Shirt", "t shirt")]
    text = 'views:\n  v: {from: events, by: item, aggregates: {"*": [count]}, windows: [7d]}\n'
    with pytest.raises(BadConfiguration) as caught:
        snapshots(text, [day(1)], events=rows)
    assert caught.value.first.code == "view.same_name"
    assert caught.value.first.message == "view v: 'T-Shirt' and 't shirt' would both be v__count_7d__t_shirt"
    held = [{"customer_id": "ann", "held_from": day(0), "item": item} for item in ("count", "phone")]
    with pytest.raises(BadConfiguration, match="held__count"):
        snapshots("views:\n  held: {from: holdings}\n", [day(1)], holdings=held)


def test_signs_tell_categories_and_items_apart() -> None:
    rows = [{"customer_id": "ann", "event_time": day(0), "item": item} for item in ("A+", "A-", "A", "5G", "5G+")]
    text = (
        'views:\n  v: {from: events, by: item, aggregates: {"*": [count]}, windows: [7d]}\n  held: {from: holdings}\n'
    )
    held = [{"customer_id": "ann", "item": row["item"], "held_from": day(0)} for row in rows]
    (found,) = snapshots(text, [day(1)], events=rows, holdings=held).values()
    names = ("a_plus", "a_minus", "a", "5_g", "5_g_plus")
    assert [found[f"v__count_7d__{name}"] for name in names] == [1] * 5
    assert [found[f"held__{name}"] for name in names] == [1] * 5


def test_categories_and_items_of_any_script_have_names_of_their_own() -> None:
    rows = [{"customer_id": "ann", "event_time": day(0), "item": item} for item in ("ЧАЙ", "茶", "café", "caf", "Tea")]
    text = (
        'views:\n  v: {from: events, by: item, aggregates: {"*": [count]}, windows: [7d]}\n  held: {from: holdings}\n'
    )
    held = [{"customer_id": "ann", "item": row["item"], "held_from": day(0)} for row in rows]
    found = snapshots(text, [day(2)], events=rows, holdings=held)["ann", day(2)]
    counts = {name: value for name, value in found.items() if name.startswith("v__")}
    flags = {name for name, value in found.items() if name.startswith("held__") and value == 1}
    assert (len(counts), set(counts.values()), len(flags)) == (5, {1}, 5)
    assert {"v__count_7d__caf", "v__count_7d__tea"} < set(counts)
    assert {"held__caf", "held__tea"} < flags
    assert all(name.isascii() for name in found)


def test_what_may_be_a_time_or_a_text_is_believed_until_it_is_read() -> None:
    columns: Columns = {
        "holdings": {"item": False, "price": True, "crm.ends": True, "held_to": False},
        "events": {"amount": True, "app.note": True},
    }
    text = """\
views:
  a: {from: holdings, ends: crm.ends}
  b: {from: holdings, ends: price}
  c: {from: events, text: {column: app.note, keywords: 3}, windows: [7d]}
"""
    views = ViewsFile.model_validate(yaml.safe_load(text)).views

    def told(*, unread: bool) -> list[tuple[str, str]]:
        found = check_views(views, Lines("features/views.yaml"), columns, unread=unread)
        return [(problem.code, problem.message[:6]) for problem in found]

    assert told(unread=True) == [("view.not_a_time", "view b")]
    assert told(unread=False) == [
        ("view.not_a_time", "view a"),
        ("view.not_a_time", "view b"),
        ("view.not_text", "view c"),
    ]


@pytest.mark.parametrize(
    ("part", "why"),
    [
        ("windows: [30d, 30d]", "two windows are the same"),
        ("windows: [24h, 1d]", "two windows are the same"),
        ("windows: [0d]", "more than nothing"),
        ("windows: [7d], by: item, categories: [tea, tea]", "tea stands there twice"),
        ("windows: [40000d]", "at most a hundred years"),
        ("windows: [30d], where: ''", "at least 1 character"),
        ("by: text, windows: [30d]", "text: {column: text, keywords: 20}"),
        ("by: customer_id, windows: [30d]", "a name of each customer"),
    ],
)
def test_windows_of_nothing_or_the_same_and_categories_that_name_somebody_are_refused(part: str, why: str) -> None:
    with pytest.raises(ValueError, match=re.escape(why)):
        ViewsFile.model_validate(
            yaml.safe_load(f'views:\n  v: {{from: events, aggregates: {{"*": [count]}}, {part}}}\n')
        )


def test_an_aggregate_that_stands_there_twice_is_refused() -> None:
    text = "views:\n  v: {from: events, aggregates: {amount: [sum, sum]}, windows: [7d]}\n"
    with pytest.raises(ValueError, match="sum stands there twice"):
        ViewsFile.model_validate(yaml.safe_load(text))


@pytest.mark.parametrize("name", ["Buys", "two__parts", "consent", "a" * 61])
def test_what_is_no_name_of_a_view_is_refused(name: str) -> None:
    text = f'views:\n  {name}: {{from: events, aggregates: {{"*": [count]}}, windows: [7d]}}\n'
    with pytest.raises(ValueError, match="name"):
        ViewsFile.model_validate(yaml.safe_load(text))


@pytest.mark.parametrize(
    ("where", "code", "named"),
    [
        ("cast(item as double) > 1", "view.where", "`where`"),
        ("amount > 1", "feature.range", "amount has"),
        ("amount < 1e13", "feature.range", "amount has"),
    ],
)
def test_what_cannot_be_computed_is_named(where: str, code: str, named: str) -> None:
    rows = [{"customer_id": "ann", "event_time": day(0), "item": "jam", "amount": amount} for amount in (1e12, 9e30)]
    text = f"""\
views:
  v: {{from: events, where: {where}, aggregates: {{amount: [sum, std, max]}}, windows: [7d]}}
"""
    file = ViewsFile.model_validate(yaml.safe_load(text))
    feeds = FeedsFile.model_validate(yaml.safe_load(FEEDS))
    with engine_with(events=rows) as (engine, columns):
        create_entity_rows_at(engine, columns, [day(1)])
        (view,) = plan_views(file, Lines("features/views.yaml"), feeds, columns=columns, fitted={})
        with pytest.raises(BadData) as caught:
            keep_computed(engine, view)
    assert (caught.value.first.code, caught.value.first.where) == (code, "view v")
    assert caught.value.first.message.startswith(named)


@pytest.mark.parametrize(
    ("parts", "name"),
    [
        (("purchases", "amount", "sum", "30d"), "purchases__amount_sum_30d"),
        (("purchases", "*", "count", "7d"), "purchases__count_7d"),
        (("purchases", "*", "recency"), "purchases__recency"),
        (("groups", "*", "count", "90d", "Gift Wrap"), "groups__count_90d__gift_wrap"),
        (("groups", "*", "count", "90d", "café"), "groups__count_90d__cafe_28380f"),
        (("b", "billing.monthsLeft", "min", "31d"), "b__billing_months_left_min_31d"),
    ],
)
def test_a_feature_is_named_by_rule(parts: tuple[str, ...], name: str) -> None:
    assert aggregate_name(*parts) == name  # type: ignore[arg-type]


@given(st.integers(0, 4000), st.integers(0, 400), st.integers(1, 40))
def test_tomorrows_cutoffs_are_todays_and_one_more(hours: int, days: int, every: int) -> None:
    first, today = day(0) + timedelta(hours=hours), day(200 + days)
    settings = Snapshots(every=timedelta(days=every))

    def grid(as_of: datetime) -> list[datetime]:
        *before, last = cutoffs_between(first, as_of, settings)
        assert last == as_of
        return before

    now, tomorrow = grid(today), grid(today + DAY)
    assert tomorrow[: len(now)] == now
    assert len(tomorrow) - len(now) in (0, 1)
    assert all(first <= moment < today + DAY for moment in tomorrow)
    assert {later - earlier for earlier, later in pairwise(now)} <= {every * DAY}


def test_since_bounds_the_cutoffs_and_keeps_the_grid() -> None:
    long = cutoffs_between(day(0), day(100), Snapshots(every=7 * DAY))
    short = cutoffs_between(day(0), day(100), Snapshots(every=7 * DAY, since=30 * DAY))
    assert short == [moment for moment in long if moment >= day(70)]
    assert cutoffs_between(day(100), day(100), Snapshots(every=7 * DAY)) == [day(100)]
