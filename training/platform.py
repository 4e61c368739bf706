"""The façade for notebooks: read a workspace's customers, features, training frames and champions.

>>> platform = Platform(".")                               # doctest: +SKIP
>>> platform.features_as_of(platform.customers(3))         # doctest: +SKIP
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from features.base.clock import as_utc
from features.base.database_engine import open_engine
from features.base.errors import BadData, UsageError
from features.base.storage import read_json
from features.base.workspace import Workspace
from features.config.engine_settings import engine_resources
from features.config.loading import did_you_mean
from features.config.workspace_files import load_feeds
from features.consent.customer_data import allowed_customers, open_customer_data, rows_of
from features.snapshots.build_report import FeaturesReport, read_report
from features.store.repository import Store, open_store
from training.dataset.frame import Frame, build_frame
from training.dataset.leaks.leak_report import ExaminedFrame, LeakLimits, LeakReport, Recompute, examine
from training.dataset.leaks.recompute_features import CompiledViews
from training.labels.build import build
from training.labels.label_settings import LabelsFile, load_labels
from training.registry.bundle import Bundle, load
from training.registry.champions import Deployment, read_champions, read_deployments
from training.registry.mlflow_settings import load_mlflow

if TYPE_CHECKING:
    from os import PathLike


@dataclass(frozen=True)
class TrainingSummary:
    """What the last training of a model found.

    Parameters
    ----------
    version : in the registry
    verdict : ``promote`` or ``hold``
    scores : metrics on held-out rows, the model (``nextbest``) first, then each peer
    rules : every promotion rule's title, outcome and detail, by code
    rows, positives : what it learnt from
    """

    version: int
    verdict: str
    scores: pd.DataFrame
    rules: pd.DataFrame
    rows: int
    positives: int


class Platform:
    """What a workspace holds, as tables: customers, features as of any cutoff, training frames, champions.

    It reads what ``nextbest run`` has made, changes nothing, and may be used as a context manager.

    Parameters
    ----------
    folder : the workspace's
    purpose : what the data is used for; customers without a basis for it are left out. Any declared purpose
        will do when left out

    Raises
    ------
    UsageError : there is no such folder
    BadData : nothing has been run there yet
    """

    def __init__(self, folder: str | PathLike[str] = ".", *, purpose: str | None = None) -> None:
        path = Path(folder)
        if not path.is_dir():
            raise UsageError("workspace.missing", f"there is no folder {path.name}", hint="name the workspace's folder")
        self.workspace = Workspace(path.resolve())
        self.purpose = purpose
        self.built: FeaturesReport = read_report(self.workspace)
        self._store: Store | None = None

    def __enter__(self) -> Platform:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    @property
    def store(self) -> Store:
        """The feature store, opened when it is first needed."""
        if self._store is None:
            self._store = open_store(self.workspace.root)
        return self._store

    def close(self) -> None:
        """Close the feature store."""
        if self._store is not None:
            self._store.close()
            self._store = None

    # ── customers ────────────────────────────────────────────────────────────────────────────────────────────────────

    def customers(self, n: int | None = None, *, min_records: int = 1) -> list[str]:
        """Return the ids of the first `n` customers (all when left out), in order.

        Parameters
        ----------
        min_records : only those who were found in at least so many source records
        """
        feeds, _ = load_feeds(self.workspace)
        counts = allowed_customers(self.workspace, feeds.purposes, purpose=self.purpose, as_of=self.built.as_of)
        found = [customer for customer, records in counts.items() if records >= min_records]
        return found if n is None else found[:n]

    def records(self, customer: str) -> pd.DataFrame:
        """Return a customer's source records: one row each, columns that are empty in all of them left out."""
        return self._rows("customers", customer, personal=True).dropna(axis="columns", how="all")

    def golden(self, customer: str, *, personal: bool = False) -> pd.Series:
        """Return the customer's golden record: the value that survived for every field.

        Parameters
        ----------
        customer : the pseudonymous id
        personal : whether to add the fields that identify the person, which are stored separately
        """
        known = self._rows("golden", customer).iloc[0]
        if personal:
            known = pd.concat([known, self._rows("golden", customer, personal=True).iloc[0].drop("customer_id")])
        return known.rename(customer)

    def events(self, customer: str) -> pd.DataFrame:
        """Return everything that the customer did, oldest first."""
        return self._rows("events", customer).sort_values("event_time", ignore_index=True)

    # ── features ─────────────────────────────────────────────────────────────────────────────────────────────────────

    def catalogue(self) -> pd.DataFrame:
        """Return all features with their view, meaning, owner and the feeds' columns behind them, indexed by name."""
        rows = [
            {
                "feature": f.name,
                "view": f.view,
                "type": f.type,
                "unit": f.unit,
                "description": f.description,
                "owner": f.owner,
                "origins": ", ".join(f.origins),
            }
            for view in self.built.views
            for f in view.features
        ]
        return pd.DataFrame(rows).set_index("feature")

    @property
    def cutoffs(self) -> tuple[datetime, ...]:
        """The moments as of which features exist, oldest first."""
        return self.built.cutoffs

    def features_as_of(
        self, customers: Sequence[str], moment: datetime | None = None, *, features: Sequence[str] | None = None
    ) -> pd.DataFrame:
        """Return features as they were known at a moment, through Feast.

        Parameters
        ----------
        moment : the last cutoff when left out; without a zone it is UTC
        features : all when left out

        Returns
        -------
        one row a customer, in the given order, indexed by customer
        """
        requested = pd.DataFrame({"customer_id": list(customers), "as_of": as_utc(moment or self.built.as_of)})
        history = self.store.historical(requested, list(features or self.built.features))
        return history.frame[list(features or self.built.features)].set_index(requested["customer_id"])

    def feature_history(self, feature: str, customers: Sequence[str]) -> pd.DataFrame:
        """Return one feature at every cutoff: a row a cutoff, a column a customer."""
        requested = pd.DataFrame(
            [(customer, cutoff) for cutoff in self.cutoffs for customer in customers], columns=["customer_id", "as_of"]
        )
        values = self.store.historical(requested, [feature]).frame[feature].to_numpy()
        return pd.DataFrame(
            values.reshape(len(self.cutoffs), len(customers)),
            index=pd.DatetimeIndex(self.cutoffs, name="as_of"),
            columns=list(customers),
        )

    def latest(self, features: Sequence[str] | None = None) -> pd.DataFrame:
        """Return every customer's features at the last cutoff, indexed by customer."""
        return self.store.latest(list(features or self.built.features), as_of=self.built.as_of).set_index("customer_id")

    # ── models ───────────────────────────────────────────────────────────────────────────────────────────────────────

    @property
    def models(self) -> tuple[str, ...]:
        """The declared models."""
        return tuple(self._labels().models)

    def frame(self, model: str) -> Frame:
        """Return the rows that a model learns from: labels joined to features as of their cutoffs, through Feast."""
        return self._frame(model, views=None)

    def examine(
        self,
        rows: pd.DataFrame,
        features: pd.DataFrame,
        target: NDArray[np.float64] | None = None,
        *,
        recompute: Recompute | None = None,
    ) -> LeakReport:
        """Return the leak report of any frame, also of one that was joined by hand.

        Parameters
        ----------
        rows : ``customer_id`` and ``as_of``, one line each
        features : the same rows; columns named as declared features are recomputed from what was known by ``as_of``
        target : the same rows
        recompute : computes other columns again, such as `tables_as_of.recomputed` gives;
            replaces the declared features
        """
        declared = [name for name in features if name in self.built.features]
        views = CompiledViews(self.workspace, self.built)
        known = recompute or (views.recompute if declared and views.in_step else None)
        return examine(
            ExaminedFrame(rows, features, target, recompute=known, first_known=views.first_known(declared)),
            self._limits(),
        )

    def leaks(self, model: str) -> LeakReport:
        """Return the leak report of the rows that a model learns from."""
        return self._frame(model, views=CompiledViews(self.workspace, self.built)).leaks

    def trained(self, model: str) -> TrainingSummary:
        """Return what the last training of a model found: metrics beside the peers', verdict, every rule's answer."""
        path = self.workspace.models / self._declared(model) / "trained.json"
        if not path.is_file():
            raise BadData("platform.not_trained", f"{model} has not been trained", hint=f"run `nextbest train {model}`")
        found = read_json(path)["trained"]
        return TrainingSummary(
            version=found["version"],
            verdict=found["verdict"],
            scores=pd.DataFrame({"nextbest": found["metrics"], **found["peers"]}).T,
            rules=pd.DataFrame(found["rules"]).set_index("code"),
            rows=found["rows"],
            positives=found["positives"],
        )

    def champion(self, model: str) -> Bundle:
        """Return the version that decides, verified: ``score`` and ``reasons`` take a DataFrame of features."""
        champion = read_champions(self.workspace).get(self._declared(model))
        if champion is None:
            raise BadData(
                "platform.no_champion", f"{model} has no champion", hint="`nextbest train` lists the rules that failed"
            )
        return load(champion.folder(self.workspace), expected_digest=champion.digest)

    def contributions(self, model: str, features: pd.DataFrame) -> pd.DataFrame:
        """Return each feature's part in a binary champion's log-odds: a row a row of `features`, the base left out."""
        scorer = self.champion(model).scorer
        if scorer.candidates:
            raise BadData(
                "platform.ranking", f"{model} ranks candidates: use champion(model).reasons(..., candidates=...)"
            )
        parts = scorer.contributions(scorer.encoding.matrix(features)).values[:, :-1]
        return pd.DataFrame(parts, index=features.index, columns=list(scorer.inputs))

    def deployments(self) -> list[Deployment]:
        """Return which version became champion when, and why."""
        return read_deployments(self.workspace)

    # ── inside ───────────────────────────────────────────────────────────────────────────────────────────────────────

    def _frame(self, model: str, *, views: CompiledViews | None) -> Frame:
        labels = self._labels()
        settings = labels.models[self._declared(model)]
        feeds, _ = load_feeds(self.workspace)
        with open_engine(folders=[self.workspace.state], resources=engine_resources(self.workspace)) as engine:
            open_customer_data(engine, self.workspace, feeds.purposes, purpose=settings.purpose, as_of=self.built.as_of)
            built = build(engine, settings, self.built.cutoffs, feeds)
        return build_frame(
            self.store, built, self.built, settings, exclude=labels.exclude, views=views, limits=self._limits()
        )

    def _limits(self) -> LeakLimits:
        return load_mlflow(self.workspace)[0].gates.of_leaks

    def _labels(self) -> LabelsFile:
        return load_labels(self.workspace)[0]

    def _declared(self, model: str) -> str:
        if model not in self.models:
            raise UsageError("platform.unknown_model", f"no model {model!r}", hint=did_you_mean(model, self.models))
        return model

    def _rows(self, table: str, customer: str, *, personal: bool = False) -> pd.DataFrame:
        feeds, _ = load_feeds(self.workspace)
        rows: pd.DataFrame = rows_of(
            self.workspace,
            feeds.purposes,
            table,
            customer,
            purpose=self.purpose,
            as_of=self.built.as_of,
            personal=personal,
        ).to_pandas()
        return rows
