"""A declared search and declared directions reach the trees; where the search is stored is no part of the recipe."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from features.base.errors import BadData
from tests.training.rows import frame_of
from training.models.binary_kind import BinaryKind
from training.models.booster import BoosterSettings
from training.models.kind import FitSettings
from training.models.tuning import FILE
from training.registry.recipe import Recipe

QUICK = BoosterSettings(learning_rate=0.2, max_rounds=20, patience=5, folds=2, num_threads=1, min_positives=5)
FRAME = frame_of(np.random.default_rng(3).integers(0, 2, 300).astype(float), days=[0, 30])


def test_a_search_is_stored_in_the_given_folder_and_repeats_itself(tmp_path: Path) -> None:
    stored = FitSettings(QUICK, None, seed=1, trials=2, study_folder=tmp_path)
    first = BinaryKind().fit(FRAME, stored)
    assert (tmp_path / FILE).is_file()
    assert BinaryKind().fit(FRAME, stored) == first == BinaryKind().fit(FRAME, FitSettings(QUICK, None, 1, trials=2))


def test_a_declared_direction_is_kept_by_trees_and_curves() -> None:
    model = BinaryKind().fit(FRAME, FitSettings(QUICK, None, seed=1, monotone={"noise": "down"}))
    p = model.score(model.encoding.matrix({"signal": [0.5] * 60, "noise": np.linspace(-4, 4, 60).tolist()}))
    assert (np.diff(p) <= 0).all()
    with pytest.raises(BadData, match=r"monotone\.column"):
        BinaryKind().fit(FRAME, FitSettings(QUICK, None, seed=1, monotone={"noize": "down"}))


def test_the_recipe_holds_the_search_and_not_the_folder(tmp_path: Path) -> None:
    settings = FitSettings(QUICK, None, seed=1, trials=2, monotone={"noise": "down"}, study_folder=tmp_path)
    recipe = Recipe.of(BinaryKind(), settings, FRAME)
    assert str(tmp_path) not in str(recipe.to_json())
    assert Recipe.from_json(recipe.to_json()) == recipe
