"""The decision engine: score → filter → expected value → arbitrate → log; the same in batch and online."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal
from zoneinfo import ZoneInfo

import numpy as np
from numpy.typing import NDArray

from features.base.clock import as_utc
from features.base.errors import BadConfiguration, BadData
from features.base.storage import digest_of, read_json
from features.base.workspace import Workspace
from features.config.loading import load
from features.config.workspace_files import load_feeds
from features.snapshots.build_report import UNIFIED_REPORT, FeaturesReport, read_report
from features.store.definitions import view_of
from serving.decisioning.catalogue_checks import check
from serving.decisioning.contact_history import ContactHistory
from serving.decisioning.customer_inputs import CustomerBatch, Scores
from serving.decisioning.decide import decide
from serving.decisioning.decision import Decision, DecisionItem, Scope
from serving.decisioning.offer_settings import OffersSettings
from serving.decisioning.policy import CONSENT_PREFIX, FILE, CompiledOffer, Policy, compile_policy
from serving.decisioning.reason_codes import Reason, Stage
from serving.decisioning.value import OutcomeCount
from serving.ledger.ledger import PATIENCE_S, DecisionLedger
from serving.scoring.scorer import VERSION_LENGTH, Scorer
from training.labels.label_settings import LabelsFile

if TYPE_CHECKING:
    import pandas as pd

    from features.store.online_reader import OnlineRow

Column = NDArray[Any]
LABELS = "training/labels.yaml"
_NOT_MARKETING = ("mandatory", "transactional")


@dataclass(frozen=True)
class OnlineDecision:
    """One customer's online decision, with the inputs that were missing or stale.

    Attributes
    ----------
    degraded : ``score_missing:<model>``, ``store:<why it could not be read>``, ``stale:<view>``, ``missing:<view>``
    """

    decision: Decision
    degraded: tuple[str, ...]


class Decider:
    """Decides for one customer or for many, by the workspace's offers and champion models.

    Attributes
    ----------
    policy : the compiled offer catalogue
    scorer : the champion models
    ledger : where decisions are written
    catalogue : the features that were built
    identity_version : of the identity resolution behind the customer ids; none when it left no report
    """

    def __init__(
        self,
        *,
        policy: Policy,
        scorer: Scorer,
        ledger: DecisionLedger,
        catalogue: FeaturesReport,
        identity_version: str | None = None,
    ) -> None:
        self.policy = policy
        self.scorer = scorer.only(catalogue.features)
        self.ledger = ledger
        self.catalogue = catalogue
        self.identity_version = identity_version
        self._types = {feature.name: feature.type for view in catalogue.views for feature in view.features}
        self._offers: dict[str, CompiledOffer] = {offer.id: offer for offer in policy.offers}
        self._purposes = sorted({offer.settings.purpose for offer in policy.offers})
        self._counted: tuple[datetime, Mapping[str, OutcomeCount]] | None = None
        records = {_record(purpose) for purpose in self._purposes}
        wanted = {*self.scorer.features, *policy.columns, *records}
        self._features = tuple(name for name in self._types if name in wanted)
        self._models = tuple(sorted(policy.models.intersection(self.scorer.models)))

    @classmethod
    def open(cls, workspace: Workspace, *, ledger_wait_s: float = PATIENCE_S) -> Decider:
        """Build the decider of a workspace: its offers, purposes, champions, ledger and features.

        Parameters
        ----------
        ledger_wait_s : how many seconds a decision waits for another process that is writing the ledger

        Raises
        ------
        BadConfiguration : with every problem of ``serving/offers.yaml``
        BadData : when no features have been built
        StorageFailure : when a champion or the ledger cannot be read
        """
        feeds, _ = load_feeds(workspace)
        labels, _ = load(workspace.file(LABELS), LabelsFile, name=LABELS)
        settings, lines = load(workspace.file(FILE), OffersSettings, name=FILE)
        catalogue = read_report(workspace)
        purposes = {name: purpose.basis for name, purpose in feeds.purposes.items()}
        problems = check(
            settings, lines, features=set(catalogue.features), models=set(labels.models), purposes=set(purposes)
        )
        if problems:
            raise BadConfiguration.of(problems)
        version = digest_of([settings.model_dump(mode="json"), purposes, feeds.company.timezone])[:VERSION_LENGTH]
        unified = workspace.unified / UNIFIED_REPORT
        return cls(
            policy=compile_policy(
                settings, version=version, purposes=purposes, timezone=ZoneInfo(feeds.company.timezone)
            ),
            scorer=Scorer.load(workspace),
            ledger=DecisionLedger(workspace.ledger, patience_s=ledger_wait_s),
            catalogue=catalogue,
            identity_version=read_json(unified)["digest"][:VERSION_LENGTH] if unified.is_file() else None,
        )

    @property
    def features(self) -> tuple[str, ...]:
        """The feature columns that `decide` needs, in the catalogue's order."""
        return self._features

    @property
    def degraded(self) -> tuple[str, ...]:
        """``score_missing:<model>`` for every model that the offers name and that has no usable champion."""
        return tuple(f"score_missing:{model}" for model in sorted(self.policy.models - set(self._models)))

    def columns(
        self, values: Mapping[str, Sequence[Any]] | pd.DataFrame, *, names: Sequence[str] | None = None
    ) -> dict[str, Column]:
        """Return feature columns as arrays of one kind, wherever they come from: numbers as float64, text as object.

        Parameters
        ----------
        values : by feature, or a DataFrame (`Store.latest`)
        names : which features; those that `decide` needs when left out

        Raises
        ------
        BadData : when a feature is not among the values, or is not of its type in the catalogue
        """
        found: dict[str, Column] = {}
        for name in self._features if names is None else names:
            if name not in values:
                raise BadData("decide.feature_missing", "a feature is not given", where=name, hint="read it too")
            try:
                found[name] = np.asarray(values[name], dtype=object if self._types[name] == "string" else np.float64)
            except (TypeError, ValueError):
                raise BadData(
                    "decide.feature_type", "the feature is not a number", where=name, hint="build the features again"
                ) from None
        return found

    def decide(
        self,
        customers: Sequence[str],
        values: Mapping[str, Sequence[Any]] | pd.DataFrame,
        *,
        as_of: datetime,
        actor_role: str,
        channel: str | None = None,
        purpose: str | None = None,
        context_weights: Mapping[str, float] | None = None,
        scope: Scope = "batch",
        nonce: str = "",
        feature_time: datetime | None = None,
        unread: Mapping[str, NDArray[np.bool_]] | None = None,
        absent: Sequence[Stage | None] | None = None,
        explain: int | None = None,
        threads: int = 1,
        log: bool = True,
        before_commit: Callable[[], object] = lambda: None,
    ) -> list[Decision]:
        """Decide for each customer, and write the decisions into the ledger.

        The same customers, values, moment and ledger give the same decisions; contacts count up to the moment,
        outcomes (of starting propensities) up to the last midnight of the company's time zone.

        Parameters
        ----------
        customers : ids, once each
        values : the features of `features`, one entry per customer (`Store.latest` gives them)
        as_of : the moment of decision
        actor_role : who asks, for the ledger
        channel, purpose, scope, nonce : see `serving.decisioning.decide.decide`
        context_weights : weight of an offer in this context, by offer
        feature_time : the moment as of which the features hold; the catalogue's when left out
        unread, absent : what could not be read, see `CustomerBatch`; where all customers are absent, nothing is scored
        explain : offers up to this rank get the drivers of their score; all when left out, none at 0
        threads : of LightGBM
        log : whether the ledger is written
        before_commit : see `Ledger.append`

        Returns
        -------
        one decision per customer, in their order
        """
        columns = self.columns(values)
        all_absent = absent is not None and None not in absent
        models = () if all_absent else self._models
        scores = self.scorer.score(columns, models=models, threads=threads)
        batch = CustomerBatch(
            customer_ids=customers,
            features=columns,
            unread=unread or {},
            absent=absent,
            scores=scores,
            contacts=self._contacts(customers, as_of=as_of),
            context_weights=dict(context_weights or {}),
            feature_time=as_utc(feature_time or self.catalogue.as_of),
            consent_records=self._consent_records(columns, rows=len(customers)),
            identity_version=self.identity_version,
        )
        decisions = decide(
            batch,
            self.policy,
            channel=channel,
            purpose=purpose,
            as_of=as_of,
            scope=scope,
            nonce=nonce,
            outcomes=self._outcomes(as_of=as_of),
            capacity_used=self._capacity_used(as_of=as_of),
            model_versions={model: self.scorer.versions[model] for model in models},
        )
        explained = self._explained(decisions, columns, ranks=explain)
        if log:
            self.ledger.append(explained, actor_role=actor_role, before_commit=before_commit)
        return explained

    def decide_online(
        self,
        row: OnlineRow,
        *,
        as_of: datetime,
        actor_role: str,
        channel: str | None,
        purpose: str | None,
        context_weights: Mapping[str, float] | None = None,
        nonce: str,
        log: bool = True,
        before_commit: Callable[[], object] = lambda: None,
    ) -> OnlineDecision:
        """Decide for one customer from what the online store holds; the values are those of `decide`.

        A customer whose row could not be read, or who is not known, gets neither a score nor an offer.
        """
        values = {name: [row.values[name]] for name in self._features}
        views = {view_of(name) for name in self._features}
        times = [moment for view, moment in row.event_times.items() if view in views and moment is not None]
        (decision,) = self.decide(
            [row.customer_id],
            values,
            as_of=as_of,
            actor_role=actor_role,
            channel=channel,
            purpose=purpose,
            context_weights=context_weights,
            scope="online",
            nonce=nonce,
            feature_time=min(times, default=None),
            unread={
                name: np.array([row.status[name] == "missing"])
                for name in self._features
                if name.startswith(CONSENT_PREFIX)
            },
            absent=[Stage.FEATURES_UNREAD if row.unread else None if row.found else Stage.CUSTOMER_UNKNOWN],
            log=log,
            before_commit=before_commit,
        )
        return OnlineDecision(decision, self.freshness(row))

    def scores(self, rows: Sequence[OnlineRow], *, models: Sequence[str] | None = None) -> dict[str, Scores]:
        """Return the models' scores of customers read online; NaN for one who is not known or could not be read."""
        columns = self.columns({name: [row.values[name] for row in rows] for name in self._features})
        absent = np.array([not row.found for row in rows], dtype=np.bool_)
        found = {}
        for model, scores in self.scorer.score(columns, models=models).items():
            values = scores.values.copy()
            values[absent] = np.nan
            found[model] = Scores(values, scores.candidates)
        return found

    def freshness(self, row: OnlineRow) -> tuple[str, ...]:
        """Return what was missing or stale for this customer: scores, the store itself, views."""
        unread = (f"store:{row.unread}",) if row.unread else ()
        found = {
            f"{status}:{view_of(name)}"
            for name in self._features
            if (status := row.status[name]) in ("stale", "missing")
        }
        return (*self.degraded, *unread, *sorted(found))

    def _contacts(self, customers: Sequence[str], *, as_of: datetime) -> ContactHistory:
        if not self.policy.lookback:
            return ContactHistory.none()
        return self.ledger.contacts(customers, since=as_utc(as_of) - self.policy.lookback)

    def _outcomes(self, *, as_of: datetime) -> Mapping[str, OutcomeCount]:
        """Return the outcomes of offers with a starting propensity, as of the last midnight (counted once a day).

        Counting them scans the whole ledger, which takes too long for one request.
        """
        before = _period_start(as_of, per="day", zone=self.policy.timezone)
        counted = self._counted
        if counted is None or counted[0] != before:
            learning = [
                offer.id
                for offer in self.policy.offers
                if offer.settings.score is not None and offer.settings.score.model is None
            ]
            counts = self.ledger.outcome_counts(learning, before=before) if learning else {}
            counted = self._counted = (before, counts)
        return counted[1]

    def _capacity_used(self, *, as_of: datetime) -> dict[str, int]:
        """Return the places taken in each channel since its current period began."""
        used: dict[str, int] = {}
        by_period: dict[str, Mapping[str, int]] = {}
        for channel, capacity in self.policy.settings.capacity.items():
            if capacity.per not in by_period:
                since = _period_start(as_of, per=capacity.per, zone=self.policy.timezone)
                by_period[capacity.per] = self.ledger.capacity_used(since=since, before=as_utc(as_of))
            used[channel] = by_period[capacity.per].get(channel, 0)
        return used

    def _consent_records(self, columns: Mapping[str, Column], *, rows: int) -> list[str | None] | None:
        """Return for each customer the consent entries that were read, as ``purpose=feed:record;…``."""
        known = [(purpose, columns[_record(purpose)]) for purpose in self._purposes if _record(purpose) in columns]
        if not known:
            return None
        found = []
        for row in range(rows):
            entries = [f"{purpose}={records[row]}" for purpose, records in known if isinstance(records[row], str)]
            found.append(";".join(entries) or None)
        return found

    def _explained(
        self, decisions: list[Decision], columns: Mapping[str, Column], *, ranks: int | None
    ) -> list[Decision]:
        """Return the decisions with the drivers of the scores of what is shown; nothing else is explained."""
        shown: dict[str, list[tuple[int, int, str | None]]] = {}
        for row, decision in enumerate(decisions):
            for place, item in enumerate(decision.items):
                if ranks is not None and item.rank > ranks:
                    continue
                model, candidate = self._scored_by(item)
                if model is not None:
                    shown.setdefault(model, []).append((row, place, candidate))
        items: dict[int, list[DecisionItem]] = {}
        for model, places in shown.items():
            candidates = [str(candidate) for *_, candidate in places] if self.scorer.candidates(model) else None
            drivers = self.scorer.reasons(model, columns, rows=[row for row, *_ in places], candidates=candidates)
            for (row, place, _), why in zip(places, drivers, strict=True):
                made = items.setdefault(row, list(decisions[row].items))
                made[place] = _with_drivers(made[place], why)
        return [
            replace(decision, items=tuple(items[row])) if row in items else decision
            for row, decision in enumerate(decisions)
        ]

    def _scored_by(self, item: DecisionItem) -> tuple[str | None, str | None]:
        """Return the model, and of a ranking model the candidate, behind an item's propensity."""
        offer = self._offers[item.offer]
        model = offer.settings.score.model if offer.settings.score is not None else None
        if model not in self._models or item.propensity is None:
            return None, None
        ranked = self.scorer.candidates(model)
        return model, next((name for name in offer.candidates if name in ranked), None) if ranked else None


def _with_drivers(item: DecisionItem, drivers: tuple[Reason, ...]) -> DecisionItem:
    """Return the item with the drivers at their place: after the kind, before the numbers."""
    at = sum(reason.code in _NOT_MARKETING for reason in item.reasons)
    return item._replace(reasons=(*item.reasons[:at], *drivers, *item.reasons[at:]))


def _record(purpose: str) -> str:
    return f"{CONSENT_PREFIX}{purpose}_record"


def _period_start(moment: datetime, *, per: Literal["hour", "day", "week"], zone: Any) -> datetime:
    """Return when the company's present hour, day or week (from Monday) began, in UTC."""
    local = as_utc(moment).astimezone(zone).replace(minute=0, second=0, microsecond=0)
    if per == "hour":
        return as_utc(local)
    day = local.replace(hour=0, fold=0)
    return as_utc(day - timedelta(days=day.weekday()) if per == "week" else day)
