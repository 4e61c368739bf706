"""The tiny shop, built once a file, and a copy of it for every test."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.base.workspace import Workspace
from tests.features.monitoring.world import built_shop, copied


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    return built_shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def workspace(built: Workspace, tmp_path: Path) -> Workspace:
    return copied(built, tmp_path)
