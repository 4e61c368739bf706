"""The reasons that a decision gives for an offer."""

from __future__ import annotations

from dataclasses import dataclass

from serving.decisioning.policy import CompiledOffer
from serving.decisioning.reason_codes import Reason
from serving.decisioning.request import DecisionRequest


@dataclass(frozen=True)
class OfferReasons:
    """The reasons of one offer; those that are the same for all customers are built once."""

    request: DecisionRequest
    offer: CompiledOffer
    drivers_key: str | None
    kind: tuple[Reason, ...]
    rules: tuple[Reason, ...]

    @classmethod
    def of(cls, request: DecisionRequest, offer: CompiledOffer) -> OfferReasons:
        kind = () if offer.marketing else (Reason(offer.settings.kind, _KIND[offer.settings.kind]),)
        return cls(request, offer, _drivers_key(request, offer), kind, offer.rule_reasons)

    def reasons(self, row: int, *, propensity: float | None, margin: float | None) -> tuple[Reason, ...]:
        """Return the reasons for one customer: the kind, what drove the score, likelihood, value, rules met."""
        drivers = () if self.drivers_key is None else tuple(self.request.batch.drivers[self.drivers_key][row])
        numbers = (*self._likelihood(propensity), *self._value(margin))
        return (*self.kind, *drivers, *numbers, *self.rules)

    def _likelihood(self, propensity: float | None) -> tuple[Reason, ...]:
        source = self.offer.settings.score
        if propensity is None or source is None:
            return ()
        if source.model is None:
            text = "likelihood of acceptance, from a starting value and outcomes"
            return (Reason("starting_propensity", text, self.offer.id, propensity),)
        return (Reason("likelihood", "score of the model", source.model, propensity),)

    def _value(self, margin: float | None) -> tuple[Reason, ...]:
        if margin is None:
            return ()
        return (
            Reason("value", "worth of acceptance", self.offer.id, margin),
            Reason("cost", "cost of the contact", self.offer.id, self.offer.settings.value.cost),
        )


_KIND = {"mandatory": "must be shown", "transactional": "belongs to a running transaction"}


def _drivers_key(request: DecisionRequest, offer: CompiledOffer) -> str | None:
    """Return where the drivers of an offer's score are: by model and candidate, else by model."""
    source = offer.settings.score
    if source is None or source.model is None:
        return None
    keys = [f"{source.model}:{name}" for name in offer.candidates if name is not None]
    return next((key for key in (*keys, source.model) if key in request.batch.drivers), None)
