"""One story for one customer or for all: the same inputs give the same decision."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from features.base.errors import BadConfiguration, BadData
from features.base.workspace import Workspace
from features.store.repository import Store
from serving.decisioning.decision import Decision
from serving.engine import Decider
from serving.ledger.ledger import DecisionLedger
from serving.scoring.scorer import Scorer
from tests.serving.house import CUTOFF, FILES, NOW, customer


def in_batch(decider: Decider, store: Store, *, log: bool = False, explain: int | None = None) -> list[Decision]:
    frame = store.latest(decider.features, as_of=CUTOFF)
    ids = frame["customer_id"].tolist()
    return decider.decide(ids, frame, as_of=NOW, actor_role="batch", purpose="marketing", log=log, explain=explain)


def online(decider: Decider, store: Store, who: str, *, log: bool = False) -> Decision:
    (row,) = store.online([who], decider.features, as_of=NOW)
    answer = decider.decide_online(
        row, as_of=NOW, actor_role="agent", channel=None, purpose="marketing", nonce="request-1", log=log
    )
    assert answer.degraded == ()
    return answer.decision


def test_a_customer_gets_the_same_decision_in_batch_and_online(decider: Decider, store: Store) -> None:
    batch = in_batch(decider, store)
    assert {decision.is_no_action for decision in batch} == {True, False}
    for decision in batch[:40]:
        alone = online(decider, store, decision.customer_id)
        assert replace(alone, scope="batch", decision_id=decision.decision_id) == decision


def test_many_threads_at_once_get_what_each_would_get_alone(decider: Decider, store: Store) -> None:
    who = [customer(number) for number in range(60)]
    alone = [online(decider, store, one) for one in who]
    with ThreadPoolExecutor(8) as threads:
        together = list(threads.map(lambda one: online(decider, store, one, log=True), who))
    assert together == alone
    assert [decider.ledger.get(decision.decision_id) for decision in together] == alone


def test_deciding_again_gives_the_same_decisions_and_writes_them_once(decider: Decider, store: Store) -> None:
    first = in_batch(decider, store, log=True)
    assert in_batch(decider, store, log=True) == first
    assert decider.ledger.append(first, actor_role="batch") == 0
    assert decider.ledger.get(first[0].decision_id) == first[0]


def test_an_offer_made_in_batch_counts_towards_the_caps_online(decider: Decider, store: Store) -> None:
    batch = in_batch(decider, store, log=True)
    who = next(one.customer_id for one in batch if "toy-box" in [item.offer for item in one.items])
    (row,) = store.online([who], decider.features, as_of=NOW)
    later = decider.decide_online(
        row, as_of=NOW + timedelta(hours=1), actor_role="a", channel=None, purpose="marketing", nonce="2", log=False
    ).decision
    assert [one.rule for one in later.blocked if one.offer == "toy-box"] == ["at most 1 in 7d"]


def test_only_what_is_shown_is_explained(decider: Decider, store: Store) -> None:
    def drivers(decision: Decision) -> list[int]:
        return [sum(reason.code == "driver" for reason in item.reasons) for item in decision.items]

    two = next(one for one in in_batch(decider, store) if len(one.items) == 2)
    assert all(drivers(two))
    assert two.items[0].reasons[0].code == "driver"
    (first_only,) = (o for o in in_batch(decider, store, explain=1) if o.customer_id == two.customer_id)
    assert [bool(count) for count in drivers(first_only)] == [True, False]


def test_the_consent_that_was_read_stands_in_the_decision(decider: Decider, store: Store) -> None:
    records = {one.customer_id: one.consent_record for one in in_batch(decider, store)}
    assert records[customer(0)] == "marketing=web:0"
    assert None in records.values()


def test_a_model_without_a_champion_degrades_and_blocks_its_offers_only(decider: Decider, store: Store) -> None:
    churn_only = Scorer({"churn": decider.scorer.bundles["churn"]}, {"churn": "x"})
    poorer = Decider(policy=decider.policy, scorer=churn_only, ledger=decider.ledger, catalogue=decider.catalogue)
    assert poorer.degraded == ("score_missing:cross_sell",)
    decisions = in_batch(poorer, store)
    assert all(one.is_no_action for one in decisions)
    assert "score_missing" in {str(blocked.stage) for one in decisions for blocked in one.blocked}


def test_values_older_than_their_ttl_are_used_and_named_stale(decider: Decider, store: Store) -> None:
    (row,) = store.online([customer(0)], decider.features, as_of=NOW + timedelta(days=9))
    assert decider.freshness(row) == ("stale:purchases",)


def test_a_missing_feature_is_named(decider: Decider) -> None:
    with pytest.raises(BadData, match=decider.features[0]):
        decider.decide(["ann"], {}, as_of=NOW, actor_role="batch")


def test_capacity_taken_earlier_in_the_company_s_day_is_gone(decider: Decider, store: Store, tmp_path: Path) -> None:
    frame = store.latest(decider.features, as_of=CUTOFF)
    ids = frame["customer_id"].tolist()

    def calls(at: timedelta, ledger: DecisionLedger) -> int:
        one = Decider(policy=few, scorer=decider.scorer, ledger=ledger, catalogue=decider.catalogue)
        made = one.decide(ids, frame, as_of=CUTOFF + at, actor_role="batch", purpose="service")
        return sum(not decision.is_no_action for decision in made)

    settings = decider.policy.settings
    few = replace(
        decider.policy,
        settings=settings.model_copy(
            update={"capacity": {"agent": settings.capacity["agent"].model_copy(update={"limit": 5})}}
        ),
    )
    with DecisionLedger(tmp_path / "other.db") as ledger:
        assert calls(timedelta(hours=1), ledger) == 5
        assert calls(timedelta(hours=2), ledger) == 0
        assert calls(timedelta(hours=23, minutes=30), ledger) == 5  # London is an hour ahead: its next day has begun


def test_an_offer_that_names_an_unknown_feature_is_refused_with_its_line(house: Workspace, tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(
            text.replace("suitability: purchases__count_30d", "suitability: purchases__cuont_30d")
        )
    (tmp_path / "state").symlink_to(house.state)
    with pytest.raises(BadConfiguration, match=r"offers\.yaml:14.*purchases__cuont_30d.*\n.*purchases__count_30d"):
        Decider.open(Workspace(tmp_path))
