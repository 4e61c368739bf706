"""An uplift model: calibrated effects per treatment, and whether they differ between customers at all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from features.base.errors import BadData
from training.evaluate import effect_heterogeneity as heterogeneity
from training.evaluate.array_checks import Array
from training.evaluate.effect_heterogeneity import EffectEstimate, EffectGroups
from training.evaluate.ranking import auc
from training.models import uplift_learners
from training.models.feature_encoding import Encoding, Matrix
from training.models.uplift_learners import CrossFit, EffectModels, Experiment, Rows, UpliftSettings

if TYPE_CHECKING:
    import pandas as pd

DEFAULTS = UpliftSettings()
MIN_ROWS_OF_ARM = 100
MIN_OF_EACH_OUTCOME = 10
NO_CONTROL_NAMES = ("control", "none", "no", "0", "false")
SURELY_PREDICTED = 3.5  # standard errors of the AUC of a random assignment


@dataclass(frozen=True)
class TreatmentEffect:
    """What is known of one treatment's effect.

    Parameters
    ----------
    average : effect on everybody, against control
    p_value : of "the effect is the same for all customers", adjusted for the number of treatments
    detectable : whether it differs between customers
    centre, weights : of the effect by a shared shift and of the learners' own, one of which has weight 0; a
        prediction is ``average + (effects - centre) @ weights``
    groups : customers by predicted effect, and which groups are surely helped or harmed
    """

    average: EffectEstimate
    p_value: float
    detectable: bool
    centre: Array
    weights: Array
    groups: EffectGroups

    def difference(self, shared: Array, own: Array) -> Array:
        """Return how far each customer's effect lies from the average, calibrated."""
        return np.asarray((np.column_stack([shared, own]) - self.centre) @ self.weights, dtype=np.float64)

    @property
    def persuadable(self) -> int:
        """Return how many training rows lie in groups whose effect is surely above 0."""
        return int(self.groups.rows[self.groups.verdict > 0].sum())

    @property
    def harmed(self) -> int:
        """Return how many training rows lie in groups whose effect is surely below 0."""
        return int(self.groups.rows[self.groups.verdict < 0].sum())


@dataclass(frozen=True)
class UpliftModel:
    """A fitted uplift model.

    Parameters
    ----------
    control, treatments : labels as they stood in the data
    effects : one for each treatment
    treatment_auc : how well features tell each treatment from control; 0.5 in an experiment
    """

    encoding: Encoding
    control: object
    treatments: tuple[object, ...]
    models: tuple[EffectModels, ...]
    effects: tuple[TreatmentEffect, ...]
    treatment_auc: tuple[float, ...]

    @property
    def detectable(self) -> bool:
        return any(effect.detectable for effect in self.effects)

    def differences(self, matrix: Matrix) -> Array:
        """Return how far each effect lies from the treatment's average, by all learners, shape (rows, treatments)."""
        by_learner = np.mean([model.effects(matrix) for model in self.models], axis=0)
        return _differences(*uplift_learners.both_effects(by_learner), self.effects)

    def predict(self, matrix: Matrix) -> Array:
        """Return calibrated effects; the average one for everybody where no difference is detectable."""
        average = np.array([effect.average.value for effect in self.effects])
        shown = np.array([effect.detectable for effect in self.effects])
        return np.asarray(average + shown * self.differences(matrix), dtype=np.float64)

    def segments(self, matrix: Matrix) -> NDArray[np.int64]:
        """Return 1 surely persuadable, -1 surely harmed, 0 not sure, shape (rows, treatments)."""
        found = self.differences(matrix)
        return np.column_stack([effect.groups.of(found[:, at]) for at, effect in enumerate(self.effects)])

    def choose(self, matrix: Matrix, *, value: float, cost: ArrayLike) -> NDArray[np.int64]:
        """Return the arm with the highest value of its effect less its cost: 0 for control, 1, 2, … for treatments.

        Raises
        ------
        BadData : ``uplift.no_effect`` if no effect differs detectably between customers
        """
        if not self.detectable:
            smallest = min(effect.p_value for effect in self.effects)
            raise BadData(
                "uplift.no_effect",
                f"no detectable difference of the effect between customers (p = {smallest:.2f})",
                hint="treat everybody or nobody by the average effect, or run a larger experiment",
            )
        gain = value * self.predict(matrix) - np.broadcast_to(np.asarray(cost, dtype=np.float64), (len(self.effects),))
        best = gain.argmax(axis=1)
        return np.where(gain[np.arange(len(gain)), best] > 0, best + 1, 0).astype(np.int64)


def fit(
    frame: pd.DataFrame,
    outcome: ArrayLike,
    treatment: ArrayLike,
    *,
    control: object = None,
    propensity: ArrayLike | None = None,
    customers: Sequence[Any] | NDArray[Any] | None = None,
    settings: UpliftSettings = DEFAULTS,
    alpha: float = 0.05,
    max_treatment_auc: float = 0.75,
    seed: int,
) -> UpliftModel:
    """Learn the effect of each treatment on each customer.

    Parameters
    ----------
    frame : features known before the treatment, one row per customer and decision
    outcome : array of shape (rows,), 0 or 1, or an amount
    treatment : array of shape (rows,), the label of what each row got
    control : the label of no treatment; None: 0, False, or a label such as ``"control"`` or ``"none"``
    propensity : logged probability of each arm, shape (rows, arms), control first, then the treatments in sorted order;
        None: the arms' shares, or a model of the features where these predict the treatment
    customers : the customer of each row; None if each row is its own
    alpha : chance of finding a difference where there is none
    max_treatment_auc : features that predict the treatment better than this are refused
    seed : of everything that is drawn

    Raises
    ------
    BadData : ``treatment.values``, ``treatment.control``, ``treatment.few``, ``treatment.predicted``,
        ``treatment.propensity``, ``label.values``, ``label.one_class``, ``features.*``

    Examples
    --------
    >>> model = fit(before, visited, arm, control="none", seed=7)           # doctest: +SKIP
    >>> model.predict(model.encoding.matrix(tomorrow))                      # doctest: +SKIP
    """
    labels, arm = arms_of(treatment, rows=len(frame), control=control)
    y, binary = _outcomes(outcome, arm=arm, labels=labels)
    encoding = Encoding.fit(frame)
    customer = np.arange(len(y)) if customers is None else np.unique(np.asarray(customers), return_inverse=True)[1]
    if len(customer) != len(y):
        raise BadData("treatment.values", f"{len(customer)} customers for {len(y)} rows")
    shares = np.bincount(arm) / len(arm)
    experiment = Experiment(
        matrix=encoding.matrix(frame),
        outcome=y,
        arm=arm,
        arms=len(labels),
        propensity=np.tile(shares, (len(y), 1)),
        customer=np.asarray(customer, dtype=np.int64),
        binary=binary,
        categorical=encoding.categorical,
    )
    found, predicted = _treatment_auc(experiment, settings=settings, seed=seed)
    if propensity is not None:
        experiment = replace(experiment, propensity=_logged(propensity, experiment))
    else:
        _refuse_predicted(found, labels, limit=max_treatment_auc)
        if predicted is not None:
            experiment = replace(experiment, propensity=predicted)
    rounds = uplift_learners.outcome_rounds(experiment, settings=settings, seed=seed)
    fits = [
        uplift_learners.cross_fit(experiment, settings=settings, rounds=rounds, seed=seed * settings.seeds + repeat)
        for repeat in range(settings.seeds)
    ]
    models = tuple(model for fitted in fits for model in fitted.models)
    return UpliftModel(encoding, labels[0], labels[1:], models, _effects(fits, experiment, alpha=alpha), found)


def arms_of(treatment: ArrayLike, *, rows: int, control: object = None) -> tuple[tuple[object, ...], Rows]:
    """Return the labels, control first, and the number of each row's label.

    Raises
    ------
    BadData : ``treatment.values``, ``treatment.control``, ``treatment.few``

    Examples
    --------
    >>> labels, arm = arms_of(["none", "call"] * 100, rows=200)
    >>> labels, arm[:2].tolist()
    (('none', 'call'), [0, 1])
    """
    values = np.asarray(treatment)
    if values.shape != (rows,):
        raise BadData("treatment.values", f"treatments of shape {values.shape} for {rows} rows: one for each row")
    listed = values.tolist()
    if any(value is None or value != value for value in listed):
        raise BadData("treatment.values", "a treatment is missing", hint="drop rows without one, or name them control")
    distinct = sorted(set(listed), key=lambda value: (str(type(value)), value))
    none = [label for label in distinct if label == control] if control is not None else _control_of(distinct)
    if len(none) != 1:
        raise BadData(
            "treatment.control",
            f"which of the {len(distinct)} treatments is control cannot be seen",
            hint="give control=LABEL, the label of those who got nothing",
        )
    labels = (none[0], *(label for label in distinct if label != none[0]))
    if len(labels) < 2:
        raise BadData("treatment.values", "all rows have the same treatment", hint="keep a random control group")
    number = {label: at for at, label in enumerate(labels)}
    arm = np.array([number[value] for value in listed], dtype=np.int64)
    fewest = int(np.bincount(arm).min())
    if fewest < MIN_ROWS_OF_ARM:
        raise BadData(
            "treatment.few",
            f"a treatment or control has {fewest} rows: {MIN_ROWS_OF_ARM} are needed",
            hint="join small treatments, or leave their rows out",
        )
    return labels, arm


def _control_of(labels: Sequence[Any]) -> list[Any]:
    """Return the labels that stand for no treatment by their name."""
    return [label for label in labels if str(label).casefold() in NO_CONTROL_NAMES or label == 0]


def _outcomes(outcome: ArrayLike, *, arm: Rows, labels: Sequence[object]) -> tuple[Array, bool]:
    """Return outcomes as float64, and whether they are 0 and 1."""
    y = np.asarray(outcome, dtype=np.float64)
    if y.shape != arm.shape:
        raise BadData("label.values", f"outcomes of shape {y.shape} for {len(arm)} rows: one for each row")
    if not np.isfinite(y).all():
        raise BadData("label.values", f"{int((~np.isfinite(y)).sum())} outcomes are missing or infinite")
    if np.ptp(y) == 0:
        raise BadData("label.one_class", "all outcomes are equal", hint="check the outcome and its period")
    binary = bool(np.isin(y, (0.0, 1.0)).all())
    for at in range(len(labels)):
        own = y[arm == at]
        rarer = int(min(own.sum(), len(own) - own.sum())) if binary else MIN_OF_EACH_OUTCOME
        if rarer < MIN_OF_EACH_OUTCOME:
            raise BadData(
                "label.one_class",
                f"{rarer} rows of one outcome in an arm: {MIN_OF_EACH_OUTCOME} are needed",
                where="control" if at == 0 else f"treatment {at}",
                hint="lengthen the period, or run a larger experiment",
            )
    return y, binary


def _treatment_auc(
    experiment: Experiment, *, settings: UpliftSettings, seed: int
) -> tuple[tuple[float, ...], Array | None]:
    """Return how well features tell each treatment from control, and propensities where they surely do."""
    predicted = uplift_learners.held_out_propensity(experiment, settings=settings, seed=seed)
    found, sure = [], False
    for at in range(1, experiment.arms):
        rows = np.isin(experiment.arm, (0, at))
        treated = experiment.arm[rows] == at
        share = predicted[rows, at] / (predicted[rows, at] + predicted[rows, 0])
        found.append(auc(treated, share))
        ones, zeros = int(treated.sum()), int((~treated).sum())
        sure |= abs(found[-1] - 0.5) > SURELY_PREDICTED * np.sqrt((ones + zeros + 1) / (12.0 * ones * zeros))
    return tuple(found), uplift_learners.clipped(predicted) if sure else None


def _refuse_predicted(found: Sequence[float], labels: Sequence[object], *, limit: float) -> None:
    worst = int(np.argmax(found))
    if found[worst] > limit:
        raise BadData(
            "treatment.predicted",
            f"features predict who is treated with AUC {found[worst]:.2f}, above {limit:.2f}: "
            "treated and untreated customers cannot be compared",
            where=f"treatment {worst + 1} of {len(labels) - 1}",
            hint="leave out columns that were filled after the treatment, or give the logged propensities",
        )


def _logged(propensity: ArrayLike, experiment: Experiment) -> Array:
    given = np.asarray(propensity, dtype=np.float64)
    if given.shape != experiment.propensity.shape:
        raise BadData(
            "treatment.propensity",
            f"propensities of shape {given.shape} for {experiment.propensity.shape}: one for each row and arm",
        )
    if not (np.isfinite(given).all() and (given > 0).all() and np.allclose(given.sum(axis=1), 1, atol=1e-6)):
        raise BadData(
            "treatment.propensity",
            "propensities must be above 0 and each row's must sum to 1",
            hint="leave out rows whose treatment was certain: nothing can be learnt from them",
        )
    return given


def _effects(fits: Sequence[CrossFit], experiment: Experiment, *, alpha: float) -> tuple[TreatmentEffect, ...]:
    """Test and calibrate the mean of all seeds, for each treatment."""
    customers = experiment.customer
    shared, own, score = (
        np.mean(values, axis=0) for values in zip(*((f.shared, f.own, f.score) for f in fits), strict=True)
    )
    tests = [
        (
            # a shared shift follows the outcome of both arms together, which no difference between them enters
            heterogeneity.calibration(score[:, at], shared[:, at], customers=customers, inflation=1.0),
            heterogeneity.calibration(score[:, at], own[:, at], customers=customers),
        )
        for at in range(score.shape[1])
    ]
    p_values = heterogeneity.holm(np.array([[test.p_value for test in pair] for pair in tests]).ravel()).reshape(-1, 2)
    return tuple(
        _effect(
            score[:, at], shared[:, at], own[:, at], customers=customers, p_value=float(p_values[at].min()), alpha=alpha
        )
        for at in range(score.shape[1])
    )


def _effect(
    score: Array, shared: Array, own: Array, *, customers: Rows, p_value: float, alpha: float
) -> TreatmentEffect:
    """Return what is known of one treatment.

    The learners' own effects are used only where held-out rows confirm what they find beyond a shared shift: where that
    is small, they cost more noise than they bring.
    """
    beyond = heterogeneity.calibration(score - shared, own - shared, customers=customers)
    parts, used = np.column_stack([shared, own]), int(beyond.p_value <= alpha)
    centre, weights = parts.mean(axis=0), np.zeros(2)
    weights[used] = max(0.0, heterogeneity.calibration(score, parts[:, used], customers=customers).slope)
    return TreatmentEffect(
        average=heterogeneity.average_effect(score, customers=customers, level=1 - alpha),
        p_value=p_value,
        detectable=p_value <= alpha,
        centre=centre,
        weights=weights,
        groups=heterogeneity.effect_groups(score, (parts - centre) @ weights, customers=customers, level=1 - alpha),
    )


def _differences(shared: Array, own: Array, effects: Sequence[TreatmentEffect]) -> Array:
    return np.column_stack([effect.difference(shared[:, at], own[:, at]) for at, effect in enumerate(effects)])
