"""Search the settings of the trees on training rows: bounded in trials and time, repeatable, and resumable."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import blake2b
from importlib.metadata import version
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import optuna
from optuna.distributions import FloatDistribution, IntDistribution
from optuna.trial import FrozenTrial, TrialState

from training.models import booster
from training.models.booster import BoosterSettings, Task

optuna.logging.set_verbosity(optuna.logging.WARNING)

FILE = "tuning.sqlite"
SPACE: dict[str, IntDistribution | FloatDistribution] = {  # few leaves and strong regularisation
    "num_leaves": IntDistribution(3, 48, log=True),
    "min_data_in_leaf": IntDistribution(10, 400, log=True),
    "feature_fraction": FloatDistribution(0.15, 1.0),
    "bagging_fraction": FloatDistribution(0.5, 1.0),
    "lambda_l2": FloatDistribution(0.1, 200.0, log=True),
    "path_smooth": FloatDistribution(0.0, 100.0),
}
MIN_GAIN = 2e-4  # nats per row that the best settings found must win over the usual ones
FASTER = 2.0  # a search takes steps so many times as long as the final fit, with as many fewer trees
REPORT_EVERY = 20  # trees between two looks at whether a trial is worth going on
RANDOM_TRIALS, TRIALS_BEFORE_PRUNING = 8, 4
ATTEMPTS = 2  # a trial that ended the process as often is left out


@dataclass(frozen=True)
class Search:
    """How long to search, and where the trials are kept.

    Parameters
    ----------
    trials : settings that are tried at most
    seconds : no trial begins or goes on after so many; a search that they end may differ from run to run
    folder : where the trials are stored, so that a search that was interrupted goes on; None stores nothing
    """

    trials: int
    seconds: float = 600.0
    folder: Path | None = None


@dataclass(frozen=True)
class Tuned:
    """What a search found.

    Parameters
    ----------
    settings : the best, or the usual ones where nothing beat them clearly
    loss, usual_loss : held-out log loss of the best trial and of the usual settings
    finished, pruned, failed : numbers of trials
    """

    settings: BoosterSettings
    loss: float
    usual_loss: float
    finished: int
    pruned: int
    failed: int


def tune(
    task: Task,
    *,
    settings: BoosterSettings,
    search: Search,
    seed: int,
    advance: Callable[[], None] = lambda: None,
    clock: Callable[[], float] = time.monotonic,
) -> Tuned:
    """Return the settings with the least log loss on the parts of a task that are held out.

    Trials are drawn by Optuna's TPE sampler, which begins anew for each trial from the seed and the trials before
    it: a search that was interrupted goes on as if it had not been. A trial that a killed process left behind is
    tried once more.

    Parameters
    ----------
    task : training rows only, with the parts that are held out in turn
    settings : the usual ones; what is not searched stays as it is there
    search : how long, and where the trials are kept
    seed : of the sampler and of LightGBM
    advance : called after each trial
    clock : seconds

    References
    ----------
    Bergstra et al. (2011) on the sampler; Akiba et al. (2019) on Optuna.
    """
    end = clock() + search.seconds
    rows = len(task.target)
    faster = settings.model_copy(update={"learning_rate": min(0.1, FASTER * settings.step(rows)), "bags": 1})
    with _storage(search.folder) as storage:
        study = optuna.create_study(
            storage=storage,
            study_name=_fingerprint(task, faster, seed),
            load_if_exists=True,
            pruner=optuna.pruners.MedianPruner(
                n_startup_trials=TRIALS_BEFORE_PRUNING, n_warmup_steps=2 * REPORT_EVERY, interval_steps=REPORT_EVERY
            ),
        )
        for trial in study.get_trials(states=(TrialState.RUNNING,)):
            study.tell(trial.number, state=TrialState.FAIL)  # the process that ran it was killed
        dataset = task.dataset()
        usual = study.user_attrs.get("usual_loss")
        if usual is None:
            usual = _loss(task, dataset, faster, seed=seed)
            study.set_user_attr("usual_loss", usual)
        for slot in _open_slots(study, search.trials):
            if clock() >= end:
                break
            study.sampler = optuna.samplers.TPESampler(seed=seed + 7919 * slot, n_startup_trials=RANDOM_TRIALS)
            _run(study, slot, task, dataset, faster, seed=seed, late=lambda: clock() >= end)
            advance()
        return _best(study, settings, usual)


def _run(
    study: optuna.Study,
    slot: int,
    task: Task,
    dataset: lightgbm.Dataset,
    settings: BoosterSettings,
    *,
    seed: int,
    late: Callable[[], bool],
) -> None:
    trial = study.ask(dict(SPACE))
    trial.set_user_attr("slot", slot)

    def watch(iteration: int, loss: float) -> None:
        if (iteration + 1) % REPORT_EVERY == 0:
            trial.report(loss, iteration + 1)
            if late():
                raise TimeoutError
            if trial.should_prune():
                raise optuna.TrialPruned

    try:
        loss = _loss(task, dataset, _with(settings, trial.params), seed=seed, watch=watch)
    except TimeoutError:
        trial.set_user_attr("slot", None)  # no failure of its own: tried again when the search goes on
        study.tell(trial, state=TrialState.FAIL)
    except optuna.TrialPruned:
        study.tell(trial, state=TrialState.PRUNED)
    else:
        study.tell(trial, loss)


def _loss(
    task: Task,
    dataset: lightgbm.Dataset,
    settings: BoosterSettings,
    *,
    seed: int,
    watch: Callable[[int, float], None] | None = None,
) -> float:
    losses, _ = booster.held_out_losses(task, dataset, settings=settings, seed=seed, watch=watch)
    return float(losses[-1])


def _with(settings: BoosterSettings, params: dict[str, Any]) -> BoosterSettings:
    """Return validated settings: LightGBM may end the process on wrong ones."""
    return BoosterSettings.model_validate(settings.model_dump() | params)


def _open_slots(study: optuna.Study, trials: int) -> list[int]:
    """Return the numbers of the trials that have neither finished nor failed too often."""
    done: set[int] = set()
    failures: dict[int, int] = {}
    for trial in study.get_trials(deepcopy=False):
        slot = trial.user_attrs.get("slot")
        if slot is None:
            continue
        if trial.state.is_finished() and trial.state != TrialState.FAIL:
            done.add(slot)
        else:
            failures[slot] = failures.get(slot, 0) + 1
    return [slot for slot in range(trials) if slot not in done and failures.get(slot, 0) < ATTEMPTS]


def _best(study: optuna.Study, settings: BoosterSettings, usual: float) -> Tuned:
    by_state: dict[TrialState, list[FrozenTrial]] = {}
    for trial in study.get_trials():
        by_state.setdefault(trial.state, []).append(trial)
    complete = by_state.get(TrialState.COMPLETE, [])
    best = min(complete, key=lambda trial: (trial.value, trial.number), default=None)
    loss = usual if best is None or best.value is None else best.value
    chosen = settings if best is None or loss > usual - MIN_GAIN else _with(settings, best.params)
    pruned, failed = (len(by_state.get(state, [])) for state in (TrialState.PRUNED, TrialState.FAIL))
    return Tuned(chosen, loss, usual, len(complete), pruned, failed)


@contextmanager
def _storage(folder: Path | None) -> Iterator[optuna.storages.BaseStorage]:
    if folder is None:
        yield optuna.storages.InMemoryStorage()
        return
    folder.mkdir(parents=True, exist_ok=True)

    def connect() -> sqlite3.Connection:
        connection = sqlite3.connect(folder / FILE, timeout=60)
        connection.execute("PRAGMA journal_mode=WAL")  # a trial writes often: without waiting for the disk each time
        connection.execute("PRAGMA synchronous=NORMAL")
        return connection

    storage = optuna.storages.RDBStorage(f"sqlite:///{folder / FILE}", engine_kwargs={"creator": connect})
    try:
        yield storage
    finally:
        storage.remove_session()
        storage.engine.dispose()


def _fingerprint(task: Task, settings: BoosterSettings, seed: int) -> str:
    """Return the name of the study: only a search of the same rows, settings, seed and libraries goes on."""
    digest = blake2b(digest_size=16)
    for array in (
        task.matrix,
        task.target,
        task.weight,
        *(rows for part in task.parts for rows in (part.train, part.held)),
    ):
        digest.update(b"none" if array is None else np.ascontiguousarray(array).tobytes())
    names = [version(library) for library in ("lightgbm", "optuna", "numpy")]
    digest.update(repr((settings, seed, list(task.categorical), list(task.monotone), SPACE, names)).encode())
    return digest.hexdigest()
