"""Reading the workspace files of this package: ``features/feeds.yaml`` and ``features/views.yaml``."""

from __future__ import annotations

from features.base.workspace import Workspace
from features.config.engine_settings import FEEDS
from features.config.feeds_file import FeedsFile
from features.config.loading import Lines, load
from features.config.views_file import ViewsFile

VIEWS = "features/views.yaml"


def load_feeds(workspace: Workspace) -> tuple[FeedsFile, Lines]:
    """Read ``features/feeds.yaml``."""
    return load(workspace.file(FEEDS), FeedsFile, name=FEEDS)


def load_views(workspace: Workspace) -> tuple[ViewsFile, Lines]:
    """Read ``features/views.yaml``."""
    return load(workspace.file(VIEWS), ViewsFile, name=VIEWS)
