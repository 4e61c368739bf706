"""The stages that ask of each offer whether it may be made at all; the first that says no is recorded."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from serving.decisioning.policy import CONSENT_PREFIX, CompiledOffer
from serving.decisioning.reason_codes import Blocked, Stage
from serving.decisioning.request import Asked, BoolArray

Answer = tuple[str, bool | BoolArray]
Gate = Callable[[CompiledOffer, Asked], Iterator[Answer]]


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
        """Stop an offer where it is still open and `where` holds."""
        place = self._places.get(refusal)
        if place is None:
            place = self._places[refusal] = len(self.table)
            self.table.append(refusal)
        row = self.codes[offer]
        row[where & (row == 0)] = place


def filter_offers(asked: Asked) -> Refusals:
    """Ask every stage from validity to suppression of every offer."""
    refusals = Refusals.none(offers=len(asked.policy.offers), customers=asked.rows)
    for offer in asked.policy.offers:
        _ask(offer, asked, refusals)
    return refusals


def _ask(offer: CompiledOffer, asked: Asked, refusals: Refusals) -> None:
    for stage, gate in GATES:
        for rule, passes in gate(offer, asked):
            if passes is True or (passes is not False and passes.all()):
                continue
            refused = np.ones(asked.rows, dtype=np.bool_) if passes is False else ~passes
            refusals.block(offer.index, Blocked(offer.id, stage, rule), refused)
            if not refusals.open(offer.index).any():
                return


def _absent(stage: Stage) -> Gate:
    def gate(offer: CompiledOffer, asked: Asked) -> Iterator[Answer]:
        del offer
        if asked.batch.absent is not None:
            yield str(stage), np.array([reason is not stage for reason in asked.batch.absent], dtype=np.bool_)

    return gate


def _validity(offer: CompiledOffer, asked: Asked) -> Iterator[Answer]:
    valid = offer.settings.valid
    if valid.start is not None:
        yield f"valid from {valid.start}", asked.day >= valid.start
    if valid.end is not None:
        yield f"valid to {valid.end}", asked.day <= valid.end


def _channel(offer: CompiledOffer, asked: Asked) -> Iterator[Answer]:
    if asked.channel is not None:
        yield f"channel:{asked.channel}", asked.channel in offer.settings.channels


def _consent(offer: CompiledOffer, asked: Asked) -> Iterator[Answer]:
    """Purposes based on consent need a grant on record; the others hold unless the customer has objected.

    What could not be read may be an objection: it stops whatever is not transactional.
    """
    purpose = offer.settings.purpose
    basis = asked.policy.purposes.get(purpose)
    name = f"{CONSENT_PREFIX}{purpose}"
    record, unread = asked.batch.features.get(name), asked.batch.unread.get(name)
    if unread is not None and offer.settings.kind != "transactional":
        yield f"consent:{purpose} is unread", ~unread
    if basis == "consent":
        yield f"consent:{purpose}", False if record is None else _equals(record, 1)
    elif record is not None:
        yield f"objection:{purpose}", ~_equals(record, 0)


def _purpose(offer: CompiledOffer, asked: Asked) -> Iterator[Answer]:
    purpose = offer.settings.purpose
    yield f"purpose:{purpose} is not declared", purpose in asked.policy.purposes
    if asked.purpose is not None:
        yield f"purpose:{asked.purpose}", purpose == asked.purpose


def _rules(stage: Stage) -> Gate:
    def gate(offer: CompiledOffer, asked: Asked) -> Iterator[Answer]:
        for rule in offer.rules:
            if rule.stage is stage:
                yield rule.text, asked.holds(rule, offer)

    return gate


def _cap(offer: CompiledOffer, asked: Asked) -> Iterator[Answer]:
    """An offer is capped when no channel is left; arbitration counts what the decision itself adds."""
    reached = [index for index in asked.reached if asked.policy.caps[index].applies[offer.index]]
    if not reached:
        return
    wanted = [number for number in offer.channels if asked.channel in (None, asked.policy.channels[number])]
    free = {number: np.ones(asked.rows, dtype=np.bool_) for number in wanted}
    for index in reached:
        cap = asked.policy.caps[index]
        full = asked.rooms[index] <= 0
        for number in wanted:
            if cap.channel in (-1, number):
                free[number] &= ~full
        yield cap.text, ~full | np.logical_or.reduce(list(free.values()))


def _suppression(offer: CompiledOffer, asked: Asked) -> Iterator[Answer]:
    for rule, held in asked.resting(offer).items():
        yield rule, ~held


def _equals(record: NDArray[np.generic], wanted: int) -> BoolArray:
    return np.asarray(record == wanted, dtype=np.bool_)


GATES: tuple[tuple[Stage, Gate], ...] = (
    (Stage.CUSTOMER_UNKNOWN, _absent(Stage.CUSTOMER_UNKNOWN)),
    (Stage.FEATURES_UNREAD, _absent(Stage.FEATURES_UNREAD)),
    (Stage.VALIDITY, _validity),
    (Stage.CHANNEL, _channel),
    (Stage.CONSENT, _consent),
    (Stage.PURPOSE, _purpose),
    (Stage.ELIGIBILITY, _rules(Stage.ELIGIBILITY)),
    (Stage.APPLICABILITY, _rules(Stage.APPLICABILITY)),
    (Stage.SUITABILITY, _rules(Stage.SUITABILITY)),
    (Stage.CAP, _cap),
    (Stage.SUPPRESSION, _suppression),
)
