"""Named promotion rules (TG001 and on): what a challenger must reach before it becomes champion."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from features.base.errors import BadConfiguration, BadData
from training.dataset.leaks.leak_report import RULES as LEAKS
from training.dataset.leaks.leak_report import LeakLimits
from training.validation.data_checks import CHECKS

Outcome = Literal["passed", "failed", "not_applicable"]
LOWER_IS_BETTER = frozenset({"log_loss", "brier", "ece", "rmse", "mae"})


class GateLimits(BaseModel):
    """The limits of the promotion rules, ``gates:`` in mlflow.yaml.

    Examples
    --------
    >>> GateLimits(max_ece=0.03).max_ece
    0.03
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    min_positives: int = Field(default=50, ge=1, description="TG001: positives that the evaluation rows hold at least")
    peer_margin: float = Field(default=0.0, ge=0, description="TG002: by how much every peer must be beaten")
    peer_confidence: bool = Field(
        default=False,
        description="TG002: the interval of the difference must lie above the margin, not only its middle",
    )
    max_ece: float = Field(default=0.05, gt=0, le=1, description="TG003: expected calibration error at most")
    max_single_auc: float = Field(
        default=0.98, gt=0.5, le=1, description="TG004 and LK002: AUC that one feature alone may reach"
    )
    champion_tolerance: float = Field(
        default=0.005,
        ge=0,
        description="TG006: how much worse than the champion, at the interval's unfavourable end, is still the same",
    )
    max_fold_spread: float = Field(
        default=0.05, gt=0, description="TG007: largest fall of the primary metric from the mean to the worst fold"
    )
    off: tuple[str, ...] = Field(
        default=(),
        description="codes of rules that are not applied; also of leak checks (LK002) and data checks (DC009)",
    )

    @property
    def of_leaks(self) -> LeakLimits:
        """The limits of the leak report."""
        return LeakLimits(max_single_auc=self.max_single_auc, off=self.off)


@dataclass(frozen=True)
class PeerComparison:
    """Another model on the same rows: its metric, and the interval of ours minus theirs where it was drawn."""

    value: float
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class GateEvidence:
    """What is known of a challenger, measured on rows that it did not learn from.

    ``None`` means that a thing was not measured; an empty mapping or tuple that nothing was found.
    """

    metric: str
    """The primary metric: auc, ndcg_5, log_loss, …"""
    value: float
    positives: int | None
    """None where outcomes are amounts."""
    peers: Mapping[str, PeerComparison] = field(default_factory=dict)
    ece: float | None = None
    single_aucs: Mapping[str, float] | None = None
    leaks: tuple[str, ...] | None = None
    """What the leak report of the training frame found."""
    data_checks: tuple[str, ...] | None = None
    """Which data checks failed."""
    champion: PeerComparison | None = None
    champion_note: str = "there is no champion"
    """How the champion was compared, or why it was not."""
    folds: tuple[float, ...] = ()
    """The primary metric in each fold."""


@dataclass(frozen=True)
class GateResult:
    """The outcome of one rule, and why."""

    code: str
    title: str
    outcome: Outcome
    detail: str


@dataclass(frozen=True)
class PromotionRule:
    """A promotion rule; ``apply`` gives an outcome and its detail."""

    code: str
    title: str
    apply: Callable[[GateEvidence, GateLimits], tuple[Outcome, str]]


@dataclass(frozen=True)
class PromotionDecision:
    """Whether a challenger is promoted, with the result of every rule."""

    verdict: Literal["promote", "hold"]
    rules: tuple[GateResult, ...]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Return why it is held; nothing if it is promoted."""
        return tuple(f"{v.code} {v.title}: {v.detail}" for v in self.rules if v.outcome == "failed")


def apply_gates(evidence: GateEvidence, limits: GateLimits) -> PromotionDecision:
    """Apply every promotion rule; one that fails holds the challenger.

    Raises
    ------
    BadConfiguration : ``gates.unknown`` if ``off`` names no rule
    BadData : ``evidence.missing`` if a number is NaN

    Examples
    --------
    >>> weak = GateEvidence(metric="auc", value=0.7, positives=20, ece=0.01)
    >>> apply_gates(weak, GateLimits()).verdict
    'hold'
    >>> apply_gates(weak, GateLimits()).reasons
    ('TG001 enough positives to evaluate on: 20 positives, 50 are needed',)
    """
    families = (RULES, LEAKS, CHECKS)
    unknown = sorted(set(limits.off) - {rule.code for family in families for rule in family})
    if unknown:
        raise BadConfiguration(
            "gates.unknown",
            f"no such rule: {', '.join(unknown)}",
            where="gates.off",
            hint=f"known: {', '.join(f'{family[0].code} to {family[-1].code}' for family in families)}",
        )
    others = [*evidence.peers.values(), *([evidence.champion] if evidence.champion else [])]
    numbers = [evidence.value, evidence.ece or 0.0, *evidence.folds, *(other.value for other in others)]
    if any(number != number for number in numbers):
        raise BadData("evidence.missing", f"{evidence.metric} is not a number", where=evidence.metric)
    verdicts = [_apply(rule, evidence, limits) for rule in RULES]
    held = any(verdict.outcome == "failed" for verdict in verdicts)
    return PromotionDecision("hold" if held else "promote", tuple(verdicts))


def _apply(rule: PromotionRule, evidence: GateEvidence, limits: GateLimits) -> GateResult:
    if rule.code in limits.off:
        return GateResult(rule.code, rule.title, "not_applicable", "switched off")
    outcome, detail = rule.apply(evidence, limits)
    return GateResult(rule.code, rule.title, outcome, detail)


def _outcome(passed: bool, detail: str) -> tuple[Outcome, str]:
    return ("passed" if passed else "failed"), detail


def gain(evidence: GateEvidence, other: PeerComparison) -> float:
    """Return by how much ours is better, whichever way the metric runs."""
    ours = evidence.value - other.value
    return -ours if evidence.metric in LOWER_IS_BETTER else ours


def sure_gain(evidence: GateEvidence, other: PeerComparison) -> float | None:
    """Return the unfavourable end of the interval of ours minus theirs, as a gain."""
    if other.low is None or other.high is None:
        return None
    return -other.high if evidence.metric in LOWER_IS_BETTER else other.low


def _enough_positives(evidence: GateEvidence, limits: GateLimits) -> tuple[Outcome, str]:
    if evidence.positives is None:
        return "not_applicable", "an amount has no positives"
    found = f"{evidence.positives} positives, {limits.min_positives} are needed"
    return _outcome(evidence.positives >= limits.min_positives, found)


def _beats_peers(evidence: GateEvidence, limits: GateLimits) -> tuple[Outcome, str]:
    if not evidence.peers:
        return "not_applicable", "no peer was fitted"
    behind, passed = [], True
    for name, peer in sorted(evidence.peers.items()):
        sure = sure_gain(evidence, peer) if limits.peer_confidence else gain(evidence, peer)
        if sure is None:
            behind.append(f"{name} has no interval")
        elif sure <= 0 or sure < limits.peer_margin:
            behind.append(f"{name} reaches {peer.value:.4f}")
        else:
            continue
        passed = False
    return _outcome(passed, f"{evidence.metric} {evidence.value:.4f}; " + (", ".join(behind) or "all peers are below"))


def _calibrated(evidence: GateEvidence, limits: GateLimits) -> tuple[Outcome, str]:
    if evidence.ece is None:
        return "not_applicable", "its scores are not probabilities"
    return _outcome(evidence.ece <= limits.max_ece, f"ece {evidence.ece:.4f}, at most {limits.max_ece}")


def _no_single_feature(evidence: GateEvidence, limits: GateLimits) -> tuple[Outcome, str]:
    if evidence.single_aucs is None:
        return "not_applicable", "features were not measured one by one"
    high = sorted(name for name, reached in evidence.single_aucs.items() if reached > limits.max_single_auc)
    return _outcome(
        not high,
        f"above {limits.max_single_auc} alone: {', '.join(high)}" if high else "no feature is above the limit alone",
    )


def _no_leak(evidence: GateEvidence, _: GateLimits) -> tuple[Outcome, str]:
    if evidence.leaks is None:
        return "not_applicable", "there is no leak report"
    return _outcome(not evidence.leaks, "; ".join(evidence.leaks) or "the leak report is clean")


def _not_worse_than_champion(evidence: GateEvidence, limits: GateLimits) -> tuple[Outcome, str]:
    if evidence.champion is None:
        return "not_applicable", evidence.champion_note
    sure = sure_gain(evidence, evidence.champion)
    least = gain(evidence, evidence.champion) if sure is None else sure
    detail = (
        f"{evidence.metric} {evidence.value:.4f}, champion {evidence.champion.value:.4f} ({evidence.champion_note}), "
        f"at least {least:+.4f} apart, {-limits.champion_tolerance:+.4f} is needed"
    )
    return _outcome(least >= -limits.champion_tolerance, detail)


def _data_is_fit(evidence: GateEvidence, _: GateLimits) -> tuple[Outcome, str]:
    if evidence.data_checks is None:
        return "not_applicable", "the data were not checked"
    return _outcome(not evidence.data_checks, "; ".join(evidence.data_checks) or "no check failed")


def _stable(evidence: GateEvidence, limits: GateLimits) -> tuple[Outcome, str]:
    if len(evidence.folds) < 2:
        return "not_applicable", "there are fewer than two folds"
    mean = sum(evidence.folds) / len(evidence.folds)
    lower = evidence.metric in LOWER_IS_BETTER
    worst = max(evidence.folds) if lower else min(evidence.folds)
    detail = f"mean {mean:.4f}, worst fold {worst:.4f}, {limits.max_fold_spread} apart at most"
    return _outcome(abs(mean - worst) <= limits.max_fold_spread, detail)


RULES: tuple[PromotionRule, ...] = (
    PromotionRule("TG001", "enough positives to evaluate on", _enough_positives),
    PromotionRule("TG002", "beats every peer on held-out rows", _beats_peers),
    PromotionRule("TG003", "is calibrated", _calibrated),
    PromotionRule("TG004", "no single feature separates the labels", _no_single_feature),
    PromotionRule("TG005", "the leak report is clean", _no_leak),
    PromotionRule("TG006", "not worse than the champion", _not_worse_than_champion),
    PromotionRule("TG007", "stable over the folds", _stable),
    PromotionRule("TG008", "the data are fit to learn from", _data_is_fit),
)
