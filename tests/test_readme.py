"""Every command of the README marked ``run`` is run, in order, in a copy of the repository."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from features.identity.keyed_digest import store_key
from tests.console_blocks import run_steps, steps_of

REPOSITORY = Path(__file__).resolve().parents[1]
SECONDS = 900.0


def test_every_console_block_of_the_readme_is_marked_and_some_are_run() -> None:
    assert steps_of((REPOSITORY / "README.md").read_text(encoding="utf-8"))


@pytest.mark.slow
def test_the_readme_does_what_it_shows(tmp_path: Path) -> None:
    steps = steps_of((REPOSITORY / "README.md").read_text(encoding="utf-8"))
    ran = run_steps(
        steps,
        folder=copy_of_the_repository(tmp_path / "nextbest"),
        log=tmp_path / "log",
        environment=reader_environment(),
        seconds=SECONDS,
    )
    assert [fault for step in ran for fault in step.faults] == []
    assert len(ran) == len(steps)


def copy_of_the_repository(folder: Path) -> Path:
    """Copy what git holds or would hold: the reader's fresh clone."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"],
        cwd=REPOSITORY,
        check=True,
        capture_output=True,
    )
    for name in listing.stdout.decode().split("\0"):
        source, target = REPOSITORY / name, folder / name
        if name and source.is_file():
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(source, target)
    store_key(folder / "shop" / "state" / "keys" / "identity.key", "the same ids in every run of this test")
    store_key(folder / "shop" / "state" / "keys" / "pseudonym.key", "the same entries in every run of this test")
    return folder


def reader_environment() -> dict[str, str]:
    """Return this environment with `nextbest` on the path and `make` told to use the installation at hand."""
    programs = Path(sys.executable).parent
    own = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}}
    return own | {
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "VENV": str(programs.parent),
        "SETUP": "check",
        "NEXTBEST_DATA": os.environ.get("NEXTBEST_DATA", str(REPOSITORY.parent / "shared" / "data")),
        "COLUMNS": "120",
    }
