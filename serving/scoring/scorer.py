"""Scores of the champion models and the features behind them, from verified bundles; no MLflow, no Feast."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from features.base.errors import BadConfiguration
from features.base.workspace import Workspace
from features.config.loading import did_you_mean
from serving.decisioning.customer_inputs import Scores
from serving.decisioning.reason_codes import Reason
from training.models.explanation import FeatureContribution as Driver
from training.registry.bundle import Bundle, load
from training.registry.champions import read_champions

Column = NDArray[Any]
VERSION_LENGTH = 12
TOP_DRIVERS = 3


@dataclass(frozen=True)
class Scorer:
    """The loaded champions, by model.

    Attributes
    ----------
    bundles : each champion's bundle
    versions : each champion's digest, shortened; what decisions are logged with
    """

    bundles: Mapping[str, Bundle]
    versions: Mapping[str, str]

    @classmethod
    def load(cls, workspace: Workspace) -> Scorer:
        """Load every champion of a workspace; without any, the scorer has no models.

        Raises
        ------
        StorageFailure : when a champion's bundle is absent, damaged or not the one that was promoted
        """
        champions = read_champions(workspace)
        return cls(
            bundles={
                name: load(champion.folder(workspace), expected_digest=champion.digest)
                for name, champion in champions.items()
            },
            versions={name: champion.digest[:VERSION_LENGTH] for name, champion in champions.items()},
        )

    @property
    def models(self) -> tuple[str, ...]:
        """The models that have a champion."""
        return tuple(sorted(self.bundles))

    @property
    def features(self) -> tuple[str, ...]:
        """Every column that some model needs, once."""
        return tuple(dict.fromkeys(name for model in self.models for name in self.bundles[model].columns))

    def only(self, features: Sequence[str]) -> Scorer:
        """Return a scorer with only those models whose features are all among `features`."""
        known = set(features)
        fit = {name: bundle for name, bundle in self.bundles.items() if known.issuperset(bundle.columns)}
        return Scorer(fit, {name: self.versions[name] for name in fit})

    def candidates(self, model: str) -> tuple[str, ...]:
        """Return the candidates of a ranking model; none for a model with a single score, or an unknown model."""
        bundle = self.bundles.get(model)
        return () if bundle is None else bundle.candidates

    def score(
        self, columns: Mapping[str, Column], *, models: Sequence[str] | None = None, threads: int = 1
    ) -> dict[str, Scores]:
        """Return each model's calibrated scores; NaN for customers outside the population that it holds for.

        Parameters
        ----------
        columns : one array of shape (rows,) for each of the models' features; others are ignored
        models : which models; all when left out
        threads : of LightGBM; one where many requests are answered at a time

        Returns
        -------
        by model: values of shape (rows,), or (rows, candidates) of a ranking model

        Raises
        ------
        BadConfiguration : when a model is asked for that has no champion
        BadData : when a column is absent or not what the model learnt from
        """
        found = {}
        for model in self.models if models is None else models:
            bundle = self._bundle(model)
            values = bundle.score(_sequences(columns), threads=threads)
            if (population := bundle.population) is not None:
                inside = population.evaluate({name: columns[name] for name in population.columns}, rows=len(values))
                values[~inside.is_true()] = np.nan
            found[model] = Scores(values, bundle.candidates)
        return found

    def reasons(
        self,
        model: str,
        columns: Mapping[str, Column],
        *,
        rows: Sequence[int],
        candidates: Sequence[str] | None = None,
        top: int = TOP_DRIVERS,
    ) -> list[tuple[Reason, ...]]:
        """Return the features that moved a model's score most, for a few rows (a hundred times the cost of a score).


        Parameters
        ----------
        rows : positions in the columns
        candidates : of a ranking model, the candidate to explain in each of these rows
        """
        if not len(rows):
            return []
        bundle, at = self._bundle(model), np.asarray(rows, dtype=np.intp)
        few = {name: columns[name][at] for name in bundle.features}
        return [
            tuple(map(_as_reason, drivers))
            for drivers in bundle.reasons(_sequences(few), top=top, candidates=candidates)
        ]

    def _bundle(self, model: str) -> Bundle:
        if model not in self.bundles:
            raise BadConfiguration(
                "score.no_champion",
                "the model has no champion",
                where=model,
                hint=did_you_mean(model, self.models) if self.bundles else "run `nextbest train` first",
            )
        return self.bundles[model]


def _sequences(columns: Mapping[str, Column]) -> Mapping[str, Sequence[Any]]:
    return cast("Mapping[str, Sequence[Any]]", columns)  # an array is a sequence in all but the type's name


def _as_reason(driver: Driver) -> Reason:
    return Reason("driver", f"{driver.direction} the score", driver.feature, driver.value)
