"""Each promotion rule, made to pass, to fail, and to not apply."""

from __future__ import annotations

from dataclasses import replace

import pytest
from pydantic import ValidationError

from features.base.errors import BadConfiguration, BadData
from training.validation.gates import RULES, Evidence, Limits, Versus, judge

GOOD = Evidence(
    metric="auc",
    value=0.80,
    positives=500,
    peers={"logistic": Versus(0.78, low=0.01, high=0.03), "recency": Versus(0.70, low=0.08, high=0.12)},
    ece=0.02,
    single_aucs={"tenure": 0.7},
    leaks=(),
    champion=Versus(0.79),
    folds=(0.79, 0.80, 0.81),
)
LOSS = replace(GOOD, metric="log_loss", value=0.40, folds=(0.39, 0.41), champion=Versus(0.41))


def outcome(code: str, evidence: Evidence, limits: Limits | None = None) -> str:
    return next(v.outcome for v in judge(evidence, limits or Limits()).rules if v.code == code)


def test_a_challenger_that_shows_everything_is_promoted_without_reasons() -> None:
    judgement = judge(GOOD, Limits())
    assert (judgement.verdict, judgement.reasons) == ("promote", ())
    assert {v.outcome for v in judgement.rules} == {"passed"}


@pytest.mark.parametrize(
    ("code", "evidence"),
    [
        ("TG001", replace(GOOD, positives=49)),
        ("TG002", replace(GOOD, peers={"logistic": Versus(0.81)})),
        ("TG002", replace(GOOD, peers={"logistic": Versus(0.80)})),
        ("TG002", replace(LOSS, peers={"logistic": Versus(0.39)})),
        ("TG003", replace(GOOD, ece=0.051)),
        ("TG004", replace(GOOD, single_aucs={"closed_on": 0.99})),
        ("TG005", replace(GOOD, leaks=("status.churn_score is known later",))),
        ("TG006", replace(GOOD, champion=Versus(0.81))),
        ("TG006", replace(LOSS, champion=Versus(0.39))),
        ("TG007", replace(GOOD, folds=(0.85, 0.85, 0.70))),
        ("TG007", replace(LOSS, folds=(0.35, 0.35, 0.50))),
    ],
)
def test_a_rule_that_fails_holds_the_challenger_and_says_why(code: str, evidence: Evidence) -> None:
    base = LOSS if evidence.metric == "log_loss" else GOOD
    if base is LOSS:
        evidence = replace(evidence, peers=evidence.peers if code == "TG002" else {})
    judgement = judge(evidence, Limits())
    assert judgement.verdict == "hold"
    assert [reason[:5] for reason in judgement.reasons] == [code]


@pytest.mark.parametrize(
    ("code", "evidence"),
    [
        ("TG001", replace(GOOD, metric="rmse", value=1.0, peers={}, champion=None, folds=())),
        ("TG002", replace(GOOD, peers={})),
        ("TG003", replace(GOOD, ece=None)),
        ("TG004", replace(GOOD, single_aucs=None)),
        ("TG005", replace(GOOD, leaks=None)),
        ("TG006", replace(GOOD, champion=None)),
        ("TG007", replace(GOOD, folds=(0.8,))),
    ],
)
def test_a_rule_without_its_evidence_does_not_apply_and_does_not_hold(code: str, evidence: Evidence) -> None:
    assert outcome(code, evidence) == "not_applicable"
    assert judge(evidence, Limits()).verdict == "promote"


def test_every_rule_has_its_own_code_and_title() -> None:
    assert [rule.code for rule in RULES] == [f"TG{n:03}" for n in range(1, len(RULES) + 1)]
    assert len({rule.title for rule in RULES}) == len(RULES)


def test_the_failing_peer_and_the_telling_feature_are_named() -> None:
    assert "recency reaches 0.9000" in judge(replace(GOOD, peers={"recency": Versus(0.9)}), Limits()).reasons[0]
    assert "closed_on" in judge(replace(GOOD, single_aucs={"closed_on": 1.0}), Limits()).reasons[0]


def test_with_confidence_asked_the_interval_decides() -> None:
    sure, unsure = Limits(peer_confidence=True), replace(GOOD, peers={"logistic": Versus(0.78, low=-0.01, high=0.05)})
    assert outcome("TG002", GOOD, sure) == "passed"
    assert outcome("TG002", unsure) == "passed"
    assert outcome("TG002", unsure, sure) == "failed"
    assert outcome("TG002", replace(GOOD, peers={"logistic": Versus(0.78)}), sure) == "failed"
    better = {"logistic": Versus(0.42, low=-0.03, high=-0.01)}
    assert outcome("TG002", replace(LOSS, peers=better), sure) == "passed"


def test_a_margin_must_be_won() -> None:
    assert outcome("TG002", GOOD, Limits(peer_margin=0.019)) == "passed"
    assert outcome("TG002", GOOD, Limits(peer_margin=0.03)) == "failed"


def test_a_little_below_the_champion_is_still_the_same() -> None:
    assert outcome("TG006", replace(GOOD, champion=Versus(0.804))) == "passed"
    assert outcome("TG006", replace(GOOD, champion=Versus(0.804)), Limits(champion_tolerance=0.0)) == "failed"


def test_a_rule_can_be_switched_off_by_its_code_only() -> None:
    assert outcome("TG003", replace(GOOD, ece=0.5), Limits(off=("TG003",))) == "not_applicable"
    with pytest.raises(BadConfiguration, match=r"gates\.unknown"):
        judge(GOOD, Limits(off=("TG999",)))


@pytest.mark.parametrize("wrong", [{"value": float("nan")}, {"ece": float("nan")}, {"champion": Versus(float("nan"))}])
def test_a_number_that_is_none_is_no_evidence(wrong: dict[str, object]) -> None:
    with pytest.raises(BadData, match=r"evidence\.missing"):
        judge(replace(GOOD, **wrong), Limits())  # type: ignore[arg-type]


def test_an_unknown_limit_is_refused() -> None:
    with pytest.raises(ValidationError):
        Limits.model_validate({"max_ecee": 0.1})
