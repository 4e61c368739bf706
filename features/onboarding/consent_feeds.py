"""Feeds of consents beside the feeds of people and dealings, and the purposes that they are about."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from features.config.canonical import snake_case
from features.onboarding.column_roles import Roles, TimeColumn
from features.onboarding.consent_columns import (
    ConsentColumn,
    consent_columns,
    consent_file_fields,
    is_consent_file,
    not_understood,
    suppression_time,
)
from features.onboarding.dealings import ZONE_WHY, conventions
from features.onboarding.proposal import CustomerLink, ProposedFeed, Reasoned, reference


def consent_feeds(roles: Roles, feeds: Sequence[ProposedFeed]) -> tuple[list[ProposedFeed], dict[str, str], list[str]]:
    """Return the feeds of consents of a source, the purposes with their bases, and what is not understood.

    Parameters
    ----------
    roles : the source
    feeds : the feeds that are proposed for it
    """
    if any(feed.kind == "consents" for feed in feeds):
        _, _, purposes, _ = consent_file_fields(roles)
        return [], dict.fromkeys(purposes, "consent"), []
    unread = [f"{roles.given.name}.{name}" for name in not_understood(roles)]
    owner = next((feed for feed in feeds if feed.kind != "customers"), None)
    owner = owner or next((feed for feed in feeds if feed.kind == "customers" and feed.key != ("row",)), None)
    found = [column for column in consent_columns(roles) if column.reason]
    suppressed = suppression_time(roles)
    if owner is None:
        flags = [f"{roles.given.name}.{column.column.name}" for column in found]
        return (
            [],
            {},
            [*unread, *flags, *([f"{roles.given.name} (opt-outs)"] if suppressed or is_consent_file(roles) else [])],
        )
    made: list[ProposedFeed] = []
    bases: dict[str, str] = {}
    if suppressed is not None:
        time = next(time for time in roles.times if time.name == suppressed)
        fields = {
            "purpose": Reasoned("'marketing'", "an opt-out holds for all marketing"),
            "status": Reasoned("'withdrawn'", "each row is an opt-out"),
        }
        made.append(_feed(roles, owner, "opt_outs", fields, time, "each row is somebody who opted out", None))
        return made, {"marketing": "legitimate_interest"}, unread
    for column in found:
        fields = {
            "purpose": Reasoned(f"'{column.purpose}'", "by the column's name"),
            "status": Reasoned(column.status, column.reason),
        }
        name = snake_case(column.column.name)
        why = f"{column.column.name} says who allowed or refused {column.purpose.replace('_', ' ')}"
        made.append(_feed(roles, owner, name, fields, _time_beside(roles, column.column.name), why, column))
        basis = "consent" if column.grants else "legitimate_interest"
        bases[column.purpose] = "consent" if "consent" in (basis, bases.get(column.purpose)) else basis
    return made, bases, unread


def _feed(
    roles: Roles,
    owner: ProposedFeed,
    name: str,
    fields: dict[str, Reasoned],
    time: TimeColumn | None,
    why: str,
    column: ConsentColumn | None,
) -> ProposedFeed:
    settings: dict[str, Reasoned] = {}
    if time is not None:
        settings["event_time"] = Reasoned(time.expression, f"{time.name} {time.reason}")
        if not time.zoned:
            settings["timezone"] = owner.settings.get("timezone", Reasoned("UTC", ZONE_WHY))
    else:
        why += "; no column has a time for it: it counts from the load that first holds it"
    where = column.where if column is not None else None
    tests = [text for text in (where, owner.settings["where"].value if "where" in owner.settings else None) if text]
    if owner.kind == "customers":
        link = CustomerLink(owner.name, owner.key[0], owner.key[0], "the same rows")
    else:
        link = owner.link or CustomerLink(owner.name, owner.key[0], owner.key[0], "the same rows")
    if time is not None and time.share < 1:
        tests.append(f"trim(cast({reference(time.name)} as varchar)) <> ''")
    if tests:
        settings["where"] = Reasoned(
            " AND ".join(f"({text})" if len(tests) > 1 else text for text in tests), "rows that say something"
        )
    columns = {own: owner.columns[own] for own in [link.own] if own in owner.columns}
    if column is not None:
        columns["said"] = Reasoned(column.text, "the word as it is compared")
    feed = ProposedFeed(
        f"{roles.given.name}_{name}",
        roles.given,
        "consents",
        why,
        link=link,
        settings=settings,
        fields=fields,
        columns=columns,
        times=conventions([time]) if time is not None else {},
    )
    return replace(feed, pii=(), drop=tuple(roles.given.table.columns))


def _time_beside(roles: Roles, column: str) -> TimeColumn | None:
    """Return when a column's word was given: its own time, else when the record changed or the row happened."""
    itself = next((time for time in roles.times if time.name == column), None)
    if itself is not None:
        return itself
    meaning = roles.given.table.columns[column].meaning - {"email", "name", "id"}
    own = [t for t in roles.times if t.meaning & meaning & {"optout", "consent", "opt", "marketing", "subscribed"}]
    full = [t for t in own if t.share >= 0.999]
    return (
        next(iter(full), None)
        or roles.named("changed", least=0.999)
        or roles.when()
        or roles.named("created", least=0.999)
    )
