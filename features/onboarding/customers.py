"""Feeds of customers: of their own sources, or made of the rows of what they do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from features.base.database_engine import literal
from features.onboarding.answers import may_leak
from features.onboarding.column_roles import PERSONS, PersonColumn, Roles, TimeColumn
from features.onboarding.customer_links import LINKED, Overlaps, linking_columns, may_meet, naming_columns
from features.onboarding.dealings import ZONE_WHY, FeedDraft, conventions
from features.onboarding.fields import digits_of, map_fields, personal_columns
from features.onboarding.proposal import CustomerLink, ProposedFeed, Reasoned, reference
from features.onboarding.record_versions import RecordVersions

ROW = "row"
_AGREE = 0.5
_TELLING = ("email", "last_name", "first_name", "full_name", "phone")


def propose_customers(
    roles: Roles,
    why: str,
    before: Sequence[ProposedFeed],
    overlaps: Overlaps,
    versions: RecordVersions | None = None,
) -> ProposedFeed:
    """Return the feed of a source with one row a customer, or the versions of each.

    Parameters
    ----------
    roles, why : the source, and why it is one of customers
    before : feeds of customers that are proposed already; this one is linked to them where values say so
    overlaps : of the sources' columns
    versions : whose versions the rows are
    """
    given, table = roles.given, roles.given.table
    settings: dict[str, Reasoned] = {}
    hints = list(_hints(roles))
    own = next((c for c in roles.own_ids if c.meaning & PERSONS or c.meaning <= {"id", "record"}), None)
    own = own or next(iter(roles.own_ids), None)
    email = next((p for p in roles.persons if p.kind == "email" and p.column.is_unique), None)
    repeated = next((p for p in roles.persons if p.kind == "id" and p.share == 1), None)
    column = own or roles.first_code or (email and email.column)
    key: tuple[str, ...]
    if versions is not None:
        key = (versions.record.name, versions.start.name)
        key_why = f"each row is a version of one of {versions.records:,} records, from {versions.start.name} on"
    elif column is not None:
        key, key_why = (column.name,), f"{column.distinct:,} different values in {table.rows:,} rows"
    elif repeated is not None:
        key, key_why = (repeated.name,), f"{repeated.distinct:,} different values in {table.rows:,} rows"
        settings["duplicates"] = Reasoned("keep_last", "several rows share a key: the last one counts")
    else:
        key, key_why = (
            (ROW,),
            "no column tells the rows apart, so each row is a record; give a key before the file is delivered anew",
        )
    taken = [] if key == (ROW,) or (email is not None and email.column is column) else list(key)
    fields = map_fields("customers", table, taken=taken)
    used = _times(roles, settings, versions)
    used += _birth(roles, fields, hints)
    feed = ProposedFeed(
        given.name,
        given,
        "customers",
        why,
        key,
        key_why,
        settings=settings,
        fields=fields,
        times=conventions(used),
        pii=personal_columns(table, fields, key),
        hints=tuple(hints),
    )
    return _linked(feed, before, overlaps, roles)


def made_customers(roles: Roles, draft: FeedDraft, whose: PersonColumn, beside: PersonColumn | None) -> ProposedFeed:
    """Return a second feed over a source of dealings: the customers whose rows they are.

    Parameters
    ----------
    roles : the source
    draft : the feed of dealings
    whose : its column that says whose a row is
    beside : the column that says it where `whose` is empty; guests are known by their e-mail
    """
    given, feed = roles.given, draft.feed
    when = feed.settings.get("event_time") or feed.fields.get("held_from")
    settings = {"duplicates": Reasoned("keep_first", "a customer has many rows, and is known from the first on")}
    if when is not None:
        settings["updated_at"] = when
    if "timezone" in feed.settings:
        settings["timezone"] = feed.settings["timezone"]
    key, columns = whose.name, {}
    if beside is not None or whose.nobody:
        key = "person"
        text = (
            reference(whose.name) if whose.column.sql_type == "VARCHAR" else f"cast({reference(whose.name)} as varchar)"
        )
        text = f"nullif(trim({text}), '')"
        for value in whose.nobody:
            text = f"nullif({text}, {literal(value)})"
        if beside is not None:
            text = f"coalesce({text}, lower(trim({reference(beside.name)})))"
        why = (
            f"rows without {whose.name} are known by {beside.name}"
            if beside
            else "values that stand for nobody are left empty"
        )
        columns = {key: Reasoned(text, why)}
    missing = (whose.share if beside is None else max(whose.share, beside.share)) < 0.9999
    tests = [feed.settings["where"].value] if "where" in feed.settings else []
    if missing:
        tests.append(f"trim(cast({reference(key)} as varchar)) <> ''")
    if tests:
        empty = given.table.rows - round(whose.share * given.table.rows)
        settings["where"] = Reasoned(
            " AND ".join(tests), f"{empty:,} rows name no customer in {whose.name}" if missing else ""
        )
    event_fields = {n: m for n, m in feed.fields.items() if n not in ("channel",)}
    taken = [mapped.value for mapped in event_fields.values()] + [name for time in roles.times for name in time.columns]
    taken += [whose.name] if whose.kind in ("id", "bank") else []
    fields = map_fields("customers", given.table, taken=taken)
    if whose.kind == "email":
        fields["email"] = Reasoned(whose.name, "it says whose a row is")
    return ProposedFeed(
        f"{given.name}_customers",
        given,
        "customers",
        f"nothing else says who the {whose.distinct:,} customers of {given.name} are",
        (key,),
        f"{whose.distinct:,} different values; one row of each is kept",
        None,
        settings,
        fields,
        columns=columns,
        times=feed.times,
        drop=tuple(given.table.columns),
    )


def _times(roles: Roles, settings: dict[str, Reasoned], versions: RecordVersions | None) -> list[TimeColumn]:
    """Add when records changed and were first known to the settings; return those times."""
    changed = versions.start if versions is not None else roles.named("changed", least=0.95)
    known = roles.named("created", "confirm", least=0.95, but=[changed.name] if changed else [])
    if known is not None and known.meaning & {"changed", "optout", "later"}:
        known = None
    used = []
    for setting, time in (("updated_at", changed), ("known_at", known)):
        if time is not None:
            settings[setting] = Reasoned(time.expression, time.reason)
            used.append(time)
    if any(not time.zoned for time in used):
        settings["timezone"] = Reasoned("UTC", ZONE_WHY)
    return used


def _birth(roles: Roles, fields: dict[str, Reasoned], hints: list[str]) -> list[TimeColumn]:
    """Return the birth date that is mapped, to be read as it is written; leave it out where that is undecided."""
    mapped = fields.get("birth_date")
    if mapped is None or mapped.value not in roles.given.table.columns:
        return []
    time = next((time for time in roles.births if time.name == mapped.value), None)
    if time is None or (time.reading is not None and time.reading.otherwise):
        del fields["birth_date"]
        what = "may be read in two ways, and no row decides" if time else "holds no dates"
        hints.append(f"{mapped.value} is no birth date here: it {what}")
        return []
    if time.reading is None or time.reading.share == 1:
        fields["birth_date"] = Reasoned(mapped.value, time.reason)
        return [time]
    fields["birth_date"] = Reasoned(_tried_date(roles, time), f"{time.reason} and are left empty")
    return []


def _tried_date(roles: Roles, time: TimeColumn) -> str:
    """Return an expression that leaves a birth date empty where the value is none, so that no row is lost for it."""
    column = roles.given.table.columns[time.name]
    text = reference(time.name) if column.stays_text else f"cast({reference(time.name)} as varchar)"
    if column.share("digits") >= _AGREE:
        text = digits_of(column)
        return f"try_cast(substr({text}, 1, 4) || '-' || substr({text}, 5, 2) || '-' || substr({text}, 7, 2) as date)"
    month_first = time.reading is not None and time.reading.convention == "month_first"
    pattern = "'^([0-9]{1,2})[-/. ]+([0-9]{1,2})[-/. ]+([0-9]{4})'"
    parts = [f"regexp_extract({text}, {pattern}, {group})" for group in ((3, 1, 2) if month_first else (3, 2, 1))]
    day = " || '-' || ".join(parts)
    iso = f"CASE WHEN regexp_matches({text}, '^[0-9]{{4}}-') THEN try_cast(substr({text}, 1, 10) as date)"
    return f"{iso} ELSE try_cast({day} as date) END"


def _hints(roles: Roles) -> list[str]:
    table = roles.given.table
    leaks = [name for name, column in table.columns.items() if may_leak(column)]
    hints = []
    if leaks:
        hints.append(
            f"{', '.join(leaks)}: may say as of today what a model of the past should foretell; "
            "the proposed views leave them out"
        )
    if not any(time.meaning & {"changed", "created"} for time in roles.times):
        hints.append("no column says when a row was known: it counts from when the file was written; see known_at")
    if table.copies:
        hints.append(f"{table.copies:,} rows equal another one in every column")
    short = [n for n, c in table.columns.items() if "birth" in c.meaning and c.share("month_day") > LINKED]
    if short:
        hints.append(f"{short[0]} holds a day and a month without a year: no birth date")
    return hints


def _linked(feed: ProposedFeed, before: Sequence[ProposedFeed], overlaps: Overlaps, roles: Roles) -> ProposedFeed:
    """Link a feed of customers to an earlier one where an id of both means the same people."""
    if feed.key == (ROW,):
        return feed
    table = feed.given.table
    for other in before:
        theirs_table = other.given.table
        for theirs in naming_columns(theirs_table):
            for own in linking_columns(table):
                if own.share("email") > LINKED or not own.is_own or not may_meet(own, theirs, owner=roles.file_meaning):
                    continue
                meeting = overlaps.meet(table, own, theirs_table, theirs)
                if meeting.rows < LINKED or meeting.spelling.name:
                    continue
                pairs = [
                    (feed.fields[f].value, other.fields[f].value)
                    for f in _TELLING
                    if f in feed.fields
                    and f in other.fields
                    and feed.fields[f].value in table.columns
                    and other.fields[f].value in theirs_table.columns
                ]
                share = overlaps.agreement(table, own.name, theirs_table, theirs.name, pairs)
                if share is not None and share < _AGREE:
                    hint = (
                        f"not linked to {other.name}, though {meeting.reason}; {share:.0%} of the linked records agree"
                    )
                    hint += ": equal values there are not the same people"
                    feed = replace(feed, hints=(*feed.hints, hint))
                    continue
                agreed = f"; {share:.0%} of the linked records agree on a name or contact" if share is not None else ""
                return replace(feed, link=CustomerLink(other.name, theirs.name, own.name, meeting.reason + agreed))
    return feed
