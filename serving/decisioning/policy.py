"""The compiled offer catalogue: expressions parsed, caps and channels numbered."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, timedelta, tzinfo
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from features.base.duration import format_duration
from features.base.expressions.expression import Expression, parse
from serving.decisioning.offer_settings import Cap, Offer, OffersSettings, PolicySettings
from serving.decisioning.reason_codes import Reason, Stage

SCORE_PREFIX = "score__"
CONSENT_PREFIX = "consent__"
FILE = "serving/offers.yaml"


@dataclass(frozen=True)
class OfferRule:
    """One declared condition: the stage it belongs to, its text, and the parsed expression."""

    stage: Stage
    text: str
    expression: Expression


@dataclass(frozen=True)
class CompiledOffer:
    """One offer with its expressions parsed.

    Attributes
    ----------
    index : place in the policy (offers are kept by id, so the order of the file means nothing)
    margin : a number, or an expression over features and scores
    channels : numbers of the offer's channels, in the offer's order of preference
    """

    index: int
    settings: Offer
    rules: tuple[OfferRule, ...]
    margin: float | Expression
    channels: tuple[int, ...]

    @property
    def id(self) -> str:
        return self.settings.id

    @property
    def marketing(self) -> bool:
        """Mandatory and transactional offers are not marketing: no control group, no floor, no need of a score."""
        return self.settings.kind == "default"

    @property
    def candidates(self) -> tuple[str | None, ...]:
        """Candidate names of this offer in a ranking model, the most specific first."""
        score = self.settings.score
        if score is not None and score.candidate is not None:
            return (score.candidate,)
        return (self.settings.item, self.settings.group)

    @property
    def rule_reasons(self) -> tuple[Reason, ...]:
        return tuple(Reason("rule", "the customer meets the rule", rule.stage, rule.text) for rule in self.rules)


@dataclass(frozen=True)
class CapRule:
    """A compiled contact cap: the offers that it can block, and the contacts that it counts.

    Attributes
    ----------
    applies : shape (n_offers,), the offers it can block
    counts : shape (n_offers,), the offers whose contacts it counts
    channel : number of the channel it is about; -1 is any
    offers, groups : the contacts it counts by name (so that retired offers count too); none is all but `exempt`
    """

    text: str
    every: timedelta
    at_most: int
    channel: int
    channel_name: str | None
    applies: NDArray[np.bool_]
    counts: NDArray[np.bool_]
    offers: frozenset[str] | None
    groups: frozenset[str] | None
    exempt: frozenset[str]


@dataclass(frozen=True)
class Policy:
    """The compiled catalogue and policy.

    Attributes
    ----------
    offers : by id
    purposes : lawful basis by purpose
    channels : names; an offer's and a cap's channel number points here
    preference : shape (n_offers, n), channel numbers in order of preference, padded with -1
    mandatory : shape (n_offers,)
    timezone : in which the first and last day of an offer are days
    version : digest of the offers file
    """

    offers: tuple[CompiledOffer, ...]
    settings: PolicySettings
    purposes: Mapping[str, str]
    channels: tuple[str, ...]
    preference: NDArray[np.int16]
    mandatory: NDArray[np.bool_]
    caps: tuple[CapRule, ...]
    timezone: tzinfo
    version: str

    @cached_property
    def cap_applies(self) -> NDArray[np.bool_]:
        """The offers that each cap can block, shape (n_caps, n_offers)."""
        return np.array([cap.applies for cap in self.caps], dtype=np.bool_)

    @cached_property
    def cap_counts(self) -> NDArray[np.bool_]:
        """The offers whose contacts each cap counts, shape (n_caps, n_offers)."""
        return np.array([cap.counts for cap in self.caps], dtype=np.bool_)

    @cached_property
    def cap_channels(self) -> NDArray[np.int16]:
        """The channel each cap is about, -1 is any, shape (n_caps,)."""
        return np.array([cap.channel for cap in self.caps], dtype=np.int16)

    @property
    def columns(self) -> frozenset[str]:
        """Feature columns that the policy reads, consent included; score columns are not among them."""
        found = {f"{CONSENT_PREFIX}{offer.settings.purpose}" for offer in self.offers}
        for offer in self.offers:
            for expression in expressions(offer):
                found |= {name for name in expression.columns if not name.startswith(SCORE_PREFIX)}
        return frozenset(found)

    @property
    def models(self) -> frozenset[str]:
        """Models whose scores the policy reads."""
        found = {offer.settings.score.model for offer in self.offers if offer.settings.score is not None}
        for offer in self.offers:
            for expression in expressions(offer):
                found |= {
                    name.removeprefix(SCORE_PREFIX) for name in expression.columns if name.startswith(SCORE_PREFIX)
                }
        return frozenset(name for name in found if name is not None)

    @property
    def lookback(self) -> timedelta:
        """How far back the contact history must reach for the caps and suppressions."""
        spans = [cap.every for cap in self.caps]
        spans += [rule.rest for offer in self.offers for rule in offer.settings.suppress]
        return max(spans, default=timedelta(0))


def expressions(offer: CompiledOffer) -> tuple[Expression, ...]:
    """Return every expression of an offer."""
    rules = tuple(rule.expression for rule in offer.rules)
    return rules if isinstance(offer.margin, float) else (*rules, offer.margin)


def compile_policy(
    settings: OffersSettings, *, version: str, purposes: Mapping[str, str], timezone: tzinfo = UTC
) -> Policy:
    """Parse a catalogue's expressions and number its channels and caps.

    Parameters
    ----------
    settings : the parsed offers file
    version : digest of the file's content, recorded with every decision
    purposes : lawful basis (``consent``, ``contract``, ``legitimate_interest`` …) by purpose
    timezone : the company's, for an offer's first and last day

    Raises
    ------
    BadConfiguration : when an expression is outside the dialect
    """
    ordered = sorted(settings.offers, key=lambda offer: offer.id)
    channels = tuple(sorted({channel for offer in ordered for channel in offer.channels}))
    number = {channel: index for index, channel in enumerate(channels)}
    offers = tuple(_offer(index, offer, number) for index, offer in enumerate(ordered))
    width = max((len(offer.channels) for offer in offers), default=1)
    preference = np.full((len(offers), width), -1, dtype=np.int16)
    for offer in offers:
        preference[offer.index, : len(offer.channels)] = offer.channels
    return Policy(
        offers=offers,
        settings=settings.policy,
        purposes=dict(purposes),
        channels=channels,
        preference=preference,
        mandatory=np.array([offer.settings.kind == "mandatory" for offer in offers], dtype=np.bool_),
        caps=_caps(settings, ordered, number),
        timezone=timezone,
        version=version,
    )


def _offer(index: int, offer: Offer, number: Mapping[str, int]) -> CompiledOffer:
    where = f"{FILE}: offer {offer.id}"
    rules = tuple(
        OfferRule(stage, text, parse(text, where=f"{where}, {stage}").require_evaluable())
        for stage, text in (
            (Stage.ELIGIBILITY, offer.eligibility),
            (Stage.APPLICABILITY, offer.applicability),
            (Stage.SUITABILITY, offer.suitability),
        )
        if text is not None
    )
    margin = offer.value.margin
    return CompiledOffer(
        index=index,
        settings=offer,
        rules=rules,
        margin=_margin(margin, where=f"{where}, value.margin"),
        channels=tuple(number[channel] for channel in offer.channels),
    )


def _margin(margin: float | str, *, where: str) -> float | Expression:
    return parse(margin, where=where).require_evaluable() if isinstance(margin, str) else float(margin)


def _caps(settings: OffersSettings, ordered: list[Offer], number: Mapping[str, int]) -> tuple[CapRule, ...]:
    exempt = frozenset(offer.id for offer in ordered if offer.kind == "transactional")
    found = [
        _cap(cap, ordered, number, exempt=exempt, holder=None) for cap in sorted(settings.policy.caps, key=cap_text)
    ]
    found += [_cap(cap, ordered, number, exempt=exempt, holder=offer) for offer in ordered for cap in offer.caps]
    return tuple(found)


def _cap(
    cap: Cap, ordered: list[Offer], number: Mapping[str, int], *, exempt: frozenset[str], holder: Offer | None
) -> CapRule:
    offer = cap.offer if holder is None or cap.offer or cap.group else holder.id

    def counted(candidate: Offer) -> bool:
        if offer is not None:
            return candidate.id == offer
        return candidate.id not in exempt and cap.group in (None, candidate.group)

    def blockable(candidate: Offer) -> bool:
        return counted(candidate) if holder is None else candidate.id == holder.id

    def mask(belongs: Callable[[Offer], bool]) -> NDArray[np.bool_]:
        return np.array([belongs(candidate) for candidate in ordered], dtype=np.bool_)

    return CapRule(
        text=cap_text(cap),
        every=cap.every,
        at_most=cap.at_most,
        # a cap on a channel that no offer uses blocks nothing: -2 equals no channel
        channel=-1 if cap.channel is None else number.get(cap.channel, -2),
        channel_name=cap.channel,
        applies=mask(blockable),
        counts=mask(counted),
        offers=None if offer is None else frozenset({offer}),
        groups=None if cap.group is None else frozenset({cap.group}),
        exempt=exempt if offer is None else frozenset(),
    )


def cap_text(cap: Cap) -> str:
    """Return the text by which a cap is named in decisions.

    Examples
    --------
    >>> cap_text(Cap(channel="email", every="7d", at_most=1))
    'at most 1 in 7d by email'
    """
    of = f" of offer {cap.offer}" if cap.offer else f" of group {cap.group}" if cap.group else ""
    by = f" by {cap.channel}" if cap.channel else ""
    return f"at most {cap.at_most} in {format_duration(cap.every)}{of}{by}"
