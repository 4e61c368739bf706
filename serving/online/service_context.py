"""Everything that answering a request needs, loaded once: the decider, a reader of the online store, the roles."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from pathlib import Path

import numpy as np
import structlog

from features.base.errors import BadConfiguration, Unreachable
from features.base.workspace import Workspace
from features.config.workspace_files import load_views
from features.store.online_reader import OnlineRow, open_reader
from features.streaming.intake import Intake
from features.streaming.open_event_log import open_log
from serving.engine import Decider
from serving.online.deadline import DEADLINE_S
from serving.online.feature_read_logger import OnlineReads, log_reads
from serving.online.role_settings import RiskBands
from serving.online.roles import Role, load_roles, read_roles

_LOG = structlog.get_logger("nextbest.online")
TTL_S = 300
WORKSPACE = "NEXTBEST_WORKSPACE"
_NO_CUSTOMER = "no customer"


@dataclass(frozen=True)
class ServiceContext:
    """What the service answers with, and reading customers for a role, as far as the role may see them.

    Attributes
    ----------
    profile : the features that come from the customers table
    intake : takes events in; none where no role may send any
    ttl_s : for how many seconds an answer may be shown
    """

    decider: Decider
    reader: OnlineReads
    roles: tuple[Role, ...]
    risk: RiskBands
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
        """Return each customer's newest values; None for one who is not known, or hidden from the role.

        Parameters
        ----------
        also : features besides those that deciding needs
        without_values : whether a row without any value is returned where the store does not answer in time

        Raises
        ------
        Unreachable : the store does not answer, and the values are needed: for the answer, or to find out whether the
            role may see the customer
        """
        rule = role.rule
        needed = dict.fromkeys([*self.decider.features, *(rule.columns if rule else ()), *also])
        rows = self.reader.read(customers, [*needed] or self._one_feature, as_of=as_of)
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

    def unread_reason(self) -> str:
        """Return why the online store cannot be read at this moment: ``timeout``, ``unreachable``; empty if it can."""
        (row,) = self.reader.read([_NO_CUSTOMER], self._one_feature, as_of=self.decider.catalogue.as_of)
        return row.unread

    @property
    def _one_feature(self) -> list[str]:
        return [*self.decider.catalogue.features[:1]]

    def risk_score(self, row: OnlineRow) -> float | None:
        """Return the score that the risk band is of; None where the model gives none."""
        model = self.risk.model
        if row.unread or model not in self.decider.scorer.models or self.decider.scorer.candidates(model):
            return None
        value = float(self.decider.scores([row], models=[model])[model].values[0])
        return value if np.isfinite(value) else None


def load_service_context() -> ServiceContext:
    """Load the service context of the workspace that the environment names.

    Raises
    ------
    BadConfiguration : when it names none
    """
    folder = os.environ.get(WORKSPACE)
    if not folder:
        raise BadConfiguration(
            "serve.workspace", f"{WORKSPACE} is not set", hint="`nextbest serve` sets it; else set it to the folder"
        )
    return open_service_context(Workspace(Path(folder)))


def open_service_context(workspace: Workspace) -> ServiceContext:
    """Load everything that the service of a workspace needs; this takes seconds."""
    roles, risk = read_roles(workspace)
    decider = Decider.open(workspace, ledger_wait_s=DEADLINE_S)
    reader = open_reader(workspace.root)
    views, _ = load_views(workspace)
    own = {name for name, view in views.views.items() if view.source == "customers"}
    profile = frozenset(
        feature.name for view in decider.catalogue.views if view.name in own for feature in view.features
    )
    takes_events = any(role.may("events") for role in roles)
    intake = Intake(workspace, open_log(workspace)) if takes_events else None
    context = ServiceContext(decider=decider, reader=reader, roles=roles, risk=risk, profile=profile, intake=intake)
    _warm_up(context)
    return replace(context, reader=log_reads(reader, workspace, load_roles(workspace)[0].served))


def _warm_up(context: ServiceContext) -> None:
    """Decide once without writing it, so that the first caller does not wait for what is loaded at first use."""
    now, decider = context.decider.catalogue.as_of, context.decider
    (row,) = context.reader.read([_NO_CUSTOMER], decider.catalogue.features, as_of=now)
    values = {name: [row.values[name]] for name in decider.features}
    decider.decide([_NO_CUSTOMER], values, as_of=now, actor_role="", scope="online", log=False)
