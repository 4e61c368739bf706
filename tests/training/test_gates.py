"""Each promotion rule, made to pass, to fail, and to not apply."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from features.base.errors import BadConfiguration, BadData
from training.validation.gates import RULES, GateEvidence, GateLimits, PeerComparison, apply_gates

GOOD = GateEvidence(
    metric="auc",
    value=0.80,
    positives=500,
    peers={"logistic": PeerComparison(0.78, low=0.01, high=0.03), "recency": PeerComparison(0.70, low=0.08, high=0.12)},
    ece=0.02,
    single_aucs={"tenure": 0.7},
    leaks=(),
    data_checks=(),
    champion=PeerComparison(0.79),
    folds=(0.79, 0.80, 0.81),
)
LOSS = replace(GOOD, metric="log_loss", value=0.40, folds=(0.39, 0.41), champion=PeerComparison(0.41))


def outcome(code: str, evidence: GateEvidence, limits: GateLimits | None = None) -> str:
    return next(v.outcome for v in apply_gates(evidence, limits or GateLimits()).rules if v.code == code)


def test_a_challenger_that_shows_everything_is_promoted_without_reasons() -> None:
    decision = apply_gates(GOOD, GateLimits())
    assert (decision.verdict, decision.reasons) == ("promote", ())
    assert {v.outcome for v in decision.rules} == {"passed"}


@pytest.mark.parametrize(
    ("code", "evidence"),
    [
        ("TG001", replace(GOOD, positives=49)),
        ("TG002", replace(GOOD, peers={"logistic": PeerComparison(0.81)})),
        ("TG002", replace(GOOD, peers={"logistic": PeerComparison(0.80)})),
        ("TG002", replace(LOSS, peers={"logistic": PeerComparison(0.39)})),
        ("TG003", replace(GOOD, ece=0.051)),
        ("TG008", replace(GOOD, data_checks=("DC005 events have times of their own: no",))),
        ("TG004", replace(GOOD, single_aucs={"closed_on": 0.99})),
        ("TG005", replace(GOOD, leaks=("status.churn_score is known later",))),
        ("TG006", replace(GOOD, champion=PeerComparison(0.81))),
        ("TG006", replace(LOSS, champion=PeerComparison(0.39))),
        ("TG007", replace(GOOD, folds=(0.85, 0.85, 0.70))),
        ("TG007", replace(LOSS, folds=(0.35, 0.35, 0.50))),
    ],
)
def test_a_rule_that_fails_holds_the_challenger_and_says_why(code: str, evidence: GateEvidence) -> None:
    base = LOSS if evidence.metric == "log_loss" else GOOD
    if base is LOSS:
        evidence = replace(evidence, peers=evidence.peers if code == "TG002" else {})
    decision = apply_gates(evidence, GateLimits())
    assert decision.verdict == "hold"
    assert [reason[:5] for reason in decision.reasons] == [code]


@pytest.mark.parametrize(
    ("code", "evidence"),
    [
        ("TG001", replace(GOOD, metric="rmse", value=1.0, positives=None, peers={}, champion=None, folds=())),
        ("TG002", replace(GOOD, peers={})),
        ("TG003", replace(GOOD, ece=None)),
        ("TG004", replace(GOOD, single_aucs=None)),
        ("TG005", replace(GOOD, leaks=None)),
        ("TG008", replace(GOOD, data_checks=None)),
        ("TG006", replace(GOOD, champion=None)),
        ("TG007", replace(GOOD, folds=(0.8,))),
    ],
)
def test_a_rule_without_its_evidence_does_not_apply_and_does_not_hold(code: str, evidence: GateEvidence) -> None:
    assert outcome(code, evidence) == "not_applicable"
    assert apply_gates(evidence, GateLimits()).verdict == "promote"


def test_every_rule_has_its_own_code_and_title() -> None:
    assert [rule.code for rule in RULES] == [f"TG{n:03}" for n in range(1, len(RULES) + 1)]
    assert len({rule.title for rule in RULES}) == len(RULES)


def test_the_failing_peer_and_the_telling_feature_are_named() -> None:
    assert (
        "recency reaches 0.9000"
        in apply_gates(replace(GOOD, peers={"recency": PeerComparison(0.9)}), GateLimits()).reasons[0]
    )
    assert "closed_on" in apply_gates(replace(GOOD, single_aucs={"closed_on": 1.0}), GateLimits()).reasons[0]


def test_with_confidence_asked_the_interval_decides() -> None:
    sure, unsure = (
        GateLimits(peer_confidence=True),
        replace(GOOD, peers={"logistic": PeerComparison(0.78, low=-0.01, high=0.05)}),
    )
    assert outcome("TG002", GOOD, sure) == "passed"
    assert outcome("TG002", unsure) == "passed"
    assert outcome("TG002", unsure, sure) == "failed"
    assert outcome("TG002", replace(GOOD, peers={"logistic": PeerComparison(0.78)}), sure) == "failed"
    better = {"logistic": PeerComparison(0.42, low=-0.03, high=-0.01)}
    assert outcome("TG002", replace(LOSS, peers=better), sure) == "passed"


def test_a_margin_must_be_won() -> None:
    assert outcome("TG002", GOOD, GateLimits(peer_margin=0.019)) == "passed"
    assert outcome("TG002", GOOD, GateLimits(peer_margin=0.03)) == "failed"


def test_a_little_below_the_champion_is_still_the_same() -> None:
    assert outcome("TG006", replace(GOOD, champion=PeerComparison(0.804))) == "passed"
    assert (
        outcome("TG006", replace(GOOD, champion=PeerComparison(0.804)), GateLimits(champion_tolerance=0.0)) == "failed"
    )


def test_a_rule_can_be_switched_off_by_its_code_only() -> None:
    assert outcome("TG003", replace(GOOD, ece=0.5), GateLimits(off=("TG003",))) == "not_applicable"
    with pytest.raises(BadConfiguration, match=r"gates\.unknown"):
        apply_gates(GOOD, GateLimits(off=("TG999",)))


@pytest.mark.parametrize(
    "wrong", [{"value": float("nan")}, {"ece": float("nan")}, {"champion": PeerComparison(float("nan"))}]
)
def test_a_number_that_is_none_is_no_evidence(wrong: dict[str, object]) -> None:
    with pytest.raises(BadData, match=r"evidence\.missing"):
        apply_gates(replace(GOOD, **wrong), GateLimits())  # type: ignore[arg-type]


def test_an_unknown_limit_is_refused() -> None:
    with pytest.raises(ValidationError):
        GateLimits.model_validate({"max_ecee": 0.1})
