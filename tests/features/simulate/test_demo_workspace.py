"""The configuration at the repository's root fits the demo company: every column, feature and purpose is there."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from features.base.workspace import CONFIGURATION, Workspace
from features.config.canonical import CANONICAL
from features.config.loading import load
from features.config.workspace_files import load_feeds, load_views
from features.ingest.staging import stage
from features.simulate import simulate, write
from features.simulate.products import GROUP_NAMES, SUBSCRIPTIONS
from features.store.store_settings import SqliteOnline, read_settings
from features.views.declaration_check import check
from serving.decisioning.offer_settings import OffersSettings
from training.labels.label_settings import Acquisition, Inactivity, LabelsFile
from training.registry.mlflow_settings import load_mlflow

REPOSITORY = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    root = tmp_path_factory.mktemp("demo")
    for name in CONFIGURATION:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / name, root / name)
    write(simulate(customers=600, seed=7, months=8), root / "state" / "company")
    return Workspace(root)


def test_the_demo_workspace_has_no_problems(workspace: Workspace) -> None:
    assert check(workspace) == []


def test_every_feed_is_staged_with_few_rows_put_aside(workspace: Workspace, tmp_path: Path) -> None:
    feeds, _ = load_feeds(workspace)
    staged = {name: stage(name, feed, root=workspace.root, folder=tmp_path) for name, feed in feeds.feeds.items()}
    assert set(feeds.feeds) == set(staged)
    assert {feed.kind for feed in feeds.feeds.values()} == set(CANONICAL)
    soiled = {name for name, feed in staged.items() if feed.rejected}
    assert soiled <= {"billing", "payments"}
    assert staged["billing"].rejected
    assert all(feed.rows > 0 for feed in staged.values())


def test_no_attribute_of_a_person_is_kept_under_another_name(workspace: Workspace) -> None:
    feeds, _ = load_feeds(workspace)
    personal = {"email", "phone", "birth_date", "street", "first_name", "last_name", "full_name"}
    for name in ("crm_sales", "crm_service"):
        feed = feeds.feeds[name]
        columns = {text for field, text in feed.fields.items() if field in personal and text.isidentifier()}
        assert columns <= {*feed.drop, *feed.pii}, name


def test_labels_name_events_that_the_feeds_give(workspace: Workspace) -> None:
    feeds, _ = load_feeds(workspace)
    labels, _ = load(workspace.file("training/labels.yaml"), LabelsFile, name="training/labels.yaml")
    churn, cross_sell = labels.models["churn"].label, labels.models["cross_sell"].label
    assert isinstance(churn, Inactivity)
    assert churn.event == feeds.feeds["billing"].event
    assert isinstance(cross_sell, Acquisition)
    assert cross_sell.event in feeds.feeds["till"].fields["event"]


def test_offers_speak_of_products_models_and_purposes_that_are_there(workspace: Workspace) -> None:
    feeds, _ = load_feeds(workspace)
    offers, _ = load(workspace.file("serving/offers.yaml"), OffersSettings, name="serving/offers.yaml")
    labels, _ = load(workspace.file("training/labels.yaml"), LabelsFile, name="training/labels.yaml")
    assert 8 <= len(offers.offers) <= 12
    for offer in offers.offers:
        assert offer.purpose in feeds.purposes
        assert offer.score is not None
        if offer.score.model is not None:
            assert offer.score.model in labels.models
            assert offer.score.candidate in GROUP_NAMES
        if offer.item is not None:
            assert offer.item in {group.name for group in SUBSCRIPTIONS}


def test_views_the_feature_store_and_tracking_are_read(workspace: Workspace) -> None:
    views, _ = load_views(workspace)
    assert views.views["bills"].source == "events"
    online = read_settings(workspace.root).online_store
    assert isinstance(online, SqliteOnline)
    assert Path(online.path).is_relative_to(workspace.root)
    assert load_mlflow(workspace)[0].experiment == "nextbest"
