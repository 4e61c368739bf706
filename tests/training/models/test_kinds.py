"""Every kind of label has exactly one kind of model, whose models can be stored."""

from __future__ import annotations

from typing import get_args

from training.labels.label_settings import Label
from training.models.kinds import KINDS
from training.models.scorers import FITTED_MODELS


def test_every_label_is_learnt_by_one_kind_of_model() -> None:
    declared = [get_args(label.model_fields["kind"].annotation)[0] for label in get_args(get_args(Label)[0])]
    assert sorted(label for kind in KINDS for label in kind.labels) == sorted(declared)


def test_models_of_every_kind_can_be_stored_and_read_back() -> None:
    assert sorted(kind.name for kind in KINDS) == sorted(FITTED_MODELS)
