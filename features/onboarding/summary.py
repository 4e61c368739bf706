"""Propose feeds: customers first, then what they do and hold, then items and places; consents wherever they stand."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import duckdb

from features.base.errors import BadData
from features.config.canonical import Kind, attribute_name
from features.onboarding.column_profile import ColumnProfile
from features.onboarding.column_roles import PERSONS, PersonColumn, Roles, find_roles, refuse_undecided
from features.onboarding.consent_feeds import consent_feeds
from features.onboarding.customer_links import (
    COMPLETE,
    LINKED,
    Meeting,
    Overlaps,
    linking_columns,
    may_meet,
    naming_columns,
)
from features.onboarding.customers import made_customers, propose_customers
from features.onboarding.dealings import ZONE_WHY, FeedDraft, draft_feed
from features.onboarding.fields import map_fields
from features.onboarding.kinds import is_context, is_customers, is_items, kind_of_dealings
from features.onboarding.proposal import (
    CustomerLink,
    ProfiledSource,
    Proposal,
    ProposedFeed,
    Reasoned,
    SkippedSource,
)
from features.onboarding.proposal_warnings import warn_of_amounts, warn_of_left_out, warn_of_nobody
from features.onboarding.questions import company_settings, currency_signs
from features.onboarding.record_versions import find_versions

#: Beside an id with fewer customers than this in common, sources are about other people.
_SOME = 0.05
#: Of so many names hardly two are equal by chance.
_MANY = 12
_PLACES = ("postcode", "city", "region", "country")
_BEST_KINDS = ("id", "email", "phone", "bank")


def propose(
    engine: duckdb.DuckDBPyConnection, sources: Sequence[ProfiledSource], answers: Mapping[str, str] | None = None
) -> Proposal:
    """Return the feeds that are proposed for sources, with the reasons.

    Parameters
    ----------
    engine : holds the sources' rows, in the tables that their profiles name
    sources : in the order in which they were given
    answers : what a person answered, by question

    Raises
    ------
    BadData : no source has customers, a time can be read in two ways, or the ids of two sources do not meet
    """
    found = [find_roles(engine, given, answers) for given in sources]
    proposal = _Proposing(engine, found).proposal()
    company = {name: answers[name] for name in ("currency", "timezone") if answers and name in answers}
    zone = company.get("timezone")
    feeds = tuple(_in_zone(feed, zone) if zone else feed for feed in proposal.feeds)
    signs = () if "currency" in company else currency_signs(found)
    notes = proposal.notes
    if signs:
        notes += (
            f"the amounts carry a symbol that {len(signs)} currencies have: {signs[0]} is taken; --answer currency",
        )
    return replace(proposal, feeds=feeds, notes=notes, company=company_settings(found) | company)


class _Proposing:
    """The feeds of each source as they are found, so that later sources can be linked to earlier ones."""

    def __init__(self, engine: duckdb.DuckDBPyConnection, roles: Sequence[Roles]) -> None:
        self._engine = engine
        self._overlaps = Overlaps(engine)
        self._roles = {found.given.name: found for found in roles}
        self._feeds: dict[str, list[ProposedFeed]] = {name: [] for name in self._roles}
        self._left: list[SkippedSource] = []
        self._notes: list[str] = []
        self._warnings: list[str] = []

    @property
    def _customers(self) -> list[ProposedFeed]:
        return [feed for feeds in self._feeds.values() for feed in feeds if feed.kind == "customers"]

    def proposal(self) -> Proposal:
        for roles in self._roles.values():
            versions = find_versions(self._engine, roles)
            why = is_customers(roles, versions)
            if why:
                self._feeds[roles.given.name].append(
                    propose_customers(roles, why, self._customers, self._overlaps, versions)
                )
        for roles in sorted(self._open(), key=lambda found: -max((p.distinct for p in found.persons), default=0)):
            self._add_dealings(roles)
        if not self._customers:
            for roles in self._open():
                if roles.when() is None and is_items(roles.given.table) is None:
                    why = "nothing names a customer, and no row has a time"
                    self._feeds[roles.given.name].append(propose_customers(roles, why, [], self._overlaps))
        for roles in self._open():
            thing = self._items(roles) or self._context(roles)
            if thing is None:
                why = "no column refers to a customer, an item or a place"
                self._left.append(SkippedSource(roles.given.name, roles.given.source, why))
                self._warnings += warn_of_left_out(roles, why)
            else:
                self._feeds[roles.given.name].append(thing)
        if not self._customers:
            raise BadData(
                "init.no_customers",
                "no column of the files names a customer, and none of the files has one row a customer",
                hint="add the file of the customers",
            )
        for name, proposed in self._feeds.items():
            for number, feed in enumerate(proposed):
                warning = warn_of_amounts(self._roles[name], feed) if feed.kind in ("customers", "items") else ""
                if warning and len(proposed) == 1:
                    self._warnings.append(warning)
                    proposed[number] = replace(feed, hints=(f"WARNING: {warning}", *feed.hints))
        consents, purposes, unread = self._consents()
        for feed in consents:
            self._feeds[feed.given.name].append(feed)
        feeds = tuple(_without_clashes(feed) for feeds in self._feeds.values() for feed in feeds)
        return Proposal(feeds, tuple(self._left), purposes, unread, tuple(self._notes), tuple(self._warnings))

    def _open(self) -> list[Roles]:
        left = {skipped.name for skipped in self._left}
        return [roles for name, roles in self._roles.items() if not self._feeds[name] and name not in left]

    def _add_dealings(self, roles: Roles) -> None:
        """Add the feeds of a source whose rows are about customers; nothing where they are not."""
        given = roles.given
        meeting, owner = self._best(roles)
        named = [person for person in roles.persons if person.share > 0]
        if meeting is None and not named:
            return
        if roles.when() is None:
            self._without_time(roles, meeting, owner)
            return
        kind, why = kind_of_dealings(roles, linked=meeting is not None)
        if meeting is not None and owner is not None and self._is_complete(roles, meeting, owner):
            draft = draft_feed(self._engine, roles, kind, why, (meeting.own.name,))
            self._add(roles, self._link(draft, meeting, owner))
            return
        if not named and meeting is not None:
            named = [PersonColumn(meeting.own, "id", meeting.own.share_filled, meeting.own.distinct)]
        self._refuse_strangers(roles, named, meeting)
        whose, beside = _whose(named)
        draft = draft_feed(self._engine, roles, kind, why, (whose.name, *([beside.name] if beside else [])))
        warning = warn_of_nobody(self._engine, roles, draft.feed, [whose, *([beside] if beside else [])])
        if warning:
            self._warnings.append(warning)
            draft = FeedDraft(replace(draft.feed, hints=(f"WARNING: {warning}", *draft.feed.hints)))
        made = made_customers(roles, draft, whose, beside)
        if meeting is not None and owner is not None and meeting.rows >= _SOME:
            made = self._link(FeedDraft(made), meeting, owner)
        self._feeds[given.name].append(made)
        reason = f"{made.name} is made of the same rows"
        own = made.key[0]
        columns = {**draft.feed.columns, **({own: made.columns[own]} if own in made.columns else {})}
        self._add(roles, replace(draft.feed, link=CustomerLink(made.name, own, own, reason), columns=columns))

    def _add(self, roles: Roles, feed: ProposedFeed) -> None:
        for time in roles.times:
            if any(name in feed.times for name in time.columns):
                refuse_undecided(roles, time)
        self._feeds[roles.given.name].append(feed)

    def _best(self, roles: Roles) -> tuple[Meeting | None, ProposedFeed | None]:
        """Return the pair of columns through which most rows find a customer of an earlier feed."""
        table = roles.given.table
        shares = {person.name: person.share for person in roles.persons}
        best: tuple[bool, float, bool, Meeting, ProposedFeed] | None = None
        for feed in self._customers:
            if feed.given.name == roles.given.name:
                continue
            owner = self._roles[feed.given.name]
            about = owner.file_meaning | owner.about
            for theirs in self._named_by(feed):
                for own in linking_columns(table):
                    likely = may_meet(own, theirs, owner=about)
                    if not likely and not own.is_whole_number:
                        continue
                    meeting = self._overlaps.meet(table, own, feed.given.table, theirs)
                    agreed = not likely and meeting.rows >= COMPLETE and self._agree(roles, feed, meeting)
                    if not likely and not agreed:
                        continue
                    reached = meeting.rows * shares.get(own.name, own.share_filled)
                    sure = agreed or bool(own.meaning & PERSONS) or own.share("email") > LINKED
                    if reached < (0.01 if sure else LINKED):
                        continue
                    key = feed.key == (theirs.name,)
                    found = (sure and reached >= _SOME, round(reached, 3), key, meeting, feed)
                    if best is None or found[:3] > best[:3]:
                        best = found
        return (best[3], best[4]) if best else (None, None)

    def _agree(self, roles: Roles, feed: ProposedFeed, meeting: Meeting) -> bool:
        """Return whether the records that an id joins hold the same names, whatever the columns are called."""
        table, theirs = roles.given.table, feed.given.table
        names = [feed.fields[field].value for field in ("full_name", "last_name", "email") if field in feed.fields]
        own = [c.name for c in table.columns.values() if c.distinct > _MANY and c.share("digits") < LINKED]
        pairs = [(mine, name) for mine in own for name in names if name in theirs.columns]
        own_id, their_id = meeting.own.name, meeting.theirs.name
        share = self._overlaps.agreement(table, own_id, theirs, their_id, pairs, meeting.spelling)
        return share is not None and share >= LINKED

    def _named_by(self, feed: ProposedFeed) -> list[ColumnProfile]:
        table = feed.given.table
        keys = [table.columns[name] for name in feed.key if name in table.columns]
        if feed.drop:  # made of dealings: only the key and the e-mail are theirs
            email = feed.fields.get("email")
            return [*keys, *([table.columns[email.value]] if email and email.value in table.columns else [])]
        return [*keys, *(column for column in naming_columns(table) if column not in keys)]

    def _is_complete(self, roles: Roles, meeting: Meeting, owner: ProposedFeed) -> bool:
        person = next((p for p in roles.persons if p.name == meeting.own.name), None)
        filled = person.share if person else meeting.own.share_filled
        return (
            meeting.rows >= COMPLETE
            and filled >= 0.98
            and (meeting.theirs.is_own or owner.key[:1] == (meeting.theirs.name,))
        )

    def _link(self, draft: FeedDraft, meeting: Meeting, owner: ProposedFeed) -> ProposedFeed:
        """Link a feed by a meeting; a column that the systems write differently is made on the side that needs it."""
        feed = draft.feed
        email = owner.fields.get("email")
        by_contact = email is not None and email.value == meeting.theirs.name
        own, theirs = meeting.own.name, meeting.theirs.name
        if not by_contact:
            own_text, their_text = meeting.spelled(meeting.own), meeting.spelled(meeting.theirs)
            if own_text is not None:
                own = f"{_plain(own)}_as_linked"
                feed = replace(
                    feed, columns={**feed.columns, own: Reasoned(own_text, f"without {meeting.spelling.name}")}
                )
            if their_text is not None:
                theirs = f"{_plain(theirs)}_as_linked"
                made = {**owner.columns, theirs: Reasoned(their_text, f"without {meeting.spelling.name}")}
                feeds = self._feeds[owner.given.name]
                feeds[feeds.index(owner)] = replace(owner, columns=made)
        elif meeting.spelling.name == "the first of a list":
            own_text = meeting.spelled(meeting.own)
            if own_text is not None:
                own = f"{_plain(own)}_as_linked"
                feed = replace(feed, columns={**feed.columns, own: Reasoned(own_text, "the first of a list")})
        return replace(feed, link=CustomerLink(owner.name, theirs, own, meeting.reason))

    def _refuse_strangers(self, roles: Roles, named: Sequence[PersonColumn], meeting: Meeting | None) -> None:
        """Refuse ids of customers that hardly meet those of the customers' own file: somebody would be made twice."""
        others = [feed for feed in self._customers if not feed.drop and feed.given.name != roles.given.name]
        if not others or (meeting is not None and meeting.rows >= _SOME) or any(p.kind == "email" for p in named):
            return
        if any(p.kind == "bank" for p in named) or map_fields("customers", roles.given.table).keys() & {
            "email",
            "full_name",
            "last_name",
        }:
            return
        about = named[0].column.meaning & PERSONS
        alike = [
            feed.name
            for feed in others
            for key in feed.key
            if key in feed.given.table.columns and about == feed.given.table.columns[key].meaning & PERSONS
        ]
        if not alike:
            self._notes.append(
                f"{roles.given.name}: hardly anybody in {named[0].name!r} is in "
                f"{', '.join(feed.name for feed in others)}; they become customers of their own"
            )
            return
        raise BadData(
            "init.ids_do_not_meet",
            f"the values of {named[0].name!r} hardly meet any column of {', '.join(alike)}: "
            "every customer would be made twice",
            where=roles.given.source,
            hint="add the file that says who they are, or bring the ids to one spelling",
        )

    def _without_time(self, roles: Roles, meeting: Meeting | None, owner: ProposedFeed | None) -> None:
        given = roles.given
        named = roles.persons[0].name if roles.persons else meeting.own.name if meeting else ""
        near = max(roles.times, key=lambda time: time.share, default=None)
        why = f"{named} refers to customers, but no column holds a time"
        if near is not None:
            why += f" on enough rows; the nearest is {near.name}, on {near.share:.0%} of them"
        if meeting is None or owner is None:
            if roles.persons:
                self._left.append(SkippedSource(given.name, given.source, why))
            return
        kind: Kind = "interactions" if "offer" in map_fields("interactions", given.table) else "events"
        draft = draft_feed(self._engine, roles, kind, why, (meeting.own.name,))
        settings = {
            "event_time": Reasoned(
                "TIMESTAMP '2000-01-01 00:00:00'", "set the time: one for all rows, or an expression"
            ),
            "timezone": Reasoned("UTC", ""),
        } | {name: mapped for name, mapped in draft.feed.settings.items() if name not in ("event_time", "timezone")}
        nearly = replace(self._link(draft, meeting, owner), settings=settings)
        self._left.append(SkippedSource(given.name, given.source, why, nearly))

    def _items(self, roles: Roles) -> ProposedFeed | None:
        key = is_items(roles.given.table)
        if key is None:
            return None
        fields = map_fields("items", roles.given.table, taken=[key.name])
        why = f"{key.name} names {key.distinct:,} different items, one a row"
        return ProposedFeed(roles.given.name, roles.given, "items", why, (key.name,), "one row each", fields=fields)

    def _context(self, roles: Roles) -> ProposedFeed | None:
        given, key = roles.given, is_context(roles.given.table)
        if key is None:
            return None
        for feed in self._customers:
            for field in _PLACES:
                column = feed.given.table.columns.get(feed.fields[field].value) if field in feed.fields else None
                if column is None:
                    continue
                meeting = self._overlaps.meet(feed.given.table, column, given.table, key)
                if meeting.rows >= LINKED:
                    reason = f"{meeting.rows:.1%} of the rows of {feed.name} have a {field} that is there"
                    why = f"{key.name} names {key.distinct:,} different places, one a row"
                    link = CustomerLink(feed.name, field, key.name, reason)
                    fields = {"place": Reasoned(key.name, reason)}
                    return ProposedFeed(
                        given.name, given, "context", why, (key.name,), "one row each", link, fields=fields
                    )
        return None

    def _consents(self) -> tuple[list[ProposedFeed], dict[str, str], tuple[str, ...]]:
        found: list[ProposedFeed] = []
        purposes: dict[str, str] = {}
        unread: list[str] = []
        for name, feeds in self._feeds.items():
            made, more, odd = consent_feeds(self._roles[name], feeds)
            found += made
            for purpose, basis in more.items():
                purposes[purpose] = "consent" if "consent" in (basis, purposes.get(purpose)) else basis
            unread += odd
        for left in self._left:
            unread += consent_feeds(self._roles[left.name], [])[2]
        return found, purposes, tuple(unread)


def _in_zone(feed: ProposedFeed, zone: str) -> ProposedFeed:
    if feed.settings.get("timezone", Reasoned("")).reason != ZONE_WHY:
        return feed
    return replace(feed, settings={**feed.settings, "timezone": Reasoned(zone, "answered")})


def _without_clashes(feed: ProposedFeed) -> ProposedFeed:
    """Drop the later of two columns that would survive under one name."""
    seen: dict[str, str] = {}
    later = [
        name for name in feed.given.table.columns if seen.setdefault(attribute_name(feed.name, name), name) != name
    ]
    more = [name for name in later if name not in feed.drop]
    return replace(feed, drop=(*feed.drop, *more)) if more else feed


def _whose(named: Sequence[PersonColumn]) -> tuple[PersonColumn, PersonColumn | None]:
    """Return the column that says whose the rows are, and the one beside it for rows in which it is empty."""
    ranked = sorted(named, key=_rank)
    best = ranked[0]
    full = [p for p in ranked if p.share >= 0.995]
    if best.share >= 0.995 or not full:
        beside = next((p for p in ranked if p is not best and p.kind == "email" and p.share > 0), None)
        return best, beside if best.share < 0.995 else None
    return full[0], None


def _rank(person: PersonColumn) -> tuple[int, float, int, int, int]:
    meaning = person.column.meaning
    sure = 0 if meaning & {"customer", "contact", "user", "member", "subscriber", "requester", "respondent"} else 1
    kind = _BEST_KINDS.index(person.kind)
    shipping = int("shipping" in meaning)
    return (
        int(person.share < 0.2),
        kind + sure * 0.4 + shipping * 0.2,
        -person.distinct if kind else 0,
        len(person.column.words),
        0,
    )


def _plain(name: str) -> str:
    return "_".join(w for w in "".join(c.lower() if c.isascii() and c.isalnum() else " " for c in name).split())
