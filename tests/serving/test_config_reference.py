"""The configuration reference is complete; `tests/test_documents.py` compares the page with the models."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from pydantic import BaseModel, Field
from typer.testing import CliRunner

from features.base.workspace import CONFIGURATION
from serving.cli.config_reference import FILES, as_markdown, config_reference, sections_of
from serving.cli.main import app

REPOSITORY = Path(__file__).resolve().parents[2]
REFERENCE = config_reference()


def test_every_file_of_a_workspace_is_described() -> None:
    assert sorted(FILES) == sorted(CONFIGURATION)


@pytest.mark.parametrize("name", FILES)
def test_every_key_and_every_section_has_a_meaning(name: str) -> None:
    without = [
        f"{place}: {key.key}" for section in REFERENCE[name] for place in section.places for key in section.keys
        if not key.meaning
    ]  # fmt: skip
    without += [", ".join(section.places) for section in REFERENCE[name] if not section.meaning]
    assert without == []


@pytest.mark.parametrize("name", FILES)
def test_every_key_that_the_demo_writes_is_described(name: str) -> None:
    places: dict[str, set[str]] = {}
    for section in REFERENCE[name]:
        for place in section.places:
            places.setdefault(place.partition(" (")[0], set()).update(key.key for key in section.keys)
    document = yaml.safe_load((REPOSITORY / name).read_text(encoding="utf-8"))
    assert sorted(undescribed(document, "", places)) == []


def undescribed(value: object, place: str, places: dict[str, set[str]]) -> list[str]:
    """Return the keys of a document that the reference does not describe."""
    if isinstance(value, list):
        return [key for each in value for key in undescribed(each, f"{place}[]", places)]
    if not isinstance(value, dict):
        return []
    if place in places:
        found = [f"{place}.{key}" for key in value if key not in places[place]]
        for key, inner in value.items():
            found += undescribed(inner, f"{place}.{key}".lstrip("."), places)
        return found
    return [key for inner in value.values() for key in undescribed(inner, f"{place}.NAME", places)]


def test_types_defaults_and_limits_are_written_in_words() -> None:
    class Inner(BaseModel):
        """What is inside."""

        share: float = Field(default=0.5, ge=0, lt=1, description="a share")
        names: list[str] = Field(default_factory=lambda: ["a"], description="names")

    class File(BaseModel):
        """A file."""

        needed: int | None = Field(description="needed")
        one: Inner = Field(default=Inner(share=0.25), description="one")
        many: dict[str, list[Inner]] = Field(default_factory=dict, description="many")

    top, inner = sections_of(File)
    assert [(key.key, key.type, key.required, key.default) for key in top.keys] == [
        ("needed", "whole number", True, ""),
        ("one", "section", False, "{share: 0.25}"),
        ("many", "mapping of name to list of section", False, "{}"),
    ]
    assert inner.places == ("one", "many.NAME[]")
    assert [(key.type, key.default) for key in inner.keys] == [
        ("number, at least 0, less than 1", "0.5"),
        ("list of text", "[a]"),
    ]


def test_the_command_prints_the_page_and_the_same_as_json() -> None:
    runner = CliRunner()
    assert runner.invoke(app, ["config", "reference"]).stdout == as_markdown()
    document = json.loads(runner.invoke(app, ["config", "reference", "--json"]).stdout)
    keys = [key for file in document["files"].values() for section in file["sections"] for key in section["keys"]]
    rows = len(re.findall(r"^\| `", as_markdown(), flags=re.MULTILINE))
    assert len(keys) + len(document["functions"]) == rows
    assert set(keys[0]) == {"key", "type", "required", "default", "meaning"}
