"""Every problem of a workspace's files, reported at once; nothing is changed."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from features.base.errors import BadConfiguration, Problem
from features.base.expressions.expression import parse
from features.base.workspace import Workspace
from features.config.loading import Lines, did_you_mean, load
from features.config.workspace_files import load_feeds
from features.snapshots.build_report import REPORT, read_report
from features.store.store_settings import read_settings
from features.views.declaration_check import check as check_features
from features.views.declarations import declared_features
from serving.decisioning.catalogue_checks import check as check_offers
from serving.decisioning.offer_settings import OffersSettings
from serving.decisioning.policy import FILE as OFFERS
from serving.online.role_settings import FILE as ROLES
from serving.online.roles import check_roles, load_roles
from training.labels.label_settings import FILE as LABELS
from training.labels.label_settings import LabelsFile, load_labels
from training.registry.mlflow_settings import load_mlflow


def check_workspace(workspace: Workspace) -> list[Problem]:
    """Return every problem of every file, with its line; the feeds are sampled, not read whole.

    Parameters
    ----------
    workspace : may be without any state
    """
    problems = check_features(workspace)
    purposes: set[str] = set()
    models: set[str] = set()
    features: set[str] | None = None
    with _collecting(problems):
        purposes = set(load_feeds(workspace)[0].purposes)
    with _collecting(problems):
        features = _known_features(workspace)
    with _collecting(problems):
        read_settings(workspace.root)
    with _collecting(problems):
        load_mlflow(workspace)
    with _collecting(problems):
        labels, lines = load_labels(workspace)
        models = set(labels.models)
        problems += _check_populations(labels, lines, features)
    with _collecting(problems):
        offers, lines = load(workspace.file(OFFERS), OffersSettings, name=OFFERS)
        if features is not None and purposes:
            problems += check_offers(offers, lines, features=features, models=models, purposes=purposes)
    with _collecting(problems):
        roles, lines = load_roles(workspace)
        if features is not None and purposes:
            problems += check_roles(roles, lines, features=features, purposes=purposes)
    return list(dict.fromkeys(problems))


@contextmanager
def _collecting(problems: list[Problem]) -> Iterator[None]:
    try:
        yield
    except BadConfiguration as error:
        problems.extend(error.problems)


def _known_features(workspace: Workspace) -> set[str]:
    """Return the declared features; where only the data know a view's categories, what was built or what is named.

    Before the first build it is unknown whether ``groups__count_90d__sofas`` will exist, so it is accepted.
    """
    names, prefixes = declared_features(workspace)
    if (workspace.snapshots / REPORT).is_file():
        found: Sequence[str] = read_report(workspace).features
    else:
        files = [workspace.file(name) for name in (OFFERS, ROLES, LABELS)]
        texts = [file.read_text(encoding="utf-8", errors="replace") for file in files if file.is_file()]
        found = re.findall(r"[a-z][a-z0-9_]*", " ".join(texts))
    return names | {name for name in found if prefixes and name.startswith(prefixes)}


def _check_populations(labels: LabelsFile, lines: Lines, features: set[str] | None) -> list[Problem]:
    problems: list[Problem] = []
    for name, model in labels.models.items():
        text = model.population.where
        if text is None or features is None:
            continue
        where = lines.where(("models", name, "population", "where"))
        with _collecting(problems):
            problems += [
                Problem(
                    "label.unknown_feature",
                    f"unknown feature {column!r}",
                    where,
                    did_you_mean(column, sorted(features)),
                )
                for column in sorted(parse(text, where=where).require_evaluable().columns - features)
            ]
    return problems
