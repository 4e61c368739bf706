"""A search is bounded, repeatable, goes on where it was interrupted, and never sees a row that judges."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState
from scipy.special import expit

from training.models import booster, held_out, tuning
from training.models.booster import BoosterSettings, Task
from training.models.tuning import FILE, Search, Tuned, tune

QUICK = BoosterSettings(learning_rate=0.1, max_rounds=40, patience=10, num_threads=1)


def task(rows: int = 500, seed: int = 1) -> Task:
    rng = np.random.default_rng(seed)
    matrix = rng.normal(size=(rows, 4))
    target = (rng.random(rows) < expit(matrix[:, 0] - matrix[:, 1])).astype(float)
    return Task(matrix, target, held_out.by_customer(target, groups=None, number=3, seed=1))


def search(folder: Path | None, trials: int = 6, advance: Callable[[], None] = lambda: None) -> Tuned:
    return tune(task(), settings=QUICK, search=Search(trials, folder=folder), seed=3, advance=advance)


def trials_of(folder: Path) -> list[optuna.trial.FrozenTrial]:
    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / FILE}")
    try:
        (study,) = optuna.get_all_study_summaries(storage)
        return optuna.load_study(study_name=study.study_name, storage=storage).get_trials()
    finally:
        storage.remove_session()
        storage.engine.dispose()


def test_the_same_seed_finds_the_same_settings_stored_or_not(tmp_path: Path) -> None:
    assert search(None) == search(None) == search(tmp_path)


def test_a_search_that_is_done_is_not_made_again(tmp_path: Path) -> None:
    steps: list[int] = []
    first = search(tmp_path, advance=lambda: steps.append(1))
    assert len(steps) == 6
    assert search(tmp_path, advance=lambda: steps.append(1)) == first
    assert len(steps) == 6


def test_an_interrupted_search_goes_on_as_if_it_had_not_been(tmp_path: Path) -> None:
    search(tmp_path, trials=3)
    found = search(tmp_path)
    whole = search(None)
    assert (found.settings, found.loss, found.finished, found.pruned) == (
        whole.settings,
        whole.loss,
        whole.finished,
        whole.pruned,
    )


def test_a_killed_trial_is_taken_up_again(tmp_path: Path) -> None:
    """The process ends in the middle of its third trial, as LightGBM's abort or a `kill -9` ends it."""
    code = (
        "import os, pathlib, sys\nfrom tests.training.models import test_tuning as t\n"
        "from training.models import booster\n"
        "real, fits = booster.held_out_losses, []\n"
        "def dies(*a, **k):\n"
        "    fits.append(1)\n"
        "    if len(fits) == 4: os.abort()\n"
        "    return real(*a, **k)\n"
        "booster.held_out_losses = dies\n"
        "t.search(pathlib.Path(sys.argv[1]))\n"
    )
    process = subprocess.run([sys.executable, "-c", code, str(tmp_path)], env=os.environ, capture_output=True)
    assert process.returncode < 0
    assert [trial.state for trial in trials_of(tmp_path)][-1] == TrialState.RUNNING
    found = search(tmp_path)
    whole = search(None)
    assert (found.settings, found.loss, found.finished + found.pruned) == (whole.settings, whole.loss, 6)
    assert found.failed == 1
    assert all(trial.state != TrialState.RUNNING for trial in trials_of(tmp_path))


def test_a_trial_that_ends_the_process_twice_is_left_out(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = booster.held_out_losses

    class Killed(BaseException):
        """Stands for the end of the process."""

    def dies(*arguments: Any, settings: BoosterSettings, **rest: Any) -> Any:
        if settings.lambda_l2 != QUICK.lambda_l2:
            raise Killed
        return real(*arguments, settings=settings, **rest)

    monkeypatch.setattr(booster, "held_out_losses", dies)
    for _ in range(2 * 3):
        with pytest.raises(Killed):
            search(tmp_path, trials=3)
    found = search(tmp_path, trials=3)
    assert found.settings == QUICK
    assert (found.finished, found.pruned, found.failed) == (0, 0, 6)


def test_time_ends_a_search(tmp_path: Path) -> None:
    now = iter(range(1000))
    found = tune(
        task(), settings=QUICK, search=Search(50, seconds=12, folder=tmp_path), seed=3, clock=lambda: float(next(now))
    )
    assert 0 < found.finished + found.pruned < 10
    assert found.settings.num_threads == 1


def test_other_rows_begin_another_search(tmp_path: Path) -> None:
    search(tmp_path, trials=2)
    tune(task(seed=2), settings=QUICK, search=Search(2, folder=tmp_path), seed=3)
    storage = optuna.storages.RDBStorage(f"sqlite:///{tmp_path / FILE}")
    assert len(optuna.get_all_study_summaries(storage)) == 2
    storage.remove_session()
    storage.engine.dispose()


def test_what_is_found_beats_the_usual_settings_or_they_are_kept() -> None:
    found = search(None)
    assert found.settings == QUICK or found.loss <= found.usual_loss - tuning.MIN_GAIN


def test_every_setting_of_the_space_is_one_that_lightgbm_takes() -> None:
    for name, values in tuning.SPACE.items():
        for value in (values.low, values.high):
            assert getattr(BoosterSettings.model_validate({name: value}), name) == value
