"""The suite's own rules: warnings are errors, xfail is strict, and a run that tests nothing is no success."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]


def run(folder: Path, body: str, *options: str) -> subprocess.CompletedProcess[str]:
    """Run one small test file under the settings and the conftest of this suite."""
    file = folder / "test_small.py"
    file.write_text(f"import warnings\nimport pytest\nfrom hypothesis import given, strategies\n\n{body}\n")
    settings = ["-c", str(REPOSITORY / "pyproject.toml"), f"--rootdir={folder}", "-p", "tests.conftest"]
    return subprocess.run(
        [sys.executable, "-m", "pytest", *settings, "-p", "no:cacheprovider", *options, str(file)],
        cwd=REPOSITORY,
        capture_output=True,
        text=True,
        check=False,
    )


EVERY_KIND = """
def test_passes(): pass
def test_skips(): pytest.skip("no data")
def test_warns(): warnings.warn("old")
@pytest.mark.xfail
def test_passes_against_its_mark(): pass
@given(strategies.integers())
def test_property(number): pass
"""


def test_a_warning_fails_a_test_and_so_does_an_xfail_that_passes(tmp_path: Path) -> None:
    ran = run(tmp_path, EVERY_KIND)
    assert ran.returncode == 1
    assert "2 failed, 2 passed, 1 skipped" in ran.stdout
    assert "UserWarning: old" in ran.stdout
    assert "XPASS(strict)" in ran.stdout
    assert "Using --randomly-seed=" in ran.stdout


def test_hypothesis_tests_are_chosen_by_the_mark_property(tmp_path: Path) -> None:
    ran = run(tmp_path, EVERY_KIND, "-m", "property")
    assert ran.returncode == 0
    assert "1 passed, 4 deselected" in ran.stdout


def test_a_run_in_which_every_test_skips_fails(tmp_path: Path) -> None:
    assert run(tmp_path, "def test_a(): pytest.skip('no data')").returncode == pytest.ExitCode.NO_TESTS_COLLECTED
