"""The proposal as ``features/feeds.yaml`` and ``features/views.yaml``, every line with its reason."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence

from features.config.canonical import PERSONAL_FIELDS, attribute_name, snake_case
from features.onboarding.column_names import may_leak, names_id
from features.onboarding.links import customer_columns
from features.onboarding.proposal import LeftOut, Proposal, Proposed, Said, columns_read
from features.onboarding.summary import is_telling
from features.onboarding.time_formats import find_moments

_WIDTH = 112  # a longer line carries its reason above it
_MOST = 60  # columns of one source in a first model
_WINDOWS = "[30d, 90d, 365d]"
_ORDER = ("event", "event_time", "updated_at", "known_at", "timezone", "where", "duplicates")
_WORDS = frozenset(["", "yes", "no", "on", "off", "true", "false", "null", "y", "n", "~"])


def feeds_yaml(proposal: Proposal) -> str:
    """Return ``features/feeds.yaml``."""
    lines = [
        "# Proposed by `nextbest init` from what the files hold; every line may be changed. What stands after # is the",
        "# reason, or what a person should look at. Columns that no field takes survive as FEED.COLUMN; `drop` removes",
        "# them, `pii` marks them as personal.",
        "",
        "company:",
        "  currency: EUR # no file says in which money amounts are: write yours",
        "  timezone: UTC # where the company's days begin: write yours",
        "",
        "feeds:",
    ]
    for feed in proposal.feeds:
        lines += [*_feed(feed), ""]
    for left in proposal.left_out:
        lines += [*_left_out(left), ""]
    lines += _identity(proposal)
    lines += [
        "",
        "# What customer data may be used for. Ask your lawyers; `consent` needs a feed of consents.",
        "purposes:",
        "  marketing: {basis: legitimate_interest}",
        "  retention: {basis: legitimate_interest}",
        "  service: {basis: contract}",
    ]
    return "\n".join(lines) + "\n"


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
    lines += _dealings(proposal)
    for feed in proposal.of_kind("context"):
        numbers = [name for name, c in feed.given.table.columns.items() if c.is_number and not names_id(name)]
        chosen = [attribute_name(feed.name, name) for name in numbers if name not in feed.key]
        if chosen and feed.link is not None:
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


def _feed(feed: Proposed) -> list[str]:
    lines = [f"  # {feed.why}", *(f"  # {hint}" for hint in feed.hints), f"  {feed.name}:"]
    lines += [f"    source: {scalar(feed.given.source)}", f"    kind: {feed.kind}"]
    if feed.key:
        key = scalar(feed.key[0]) if len(feed.key) == 1 else _list(feed.key)
        lines += _line("    ", "key", Said(key, feed.key_why), raw=True)
    if feed.link is not None and feed.kind != "context":
        text = f"{feed.link.feed}.{feed.link.column} = {feed.name}.{feed.link.own}"
        lines += _line("    ", "customer", Said(text if _is_plain(text) else scalar(text), feed.link.reason), raw=True)
    settings = dict(feed.settings)
    for name in [*(name for name in _ORDER if name in settings), *(name for name in settings if name not in _ORDER)]:
        lines += _line("    ", name, settings[name])
    for name, said in feed.given.settings.items():
        lines += _line("    ", name, said, raw=True)
    if feed.fields:
        lines.append("    fields:")
        for field, said in feed.fields.items():
            lines += _line("      ", field, said)
    if feed.pii:
        lines.append(f"    pii: {_list(feed.pii)} # they identify people")
    if feed.drop:
        lines.append(f"    drop: {_list(feed.drop)}")
    return lines


def _is_plain(text: str) -> bool:
    return re.fullmatch(r"[A-Za-z0-9_. =-]+", text) is not None


def _line(indent: str, name: str, said: Said, *, raw: bool = False) -> list[str]:
    text = f"{indent}{name}: {said.value if raw else scalar(said.value)}"
    if not said.reason:
        return [text]
    if len(text) + len(said.reason) <= _WIDTH:
        return [f"{text} # {said.reason}"]
    return [f"{indent}# {said.reason}", text]


def _list(columns: Iterable[str]) -> str:
    return f"[{', '.join(scalar(column) for column in columns)}]"


def _left_out(left: LeftOut) -> Iterator[str]:
    yield f"  # {left.name} ({left.source}) is left out: {left.why}."
    if left.nearly is not None:
        yield "  # To take it, remove the # before each line below, and say when."
        yield from (f"  #{line}" for line in _feed(left.nearly)[1:])


def _identity(proposal: Proposal) -> list[str]:
    customers = proposal.of_kind("customers")
    named = {field for feed in customers for field in feed.fields if field in PERSONAL_FIELDS}
    if named & {"last_name", "full_name"} and len(named) > 2:
        why = f"records with like {', '.join(sorted(named))} are weighed and joined"
        return ["identity:", f"  rules: people # {why}; `keys` joins by declared links only"]
    if named & {"email", "phone"}:
        return ["identity:", "  rules: exact # records with an equal e-mail or telephone are one customer"]
    return ["identity:", "  rules: keys # nothing but declared links says that two records are one customer"]


def _attributes(feed: Proposed) -> list[str]:
    table = feed.given.table
    moments = {name for name, _ in find_moments(table).columns}
    named = {column.name for column in customer_columns(table)}
    read = frozenset[str]().union(*(columns_read(said.value, table) for said in feed.fields.values()))
    hidden = {*feed.drop, *feed.pii, *feed.key, *moments, *named, *read}
    return [
        name
        for name, column in table.columns.items()
        if name not in hidden and not names_id(name) and not may_leak(name) and is_telling(table, column)
    ]


def _dealings(proposal: Proposal) -> list[str]:
    lines: list[str] = []
    dealings: dict[str, list[Proposed]] = {}
    for feed in proposal.of_kind("events"):
        said = feed.settings.get("event") or feed.fields["event"]
        name = snake_case(said.value) if re.fullmatch(r"[a-z_0-9]+", said.value) and "event" in feed.settings else ""
        dealings.setdefault(name or ("purchase" if "'purchase'" in said.value else ""), []).append(feed)
    for event, feeds in dealings.items():
        lines += [f"  {event or 'event'}s:", "    from: events"]
        lines += [f"    where: event = '{event}'"] if event else []
        lines += _aggregates(feeds, {"amount": "[sum, mean]", "quantity": "[sum]", "item": "[nunique]"})
    offered = proposal.of_kind("interactions")
    if offered:
        lines += ["  offered:", "    from: interactions", *_aggregates(offered, {"offer": "[nunique]"})]
    return lines


def _aggregates(feeds: Sequence[Proposed], aggregates: dict[str, str]) -> list[str]:
    mapped = {field for feed in feeds for field in feed.fields}
    chosen = [f"{field}: {how}" for field, how in aggregates.items() if field in mapped]
    listed = ", ".join(['"*": [count, recency, tenure]', *chosen])
    return [f"    aggregates: {{{listed}}}", f"    windows: {_WINDOWS}"]
