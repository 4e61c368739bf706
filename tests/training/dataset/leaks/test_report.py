"""Each check of the leak report: a planted leak is found, a clean frame passes, and without its grounds it says so."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pandas as pd
import pytest

from features.base.errors import BadData
from training.dataset.leaks.leak_report import RULES, ExaminedFrame, LeakLimits, LeakResult, examine, examine_splits

CUSTOMERS = 300
DAYS = [datetime(2026, month, 1, tzinfo=UTC) for month in (3, 4, 5, 6)]
LABEL = (np.random.default_rng(1).random(CUSTOMERS * len(DAYS)) < 0.2).astype(np.float64)
NOISE = np.random.default_rng(2).normal(size=len(LABEL))


def clean() -> ExaminedFrame:
    """Return a frame as it should be: what it learns from leans towards the target, and no more than that."""
    rng = np.random.default_rng(4)
    rows = pd.DataFrame(
        {
            "customer_id": [f"c{at:03}" for at in range(CUSTOMERS)] * len(DAYS),
            "as_of": pd.DatetimeIndex(np.repeat(np.array(DAYS, dtype=object), CUSTOMERS)),
        }
    )
    features = pd.DataFrame(
        {
            "visits": rng.poisson(3 - 1.5 * LABEL),
            "spent": np.where(rng.random(len(rows)) < 0.3, np.nan, rng.normal(50 - 10 * LABEL, 20)),
            "town": rng.choice(["York", "Hull", "Leeds"], len(rows)),
        }
    )
    splits = [
        (np.arange(len(rows)) % CUSTOMERS % 3 != part, np.arange(len(rows)) % CUSTOMERS % 3 == part)
        for part in (0, 1, 2)
    ]
    return ExaminedFrame(
        rows=rows,
        features=features,
        target=LABEL,
        requested=rows,
        recompute=lambda requested: requested.merge(pd.concat([rows, features], axis="columns"))[list(features)],
        first_known=dict.fromkeys(map(str, features), datetime(2025, 1, 1, tzinfo=UTC)),
        snapshots=pd.DataFrame({"shop": rows["as_of"], "profile": rows["as_of"]}),
        splits=splits,
    )


def answer(code: str, frame: ExaminedFrame, limits: LeakLimits | None = None) -> LeakResult:
    return next(given for given in examine(frame, limits).results if given.code == code)


def with_column(frame: ExaminedFrame, name: str, values: Any) -> ExaminedFrame:
    return replace(frame, features=frame.features.assign(**{name: values}))


def test_a_clean_frame_passes_every_check() -> None:
    report = examine(clean())
    assert [given.outcome for given in report.results] == ["passed"] * len(RULES)
    assert report.findings == ()
    assert list(report.table().index) == [rule.code for rule in RULES]


def test_a_frame_of_which_nothing_is_known_is_looked_at_all_the_same() -> None:
    frame = clean()
    report = examine(ExaminedFrame(frame.rows, frame.features))
    outcomes = {given.code: given.outcome for given in report.results}
    assert outcomes == {
        "LK001": "not_applicable",
        "LK002": "not_applicable",
        "LK003": "passed",
        "LK004": "passed",
        "LK005": "not_applicable",
        "LK006": "not_applicable",
    }
    assert all(given.detail for given in report.results)


def test_lk001_a_column_that_knew_what_came_later_is_found_and_no_other() -> None:
    frame = clean()
    seen = frame.features["visits"] + (np.arange(len(frame.rows)) % 2)  # every second row counts a later visit
    leaky = replace(frame, features=frame.features.assign(visits=seen))
    found = answer("LK001", leaky)
    assert (found.outcome, found.features) == ("failed", ("visits",))
    assert "visits (15" in found.detail


def test_lk001_text_and_missing_values_are_held_against_each_other() -> None:
    frame = clean()
    moved = frame.features.assign(
        town=frame.features["town"].mask(frame.features["town"] == "York", "Bath"),
        spent=frame.features["spent"].fillna(0),
    )
    assert set(answer("LK001", replace(frame, features=moved)).features) == {"town", "spent"}


def test_lk001_the_order_of_a_sum_is_no_leak_and_a_column_nobody_can_make_is_counted() -> None:
    frame = clean()
    summed = frame.features.assign(spent=frame.features["spent"] * (1 + 1e-13), mine=1.0)
    found = answer("LK001", replace(frame, features=summed))
    assert found.outcome == "passed"
    assert "1 columns could not be recomputed" in found.detail


def test_lk001_rows_that_are_lost_when_made_anew_are_a_failure() -> None:
    frame = clean()
    assert (
        answer("LK001", replace(frame, recompute=lambda rows: frame.features.iloc[: len(rows) - 1])).outcome == "failed"
    )


@pytest.mark.parametrize(
    ("name", "column"),
    [
        ("a number in order", 5 * LABEL + NOISE),
        ("a number that is high or low", np.where(LABEL == 1, np.sign(NOISE) * 9, NOISE / 9)),
        ("a word", np.where(LABEL == 1, "closed", "open")),
        ("being there at all", np.where(LABEL == 1, np.abs(NOISE), np.nan)),
        ("a yes or no", LABEL == 1),
    ],
)
def test_lk002_a_column_that_gives_the_answer_away_is_found_however_it_does(name: str, column: Any) -> None:
    found = answer("LK002", with_column(clean(), "late", column))
    assert (found.outcome, found.features) == ("failed", ("late",)), name


def test_lk002_a_column_of_names_foretells_nothing_though_each_is_seen_with_one_outcome() -> None:
    frame = clean()
    steady = replace(frame, target=LABEL[np.arange(len(frame.rows)) % CUSTOMERS])
    assert answer("LK002", with_column(steady, "name", frame.rows["customer_id"].to_numpy())).outcome == "passed"


def test_lk002_of_an_amount_is_asked_by_r2_and_of_several_candidates_by_the_best_foretold() -> None:
    frame = clean()
    amount = np.random.default_rng(3).gamma(2.0, 50.0, size=len(frame.rows))
    found = answer("LK002", with_column(replace(frame, target=amount), "bill", amount * 1.2))
    assert (found.outcome, found.features) == ("failed", ("bill",))
    assert "R²" in found.detail
    taken = np.column_stack([LABEL, 1 - LABEL[::-1]])
    found = answer("LK002", with_column(replace(frame, target=taken), "took", taken[:, 1]))
    assert (found.outcome, found.features) == ("failed", ("took",))


def test_lk002_draws_its_line_where_it_is_told_to() -> None:
    assert answer("LK002", clean(), LeakLimits(max_single_auc=0.6)).features == ("visits",)


def test_lk003_a_value_from_before_its_source_began_is_found_and_a_count_of_nothing_is_none() -> None:
    frame = clean()
    first_known = {"spent": DAYS[2], "tickets": DAYS[2]}
    late = np.where(frame.rows["as_of"] < pd.Timestamp(DAYS[2]), 0, 4)
    found = answer("LK003", replace(with_column(frame, "tickets", late), first_known=first_known))
    assert (found.outcome, found.features) == ("failed", ("spent",))
    assert "before 2026-05-01" in found.detail


def test_lk003_a_snapshot_from_after_the_cutoff_is_found() -> None:
    frame = clean()
    assert frame.snapshots is not None
    later = frame.snapshots.assign(shop=frame.snapshots["shop"] + pd.Timedelta(days=1))
    found = answer("LK003", replace(frame, snapshots=later))
    assert (found.outcome, found.features) == ("failed", ("shop",))


def test_lk003_notes_a_column_that_begins_at_a_later_cutoff_than_the_others() -> None:
    frame = clean()
    begun = np.where(frame.rows["as_of"] < pd.Timestamp(DAYS[1]), np.nan, NOISE)
    found = answer("LK003", with_column(frame, "survey", begun))
    assert (found.outcome, found.features) == ("passed", ("survey",))
    assert "missing for everybody at the first cutoffs: survey" in found.detail


def test_lk003_a_reason_for_leaving_is_found_though_few_have_one() -> None:
    frame = clean()
    told = (LABEL == 1) & (np.arange(len(frame.rows)) % 10 == 0)
    leaky = with_column(frame, "reason", pd.Series("price", index=frame.rows.index).where(told))
    found = answer("LK003", leaky)
    assert (found.outcome, found.features) == ("failed", ("reason",))
    assert answer("LK002", leaky).outcome == "passed"  # too few for that one to see


def test_lk003_what_few_have_may_be_theirs_by_chance() -> None:
    frame = clean()
    rare = np.where((LABEL == 0) & (np.arange(len(frame.rows)) % 40 == 0), 1.0, np.nan)
    assert answer("LK003", with_column(frame, "gift", rare)).outcome == "passed"


def test_lk004_lost_added_and_doubled_rows_are_found() -> None:
    frame = clean()
    lost = ExaminedFrame(frame.rows.iloc[5:], frame.features.iloc[5:], requested=frame.rows)
    assert "5 are missing and 0 were added" in answer("LK004", lost).detail
    twice = np.r_[np.arange(len(frame.rows)), np.arange(7)]
    fanned = ExaminedFrame(frame.rows.loc[twice], frame.features.loc[twice], requested=frame.rows)
    found = answer("LK004", fanned)
    assert found.outcome == "failed"
    assert "7 customers stand twice at one cutoff" in found.detail
    assert "0 are missing and 7 were added" in found.detail
    assert answer("LK004", replace(fanned, requested=None)).outcome == "failed"


def test_lk004_the_order_of_the_rows_and_the_zone_of_their_times_do_not_matter() -> None:
    frame = clean()
    local = frame.rows.assign(as_of=frame.rows["as_of"].dt.tz_convert("Europe/London")).iloc[::-1]
    assert answer("LK004", replace(frame, requested=local)).outcome == "passed"


def test_lk005_a_customer_on_both_sides_is_found() -> None:
    frame = clean()
    half = (
        np.arange(len(frame.rows)) < len(frame.rows) // 2
    )  # earlier cutoffs against later ones: all customers in both
    found = examine_splits(replace(frame, splits=[(half, ~half)]))
    assert found.outcome == "failed"
    assert found.detail.startswith(f"{CUSTOMERS} customers")


def test_lk006_features_of_an_earlier_cutoff_are_found() -> None:
    frame = clean()
    assert frame.snapshots is not None
    older = frame.snapshots.assign(
        profile=frame.snapshots["profile"].where(frame.rows.index > 3, pd.Timestamp(DAYS[0]) - pd.Timedelta(days=7))
    )
    found = answer("LK006", replace(frame, snapshots=older))
    assert (found.outcome, found.features) == ("failed", ("profile",))
    assert "profile in 4 rows" in found.detail


def test_a_check_that_is_switched_off_is_not_asked() -> None:
    leaky = with_column(clean(), "late", LABEL)
    assert answer("LK002", leaky).outcome == "failed"
    assert answer("LK002", leaky, LeakLimits(off=("LK002",))).outcome == "not_applicable"


def test_rows_that_do_not_belong_together_are_refused() -> None:
    frame = clean()
    with pytest.raises(BadData, match="not equally many"):
        ExaminedFrame(frame.rows, frame.features.iloc[1:])
    with pytest.raises(BadData, match="no as_of"):
        ExaminedFrame(frame.rows[["customer_id"]], frame.features)


def test_every_check_has_its_own_code() -> None:
    assert [rule.code for rule in RULES] == [f"LK{n:03}" for n in range(1, len(RULES) + 1)]


def test_a_column_that_is_filled_only_where_nothing_is_in_question_is_no_leak() -> None:
    """How often a category was bought is filled for its buyers alone, of whom an acquisition is not asked."""
    rng = np.random.default_rng(4)
    bought = rng.random((600, 2)) < 0.3
    target = np.where(bought, np.nan, (rng.random((600, 2)) < 0.2).astype(float))
    features = pd.DataFrame({"times": np.where(bought[:, 0], 3.0, np.nan), "noise": rng.normal(size=600)})
    rows = pd.DataFrame({"customer_id": [f"c{at}" for at in range(600)], "as_of": "2026-01-01"})
    found = {answer.code: answer for answer in examine(ExaminedFrame(rows, features, target)).results}
    assert found["LK002"].outcome == found["LK003"].outcome == "passed"
    assert "AUC 0.5" in found["LK002"].detail


def test_a_column_that_is_the_outcome_where_it_is_in_question_is_a_leak() -> None:
    rng = np.random.default_rng(4)
    target = np.where(rng.random((600, 2)) < 0.3, np.nan, (rng.random((600, 2)) < 0.3).astype(float))
    features = pd.DataFrame({"outcome": np.nan_to_num(target[:, 1], nan=7.0)})
    rows = pd.DataFrame({"customer_id": [f"c{at}" for at in range(600)], "as_of": "2026-01-01"})
    found = {answer.code: answer for answer in examine(ExaminedFrame(rows, features, target)).results}
    assert found["LK002"].outcome == "failed"
