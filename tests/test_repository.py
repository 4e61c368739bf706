"""What the repository promises about itself: its shape, its lock, its commands."""

from __future__ import annotations

import ast
import os
import re
import stat
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = ("features", "training", "serving")
LONGEST_FILE = 400
TOP_LEVEL = {
    "pyproject.toml",
    "README.md",
    "features",
    "training",
    "serving",
    "notebooks",
    "findings",
    "tests",
    "mlflow.yaml",
    "Makefile",
    "requirements.lock",
    "requirements-spark.lock",
    "LICENSE",
    "CHANGELOG.md",
    ".ci",
    ".editorconfig",
    ".gitattributes",
    ".gitignore",
    ".importlinter",
    ".pre-commit-config.yaml",
}
TARGETS = {"help", "setup", "demo", "test", "serve", "lint", "bench", "fuzz", "lock", "clean"}
HEAVY = ("feast", "mlflow", "bentoml", "lightgbm", "sklearn", "pandas", "matplotlib")

MACHINE_PATH = re.compile(r"(?<![\w./:~}-])/(?:home|root|Users|work|opt)/[A-Za-z]\S*|\b[A-Z]:\\Users\\\S*")
INDEX = re.compile(r"--(?:extra-)?index-url\b|--find-links\b|--trusted-host\b|https?://\S+/simple\b")


def names_in_git() -> list[str]:
    """Return the files that git holds, or would hold after `git add`."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "-z"]
    listing = subprocess.run(command, cwd=REPOSITORY, check=True, capture_output=True)
    names = [name for name in listing.stdout.decode().split("\0") if name and (REPOSITORY / name).is_file()]
    assert names, "git lists no file: are we in a checkout?"
    return names


def text_of(name: str) -> str:
    """Return the text of a file; nothing for a binary one."""
    content = (REPOSITORY / name).read_bytes()
    return "" if b"\0" in content else content.decode(errors="replace")


def make(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
    own = {name: value for name, value in os.environ.items() if name not in {"MAKEFLAGS", "MAKELEVEL", "MFLAGS"}}
    return subprocess.run(
        ["make", *arguments], cwd=REPOSITORY, env=own | environment, capture_output=True, text=True, check=False
    )


def pins() -> dict[str, list[tuple[Requirement, str]]]:
    """Return what the lock pins: name → (requirement, the whole entry), one for each marker."""
    entries: dict[str, list[tuple[Requirement, str]]] = {}
    for entry in re.split(r"\n(?=[a-z0-9])", text_of("requirements.lock"), flags=re.IGNORECASE):
        requirement = Requirement(entry.split("\\\n")[0].strip())
        entries.setdefault(canonicalize_name(requirement.name), []).append((requirement, entry))
    return entries


def declared() -> list[Requirement]:
    project = tomllib.loads(text_of("pyproject.toml"))
    return [Requirement(text) for text in project["project"]["dependencies"] + project["dependency-groups"]["dev"]]


def test_the_top_level_holds_only_what_is_listed() -> None:
    assert {name.split("/")[0] for name in names_in_git()} - TOP_LEVEL == set()


def test_no_source_file_is_past_400_lines() -> None:
    sources = [name for name in names_in_git() if name.startswith(PACKAGES) and name.endswith(".py")]
    lengths = {name: text_of(name).count("\n") for name in sources}
    assert len(lengths) > 50
    assert {name: length for name, length in lengths.items() if length > LONGEST_FILE} == {}


def test_no_name_of_a_class_or_a_module_stands_twice() -> None:
    names: dict[str, list[str]] = {}
    for name in names_in_git():
        if name.startswith(PACKAGES) and name.endswith(".py") and not name.endswith("__init__.py"):
            names.setdefault(f"module {Path(name).stem}", []).append(name)
            for node in ast.walk(ast.parse(text_of(name))):
                if isinstance(node, ast.ClassDef):
                    names.setdefault(f"class {node.name}", []).append(name)
    assert len(names) > 400
    assert {name: places for name, places in names.items() if len(places) > 1} == {}


def test_no_file_names_a_path_of_one_machine() -> None:
    found = {name: match[0] for name in names_in_git() if (match := MACHINE_PATH.search(text_of(name)))}
    assert found == {}


def test_no_file_names_a_package_index() -> None:
    mine = Path(__file__).relative_to(REPOSITORY).as_posix()
    found = {name: match[0] for name in names_in_git() if name != mine and (match := INDEX.search(text_of(name)))}
    assert found == {}


@pytest.mark.parametrize("parts", [("", "home", "ann", "data"), ("", "work", "x"), ("see: ", "Users", "ann")])
def test_a_path_of_one_machine_would_be_noticed(parts: tuple[str, ...]) -> None:
    assert MACHINE_PATH.search("/".join(parts))


@pytest.mark.parametrize("text", ["../work/x", "https://example.org/home/x", "tests/work/x", "/homes/x", "${X}/home/x"])
def test_other_paths_are_left_alone(text: str) -> None:
    assert not MACHINE_PATH.search(text)


def test_the_lock_covers_every_declared_dependency() -> None:
    locked = pins()
    for wanted in declared():
        found = locked.get(canonicalize_name(wanted.name), [])
        assert found, f"{wanted.name} is not in requirements.lock: make lock"
        for requirement, _ in found:
            assert wanted.specifier.contains(_version(requirement)), f"{requirement} is outside {wanted}: make lock"


def test_every_pin_of_the_lock_has_a_version_and_hashes() -> None:
    for found in pins().values():
        for requirement, entry in found:
            assert [clause.operator for clause in requirement.specifier] == ["=="], requirement
            assert re.search(r"--hash=sha256:[0-9a-f]{64}", entry), requirement


def test_make_help_lists_every_target() -> None:
    makefile = text_of("Makefile")
    targets = set(re.findall(r"^([a-z][a-z%-]*):(?!=)", makefile, flags=re.MULTILINE))
    assert targets >= TARGETS
    helped = make("help")
    assert helped.returncode == 0, helped.stderr
    listed = {line.split()[0] for line in helped.stdout.splitlines() if line.startswith("  ")}
    assert listed == targets


def test_help_is_what_make_does_by_itself() -> None:
    assert make().stdout == make("help").stdout


def test_make_names_every_benchmark() -> None:
    benchmarks = {path.stem for path in (REPOSITORY / "tests" / "benchmarks").glob("[!_]*.py")}
    line = next(line for line in make("help").stdout.splitlines() if line.startswith("benchmarks: "))
    assert set(line.split()[1:]) == {f"bench-{name.replace('_', '-')}" for name in benchmarks}


def test_setup_says_what_is_missing_when_the_python_is_too_old(tmp_path: Path) -> None:
    old = tmp_path / "python-of-old"
    old.write_text("#!/bin/sh\necho 'Python 3.8.1'\nexit 1\n")
    old.chmod(old.stat().st_mode | stat.S_IXUSR)
    refused = make("setup", f"VENV={tmp_path / 'venv'}", f"PYTHON={old}")
    assert refused.returncode != 0
    assert "is not a Python 3.11, 3.12 or 3.13" in refused.stderr
    assert "make setup PYTHON=" in refused.stderr
    assert not (tmp_path / "venv").exists()


def test_setup_leaves_a_folder_alone_that_is_no_environment(tmp_path: Path) -> None:
    (tmp_path / "letter.txt").write_text("mine")
    refused = make("setup", f"VENV={tmp_path}", f"PYTHON={sys.executable}")
    assert refused.returncode != 0
    assert "it is left alone" in refused.stderr
    assert [path.name for path in tmp_path.iterdir()] == ["letter.txt"]


def test_setup_only_checks_when_asked_to(tmp_path: Path) -> None:
    refused = make("setup", f"VENV={tmp_path / 'venv'}", SETUP="check")
    assert refused.returncode != 0
    assert "run: make setup" in refused.stderr
    assert not (tmp_path / "venv").exists()


def test_continuous_integration_runs_the_command_of_the_readme() -> None:
    script = REPOSITORY / ".ci" / "run"
    assert os.access(script, os.X_OK)
    assert script.read_text(encoding="utf-8").splitlines()[-1] == "make test"
    assert "make test" in text_of("README.md")


def test_the_command_line_starts_without_the_heavy_libraries() -> None:
    code = f"import sys, serving.cli.main; print(*sorted(sys.modules.keys() & set({HEAVY!r})))"
    imported = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert imported.returncode == 0, imported.stderr
    assert imported.stdout.split() == []


def _version(requirement: Requirement) -> Version:
    (clause,) = requirement.specifier
    return Version(clause.version)
