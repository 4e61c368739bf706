"""The proposal as ``features/feeds.yaml`` and ``features/views.yaml``, every line with its reason."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from features.config.canonical import PERSONAL_FIELDS, attribute_name, snake_case
from features.onboarding.answers import may_leak
from features.onboarding.column_profile import ColumnProfile, TableProfile
from features.onboarding.column_roles import PERSONS
from features.onboarding.customer_links import naming_columns
from features.onboarding.proposal import Proposal, ProposedFeed, Reasoned, SkippedSource, columns_read
from features.onboarding.words import word_set

_WIDTH = 112  # a longer line carries its reason above it
_MOST = 60  # columns of one source in a first model
_WINDOWS = "[30d, 90d, 365d]"
_ORDER = ("event", "event_time", "updated_at", "known_at", "timezone", "where", "duplicates")
_WORDS = word_set(
    """
     yes no on off true false null y n ~
    """
)


def feeds_yaml(proposal: Proposal) -> str:
    """Return ``features/feeds.yaml``."""
    lines = [
        "# Proposed by `nextbest init` from what the files hold; every line may be changed. What stands after # is the",
        "# reason, or what a person should look at. Columns that no field takes survive as FEED.COLUMN; `drop` removes",
        "# them, `pii` marks them as personal.",
        "",
        "company:",
        _company(proposal, "currency", "EUR", "no file says in which money amounts are: write yours"),
        _company(proposal, "timezone", "UTC", "where the company's days begin: write yours"),
        "",
        "feeds:",
    ]
    for feed in proposal.feeds:
        lines += [*_feed(feed), ""]
    for left in proposal.left_out:
        lines += [*_left_out(left), ""]
    lines += [*_identity(proposal), "", *_purposes(proposal)]
    return "\n".join(lines) + "\n"


def _company(proposal: Proposal, setting: str, default: str, why: str) -> str:
    known = proposal.company.get(setting)
    return f"  {setting}: {known} # found in the data, or answered" if known else f"  {setting}: {default} # {why}"


def purposes_of(proposal: Proposal) -> dict[str, str]:
    """Return the purposes that a workspace declares, with their bases.

    Marketing rests on a legitimate interest only where everything about consent is understood; retention offers are
    marketing to whoever said no, and are left out where anybody said anything.
    """
    found = {"service": "contract", **proposal.purposes}
    if proposal.unread:
        found |= dict.fromkeys([name for name, basis in found.items() if basis == "legitimate_interest"], "consent")
    if not proposal.purposes and not proposal.unread:
        return {"marketing": "legitimate_interest", "retention": "legitimate_interest"} | found
    return {"marketing": "consent"} | found


def views_yaml(proposal: Proposal) -> str:
    """Return ``features/views.yaml``: attributes that a first model may look at, and counts of what customers do."""
    lines = [
        "# Proposed by `nextbest init`: a beginning. Columns that may say as of today what a model should foretell"
    ]
    lines += ["# are left out, and so are ids, personal fields and texts.", "views:"]
    for feed in proposal.of_kind("customers"):
        columns = _attributes(feed)[:_MOST]
        if columns:
            lines += [f"  {feed.name}:", "    from: customers", "    fields:"]
            lines += [f"      - {attribute_name(feed.name, column)}" for column in columns]
    lines += ["  address:", "    from: customers", "    fields: [region, country]"]
    lines += _activities(proposal)
    for feed in proposal.of_kind("context"):
        numbers = [name for name, c in feed.given.table.columns.items() if c.is_number and "id" not in c.meaning]
        chosen = [attribute_name(feed.name, name) for name in numbers if name not in feed.key]
        if chosen and feed.link is not None and feed.link.column not in PERSONAL_FIELDS:  # no view reads those
            lines += [f"  {feed.name}:", "    from: context", f"    place: {feed.link.column}"]
            lines += [f"    fields: [{', '.join(chosen)}]"]
    if proposal.of_kind("holdings"):
        lines += ["  held:", "    from: holdings"]
    return "\n".join([*lines, "", "snapshots: {every: 30d, since: 365d}"]) + "\n"


def scalar(text: str) -> str:
    """Return a text as YAML writes it: plain where that is safe, quoted where it is not."""
    plain = re.fullmatch(r"[A-Za-z_/.][A-Za-z0-9_./ -]*", text) is not None and not text.endswith((" ", "."))
    if plain and text.lower() not in _WORDS:
        return text
    return f'"{text}"' if "'" in text and not set(text) & set('"\\') else "'" + text.replace("'", "''") + "'"


def _feed(feed: ProposedFeed) -> list[str]:
    lines = [f"  # {feed.why}", *(f"  # {hint}" for hint in feed.hints), f"  {feed.name}:"]
    lines += [f"    source: {scalar(feed.given.source)}", f"    kind: {feed.kind}"]
    if feed.key:
        key = scalar(feed.key[0]) if len(feed.key) == 1 else _list(feed.key)
        lines += _line("    ", "key", Reasoned(key, feed.key_why), raw=True)
    if feed.link is not None and feed.kind != "context":
        text = f"{feed.link.feed}.{feed.link.column} = {feed.name}.{feed.link.own}"
        lines += _line(
            "    ", "customer", Reasoned(text if _is_plain(text) else scalar(text), feed.link.reason), raw=True
        )
    settings = dict(feed.settings)
    for name in [*(name for name in _ORDER if name in settings), *(name for name in settings if name not in _ORDER)]:
        lines += _line("    ", name, settings[name], raw=name == "minor_units")
    for name, mapped in feed.given.settings.items():
        lines += _line("    ", name, mapped, raw=True)
    if feed.columns:
        lines.append("    columns:")
        for name, mapped in feed.columns.items():
            lines += _line("      ", name, mapped)
    if feed.times:
        listed = ", ".join(f"{scalar(name)}: {convention}" for name, convention in feed.times.items())
        lines.append(f"    times: {{{listed}}} # how they are written, decided over all rows")
    if feed.fields:
        lines.append("    fields:")
        for field, mapped in feed.fields.items():
            lines += _line("      ", field, mapped)
    if feed.pii:
        lines.append(f"    pii: {_list(feed.pii)} # they identify people")
    if feed.drop:
        lines.append(f"    drop: {_list(feed.drop)}")
    return lines


def _purposes(proposal: Proposal) -> list[str]:
    lines = ["# What customer data may be used for. Ask your lawyers; `consent` needs a feed of consents."]
    if proposal.unread:
        lines.append(f"# Not understood, though about consent: {', '.join(proposal.unread)}.")
        lines.append("# Marketing therefore rests on consent, and nobody is contacted for it until you map them.")
    return [*lines, "purposes:", *(f"  {name}: {{basis: {basis}}}" for name, basis in purposes_of(proposal).items())]


def _is_plain(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9_. =-]+", text) is not None


def _line(indent: str, name: str, mapped: Reasoned, *, raw: bool = False) -> list[str]:
    text = f"{indent}{name}: {mapped.value if raw else scalar(mapped.value)}"
    if not mapped.reason:
        return [text]
    if len(text) + len(mapped.reason) <= _WIDTH:
        return [f"{text} # {mapped.reason}"]
    return [f"{indent}# {mapped.reason}", text]


def _list(columns: Iterable[str]) -> str:
    return f"[{', '.join(scalar(column) for column in columns)}]"


def _left_out(left: SkippedSource) -> Iterator[str]:
    yield f"  # {left.name} ({left.source}) is left out: {left.why}."
    if left.nearly is not None:
        yield "  # To take it, remove the # before each line below, and say when."
        yield from (f"  #{line}" for line in _feed(left.nearly)[1:])


def _identity(proposal: Proposal) -> list[str]:
    customers = proposal.of_kind("customers")
    named = {field for feed in customers for field in feed.fields if field in PERSONAL_FIELDS}
    reachable = all(_is_reachable(feed) for feed in customers)
    if named & {"last_name", "full_name"} and len(named) > 2 and not (len(customers) > 1 and reachable):
        why = f"records with like {', '.join(sorted(named))} are weighed and joined"
        return ["identity:", f"  rules: people # {why}; `keys` joins by declared links only"]
    if named & {"email", "phone"}:
        return ["identity:", "  rules: exact # records with an equal e-mail or telephone are one customer"]
    return ["identity:", "  rules: keys # nothing but declared links says that two records are one customer"]


def _is_reachable(feed: ProposedFeed) -> bool:
    """Return whether nearly every record has an e-mail."""
    email = feed.given.table.columns.get(feed.fields["email"].value) if "email" in feed.fields else None
    return email is not None and email.share_filled >= 0.98


def _attributes(feed: ProposedFeed) -> list[str]:
    table = feed.given.table
    read = frozenset[str]().union(*(columns_read(mapped.value, table) for mapped in feed.fields.values()))
    naming = {column.name for column in naming_columns(table)}
    hidden = {*feed.drop, *feed.pii, *feed.key, *read, *naming}
    return [
        name
        for name, column in table.columns.items()
        if name not in hidden and not _is_named(column) and not may_leak(column) and is_usable_feature(table, column)
    ]


def _is_named(column: ColumnProfile) -> bool:
    """Return whether a column holds ids, times, or who said what about consent."""
    meaning = column.meaning
    timed = column.is_time or column.share("dated") >= 0.5 or column.share("clocked") >= 0.5
    return (
        timed
        or "id" in meaning
        or bool(meaning & {"optout", "consent", "marketing"})
        or (bool(meaning & PERSONS) and column.is_code and column.distinct > 60)
    )


def is_usable_feature(table: TableProfile, column: ColumnProfile) -> bool:
    """Return whether a column of customers is usable in a first model: a number, or text with few values."""
    counted = column.is_number and not (column.is_whole_number and column.distinct * 2 > table.rows > 20)
    return column.distinct > 1 and (counted or column.distinct <= 50)


def _activities(proposal: Proposal) -> list[str]:
    lines: list[str] = []
    activities: dict[str, list[ProposedFeed]] = {}
    for feed in proposal.of_kind("events"):
        mapped = feed.settings.get("event") or feed.fields["event"]
        name = (
            snake_case(mapped.value) if re.fullmatch(r"[a-z_0-9]+", mapped.value) and "event" in feed.settings else ""
        )
        activities.setdefault(name or ("purchase" if "'purchase'" in mapped.value else ""), []).append(feed)
    for event, feeds in activities.items():
        lines += [f"  {event or 'event'}s:", "    from: events"]
        lines += [f"    where: event = '{event}'"] if event else []
        lines += _aggregates(feeds, {"amount": "[sum, mean]", "quantity": "[sum]", "item": "[nunique]"})
    offered = proposal.of_kind("interactions")
    if offered:
        lines += ["  offered:", "    from: interactions", *_aggregates(offered, {"offer": "[nunique]"})]
    return lines


def _aggregates(feeds: Sequence[ProposedFeed], aggregates: dict[str, str]) -> list[str]:
    mapped = {field for feed in feeds for field in feed.fields}
    chosen = [f"{field}: {how}" for field, how in aggregates.items() if field in mapped]
    listed = ", ".join(['"*": [count, recency, tenure]', *chosen])
    return [f"    aggregates: {{{listed}}}", f"    windows: {_WINDOWS}"]
