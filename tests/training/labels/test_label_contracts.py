"""What each kind of label holds, and whom it leaves out, in a world small enough to read."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from types import MappingProxyType
from typing import Any

import duckdb
import pytest

from features.base.database_engine import open_engine
from features.base.errors import BadConfiguration
from features.config.feeds_file import FeedsFile
from training.labels.build import build
from training.labels.label_settings import LabelsFile, ModelSettings
from training.labels.labelled_rows import Labels

START = datetime(2026, 1, 1, tzinfo=UTC)
#: Day 100 is learnt from; day 200 is now.
CUTOFFS = [START, START + timedelta(days=100), START + timedelta(days=200)]
Held = tuple[str, str, int, int | None]
Bought = tuple[str, str, int]


def day(number: int | None) -> datetime | None:
    return None if number is None else START + timedelta(days=number)


def put(engine: duckdb.DuckDBPyConnection, name: str, columns: str, rows: Sequence[Sequence[Any]]) -> None:
    engine.execute(f"CREATE TABLE {name}_rows ({columns})")
    engine.executemany(f"INSERT INTO {name}_rows VALUES ({', '.join('?' * len(rows[0]))})", [list(row) for row in rows])
    engine.execute(f"CREATE VIEW {name} AS SELECT * FROM {name}_rows")


def labels(
    label: Mapping[str, Any],
    *,
    bought: Sequence[Bought] = (),
    held: Sequence[Held] = (),
    gone: Mapping[str, int] = MappingProxyType({}),
    **settings: Any,
) -> Labels:
    """Return the labels of day 100; what was bought is (customer, item, day), what is held has an end, or None.

    Of whom is `gone`, the only record is gone from its source since that day.
    """
    known = sorted({*(row[0] for row in bought), *(row[0] for row in held), "zoe"})
    feeds = FeedsFile.model_validate({"feeds": {"crm": {"source": "c.csv", "kind": "customers", "key": "id"}}})
    with open_engine(folders=[]) as engine:
        columns = "customer_id VARCHAR, known_at TIMESTAMPTZ, known_until TIMESTAMPTZ"
        put(engine, "customers", columns, [(who, day(-1), day(gone.get(who))) for who in known])
        put(
            engine,
            "events",
            "customer_id VARCHAR, item VARCHAR, event_time TIMESTAMPTZ, known_at TIMESTAMPTZ, feed VARCHAR, "
            "event VARCHAR",
            [(who, item, day(at), day(at), "till", "purchase") for who, item, at in [*bought, ("nobody", "soap", 199)]],
        )
        if held:
            put(
                engine,
                "holdings",
                "customer_id VARCHAR, item VARCHAR, held_from TIMESTAMPTZ, held_to TIMESTAMPTZ, known_at TIMESTAMPTZ, "
                "feed VARCHAR",
                [
                    (who, item, day(since), day(until), day(since), "contracts")
                    for who, item, since, until in [*held, ("nobody", "other", 199, None)]
                ],
            )
        model = ModelSettings.model_validate({"label": label, "cutoffs": {"warm_up": "1d"}} | settings)
        return build(engine, model, CUTOFFS, feeds)


def by_customer(found: Labels) -> dict[str, Any]:
    """Return each customer's outcomes: 1, 0, or None where a category is not in question."""
    if not found.candidates:
        return dict(zip(found.rows["customer_id"], found.target.tolist(), strict=True))
    values = [[None if value != value else value for value in row] for row in found.target.tolist()]
    rows = zip(found.rows["customer_id"], values, strict=True)
    return {name: dict(zip(found.candidates, each, strict=True)) for name, each in rows}


def test_whose_records_are_gone_by_the_cutoff_is_not_learnt_from() -> None:
    bought = [(who, "tea", 90) for who in ("ann", "dan", "eve")]
    quiet = {"kind": "inactivity", "event": "purchase", "horizon": "30d"}
    found = labels(quiet, bought=bought, gone={"dan": 95, "eve": 120}, population={"active_within": "30d"})
    assert by_customer(found) == {"ann": 1.0, "eve": 1.0}
    assert found.excluded["gone"] == 1


# ── a holding that ends ──────────────────────────────────────────────────────────────────────────────────────────────

CONTRACT = {"kind": "end_of_holding", "item": "contract", "horizon": "60d", "gap": "14d"}


def test_a_contract_that_ends_in_the_window_and_is_not_renewed_is_positive() -> None:
    found = labels(
        CONTRACT,
        held=[
            ("ann", "contract", 10, 130),
            ("bob", "contract", 10, 130),
            ("bob", "contract", 130, None),
            ("cem", "contract", 10, None),
            ("dee", "contract", 10, 190),
            ("eve", "contract", 10, 105),
            ("fay", "contract", 10, 90),
            ("gil", "contract", 120, None),
            ("gus", "phone", 10, 130),
        ],
    )
    assert by_customer(found) == {"ann": 1.0, "bob": 0.0, "cem": 0.0, "dee": 0.0}
    # eve's ends within the notice of 14 days and fay's has ended; gil, gus and zoe held no contract by then;
    # bob, cem and gil hold one at day 200
    assert found.excluded == {"not_mature": 3, "no_history": 3, "ended": 2}


def test_a_renewal_a_little_later_is_a_renewal_where_that_is_declared() -> None:
    held = [("ann", "contract", 10, 130), ("ann", "contract", 135, None)]
    assert by_customer(labels(CONTRACT, held=held)) == {"ann": 1.0}
    assert by_customer(labels({**CONTRACT, "renewed_within": "5d"}, held=held)) == {"ann": 0.0}


def test_of_no_item_in_particular_only_who_holds_nothing_any_more_has_left() -> None:
    held = [("ann", "contract", 10, 130), ("ann", "phone", 10, None), ("bob", "phone", 10, 130)]
    assert by_customer(labels({"kind": "end_of_holding", "horizon": "60d"}, held=held)) == {"ann": 0.0, "bob": 1.0}


def test_an_item_that_nobody_holds_is_refused_with_those_that_are_held() -> None:
    with pytest.raises(BadConfiguration, match="nobody holds an item 'kontract'") as refused:
        labels({**CONTRACT, "item": "kontract"}, held=[("ann", "contract", 10, None)])
    assert refused.value.first.hint == "held are: contract, other"


# ── categories ───────────────────────────────────────────────────────────────────────────────────────────────────────

BOUGHT: list[Bought] = [
    ("ann", "tea", 50),
    ("ann", "tea", 110),
    ("ann", "soap", 120),
    ("bob", "soap", 20),
    ("bob", "soap", 130),
    ("cem", "tea", 90),
    ("cem", "soap", 91),
]
NEW = {"kind": "acquisition", "of": "item", "horizon": "60d"}


def test_an_acquisition_is_of_what_was_not_bought_before() -> None:
    found = labels(NEW, bought=BOUGHT)
    assert by_customer(found) == {"ann": {"soap": 1.0, "tea": None}, "bob": {"soap": None, "tea": 0.0}}
    # at day 200 four have bought something; zoe bought nothing by day 100, cem had everything
    assert found.excluded == {"not_mature": 4, "no_history": 1, "already_held": 1}


def test_what_is_held_is_not_acquired() -> None:
    found = labels(NEW, bought=BOUGHT, held=[("bob", "tea", 10, None), ("ann", "soap", 10, 90)])
    assert by_customer(found) == {"ann": {"soap": 1.0, "tea": None}}


def test_what_was_bought_long_ago_is_new_again_where_that_is_declared() -> None:
    found = labels({**NEW, "not_within": "60d"}, bought=BOUGHT)
    assert by_customer(found)["bob"] == {"soap": 1.0, "tea": 0.0}


def test_what_is_taken_within_the_gap_is_not_in_question() -> None:
    found = labels({**NEW, "gap": "20d"}, bought=[("ann", "tea", 50), ("ann", "soap", 110), ("ann", "oil", 130)])
    assert by_customer(found)["ann"] == {"oil": 1.0, "soap": None, "tea": None}


def test_a_repurchase_is_of_everything_and_keeps_what_was_bought_before() -> None:
    found = labels({**NEW, "kind": "repurchase"}, bought=BOUGHT)
    assert by_customer(found)["ann"] == {"soap": 1.0, "tea": 1.0}
    assert by_customer(found)["cem"] == {"soap": 0.0, "tea": 0.0}
    assert found.before is not None
    assert found.before[:3].tolist() == [[False, True], [True, False], [True, True]]


def test_the_next_events_are_the_first_after_the_cutoff() -> None:
    bought = [("ann", "tea", 50), ("ann", "soap", 110), ("ann", "oil", 120), ("ann", "tea", 130)]
    label = {"kind": "next_events", "of": "item", "k": 2, "horizon": "60d"}
    assert by_customer(labels(label, bought=bought))["ann"] == {"oil": 1.0, "soap": 1.0, "tea": 0.0}


# ── who is left out ──────────────────────────────────────────────────────────────────────────────────────────────────


def test_who_is_left_out_is_counted_by_reason() -> None:
    label = {"kind": "inactivity", "event": "purchase", "horizon": "60d"}
    found = labels(label, bought=BOUGHT, population={"active_within": "60d"})
    assert by_customer(found) == {"ann": 0.0, "cem": 1.0}
    # at day 200: ann and bob bought within 90 days, and nobody did
    assert found.excluded == {"not_mature": 1, "no_history": 1, "outside_population": 1}


def test_a_label_that_no_model_learns_is_refused_by_name() -> None:
    with pytest.raises(ValueError, match="no model learns a label of kind 'hazard'; there are inactivity, acquisition"):
        LabelsFile.model_validate({"models": {"when": {"label": {"kind": "hazard", "event": "purchase"}}}})


def test_a_label_without_events_takes_no_active_within() -> None:
    with pytest.raises(ValueError, match="has no event: leave active_within out"):
        ModelSettings.model_validate({"label": CONTRACT, "population": {"active_within": "30d"}})


def test_a_ranking_takes_no_search() -> None:
    label = {"kind": "acquisition", "of": "items.group", "horizon": "60d"}
    with pytest.raises(ValueError, match="is ranked with fixed settings: leave `learn` out"):
        ModelSettings.model_validate({"label": label, "learn": {"trials": 3}})
