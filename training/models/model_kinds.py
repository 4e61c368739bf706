"""The kinds of models that there are, and which of them learns a label."""

from __future__ import annotations

from training.labels.label_settings import Label
from training.models.binary_kind import BinaryKind
from training.models.kind import ModelKind
from training.models.ranking_kind import RankingKind

KINDS: tuple[ModelKind, ...] = (BinaryKind(), RankingKind())


def kind_of_label(label: Label) -> ModelKind:
    """Return the kind of model that learns a label.

    Examples
    --------
    >>> from training.labels.label_settings import Inactivity
    >>> kind_of_label(Inactivity(kind="inactivity", event="purchase", horizon="90d")).predicts
    'a probability for each customer'
    """
    return next(kind for kind in KINDS if label.kind in kind.labels)
