"""The pair model: what becomes of a customer's row, popularity from training labels only, and a score matrix."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from features.base.errors import BadData
from training.baselines import classifiers
from training.evaluate import recommendation
from training.evaluate.calibration import ece
from training.models import ranker, scorers
from training.models.booster import BoosterSettings
from training.models.feature_encoding import Encoding
from training.models.scorers import Pairs, Stem

QUICK = BoosterSettings(learning_rate=0.15, max_rounds=120, patience=10, folds=2, num_leaves=8, num_threads=1)
GROUPS = ("bakery", "dairy", "wine", "toys")


def world(rows: int, seed: int) -> tuple[pd.DataFrame, np.ndarray]:
    """Return what customers bought before and what they take next: mostly more of the same; toys by parents."""
    rng = np.random.default_rng(seed)
    bought = rng.poisson([2.0, 1.0, 0.5, 0.2], size=(rows, 4)).astype(float)
    parent = rng.integers(0, 2, rows)
    rate = 0.03 + 0.1 * bought + np.outer(parent, [0, 0, 0, 0.3])
    taken = (rng.random((rows, 4)) < np.minimum(rate, 0.9)).astype(float)
    own = {f"buys__count_90d__{name}": bought[:, at] for at, name in enumerate(GROUPS)}
    noise = {f"noise_{n}": rng.normal(size=rows) for n in range(5)}
    return pd.DataFrame({**own, **noise, "parent": np.where(parent == 1, "yes", "no")}), taken


def test_stems_are_the_columns_that_end_with_a_candidate() -> None:
    columns = ["a__x", "a__y", "b__y", "x", "__x", "a__xx"]
    assert ranker.stems(columns, ("x", "y")) == (Stem("a", ("a__x", "a__y")), Stem("b", (None, "b__y")))


def test_a_row_becomes_one_pair_per_candidate() -> None:
    wide = Encoding.fit(pd.DataFrame({"n__x": [3.0], "n__y": [1.0], "age": [40.0]}))
    pair_names = ("candidate", "candidate_popularity", "n", "n__share", "n__rank", "age")
    pairs = Pairs(
        ("x", "y", "z"),
        (0.5, 0.2, 0.1),
        (Stem("n", ("n__x", "n__y", None)),),
        ("age",),
        Encoding.fit(pd.DataFrame({name: [0.0] for name in pair_names})),
    )
    matrix = pairs.matrix(np.array([[3.0, 1.0, 40.0], [0.0, np.nan, 50.0]]), wide.names)
    np.testing.assert_array_equal(
        matrix[0], [[0, 0.5, 3, 0.75, 0, 40], [1, 0.2, 1, 0.25, 1, 40], [2, 0.1, np.nan, np.nan, 2, 40]]
    )
    np.testing.assert_array_equal(matrix[1, 0], [0, 0.5, 0, np.nan, 0, 50])
    assert pairs.wide == ("n__x", "n__y", "age")


def test_popularity_counts_only_customers_who_could_take_it() -> None:
    frame, taken = world(600, seed=1)
    taken[:300, 2] = np.nan
    model = ranker.fit(frame, taken, candidates=GROUPS, settings=QUICK, seed=1)
    mean = np.nansum(taken) / (~np.isnan(taken)).sum()
    assert model.pairs.popularity[2] == pytest.approx((taken[300:, 2].sum() + mean) / 301)


def test_new_customers_are_ranked_better_than_by_popularity_and_come_true() -> None:
    frame, taken = world(2500, seed=1)
    fresh, came = world(2500, seed=2)
    model = ranker.fit(frame, taken, candidates=GROUPS, settings=QUICK, seed=3)
    p = model.score(model.encoding.matrix(fresh))
    assert p.shape == (2500, 4)
    popular = classifiers.popularity(taken, rows=2500)
    assert recommendation.hit(p, came, k=1).mean > recommendation.hit(popular, came, k=1).mean + 0.1
    assert ece(came.ravel(), p.ravel()) < 0.02


def test_a_sample_of_rows_leaves_the_probabilities_those_of_all_pairs() -> None:
    frame, taken = world(5000, seed=1)
    model = ranker.fit(frame, taken, candidates=GROUPS, settings=QUICK, max_pairs=10_000, seed=3)
    p = model.score(model.encoding.matrix(frame))
    assert p.mean() == pytest.approx(taken.mean(), abs=0.01)


def test_only_the_customer_columns_that_help_are_kept() -> None:
    frame, taken = world(2000, seed=1)
    model = ranker.fit(frame, taken, candidates=GROUPS, settings=QUICK, max_customer_columns=1, seed=3)
    assert model.pairs.customer == ("parent",)
    assert not any(name.startswith("noise") for name in model.encoding.names)


def test_the_same_seed_gives_the_same_ranker() -> None:
    frame, taken = world(500, seed=1)
    assert ranker.fit(frame, taken, candidates=GROUPS, settings=QUICK, seed=3) == ranker.fit(
        frame, taken, candidates=GROUPS, settings=QUICK, seed=3
    )


def test_scoring_in_blocks_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    frame, taken = world(300, seed=1)
    model = ranker.fit(frame, taken, candidates=GROUPS, settings=QUICK, seed=3)
    matrix = model.encoding.matrix(frame)
    monkeypatch.setattr(scorers, "BLOCK_PAIRS", 28)
    assert (model.score(matrix) == np.vstack([model.score(matrix[at : at + 1]) for at in range(300)])).all()


@pytest.mark.parametrize(
    ("candidates", "shape", "code"),
    [
        (("bakery",), (100, 1), "candidates.names"),
        (("bakery", "bakery"), (100, 2), "candidates.names"),
        (GROUPS, (100, 3), "label.values"),
        (GROUPS, (99, 4), "label.values"),
    ],
)
def test_labels_and_candidates_must_fit(candidates: tuple[str, ...], shape: tuple[int, int], code: str) -> None:
    frame, _ = world(100, seed=1)
    with pytest.raises(BadData) as error:
        ranker.fit(frame, np.zeros(shape), candidates=candidates, seed=1)
    assert error.value.first.code == code


def test_a_per_candidate_column_of_text_is_refused() -> None:
    frame, taken = world(100, seed=1)
    with pytest.raises(BadData, match=r"candidates\.type") as error:
        ranker.fit(frame.assign(last__wine="red"), taken, candidates=GROUPS, seed=1)
    assert error.value.first.where == "last__wine"


def test_a_declared_column_that_does_not_exist_is_refused() -> None:
    frame, taken = world(100, seed=1)
    stem = ranker.declared({"n": {"wine": "nowhere"}}, GROUPS)
    with pytest.raises(BadData, match=r"features\.missing") as error:
        ranker.fit(frame, taken, candidates=GROUPS, per_candidate=stem, seed=1)
    assert error.value.first.where == "nowhere"
