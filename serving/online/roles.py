"""Roles with their keys hashed and their row rules parsed; every problem of the file is reported at once."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterator, Mapping, Sequence, Set
from dataclasses import dataclass, field
from pathlib import Path

from features.base.errors import BadConfiguration, Problem
from features.base.expressions.expression import Expression, parse
from features.base.workspace import Workspace, reveal
from features.config.loading import Lines, did_you_mean, load
from features.config.workspace_files import load_feeds
from features.snapshots.build_report import read_report
from serving.online.role_settings import FILE, NEEDED, ActionName, FieldName, RiskBands, RolesFile

SHORTEST_KEY = 20
_RULE_NAME = re.compile(r"^[A-Za-z0-9][A-Za-z0-9.\-]*(?:_[A-Za-z0-9.\-]+)*$")


@dataclass(frozen=True)
class Role:
    """What a key permits: purposes, fields, customers, channels and actions.

    Attributes
    ----------
    key_digest : SHA-256 of the key; the key itself is not stored
    rule : which customers it may see; none is all
    channels : the channels it decides for and reports outcomes of; none is any
    actions : what it may do of all that its fields allow; none is all of that
    """

    name: str
    purposes: frozenset[str]
    fields: frozenset[FieldName]
    rule: Expression | None = None
    channels: frozenset[str] | None = None
    actions: frozenset[ActionName] | None = None
    key_digest: bytes = field(default=b"", repr=False)

    def holds(self, *names: FieldName) -> bool:
        """Return whether the role holds at least one of these fields."""
        return not self.fields.isdisjoint(names)

    def may(self, action: ActionName) -> bool:
        """Return whether the role has the right to an action and holds one of the fields that it needs.

        Examples
        --------
        >>> clerk = Role("clerk", purposes=frozenset({"service"}), fields=frozenset({"offers"}))
        >>> clerk.may("decide"), clerk.may("metrics")
        (True, False)
        >>> Role("bot", frozenset({"service"}), frozenset({"offers"}), actions=frozenset({"outcomes"})).may("decide")
        False
        """
        return self.has_right(action) and self.holds(*NEEDED[action])

    def has_right(self, action: ActionName) -> bool:
        """Return whether an action is among the role's; where it names none, all are."""
        return self.actions is None or action in self.actions

    def acts_through(self, channel: str | None) -> bool:
        """Return whether a channel is one of the role's; none, which is any channel, only where the role has all.

        Examples
        --------
        >>> shop = Role("shop", frozenset(), frozenset(), channels=frozenset({"email"}))
        >>> shop.acts_through("email"), shop.acts_through(None)
        (True, False)
        """
        return self.channels is None or channel in self.channels


def load_roles(workspace: Workspace) -> tuple[RolesFile, Lines]:
    """Read ``serving/roles.yaml``, without reading any key."""
    return load(workspace.file(FILE), RolesFile, name=FILE)


def check_roles(settings: RolesFile, lines: Lines, *, features: Set[str], purposes: Set[str]) -> list[Problem]:
    """Return everything that is wrong with the roles but their keys, each with its line.

    Parameters
    ----------
    features : names of the known features, for row rules
    purposes : names of the declared purposes
    """
    return [*_check(settings, lines, features=features, purposes=purposes)]


def compile_roles(
    settings: RolesFile, lines: Lines, *, root: Path, features: Set[str], purposes: Set[str]
) -> tuple[Role, ...]:
    """Return the roles with their keys read.

    Raises
    ------
    BadConfiguration : with every problem: an unknown purpose, rule or feature, a key that is absent, too short, or
        another role's
    """
    problems = check_roles(settings, lines, features=features, purposes=purposes)
    roles: list[Role] = []
    holders: dict[bytes, str] = {}
    for name, role in settings.roles.items():
        where = lines.where(("roles", name, "key"))
        try:
            digest = _key_digest(reveal(role.key, root=root, where=where), where=where)
        except BadConfiguration as error:
            problems += error.problems
            continue
        if digest in holders:
            same = f"the roles {holders[digest]!r} and {name!r} have the same key"
            problems.append(Problem("roles.key_shared", same, where, "give each role a key of its own"))
        holders[digest] = name
        text = _rows(settings, role.rows)
        if not problems:
            roles.append(
                Role(
                    name=name,
                    purposes=frozenset(role.purposes),
                    fields=frozenset(role.fields),
                    rule=None if text is None else parse(text, where=lines.where(("roles", name, "rows"))),
                    channels=None if role.channels is None else frozenset(role.channels),
                    actions=None if role.actions is None else frozenset(role.actions),
                    key_digest=digest,
                )
            )
    if problems:
        raise BadConfiguration.of(problems)
    return tuple(roles)


def read_roles(workspace: Workspace) -> tuple[tuple[Role, ...], RiskBands]:
    """Return the workspace's roles with their keys, and how risk is banded.

    Raises
    ------
    BadConfiguration : with every problem of ``serving/roles.yaml``
    BadData : when no features have been built
    """
    settings, lines = load_roles(workspace)
    feeds, _ = load_feeds(workspace)
    features = set(read_report(workspace).features)
    roles = compile_roles(settings, lines, root=workspace.root, features=features, purposes=set(feeds.purposes))
    return roles, settings.risk


def role_of(key: str, roles: Sequence[Role]) -> Role | None:
    """Return the role of a key; every role is compared, in a time that does not depend on the key.

    Examples
    --------
    >>> clerk = Role("clerk", frozenset(), frozenset(), key_digest=hashlib.sha256(b"a long random key").digest())
    >>> role_of("a long random key", [clerk]) is clerk
    True
    >>> role_of("another key", [clerk]) is None
    True
    """
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).digest()
    found = None
    for role in roles:
        if hmac.compare_digest(digest, role.key_digest):
            found = role
    return found


def _check(settings: RolesFile, lines: Lines, *, features: Set[str], purposes: Set[str]) -> Iterator[Problem]:
    for name, rule in settings.row_rules.items():
        yield from _rule(rule, lines.where(("row_rules", name)), features)
    for name, role in settings.roles.items():
        for index, purpose in enumerate(role.purposes):
            if purpose not in purposes:
                where = lines.where(("roles", name, "purposes", index))
                hint = did_you_mean(purpose, sorted(purposes))
                yield Problem("roles.unknown_purpose", f"unknown purpose {purpose!r}", where, hint)
        for index, action in enumerate(role.actions or ()):
            if not set(NEEDED[action]).intersection(role.fields):
                where = lines.where(("roles", name, "actions", index))
                hint = f"add one of these to its fields: {', '.join(NEEDED[action])}"
                yield Problem("roles.action_without_field", f"{action!r} needs a field that is not held", where, hint)
        where = lines.where(("roles", name, "rows"))
        if role.rows == "all" or role.rows in settings.row_rules:
            continue
        if _RULE_NAME.match(role.rows):
            hint = did_you_mean(role.rows, ["all", *settings.row_rules])
            hint += "; define it under row_rules, or write an expression over features"
            yield Problem("roles.unknown_row_rule", f"unknown row rule {role.rows!r}", where, hint)
        else:
            yield from _rule(role.rows, where, features)


def _rule(text: str, where: str, features: Set[str]) -> Iterator[Problem]:
    try:
        expression = parse(text, where=where).require_evaluable()
    except BadConfiguration as error:
        yield from error.problems
        return
    for name in sorted(expression.columns - features):
        yield Problem("roles.unknown_feature", f"unknown feature {name!r}", where, did_you_mean(name, sorted(features)))


def _rows(settings: RolesFile, rows: str) -> str | None:
    rules: Mapping[str, str] = settings.row_rules
    return None if rows == "all" else rules.get(rows, rows)


def _key_digest(key: str, *, where: str) -> bytes:
    if len(key) < SHORTEST_KEY:
        raise BadConfiguration(
            "roles.key_short",
            f"the key has {len(key)} characters; at least {SHORTEST_KEY} are needed",
            where=where,
            hint="remove the file to have one made, or set a random one of 32 bytes or more",
        )
    return hashlib.sha256(key.encode()).digest()
