"""What the declared features are, and a digest of what they mean."""

from __future__ import annotations

from features.base.duration import format_duration
from features.base.storage import digest_file, digest_of
from features.base.workspace import Workspace
from features.config.workspace_files import load_feeds, load_views
from features.views.catalogue import attribute_feature, consent_features, feature_name, windowed_features
from features.views.fitted import as_json, read_fitted


def definition_of(workspace: Workspace) -> str:
    """Return a digest of what the features mean: of what is declared about them, and of what was chosen for them.

    Features of another definition cannot be compared, though they have the same names.
    """
    feeds, _ = load_feeds(workspace)
    views, _ = load_views(workspace)
    chosen = {name: learnt for name, learnt in read_fitted(workspace.snapshots).items() if name in views.views}
    return digest_of(
        [
            feeds.model_dump(mode="json"),
            views.model_dump(mode="json", exclude={"snapshots"}),  # for which moments is no part of what they mean
            as_json({name: learnt for name, learnt in chosen.items() if views.views[name].is_fitted}),
            digest_file(workspace.file(views.python)) if views.python else "",
        ]
    )[:16]


def declared_features(workspace: Workspace) -> tuple[set[str], tuple[str, ...]]:
    """Return the names of the features that the files declare, and the prefixes of those that the data will name.

    A view by category, or of holdings, has one feature a category or item; which ones is only known from the data.

    Raises
    ------
    BadConfiguration : a file cannot be read as what it should be
    """
    feeds, _ = load_feeds(workspace)
    views, _ = load_views(workspace)
    recorded = any(feed.kind == "consents" for feed in feeds.feeds.values())
    names: set[str] = {feature.name for feature in consent_features(feeds.purposes if recorded else {})}
    prefixes = []
    for name, view in views.views.items():
        if (view.source == "holdings" and not view.python) or view.by is not None:
            prefixes.append(f"{name}__")
        elif view.python:
            windows = [format_duration(window) for window in view.windows] or [""]
            names |= {feature_name(name, function, window) for function in view.python for window in windows}
        elif view.source in ("customers", "context"):
            names |= {attribute_feature(name, field) for field in view.fields}
        else:
            names |= {feature.name for feature in windowed_features(name, view, (), feeds.company.currency)}
            if view.text is not None and view.text.is_fitted:
                prefixes.append(f"{name}__")
    return names, tuple(prefixes)
