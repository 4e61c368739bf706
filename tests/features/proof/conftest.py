"""The tiny shop, built once a file, and a copy of it for every test."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from features.base.workspace import Workspace
from tests.features.proof.world import build, shop


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return the shop, built."""
    made = shop(tmp_path_factory.mktemp("shop"))
    build(made)
    return made


@pytest.fixture
def workspace(built: Workspace, tmp_path: Path) -> Workspace:
    """Return a copy of the built shop, registered where it lies now."""
    shutil.copytree(built.root, tmp_path, dirs_exist_ok=True)
    build(Workspace(tmp_path))
    return Workspace(tmp_path)
