"""Features in Python beside the YAML: named Ibis expressions that cannot see what came later, or anything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import ibis
import pytest
import yaml

from features.base.errors import BadConfiguration, Problem
from features.config.canonical import Kind
from features.config.loading import Lines
from features.config.views_file import ViewsFile
from features.views.python_features import PythonFeature, feature, load_python
from features.views.spark import Spark
from features.views.view_checks import check_views
from tests.features.views.world import day, snapshots

COLUMNS: dict[Kind, dict[str, bool]] = {"events": {"customer_id": False, "amount": True, "text": False, "event": False}}


@feature(type="float", unit="GBP", description="money a basket")
def spend_per_basket(rows: Any) -> Any:
    return rows.amount.sum() / rows.text.nunique()


@feature(type="int", empty=0)
def lately(rows: Any) -> Any:
    """Rows of the last day."""
    return rows.count(where=rows.days_ago < 1)


@feature(type="string")
def last_basket(rows: Any) -> Any:
    """The last basket's number."""
    return rows.text.argmax(rows.order)


def views(view: str) -> str:
    return f"python: features/mine.py\nviews:\n  v: {view}\n"


BASKETS = views("{from: events, where: event = 'purchase', python: [spend_per_basket, lately], windows: [5d, 30d]}")
MINE = {one.name: one for one in (spend_per_basket, lately, last_basket)}
ROWS = [
    {
        "customer_id": "ann",
        "event": event,
        "amount": amount,
        "text": text,
        "event_time": day(at),
        "known_at": day(known),
    }
    for event, amount, text, at, known in [
        ("purchase", 2.0, "one", 1, 1),
        ("purchase", 4.0, "one", 1, 1),
        ("purchase", 10.0, "two", 9.5, 9.5),
        ("return", 99.0, "three", 9.5, 9.5),
        ("purchase", 50.0, "four", 9, 20),
    ]
]


def test_a_function_is_a_feature_in_every_window_of_its_view() -> None:
    found = snapshots(BASKETS, [day(10)], events=ROWS, python=MINE)["ann", day(10)]
    assert found == {
        "v__spend_per_basket_5d": 10,
        "v__lately_5d": 1,
        "v__spend_per_basket_30d": 8,
        "v__lately_30d": 1,
    }


def test_it_cannot_see_what_happened_or_came_to_light_later() -> None:
    early = [row for row in ROWS if row["text"] == "one"]
    for moment in (day(1), day(2)):
        assert snapshots(BASKETS, [moment], events=ROWS, python=MINE) == snapshots(
            BASKETS, [moment], events=early, python=MINE
        )
    together = snapshots(BASKETS, [day(2), day(10), day(30)], events=ROWS, python=MINE)
    for moment in (day(2), day(10), day(30)):  # what other cutoffs see does not show, either
        assert together["ann", moment] == snapshots(BASKETS, [moment], events=ROWS, python=MINE)["ann", moment]


def test_without_rows_it_is_missing_or_what_its_author_says() -> None:
    found = snapshots(
        BASKETS, [day(10)], events=ROWS, customers=[{"customer_id": "bob", "known_at": day(0)}], python=MINE
    )
    assert found["bob", day(10)] == {
        "v__spend_per_basket_5d": None,
        "v__lately_5d": 0,
        "v__spend_per_basket_30d": None,
        "v__lately_30d": 0,
    }


def test_without_windows_it_sees_all_history_and_may_give_text() -> None:
    text = views("{from: events, where: event = 'purchase', python: [last_basket]}")
    assert snapshots(text, [day(10)], events=ROWS, python=MINE)["ann", day(10)] == {"v__last_basket": "two"}


def test_the_end_of_a_holding_and_the_outcome_of_a_contact_are_missing_until_they_have_come() -> None:
    @feature(type="int")
    def ended(rows: Any) -> Any:
        """Holdings that ended."""
        return rows.held_to.count()

    @feature(type="int")
    def answered(rows: Any) -> Any:
        """Contacts with an answer."""
        return rows.outcome.count()

    held = [{"customer_id": "ann", "item": "tv", "held_from": day(1), "held_to": day(5)}]
    text = views("{from: holdings, python: [ended]}")
    found = snapshots(text, [day(4), day(5)], holdings=held, python={"ended": ended})
    assert [found["ann", day(n)]["v__ended"] for n in (4, 5)] == [0, 1]
    sent = [{"customer_id": "ann", "event_time": day(1), "outcome": "accepted", "outcome_time": day(5)}]
    text = views("{from: interactions, python: [answered], windows: [30d]}")
    found = snapshots(text, [day(4), day(5)], interactions=sent, python={"answered": answered})
    assert [found["ann", day(n)]["v__answered_30d"] for n in (4, 5)] == [0, 1]


def test_sums_and_means_are_exact() -> None:
    @feature(type="float")
    def total(rows: Any) -> Any:
        """All money."""
        return rows.amount.sum() + rows.amount.mean(where=rows.amount > 0) * 0

    values = [0.1, 1e15, -1e15, 0.2, 1e-9] * 40_000
    rows = [{"customer_id": "ann", "event_time": day(0), "amount": value} for value in values]
    found = snapshots(views("{from: events, python: [total]}"), [day(1)], events=rows, python={"total": total})
    assert found["ann", day(1)] == {"v__total": 12000.00004}


def problems(compute: Any, type_: Any = "float") -> list[tuple[str, str]]:
    one = PythonFeature("mine", type_, "", "", None, compute, 7)
    file = ViewsFile.model_validate(yaml.safe_load(views("{from: events, python: [mine]}")))
    found: list[Problem] = check_views(
        file.views, Lines("views.yaml"), COLUMNS, python={"mine": one}, file="features/mine.py"
    )
    assert all(problem.where == "features/mine.py:7" for problem in found)
    return [(problem.code, problem.hint) for problem in found]


OTHER = ibis.table({"amount": "float64"}, name="events")


@pytest.mark.parametrize(
    ("compute", "code"),
    [
        (lambda rows: rows.amount, "python.no_aggregate"),
        (lambda _: 3, "python.no_aggregate"),
        (lambda _: OTHER.amount.sum(), "python.other_rows"),
        (lambda rows: rows.filter(rows.days_ago < 3).count(), "python.other_rows"),
        (lambda rows: rows.amount.sum() / rows.view().amount.sum(), "python.other_rows"),
        (lambda rows: rows.amount.sum() * ibis.random(), "python.impure"),
        (lambda rows: rows.amount.sum() + ibis.now().epoch_seconds(), "python.impure"),
        (lambda rows: rows.amount.lag().sum(), "python.over_rows"),
        (lambda rows: rows.text.last().length(), "python.unordered"),
        (lambda rows: rows.text.max(), "python.type"),
        (lambda rows: rows.nothing.sum(), "python.fails"),
        (lambda _: 1 / 0, "python.fails"),
    ],
)
def test_what_an_expression_may_not_be_is_said_with_its_line(compute: Any, code: str) -> None:
    assert [found for found, _ in problems(compute)] == [code]


def test_a_misspelt_column_or_function_is_met_with_the_one_that_was_meant() -> None:
    assert problems(lambda rows: rows.amuont.sum()) == [("python.fails", "did you mean 'amount'?")]
    file = ViewsFile.model_validate(yaml.safe_load(views("{from: events, python: [latly]}")))
    (problem,) = check_views(file.views, Lines("views.yaml"), COLUMNS, python=MINE, file="features/mine.py")
    assert (problem.code, problem.hint) == ("view.unknown_function", "did you mean 'lately'?")


def test_a_function_of_our_own_making_is_refused() -> None:
    def read_text(path: str) -> str:
        return path

    ours: Any = ibis.udf.scalar.builtin(read_text)
    assert problems(lambda rows: rows.amount.sum() + ours("x").length())[0][0] == "python.impure"


GOOD = """\
from features.views.python_features import feature


@feature(type="float")
def mine(rows):
    "What I count."
    return rows.amount.sum()
"""


def test_a_file_is_read_with_the_place_of_what_is_wrong_in_it(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(GOOD)
    (one,) = load_python(path, name="features/mine.py").values()
    assert (one.name, one.description, one.type) == ("mine", "What I count", "float")
    for text, code, line in [
        ("x = 1\n", "python.nothing", 1),
        ("\n\nraise ValueError('secret')\n", "python.fails", 3),
        ("\nimport nothing_of_that_name\n", "python.fails", 2),
        ("\n\n\ndef (\n", "python.fails", 4),
    ]:
        path.write_text(text)
        with pytest.raises(BadConfiguration) as caught:
            load_python(path, name="features/mine.py")
        assert (caught.value.first.code, caught.value.first.where) == (code, f"features/mine.py:{line}")
        assert "secret" not in str(caught.value)
    with pytest.raises(BadConfiguration, match=r"python\.no_file"):
        load_python(tmp_path / "none.py", name="features/none.py")


def test_spark_gives_the_same(spark: Spark) -> None:
    text = views("{from: events, python: [spend_per_basket, lately, last_basket], windows: [5d, 30d]}")
    text += "  w: {from: events, text: {column: text}, aggregates: {text.words: [mean, last]}, windows: [5d]}\n"
    moments = [day(2), day(10), day(30)]
    found = snapshots(text, moments, events=ROWS, python=MINE)
    assert snapshots(text, moments, events=ROWS, python=MINE, spark=spark) == found
    assert found["ann", day(10)]["v__last_basket_5d"] == "three"  # of two at one moment, the one of the later record


def test_spark_gives_the_same_of_contracts_and_facts_of_the_day(spark: Spark) -> None:
    held = [
        {"customer_id": "ann", "item": "tv", "held_from": day(1), "crm.ends": "2026-01-09"},
        {"customer_id": "ann", "item": "phone", "held_from": day(2), "crm.ends": None},
    ]
    facts = [{"place": "all", "event_time": day(1), "open.rain": 3.5}]
    text = "views:\n  h: {from: holdings, ends: crm.ends}\n  d: {from: context, fields: [open.rain]}\n"
    moments = [day(1), day(3), day(30)]
    assert snapshots(text, moments, holdings=held, context=facts, spark=spark) == snapshots(
        text, moments, holdings=held, context=facts
    )
