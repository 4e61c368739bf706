"""Checks the offer catalogue against what exists: features, models, purposes; all problems at once."""

from __future__ import annotations

from collections.abc import Iterator, Sequence, Set

from features.base.errors import BadConfiguration, Problem
from features.base.expressions.expression import Expression, parse
from features.config.loading import Lines, Location, did_you_mean
from serving.decisioning.offer_settings import Cap, Offer, OffersSettings
from serving.decisioning.policy import CONSENT_PREFIX, SCORE_PREFIX


def check(
    settings: OffersSettings, lines: Lines, *, features: Set[str], models: Set[str], purposes: Set[str]
) -> list[Problem]:
    """Return every problem of a catalogue, each with its file and line.

    Parameters
    ----------
    settings, lines : as `features.config.loading.load` returns them
    features : names of the known feature columns; ``score__<model>`` and ``consent__<purpose>`` need not be among them
    models : names of the known models
    purposes : names of the declared purposes
    """
    columns = set(features) | {f"{SCORE_PREFIX}{model}" for model in models}
    columns |= {f"{CONSENT_PREFIX}{purpose}" for purpose in purposes}
    return [
        *(
            problem
            for index, offer in enumerate(settings.offers)
            for problem in _offer(offer, ("offers", index), lines, columns, models, purposes)
        ),
        *_names(settings, lines),
    ]


def _offer(
    offer: Offer, at: Location, lines: Lines, columns: Set[str], models: Set[str], purposes: Set[str]
) -> Iterator[Problem]:
    if offer.purpose not in purposes:
        yield _unknown("purpose", offer.purpose, purposes, lines.where((*at, "purpose")))
    if offer.score is not None and offer.score.model is not None and offer.score.model not in models:
        yield _unknown("model", offer.score.model, models, lines.where((*at, "score", "model")))
    margin = offer.value.margin if isinstance(offer.value.margin, str) else None
    texts: tuple[tuple[str | None, Location], ...] = (
        (offer.eligibility, (*at, "eligibility")),
        (offer.applicability, (*at, "applicability")),
        (offer.suitability, (*at, "suitability")),
        (margin, (*at, "value", "margin")),
    )
    for text, place in texts:
        if text is not None:
            yield from _expression(text, lines.where(place), columns)


def _expression(text: str, where: str, columns: Set[str]) -> Iterator[Problem]:
    try:
        expression: Expression = parse(text, where=where).require_evaluable()
    except BadConfiguration as error:
        yield from error.problems
        return
    for name in sorted(expression.columns - columns):
        yield _unknown("score" if name.startswith(SCORE_PREFIX) else "feature", name, columns, where)


def _names(settings: OffersSettings, lines: Lines) -> Iterator[Problem]:
    """Yield what caps and capacities name that no offer has: a cap on a misspelt channel would cap nothing."""
    channels = {channel for offer in settings.offers for channel in offer.channels}
    for channel in settings.policy.capacity:
        if channel not in channels:
            yield _unknown("channel", channel, channels, lines.where(("policy", "capacity", channel)))
    yield from _caps(settings, settings.policy.caps, ("policy", "caps"), lines, channels)
    for index, offer in enumerate(settings.offers):
        yield from _caps(settings, offer.caps, ("offers", index, "caps"), lines, channels)


def _caps(
    settings: OffersSettings, caps: Sequence[Cap], at: Location, lines: Lines, channels: Set[str]
) -> Iterator[Problem]:
    ids = {offer.id for offer in settings.offers}
    groups = {offer.group for offer in settings.offers}
    for index, cap in enumerate(caps):
        for kind, name, known in (
            ("channel", cap.channel, channels),
            ("offer", cap.offer, ids),
            ("group", cap.group, groups),
        ):
            if name is not None and name not in known:
                yield _unknown(kind, name, known, lines.where((*at, index, kind)))


def _unknown(kind: str, name: str, known: Set[str], where: str) -> Problem:
    return Problem(f"offers.unknown_{kind}", f"unknown {kind} {name!r}", where, did_you_mean(name, sorted(known)))
