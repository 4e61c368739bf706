"""Every kind of label has exactly one kind of model, whose models can be stored."""

from __future__ import annotations

from training.labels.label_settings import LABEL_KINDS
from training.models.model_kinds import KINDS
from training.models.scorers import FITTED_MODELS


def test_every_label_is_learnt_by_one_kind_of_model() -> None:
    assert sorted(label for kind in KINDS for label in kind.labels) == sorted(LABEL_KINDS)


def test_models_of_every_kind_can_be_stored_and_read_back() -> None:
    assert sorted(kind.name for kind in KINDS) == sorted(FITTED_MODELS)
