"""The engine's memory, threads and spill folder come from ``features/feeds.yaml``, and the machine's for the rest."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.base import database_engine, machine
from features.base.database_engine import default_memory, one_row, open_engine
from features.base.errors import BadConfiguration
from features.base.workspace import Workspace
from features.config.engine_settings import engine_resources


def workspace(root: Path, text: str) -> Workspace:
    (root / "features").mkdir(exist_ok=True)
    (root / "features/feeds.yaml").write_text(text, encoding="utf-8")
    return Workspace(root)


def test_what_is_declared_is_what_the_engine_gets(tmp_path: Path) -> None:
    place = workspace(tmp_path, "feeds: {}\nengine: {memory: 512MB, threads: 1, spill: state/large}\n")
    resources = engine_resources(place)
    assert (resources.memory, resources.threads, resources.spill) == (512_000_000, 1, tmp_path / "state/large")
    with open_engine(folders=[], resources=resources) as opened:
        settings = ", ".join(f"current_setting('{name}')" for name in ("memory_limit", "threads", "temp_directory"))
        memory, threads, spill = one_row(opened, f"SELECT {settings}")
    assert (memory, threads) == ("488.2 MiB", 1)
    assert str(spill).startswith(str(tmp_path / "state/large/engine-"))


def test_what_is_not_declared_comes_from_the_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database_engine, "available_memory", lambda: 3_000_000_000)
    for place in (Workspace(tmp_path / "empty"), workspace(tmp_path, "company: {currency: GBP}\n")):
        resources = engine_resources(place)
        assert resources.memory == 1_500_000_000
        assert resources.threads == machine.available_processors()
        assert resources.spill == place.state / ".scratch"


@pytest.mark.parametrize(
    ("available", "taken"), [(64_000_000_000, 32_000_000_000), (800_000_000, 512_000_000), (400_000_000, 300_000_000)]
)
def test_by_default_half_of_the_memory_with_a_floor(
    monkeypatch: pytest.MonkeyPatch, available: int, taken: int
) -> None:
    monkeypatch.setattr(database_engine, "available_memory", lambda: available)
    assert default_memory() == taken


@pytest.mark.parametrize(
    ("section", "line", "told"),
    [
        ("{memory: much}", 2, "such as 4GB"),
        ("{memory: 4}", 2, "64MB at least"),
        ("{memory: 1MB}", 2, "64MB at least"),
        ("\n  threads: 0", 3, "greater than or equal to 1"),
        ("\n  memory: 1GB\n  spill: ''", 4, "at least 1 character"),
        ("{memry: 4GB}", 2, "unknown key 'engine.memry'"),
    ],
)
def test_a_value_that_cannot_be_used_is_named_with_its_line(tmp_path: Path, section: str, line: int, told: str) -> None:
    place = workspace(tmp_path, f"feeds: {{}}\nengine: {section}\n")
    with pytest.raises(BadConfiguration) as caught:
        engine_resources(place)
    assert told in caught.value.first.message
    assert caught.value.first.where == f"features/feeds.yaml:{line}"


def test_a_file_that_changed_is_read_again(tmp_path: Path) -> None:
    assert engine_resources(workspace(tmp_path, "engine: {threads: 1}\n")).threads == 1
    assert engine_resources(workspace(tmp_path, "engine: {threads: 12}\n")).threads == 12
