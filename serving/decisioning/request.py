"""One decision request: a batch of customers, a moment, a channel and a purpose, with the values computed once."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import date, datetime
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from features.base.duration import format_duration
from features.base.expressions.expression import Expression, Values
from serving.decisioning.contact_history import micros
from serving.decisioning.customer_inputs import CustomerBatch
from serving.decisioning.policy import SCORE_PREFIX, CapRule, CompiledOffer, OfferRule, Policy

BoolArray = NDArray[np.bool_]


@dataclass(frozen=True)
class DecisionRequest:
    """A batch of customers, the moment of decision, and the requested channel and purpose (none means any)."""

    batch: CustomerBatch
    policy: Policy
    channel: str | None
    purpose: str | None
    as_of: datetime
    _values: dict[str, Values] = field(default_factory=dict)
    _rule_results: dict[str, bool | BoolArray] = field(default_factory=dict)

    @cached_property
    def remaining_contacts(self) -> NDArray[np.int64]:
        """Contacts that each cap still allows, shape (n_caps, n_customers)."""
        found = np.empty((len(self.policy.caps), self.rows), dtype=np.int64)
        if not len(self.batch.contacts):
            found[:] = np.array([cap.at_most for cap in self.policy.caps], dtype=np.int64)[:, None]
            return found
        for index, cap in enumerate(self.policy.caps):
            found[index] = self.remaining(cap)
        return found

    @cached_property
    def exhausted_caps(self) -> tuple[int, ...]:
        """Numbers of the caps that leave some customer no further contact."""
        return tuple(np.flatnonzero((self.remaining_contacts <= 0).any(axis=1)).tolist())

    @property
    def rows(self) -> int:
        return len(self.batch)

    @property
    def day(self) -> date:
        """The company's calendar day of the moment."""
        return self.as_of.astimezone(self.policy.timezone).date()

    def holds(self, rule: OfferRule, offer: CompiledOffer) -> bool | BoolArray:
        """Return for which customers a rule holds; True where it holds for all."""
        if rule.text in self._rule_results:
            return self._rule_results[rule.text]
        values = self.evaluate(rule.expression, offer).is_true()
        result = True if values.all() else values
        if rule.text in self._values:
            self._rule_results[rule.text] = result
        return result

    def evaluate(self, expression: Expression, offer: CompiledOffer) -> Values:
        """Return an expression's values; the same text is evaluated once unless it reads the offer's own score."""
        shared = not any(self._is_ranked(name) for name in expression.columns)
        if shared and expression.text in self._values:
            return self._values[expression.text]
        columns = {name: self.column(name, offer) for name in expression.columns}
        values = expression.evaluate(columns, rows=self.rows)
        if shared:
            self._values[expression.text] = values
        return values

    def column(self, name: str, offer: CompiledOffer) -> NDArray[Any]:
        """Return a feature, or ``score__<model>`` (of a ranking model: the offer's candidate); absent is all null."""
        if name in self.batch.features:
            return self.batch.features[name]
        if name.startswith(SCORE_PREFIX):
            found = self.score(name.removeprefix(SCORE_PREFIX), offer)
            if found is not None:
                return found
        return np.full(self.rows, None, dtype=object)

    def score(self, model: str, offer: CompiledOffer) -> NDArray[np.float64] | None:
        """Return a model's scores for an offer; none when the model gave none."""
        scores = self.batch.scores.get(model)
        return None if scores is None else scores.of(offer.candidates)

    def remaining(self, cap: CapRule) -> NDArray[np.int64]:
        """Return how many contacts a cap still allows each customer, from the contacts before the decision.

        A contact counts while it is younger than the cap's length of time; one at the very moment of decision
        does not, so that a repeated run reads the same history as the run that it repeats.
        """
        history = self.batch.contacts
        now = micros(self.as_of)
        since = now - int(cap.every.total_seconds() * 1_000_000)
        counts = (history.time > since) & (history.time < now)
        if cap.channel_name is not None:
            counts &= history.channel.among(frozenset({cap.channel_name}))
        if cap.offers is not None:
            counts &= history.offer.among(cap.offers)
        if cap.groups is not None:
            counts &= history.group.among(cap.groups)
        if cap.exempt:
            counts &= ~history.offer.among(cap.exempt)
        return cap.at_most - np.bincount(history.customer[counts], minlength=self.rows)

    def suppressed(self, offer: CompiledOffer) -> Mapping[str, BoolArray]:
        """Return for each suppression rule of an offer the customers for whom it blocks the offer."""
        history = self.batch.contacts
        if not len(history) or not offer.settings.suppress:
            return {}
        now = micros(self.as_of)
        mine = history.offer.among(frozenset({offer.id})) & (history.outcome_time < now)
        found: dict[str, BoolArray] = {}
        for rule in offer.settings.suppress:
            since = now - int(rule.rest.total_seconds() * 1_000_000)
            hits = mine & (history.outcome_time > since) & history.outcome.among(frozenset({rule.after}))
            blocked = np.zeros(self.rows, dtype=np.bool_)
            blocked[history.customer[hits]] = True
            found[f"rests {format_duration(rule.rest)} after {rule.after}"] = blocked
        return found

    def _is_ranked(self, name: str) -> bool:
        scores = self.batch.scores.get(name.removeprefix(SCORE_PREFIX)) if name.startswith(SCORE_PREFIX) else None
        return scores is not None and scores.values.ndim > 1
