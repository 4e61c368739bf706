"""The stages that decide whether an offer may be made at all; the first that blocks it is recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from serving.decisioning.policy import CONSENT_PREFIX, CompiledOffer
from serving.decisioning.reason_codes import Blocked, Stage
from serving.decisioning.request import BoolArray, DecisionRequest

RuleResult = tuple[str, bool | BoolArray]
StageCheck = Callable[[CompiledOffer, DecisionRequest], Iterator[RuleResult]]


@dataclass
class Refusals:
    """Which offer was stopped by what, for each customer.

    Attributes
    ----------
    codes : shape (n_offers, n_customers); 0 is still open, else a place in `table`
    table : the distinct refusals
    """

    codes: NDArray[np.int32]
    table: list[Blocked | None] = field(default_factory=lambda: [None])
    _places: dict[Blocked, int] = field(default_factory=dict)

    @classmethod
    def none(cls, *, offers: int, customers: int) -> Refusals:
        return cls(np.zeros((offers, customers), dtype=np.int32))

    def open(self, offer: int) -> BoolArray:
        """Return which customers an offer is still open for."""
        found: BoolArray = self.codes[offer] == 0
        return found

    def block(self, offer: int, refusal: Blocked, where: BoolArray) -> None:
        """Block an offer for the customers in `where` for whom it is still open."""
        place = self._places.get(refusal)
        if place is None:
            place = self._places[refusal] = len(self.table)
            self.table.append(refusal)
        row = self.codes[offer]
        row[where & (row == 0)] = place


def filter_offers(request: DecisionRequest) -> Refusals:
    """Check every offer at every stage, up to suppression."""
    refusals = Refusals.none(offers=len(request.policy.offers), customers=request.rows)
    for offer in request.policy.offers:
        _check_offer(offer, request, refusals)
    return refusals


def _check_offer(offer: CompiledOffer, request: DecisionRequest, refusals: Refusals) -> None:
    for stage, gate in STAGE_CHECKS:
        for rule, passes in gate(offer, request):
            if passes is True or (passes is not False and passes.all()):
                continue
            refused = np.ones(request.rows, dtype=np.bool_) if passes is False else ~passes
            refusals.block(offer.index, Blocked(offer.id, stage, rule), refused)
            if not refusals.open(offer.index).any():
                return


def _absent(stage: Stage) -> StageCheck:
    def gate(offer: CompiledOffer, request: DecisionRequest) -> Iterator[RuleResult]:
        del offer
        if request.batch.absent is not None:
            yield str(stage), np.array([reason is not stage for reason in request.batch.absent], dtype=np.bool_)

    return gate


def _validity(offer: CompiledOffer, request: DecisionRequest) -> Iterator[RuleResult]:
    valid = offer.settings.valid
    if valid.start is not None:
        yield f"valid from {valid.start}", request.day >= valid.start
    if valid.end is not None:
        yield f"valid to {valid.end}", request.day <= valid.end


def _channel(offer: CompiledOffer, request: DecisionRequest) -> Iterator[RuleResult]:
    if request.channel is not None:
        yield f"channel:{request.channel}", request.channel in offer.settings.channels


def _consent(offer: CompiledOffer, request: DecisionRequest) -> Iterator[RuleResult]:
    """Purposes based on consent need a grant on record; the others hold unless the customer has objected.

    A record that could not be read may be an objection: it blocks every offer that is not transactional.
    """
    purpose = offer.settings.purpose
    basis = request.policy.purposes.get(purpose)
    name = f"{CONSENT_PREFIX}{purpose}"
    record, unread = request.batch.features.get(name), request.batch.unread.get(name)
    if unread is not None and offer.settings.kind != "transactional":
        yield f"consent:{purpose} is unread", ~unread
    if basis == "consent":
        yield f"consent:{purpose}", False if record is None else _equals(record, 1)
    elif record is not None:
        yield f"objection:{purpose}", ~_equals(record, 0)


def _purpose(offer: CompiledOffer, request: DecisionRequest) -> Iterator[RuleResult]:
    purpose = offer.settings.purpose
    yield f"purpose:{purpose} is not declared", purpose in request.policy.purposes
    if request.purpose is not None:
        yield f"purpose:{request.purpose}", purpose == request.purpose


def _rules(stage: Stage) -> StageCheck:
    def gate(offer: CompiledOffer, request: DecisionRequest) -> Iterator[RuleResult]:
        for rule in offer.rules:
            if rule.stage is stage:
                yield rule.text, request.holds(rule, offer)

    return gate


def _cap(offer: CompiledOffer, request: DecisionRequest) -> Iterator[RuleResult]:
    """An offer is capped when no channel is left; arbitration counts what the decision itself adds."""
    exhausted_caps = [index for index in request.exhausted_caps if request.policy.caps[index].applies[offer.index]]
    if not exhausted_caps:
        return
    wanted = [number for number in offer.channels if request.channel in (None, request.policy.channels[number])]
    free = {number: np.ones(request.rows, dtype=np.bool_) for number in wanted}
    for index in exhausted_caps:
        cap = request.policy.caps[index]
        full = request.remaining_contacts[index] <= 0
        for number in wanted:
            if cap.channel in (-1, number):
                free[number] &= ~full
        yield cap.text, ~full | np.logical_or.reduce(list(free.values()))


def _suppression(offer: CompiledOffer, request: DecisionRequest) -> Iterator[RuleResult]:
    for rule, suppressed in request.suppressed(offer).items():
        yield rule, ~suppressed


def _equals(record: NDArray[np.generic], wanted: int) -> BoolArray:
    return np.asarray(record == wanted, dtype=np.bool_)


STAGE_CHECKS: tuple[tuple[Stage, StageCheck], ...] = (
    (Stage.CUSTOMER_UNKNOWN, _absent(Stage.CUSTOMER_UNKNOWN)),
    (Stage.FEATURES_UNREAD, _absent(Stage.FEATURES_UNREAD)),
    (Stage.VALIDITY, _validity),
    (Stage.CHANNEL, _channel),
    (Stage.PURPOSE, _purpose),
    (Stage.CONSENT, _consent),
    (Stage.ELIGIBILITY, _rules(Stage.ELIGIBILITY)),
    (Stage.APPLICABILITY, _rules(Stage.APPLICABILITY)),
    (Stage.SUITABILITY, _rules(Stage.SUITABILITY)),
    (Stage.CAP, _cap),
    (Stage.SUPPRESSION, _suppression),
)
