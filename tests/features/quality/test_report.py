"""The quality report: a page that needs nothing from elsewhere, the same as JSON, and nobody's value in either."""

from __future__ import annotations

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from features.base.errors import BadData
from features.base.workspace import Workspace
from features.config.feed_checks import RULES
from features.pipeline.unify_report import last_report, report_quality
from tests.features.quality.world import PEOPLE, SALES, write
from tests.features.tiny import unified

VOID = {"meta", "rect", "img", "br"}


class Page(HTMLParser):
    """Every tag that opens closes, in order; what the pictures say, and the addresses that the page names."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.pictures: list[str] = []
        self.addresses: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag not in VOID:
            self.open.append(tag)
        named = dict(attrs)
        if named.get("role") == "img":
            self.pictures.append(named.get("aria-label") or "")
        self.addresses += [named[name] or "" for name in ("src", "href") if name in named]

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag


@pytest.fixture
def reported(tmp_path: Path) -> Workspace:
    """Return a company with something to tell: a row kept aside, repairs, a failed check, a name like markup."""
    people = [*PEOPLE, "3,mallory,01632 960003,1890-01-01,YO1 7HH,<b>Atlantis</b>,2026-01-01"]
    more = "quality: {repairs: [{rule: phone, field: phone}], checks: {FQ010: {above: 0.1}}}\npurposes: {}"
    workspace = write(tmp_path, people=people, sales=[*SALES, "x,,2026-01-09,1,web,GBP"], more=more)
    unified(workspace)
    return workspace


def read(workspace: Workspace) -> tuple[str, dict]:
    folder = workspace.published / "quality"
    return (folder / "report.html").read_text("utf-8"), json.loads((folder / "report.json").read_text("utf-8"))


def test_the_page_is_whole_and_needs_nothing_from_elsewhere(reported: Workspace) -> None:
    text, _ = read(reported)
    page = Page(text)
    assert page.open == []
    assert page.addresses == []
    assert re.findall(r"https?://|@import|url\(", text) == []


def test_every_picture_says_in_words_what_it_shows(reported: Workspace) -> None:
    pictures = Page(read(reported)[0]).pictures
    assert any(words.startswith("Share of rows with a value: ") for words in pictures)
    assert any(words.startswith("Rows of the accepted loads, the oldest first: 2026-01-02: 3") for words in pictures)
    assert any(words.startswith("Customers by the number of their records: 1: 3") for words in pictures)
    assert all(words.endswith(".") for words in pictures)


def test_page_and_json_tell_every_check_and_count(reported: Workspace) -> None:
    text, told = read(reported)
    assert {check["code"] for check in told["checks"]} == set(RULES)
    assert all(code in text for code in RULES)
    assert told["counts"]["customers"] == 3
    assert told["feeds"]["till"]["rows"] == 4
    assert told["feeds"]["crm"]["repaired"] == {"phone": 3}
    assert told["outcomes"]["failed"] == sum(check["outcome"] == "failed" for check in told["checks"]) > 0


def test_nobodys_value_stands_in_the_report(reported: Workspace) -> None:
    written = "".join([read(reported)[0], json.dumps(read(reported)[1])])
    values = {value for line in PEOPLE for value in line.split(",")[1:5]}
    values |= {"mallory", "1890-01-01", "+441632960001", "Atlantis"}
    assert {value for value in values if value in written} == set()


def test_the_same_data_give_the_same_report(reported: Workspace) -> None:
    before = read(reported)
    assert report_quality(reported, last_report(reported)).name == "report.html"
    assert read(reported) == before


def test_a_report_that_a_killed_run_did_not_write_is_written_by_the_next(reported: Workspace) -> None:
    before = read(reported)
    for path in (reported.published / "quality").iterdir():
        path.unlink()
    unified(reported)
    assert read(reported) == before


def test_volumes_grow_with_each_accepted_load(reported: Workspace, tmp_path: Path) -> None:
    write(tmp_path, sales=[*SALES, "4,1,2026-01-06,5,web,GBP", "5,1,2026-01-06,5,web,GBP"])
    unified(reported)
    assert [load["rows"] for load in read(reported)[1]["feeds"]["till"]["loads"]] == [4, 5]


def test_there_is_no_report_before_anything_is_unified(tmp_path: Path) -> None:
    with pytest.raises(BadData, match="nextbest unify"):
        last_report(write(tmp_path))
