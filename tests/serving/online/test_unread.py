"""When the online store does not answer: a decision that says so, and no answer made of values that nobody read."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from features.base.workspace import Workspace
from features.store.online_reader import OnlineReader, OnlineRow, Unread
from features.store.online_records_sqlite import SqliteRecords
from tests.serving.house import NOW, customer
from tests.serving.online.client import Client, problem
from tests.serving.online.conftest import Running, key_of

CONSENT = "consent__marketing"
ASK = {"customer_id": customer(0), "purpose": "marketing", "channel": "email", "context": {}}


class Silent:
    """An online store that does not answer."""

    def __init__(self, reason: Unread) -> None:
        self.reason: Unread = reason

    def read(self, customers: Sequence[str], features: Sequence[str], *, as_of: datetime) -> list[OnlineRow]:
        del as_of
        values, status = dict.fromkeys(features), dict.fromkeys(features, "missing")
        return [OnlineRow(who, False, values, status, {}, self.reason) for who in customers]  # type: ignore[arg-type]


@pytest.mark.parametrize("reason", ["timeout", "unreachable"])
def test_a_decision_says_what_it_was_made_without(
    make: Callable[..., Running], keyed: Workspace, reason: Unread
) -> None:
    client = Client(make(reads=Silent(reason)).guarded, key_of(keyed, "everything"))
    told = client.post("/v1/decide", ASK).json()
    assert f"store:{reason}" in told["degraded"]
    assert [one for one in told["degraded"] if one.startswith("missing:")]
    assert "risk_band" not in told
    assert (told["items"], told["no_action_reason"]) == ([], "features_unread")


def test_with_the_store_away_nobody_gets_an_offer_whatever_its_basis(
    make: Callable[..., Running], keyed: Workspace
) -> None:
    running = make(reads=Silent("timeout"))
    client = Client(running.guarded, key_of(keyed, "everything"))
    told = client.post("/v1/decide", {"customer_id": customer(0), "purpose": "service"}).json()
    assert (told["items"], told["no_action_reason"]) == ([], "features_unread")
    assert running.context.decider.ledger.get(told["decision_id"]).model_versions == {}  # nothing was scored


def test_a_customer_who_is_not_known_gets_neither_a_score_nor_an_offer(running: Running) -> None:
    decider = running.context.decider
    (nobody,) = running.context.reader.read(["nobody"], decider.features, as_of=NOW)
    answer = decider.decide_online(
        nobody, as_of=NOW, actor_role="a", channel=None, purpose="service", nonce="n", log=False
    )
    assert answer.decision.no_action_reason == "customer_unknown"
    assert np.isnan(decider.scores([nobody], models=["churn"])["churn"].values).all()


def test_a_consent_that_is_missing_online_stops_the_offers_of_its_purpose(running: Running) -> None:
    decider = running.context.decider
    rows = running.context.reader.read([customer(number) for number in range(40)], decider.features, as_of=NOW)
    for row in rows:
        lost = replace(row, values={**row.values, CONSENT: None}, status={**row.status, CONSENT: "missing"})
        decision = decider.decide_online(
            lost, as_of=NOW, actor_role="a", channel="email", purpose="marketing", nonce="n", log=False
        ).decision
        assert decision.items == ()
        assert {one.rule for one in decision.blocked if one.stage == "consent"} == {"consent:marketing is unread"}


def test_scores_and_customers_are_not_told_without_values(make: Callable[..., Running], keyed: Workspace) -> None:
    client = Client(make(reads=Silent("timeout")).guarded, key_of(keyed, "everything"))
    asked = client.post("/v1/score", {"customer_ids": [customer(0)], "models": ["churn"]})
    assert problem(asked)[:2] == (503, "store.timeout")
    assert problem(client.get(f"/v1/customers/{customer(0)}"))[:2] == (503, "store.timeout")


def test_a_role_that_sees_some_customers_is_not_answered_about_one_that_may_be_hidden(
    make: Callable[..., Running], keyed: Workspace
) -> None:
    client = Client(make(reads=Silent("timeout")).guarded, key_of(keyed, "north_service"))
    told = client.post("/v1/decide", {"customer_id": customer(0), "purpose": "service"})
    assert problem(told)[:2] == (503, "store.timeout")


def test_the_service_never_imports_feast(keyed: Workspace) -> None:
    program = f"""
import json, sys
from pathlib import Path
from features.base.workspace import Workspace
import serving.online.service
from serving.online.service_context import open_service_context
context = open_service_context(Workspace(Path({str(keyed.root)!r})))
print(json.dumps([len(context.decider.features), "feast" in sys.modules]))
"""
    ran = subprocess.run([sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True)
    features, feast = json.loads(ran.stdout.splitlines()[-1])
    assert features > 0
    assert not feast


def test_a_deleted_online_store_is_noticed_and_the_service_recovers_when_it_is_back(
    keyed: Workspace, tmp_path: Path, make: Callable[..., Running]
) -> None:
    online = keyed.state / "feast" / "online.db"
    here = Path(shutil.copy(online, tmp_path / "online.db"))
    running = make(reads=OnlineReader(SqliteRecords(here), deadline=timedelta(seconds=30)))
    client = Client(running.guarded, key_of(keyed, "everything"))
    assert client.get("/ready").status_code == 200
    away = here.rename(tmp_path / "away.db")
    assert problem(client.get("/ready"))[:2] == (503, "store.unreachable")
    answer = client.post("/v1/decide", ASK).json()
    assert "store:unreachable" in answer["degraded"]
    assert (answer["items"], answer["no_action_reason"]) == ([], "features_unread")
    away.rename(here)
    assert client.get("/ready").status_code == 200
    assert "store:unreachable" not in client.post("/v1/decide", ASK).json()["degraded"]
