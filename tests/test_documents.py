"""The packages' pages say what the code says: codes and titles, and every folder in the order that imports allow."""

from __future__ import annotations

import configparser
import re
from collections.abc import Mapping
from pathlib import Path

import pytest

from features.quality.checks import RULES as FEED_CHECKS
from serving.cli.config_reference import PAGE, as_markdown
from serving.decisioning.reason_codes import BLOCKED, REGISTRY, WHY_THIS
from training.dataset.leaks.leak_report import RULES as LEAK_CHECKS
from training.validation.data_checks import CHECKS as DATA_CHECKS
from training.validation.gates import RULES as GATES

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = ("features", "training", "serving")
PAGES = [
    "README.md",
    *(
        str(path.relative_to(REPOSITORY))
        for package in PACKAGES
        for path in sorted((REPOSITORY / package).glob("**/README.md"))
    ),
]
REGISTRIES: dict[str, Mapping[str, str]] = {
    "features": {rule.code: rule.title for rule in FEED_CHECKS.values()},
    "training": {rule.code: rule.title for rule in GATES}
    | {check.code: check.title for check in LEAK_CHECKS}
    | {check.code: check.title for check in DATA_CHECKS},
    "serving": {str(code): title for code, title in REGISTRY.items()},
}


def page(package: str) -> str:
    return (REPOSITORY / package / "README.md").read_text(encoding="utf-8")


def pages(package: str) -> str:
    """Return the text of a package's page and of the pages beside its code."""
    beside = sorted((REPOSITORY / package).glob("*/README.md"))
    return "\n".join([page(package), *(path.read_text(encoding="utf-8") for path in beside)])


def codes(text: str) -> list[tuple[str, str]]:
    """Return the rows of all tables whose first column is a code."""
    tables = re.findall(r"^\| code \|[^\n]*\n\|---\|---\|\n((?:\|[^\n]*\n)+)", text, re.MULTILINE)
    return [row for table in tables for row in re.findall(r"^\| `([^`]+)` \| (.+) \|$", table, re.MULTILINE)]


def folders(text: str) -> list[str]:
    table = text.partition("| folder | what |")[2].partition("\n\n")[0]
    return re.findall(r"^\| `([^`]+)` \|", table, re.MULTILINE)


@pytest.mark.parametrize("package", PACKAGES)
def test_the_page_lists_every_code_of_the_registry_once_with_its_title(package: str) -> None:
    listed = codes(pages(package))
    assert len(listed) == len(dict(listed)), "a code stands twice"
    assert dict(listed) == REGISTRIES[package]


def test_the_stages_are_listed_in_the_order_in_which_they_are_asked() -> None:
    listed = [code for code, _ in codes(page("serving"))]
    assert listed[: len(BLOCKED)] == [str(stage) for stage in BLOCKED]
    assert listed[len(BLOCKED) : len(BLOCKED) + len(WHY_THIS)] == list(WHY_THIS)


@pytest.mark.parametrize("package", PACKAGES)
def test_the_page_lists_every_folder_in_the_order_of_the_layers(package: str) -> None:
    there = {
        path.name + ("/" if path.is_dir() else "")
        for path in (REPOSITORY / package).iterdir()
        if (path.suffix == ".py" and path.name != "__init__.py") or (path / "__init__.py").is_file()
    }
    listed = folders(page(package))
    assert sorted(listed) == sorted(there)
    settings = configparser.ConfigParser()
    settings.read(REPOSITORY / ".importlinter", encoding="utf-8")
    layers = settings[f"importlinter:contract:{package}"]["layers"].split("\n")
    height = {name.strip(" ()"): -at for at, layer in enumerate(layers) for name in re.split("[|:]", layer)}
    heights = [height[name.removesuffix("/").removesuffix(".py")] for name in listed]
    assert heights == sorted(heights)


@pytest.mark.parametrize("name", PAGES)
def test_every_link_of_a_page_leads_somewhere(name: str) -> None:
    text = (REPOSITORY / name).read_text(encoding="utf-8")
    links = [link for link in re.findall(r"\]\(([^)#]+)\)", text) if not link.startswith("http")]
    lost = [link for link in links if not ((REPOSITORY / name).parent / link).exists()]
    assert lost == []


def test_the_readme_shows_every_folder_of_the_packages_in_order() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    (tree,) = re.findall(r"^features/ +many.*?^state/", text, re.MULTILINE | re.DOTALL)
    shown: dict[str, list[str]] = {}
    for name in re.findall(r"^( *[\w.]+/?) ", tree, re.MULTILINE):
        if not name.startswith(" "):
            package = name.removesuffix("/")
            shown[package] = []
        else:
            shown[package].append(name.strip())
    for package in PACKAGES:
        assert shown[package] == folders(page(package)), package


def test_every_place_that_the_readme_names_to_change_exists() -> None:
    text = (REPOSITORY / "README.md").read_text(encoding="utf-8").partition("### Where to change what")[2]
    rows = re.findall(r"^\| (?!to \|)[^|]+\|([^|]+)\|([^|]+)\|", text.partition("\n## ")[0], re.MULTILINE)
    assert len(rows) >= 10
    for change, tests in rows:
        first, *others = re.findall(r"`([\w/.]+/[\w/.]*|[\w]+\.py)`", change)
        assert (REPOSITORY / first).exists(), first
        for name in others:
            beside = (REPOSITORY / first).parent if (REPOSITORY / first).is_file() else REPOSITORY / first
            assert (REPOSITORY / name).exists() or (beside / name).exists() or (beside.parent / name).exists(), name
        for name in re.findall(r"`(tests/[\w/.]+)`", tests):
            assert (REPOSITORY / name).exists(), name


def test_the_picture_in_the_readme_needs_nothing_from_the_network() -> None:
    drawn = (REPOSITORY / "serving" / "console" / "card.svg").read_text(encoding="utf-8")
    assert re.findall(r"https?://(?!www\.w3\.org/)\S+", drawn) == []
    assert "next" in drawn
    assert "best" in drawn


def test_the_configuration_reference_is_what_the_models_say() -> None:
    page = (REPOSITORY / PAGE).read_text(encoding="utf-8")
    assert page == as_markdown(), f"run: nextbest config reference > {PAGE}"
