"""Write a fitted model as a bundle under its own digest."""

from __future__ import annotations

import shutil
from pathlib import Path

from features.base.clock import iso
from features.base.workspace import Workspace
from training.dataset.frame import Frame
from training.labels.labelled_rows import Labels
from training.models.fitted_model import FittedModel
from training.models.golden_rows import synthetic_rows
from training.registry.bundle import About, Bundle, write
from training.registry.champions import bundle_folder
from training.registry.recipe import Recipe
from training.registry.training_task import library_versions


def export(
    workspace: Workspace,
    model: str,
    scorer: FittedModel,
    frame: Frame,
    labels: Labels,
    *,
    recipe: Recipe,
    population: str | None,
) -> tuple[str, Path]:
    """Write the bundle of a fitted model and return its digest and folder; the same model is not written twice.

    Parameters
    ----------
    recipe : how it was learnt
    population : the condition over features for whom it holds; everybody where there is none
    """
    about = About(
        model=model,
        label=labels.description,
        cutoffs=tuple(map(iso, frame.moments)),
        libraries=library_versions(),
        population=population,
        recipe=recipe.to_json(),
    )
    rows = synthetic_rows(scorer.encoding, scorer.encoding.matrix(frame.features))
    part = workspace.models / model / ".part"
    shutil.rmtree(part, ignore_errors=True)
    digest = write(Bundle.of(scorer, about=about, rows=rows), part)
    folder = bundle_folder(workspace, model, digest)
    if folder.is_dir():
        shutil.rmtree(part)
    else:
        part.rename(folder)
    return digest, folder
