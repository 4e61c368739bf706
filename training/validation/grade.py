"""One letter for how much a model adds to the best simple rule."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from training.validation.gates import GateEvidence, gain, sure_gain

#: Rules that need no model: what a good spreadsheet would do.
SIMPLE_RULES = frozenset({"past_rate", "recency", "popularity", "own_most_frequent"})


@dataclass(frozen=True)
class Grade:
    """How much better a model is than the best simple rule.

    Parameters
    ----------
    letter : A it is surely better, B it is better but that may be chance, C it is not better
    detail : the rule, and both figures
    """

    letter: Literal["A", "B", "C"]
    detail: str


def grade(evidence: GateEvidence) -> Grade | None:
    """Return a model's grade; None where no simple rule was judged beside it.

    Examples
    --------
    >>> from training.validation.gates import PeerComparison
    >>> recency = PeerComparison(0.70, low=0.02, high=0.08)
    >>> grade(GateEvidence(metric="auc", value=0.75, positives=900, peers={"recency": recency})).letter
    'A'
    """
    rules = {name: peer for name, peer in evidence.peers.items() if name in SIMPLE_RULES}
    if not rules:
        return None
    name = min(rules, key=lambda rule: gain(evidence, rules[rule]))
    ahead, surely = gain(evidence, rules[name]), sure_gain(evidence, rules[name])
    letter: Literal["A", "B", "C"] = "C" if ahead <= 0 else "A" if surely is not None and surely > 0 else "B"
    how = {"A": "surely better than", "B": "better than, but perhaps by chance,", "C": "not better than"}[letter]
    found = f"{evidence.metric} {evidence.value:.4f}, {how} the simple rule {name} ({rules[name].value:.4f})"
    return Grade(letter, found)
