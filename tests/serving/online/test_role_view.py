"""The rule that stopped an offer, for roles that may see what it reveals of the customer and for those that may not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import cast

import pytest

from serving.decisioning.reason_codes import Blocked, Stage
from serving.engine import Decider
from serving.online.feature_read_logger import OnlineReads
from serving.online.role_settings import FieldName, RiskBands
from serving.online.role_view import blocked_reply
from serving.online.roles import Role
from serving.online.service_context import ServiceContext


@pytest.mark.parametrize(
    ("stage", "rule", "revealing"),
    [
        (Stage.CONSENT, "objection:marketing", "consents"),
        (Stage.CONSENT, "consent:marketing", "consents"),
        (Stage.CONSENT, "consent:marketing is unread", "consents"),
        (Stage.CAP, "email 2 in 7d", "features"),
        (Stage.SUPPRESSION, "rejected 30d", "features"),
        (Stage.CHANNEL, "channel:email", "blocked"),
    ],
)
def test_a_rule_is_shown_only_to_a_role_that_holds_what_it_reveals(
    stage: Stage, rule: str, revealing: FieldName
) -> None:
    decider = cast(Decider, SimpleNamespace(policy=SimpleNamespace(offers=())))
    reads = cast(OnlineReads, SimpleNamespace())
    context = ServiceContext(decider, reader=reads, roles=(), risk=RiskBands(), profile=frozenset())
    shown = {}
    for field in ("blocked", "consents", "features", "decision"):
        role = Role("clerk", purposes=frozenset(), fields=frozenset({"blocked", field}))
        reply = blocked_reply(Blocked("stay", stage, rule), role=role, context=context)
        assert (reply.offer, reply.stage) == ("stay", stage)
        shown[field] = reply.model_dump(exclude_unset=True).get("rule")
    expected = set(shown) if revealing == "blocked" else {revealing}
    assert {field for field, value in shown.items() if value == rule} == expected
    assert {value for value in shown.values() if value is not None} == {rule}
