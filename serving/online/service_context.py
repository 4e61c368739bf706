"""What a request is answered with: the decider, a reader of the online store and the roles, loaded once."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property

import numpy as np
import structlog

from features.base.errors import Unreachable
from features.base.workspace import Workspace
from features.store.online_reader import OnlineRow, open_reader
from features.streaming.intake import Intake
from features.streaming.open_event_log import open_log
from features.views.declarations import load_views
from serving.engine import Decider
from serving.online.feature_read_logger import OnlineReads, noting
from serving.online.role_settings import Risk
from serving.online.roles import Role, load_roles, read_roles

_LOG = structlog.get_logger("nextbest.online")
TTL_S = 300


@dataclass(frozen=True)
class Desk:
    """Reads customers for a role, as far as the role may see them.

    Attributes
    ----------
    profile : the features that come from the customers table
    intake : takes events in; none where no role may tell any
    ttl_s : for how many seconds an answer may be shown
    """

    decider: Decider
    reader: OnlineReads
    roles: tuple[Role, ...]
    risk: Risk
    profile: frozenset[str]
    intake: Intake | None = None
    ttl_s: int = TTL_S

    @cached_property
    def rule_columns(self) -> Mapping[str, frozenset[str]]:
        """The features and scores that each rule of an offer reads, by the rule's text."""
        rules = [rule for offer in self.decider.policy.offers for rule in offer.rules]
        return {rule.text: frozenset(rule.expression.columns) for rule in rules}

    def read(
        self,
        customers: Sequence[str],
        *,
        role: Role,
        as_of: datetime,
        also: Iterable[str] = (),
        without_values: bool = False,
    ) -> list[OnlineRow | None]:
        """Return each customer's newest values; None for one that is not known, or hidden from the role.

        Parameters
        ----------
        also : features besides those that deciding needs
        without_values : whether a row without any value will do where the store does not answer in time

        Raises
        ------
        Unreachable : the store does not answer, and the values are needed: for the answer, or to tell whether the
            role may see the customer
        """
        rule = role.rule
        needed = dict.fromkeys([*self.decider.features, *(rule.columns if rule else ()), *also])
        rows = self.reader.read(customers, [*(needed or self.decider.catalogue.features[:1])], as_of=as_of)
        unread = next((row.unread for row in rows if row.unread), "")
        if unread:
            _LOG.warning("unread", reason=unread)
            if rule is not None or not without_values:
                raise Unreachable(f"store.{unread}", "the online store does not answer", hint="look at its server")
        if rule is None:
            return [row if row.found or row.unread else None for row in rows]
        values = {name: [row.values[name] for row in rows] for name in rule.columns}
        seen = rule.evaluate(self.decider.columns(values, names=sorted(rule.columns)), rows=len(rows)).is_true()
        return [row if row.found and may else None for row, may in zip(rows, seen.tolist(), strict=True)]

    def risk_score(self, row: OnlineRow) -> float | None:
        """Return the score that the risk band is of; None where the model gives none."""
        model = self.risk.model
        if row.unread or model not in self.decider.scorer.models or self.decider.scorer.candidates(model):
            return None
        value = float(self.decider.scores([row], models=[model])[model].values[0])
        return value if np.isfinite(value) else None


def open_desk(workspace: Workspace) -> Desk:
    """Load everything that the service of a workspace needs; takes seconds."""
    roles, risk = read_roles(workspace)
    decider = Decider.open(workspace)
    reader = open_reader(workspace.root)
    views, _ = load_views(workspace)
    own = {name for name, view in views.views.items() if view.source == "customers"}
    profile = frozenset(
        feature.name for view in decider.catalogue.views if view.name in own for feature in view.features
    )
    told = any(role.may("events") for role in roles)
    intake = Intake(workspace, open_log(workspace)) if told else None
    desk = Desk(decider=decider, reader=reader, roles=roles, risk=risk, profile=profile, intake=intake)
    _warm_up(desk)
    return replace(desk, reader=noting(reader, workspace, load_roles(workspace)[0].served))


def _warm_up(desk: Desk) -> None:
    """Go once through all that the first caller would otherwise wait for; nothing is written."""
    now, decider = desk.decider.catalogue.as_of, desk.decider
    (nobody,) = desk.reader.read(["nobody"], decider.catalogue.features, as_of=now)
    values = {name: [nobody.values[name]] for name in decider.features}
    decider.decide(["nobody"], values, as_of=now, actor_role="", scope="online", log=False)
