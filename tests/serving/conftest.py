"""One small workspace for all tests of serving that need a real one; each test has a ledger of its own."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from features.base.workspace import Workspace
from features.store.repository import Store, open_store
from serving.engine import Decider
from serving.ledger.ledger import DecisionLedger
from tests.serving.house import build


@pytest.fixture(scope="session")
def house(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return a workspace with features, champions, offers and roles; not to be changed."""
    return build(tmp_path_factory.mktemp("house"))


@pytest.fixture(scope="session")
def store(house: Workspace) -> Iterator[Store]:
    """Return the feature store of the workspace."""
    opened = open_store(house.root)
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def _opened(house: Workspace) -> Iterator[Decider]:
    decider = Decider.open(house)
    yield decider
    decider.ledger.close()


@pytest.fixture
def decider(_opened: Decider, tmp_path: Path) -> Iterator[Decider]:
    """Return the workspace's decider with an empty ledger."""
    with DecisionLedger(tmp_path / "ledger" / "decisions.db") as ledger:
        yield Decider(policy=_opened.policy, scorer=_opened.scorer, ledger=ledger, catalogue=_opened.catalogue)
