"""What leaves the ledger: the contract's columns, pdstools' columns, Open Bandit's feedback."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from features.base.parquet import read_parquet
from serving.ledger.export import bandit_feedback, export_parquet, pdstools_table
from serving.ledger.ledger import DecisionLedger
from tests.serving.decisioning.world import NOW, ask, customers, offer, policy

CONTRACT = [
    *("interaction_id", "decision_id", "customer_id", "identity_version", "decision_time", "channel", "purpose"),
    *("actor_role", "offer", "group", "stage", "rank", "propensity", "value", "context_weight", "lever", "priority"),
    *("selection_prob", "control_group", "policy_version", "model_versions", "feature_time", "consent_record"),
    *("outcome", "outcome_time", "outcome_value", "override_reason"),
]
HOUR = timedelta(hours=1)


@pytest.fixture
def ledger(tmp_path: Path) -> Any:
    """Yield a ledger in which ann accepts `boost` after seeing it, and bob, who may not have it, gets nothing."""
    catalogue = policy(offer("boost"), offer("more", channels=["email"], value={"margin": 50}))
    ann, bob = ask(customers("ann", "bob", consent=[1.0, 0.0]), catalogue, model_versions={"m": "abc"})
    with DecisionLedger(tmp_path / "decisions.db") as opened:
        opened.append([ann, bob], actor_role="batch")
        opened.record_outcome(ann.decision_id, "boost", "accepted", at=NOW + HOUR, value=80.0)
        opened.record_outcome(ann.decision_id, "boost", "impression", at=NOW + 2 * HOUR)
        yield opened


def test_the_parquet_file_has_the_contracts_columns_in_its_order(ledger: DecisionLedger, tmp_path: Path) -> None:
    assert export_parquet(ledger, tmp_path / "ledger.parquet") == 5
    table = read_parquet(tmp_path / "ledger.parquet")
    assert table.column_names == CONTRACT
    assert table.schema.field("decision_time").type == pa.timestamp("us", tz="UTC")
    rows = {(row["customer_id"], row["offer"]): row for row in table.to_pylist()}
    assert {key: row["stage"] for key, row in rows.items()} == {
        ("ann", "boost"): "offered",
        ("ann", "more"): "offered",
        ("bob", "NO_ACTION"): "no_action",
        ("bob", "boost"): "consent",
        ("bob", "more"): "consent",
    }
    boost = rows["ann", "boost"]
    assert boost["interaction_id"] == f"{boost['decision_id']}/boost"
    assert (boost["decision_time"], boost["rank"], boost["priority"]) == (NOW, 1, 5.0)
    assert (boost["outcome"], boost["outcome_time"], boost["outcome_value"]) == ("accepted", NOW + HOUR, 80.0)
    assert (boost["model_versions"], boost["policy_version"], boost["actor_role"]) == ('{"m": "abc"}', "v1", "batch")
    assert rows["bob", "boost"]["priority"] is None
    assert rows["bob", "boost"]["control_group"] is False


def test_every_interaction_id_stands_once(ledger: DecisionLedger, tmp_path: Path) -> None:
    export_parquet(ledger, tmp_path / "ledger.parquet")
    ids = read_parquet(tmp_path / "ledger.parquet")["interaction_id"].to_pylist()
    assert len(set(ids)) == len(ids)


def test_the_offers_not_made_may_be_left_out(ledger: DecisionLedger, tmp_path: Path) -> None:
    assert export_parquet(ledger, tmp_path / "ledger.parquet", blocked=False) == 3


def test_an_empty_ledger_exports_the_columns_and_no_rows(tmp_path: Path) -> None:
    with DecisionLedger(tmp_path / "empty.db") as empty:
        assert export_parquet(empty, tmp_path / "empty.parquet") == 0
        assert pdstools_table(empty).num_rows == 0
        assert bandit_feedback(empty).n_rounds == 0
    assert read_parquet(tmp_path / "empty.parquet").column_names == CONTRACT


def test_pdstools_reads_one_row_per_outcome_with_the_columns_it_requires(ledger: DecisionLedger) -> None:
    table = pdstools_table(ledger)
    assert {"InteractionID", "Outcome", "OutcomeTime"} <= set(table.column_names)
    rows = [(row["Name"], row["Outcome"], row["OutcomeTime"], row["Direction"]) for row in table.to_pylist()]
    assert rows == [
        ("boost", "Accepted", NOW + HOUR, "Outbound"),
        ("boost", "Impression", NOW + 2 * HOUR, "Outbound"),
        ("more", "Pending", NOW, "Outbound"),
    ]


def test_bandit_feedback_has_one_round_for_each_offer_that_reached_a_customer(ledger: DecisionLedger) -> None:
    feedback = bandit_feedback(ledger).as_dict()
    assert set(feedback) == {"n_rounds", "n_actions", "context", "action", "reward", "pscore", "position"}
    assert (feedback["n_rounds"], feedback["n_actions"]) == (2, 2)
    assert feedback["reward"].tolist() == [1, 0]
    assert feedback["action"].tolist() == [0, 1]
    assert feedback["pscore"].tolist() == [1, 1]
    assert feedback["position"].tolist() == [0, 1]
    assert feedback["context"].tolist() == [[1, 0], [0, 1]]


def test_a_context_may_be_given_by_decision(ledger: DecisionLedger) -> None:
    known = bandit_feedback(ledger).decision_ids[0]
    feedback = bandit_feedback(ledger, context={known: np.array([3.0, 4.0])})
    assert feedback.context.tolist() == [[3, 4], [3, 4]]
    assert bandit_feedback(ledger, context={"other": np.array([1.0])}).n_rounds == 0
