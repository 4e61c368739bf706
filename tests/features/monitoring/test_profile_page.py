"""The page of all features: whole, offline, read aloud, and nobody's own value on it."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import timedelta
from html.parser import HTMLParser

import pandas as pd
import pytest

from features.base.errors import UsageError
from features.base.progress import Silent
from features.base.storage import read_json
from features.base.workspace import Workspace
from features.monitoring.feature_profile import CUTOFFS, Profile, chosen_cutoffs, profile_features
from features.monitoring.profile_page import profile_page, write_profile
from features.pipeline.build_features import build_features
from features.pipeline.unify import unify
from features.snapshots.build_report import FeaturesReport, read_report
from tests.tiny import write_tiny

RARE = "Llanfairpwll, the only one there"


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return the README's shop, built, in which one customer lives where nobody else does."""
    workspace = write_tiny(tmp_path_factory.mktemp("shop"))
    path = workspace.root / "data" / "people.csv"
    people = pd.read_csv(path)
    people.loc[17, "town"] = RARE
    people.to_csv(path, index=False)
    unify(workspace, Silent())
    build_features(workspace, Silent())
    return workspace


@pytest.fixture(scope="module")
def report(shop: Workspace) -> FeaturesReport:
    return read_report(shop)


@pytest.fixture(scope="module")
def profile(shop: Workspace, report: FeaturesReport) -> Profile:
    return profile_features(shop, report, Silent())


class Reader(HTMLParser):
    """Collects what a page consists of, and whether every tag that opens closes."""

    EMPTY = ("meta", "path", "rect", "circle", "polyline", "br")

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: list[str] = []
        self.links: list[str] = []
        self.pictures: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag not in self.EMPTY:
            self.open.append(tag)
        if "id" in given:
            self.ids.append(given["id"] or "")
        if tag == "a":
            self.links.append(given["href"] or "")
        if tag == "svg":
            assert given.get("role") == "img"
            self.pictures.append(given.get("aria-label") or "")

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.EMPTY:
            assert self.open.pop() == tag


def test_the_page_holds_every_feature_once_and_all_its_links_lead_somewhere(
    profile: Profile, report: FeaturesReport
) -> None:
    read = Reader(profile_page(profile))
    assert read.open == []
    assert len(read.ids) == len(set(read.ids))
    assert set(report.features) <= set(read.ids)
    assert {f"view-{view.name}" for view in report.views} <= set(read.ids)
    assert [link for link in read.links if link.removeprefix("#") not in read.ids] == []


def test_every_picture_is_said_in_words(profile: Profile) -> None:
    pictures = Reader(profile_page(profile)).pictures
    assert len(pictures) > len(profile.views)
    assert [words for words in pictures if len(words) < 20] == []


def test_the_page_needs_nothing_from_elsewhere(profile: Profile) -> None:
    text = profile_page(profile)
    assert re.findall(r"https?:|//[a-z]|url\(|@import|<script|<link|<img|src=", text) == []


def test_the_only_customer_of_a_town_is_on_no_page(shop: Workspace, profile: Profile) -> None:
    path = write_profile(profile, shop.published / "features")
    said = path.read_text(encoding="utf-8") + path.with_name("profile.json").read_text(encoding="utf-8")
    assert "Leeds" in said
    assert RARE not in said
    customers = pd.read_parquet(shop.unified / "customers.parquet")["customer_id"]
    assert [customer for customer in customers if customer in said] == []


def test_a_feature_made_of_what_identifies_people_shows_no_value(profile: Profile, shop: Workspace) -> None:
    report = read_report(shop)
    marked = replace(
        report,
        views=tuple(
            replace(view, features=tuple(replace(f, personal=("people.mail",)) for f in view.features))
            for view in report.views
        ),
    )
    found = profile_features(shop, marked, Silent())
    assert all(each.now.bars == () and each.now.quantiles == () for view in found.views for each in view.features)
    text = profile_page(found)
    assert "no value is shown" in text
    assert "Leeds" not in text
    assert "Leeds" in profile_page(profile)


def test_the_data_says_the_same_as_the_page(shop: Workspace, profile: Profile, report: FeaturesReport) -> None:
    told = read_json(write_profile(profile, shop.published / "features").with_name("profile.json"))
    assert set(told["features"]) == set(report.features)
    spent = told["features"]["orders__amount_sum_30d"]
    assert (spent["type"], spent["unit"], spent["view"]) == ("float", "GBP", "orders")
    assert spent["rows"] == told["customers"] == 200
    assert len(spent["drift_by_cutoff"]) == len(spent["missing_by_cutoff"]) == len(told["cutoffs"])
    assert spent["drift_by_cutoff"][told["cutoffs"].index(told["reference"])] == 0


def test_drift_follows_a_feature_over_the_cutoffs(profile: Profile) -> None:
    tenure = next(f for view in profile.views for f in view.features if f.feature.name == "orders__tenure")
    assert tenure.moved > 0.25  # all of them grow older, and few are new
    assert "its values have shifted" in tenure.remarks
    assert 'class="state shifted"' in profile_page(profile)


def test_cutoffs_are_spread_evenly_and_the_last_and_the_reference_are_among_them(report: FeaturesReport) -> None:
    many = [report.as_of - timedelta(days=day) for day in range(100, -1, -1)]
    chosen, against = chosen_cutoffs(many, None)
    assert against == many[50]
    assert {many[0], many[-1], against} <= set(chosen)
    assert CUTOFFS <= len(chosen) <= CUTOFFS + 1
    assert chosen_cutoffs(many, many[3] + timedelta(hours=5))[1] == many[3]
    assert chosen_cutoffs(many[:1], None) == ((many[0],), many[0])
    with pytest.raises(UsageError, match="there are no features as of"):
        chosen_cutoffs(many, many[0] - timedelta(seconds=1))
