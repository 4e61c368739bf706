"""The two workspaces on real data: their files fit the strict models, and name only what is there."""

from __future__ import annotations

import os
import re
from collections import Counter
from pathlib import Path

import pytest

from features.base.database_engine import open_engine
from features.base.expressions.expression import parse
from features.base.workspace import Workspace, is_reference
from features.config.canonical import attribute_name
from features.config.feeds_file import FeedsFile
from features.config.loading import load
from features.config.views_file import UNWINDOWED, ViewsFile
from features.store.store_settings import SqliteOnline, read_settings
from features.views.catalogue import aggregate_name, attribute_feature
from features.views.declaration_check import check
from serving.decisioning.offer_settings import OffersSettings
from serving.decisioning.policy import Policy, compile_policy
from training.labels.label_settings import LabelsFile, RecordedField, Repurchase
from training.registry.mlflow_settings import load_mlflow

HERE = Path(__file__).parent
NAMES = ("online_retail", "telco")
every_workspace = pytest.mark.parametrize("name", NAMES)
_WORDS = re.compile(r"THEN '([^']*)'")


def feeds(name: str) -> FeedsFile:
    return load(HERE / name / "features/feeds.yaml", FeedsFile, name="features/feeds.yaml")[0]


def views(name: str) -> ViewsFile:
    return load(HERE / name / "features/views.yaml", ViewsFile, name="features/views.yaml")[0]


def labels(name: str) -> LabelsFile:
    return load(HERE / name / "training/labels.yaml", LabelsFile, name="training/labels.yaml")[0]


def policy(name: str) -> Policy:
    offers, _ = load(HERE / name / "serving/offers.yaml", OffersSettings, name="serving/offers.yaml")
    purposes = {purpose: settings.basis for purpose, settings in feeds(name).purposes.items()}
    return compile_policy(offers, version="test", purposes=purposes)


def group_expression() -> str:
    return feeds("online_retail").feeds["items"].fields["group"]


def groups() -> list[str]:
    return [*_WORDS.findall(group_expression()), "other"]


def feature_names(name: str) -> set[str]:
    found: set[str] = set()
    for view, settings in views(name).views.items():
        found |= {attribute_feature(view, field) for field in settings.fields}
        for category in groups() if settings.by else [""]:
            for column, aggregates in settings.aggregates.items():
                for aggregate in aggregates:
                    windows = [""] if aggregate in UNWINDOWED else [f"{w.days}d" for w in settings.windows]
                    found |= {aggregate_name(view, column, aggregate, window, category) for window in windows}
    return found


@every_workspace
def test_feeds_and_views_name_only_columns_that_the_files_have(name: str, shared_data: Path, tmp_path: Path) -> None:
    (tmp_path / "features").mkdir()
    for file in ("feeds.yaml", "views.yaml"):
        text = (HERE / name / "features" / file).read_text(encoding="utf-8")
        text = text.replace("../../../../shared/data", os.path.relpath(shared_data, tmp_path))
        (tmp_path / "features" / file).write_text(text, encoding="utf-8")
    assert check(Workspace(tmp_path)) == []


@every_workspace
def test_models_are_registered_under_the_workspaces_own_name(name: str) -> None:
    settings, _ = load_mlflow(Workspace(HERE / name))
    assert settings.registered("churn") == f"{name}.churn"


@every_workspace
def test_no_column_is_both_dropped_and_shown(name: str) -> None:
    shown = {field for view in views(name).views.values() for field in view.fields if "." in field}
    dropped = {attribute_name(feed, column) for feed, s in feeds(name).feeds.items() for column in s.drop}
    assert shown & dropped == set()


@every_workspace
def test_offers_read_only_features_models_and_purposes_that_are_declared(name: str) -> None:
    compiled = policy(name)
    consents = {f"consent__{purpose}" for purpose in feeds(name).purposes}
    assert compiled.columns <= feature_names(name) | consents
    assert compiled.models <= set(labels(name).models)
    assert {offer.settings.purpose for offer in compiled.offers} <= set(feeds(name).purposes)


@every_workspace
def test_populations_read_only_declared_features(name: str) -> None:
    for model in labels(name).models.values():
        if model.population.where:
            assert parse(model.population.where).columns <= feature_names(name)


@every_workspace
def test_every_candidate_that_an_offer_names_is_a_merchandise_group(name: str) -> None:
    sources = [offer.settings.score for offer in policy(name).offers if offer.settings.score is not None]
    for source in sources:
        if source.candidate is not None and source.model is not None:
            assert isinstance(labels(name).models[source.model].label, Repurchase)
            assert source.candidate in groups()


@every_workspace
def test_feast_keeps_its_files_under_state(name: str) -> None:
    settings = read_settings(HERE / name)
    state = str((HERE / name / "state").resolve())
    assert settings.registry.path.removeprefix("sqlite:///").startswith(state)
    assert isinstance(settings.online_store, SqliteOnline)
    assert settings.online_store.path.startswith(state)


@every_workspace
def test_every_role_key_is_a_reference_and_never_a_key(name: str) -> None:
    keys = re.findall(r"^\s+key: (.+)$", (HERE / name / "serving/roles.yaml").read_text(encoding="utf-8"), re.MULTILINE)
    assert len(keys) == len(set(keys)) == 3
    assert all(is_reference(key) for key in keys)


def test_there_are_30_to_60_groups_with_names_fit_for_columns() -> None:
    assert 30 <= len(groups()) <= 60
    assert [group for group, times in Counter(groups()).items() if times > 1] == []
    assert [group for group in groups() if re.fullmatch(r"[a-z][a-z0-9_]*[a-z0-9]", group) is None] == []


@pytest.mark.parametrize(
    ("description", "group"),
    [
        ("JUMBO BAG 50'S CHRISTMAS ", "christmas"),
        ("LUNCH BAG RED SPOTTY", "lunch_bags_and_boxes"),
        ("RED SPOTTY CHARLOTTE BAG", "bags_and_shoppers"),
        ("BATHROOM METAL SIGN", "signs"),
        ("WHITE HANGING HEART T-LIGHT HOLDER", "t_light_holders"),
        ("RABBIT NIGHT LIGHT", "lights_and_lanterns"),
        ("RETRO SPOTS BUTTER DISH", "jars_and_kitchen_storage"),
        ("POLYESTER FILLER PAD 40x40cm", "cushions_and_soft_furnishings"),
        ("ASSORTED FLOWER COLOUR LEIS", "other"),
    ],
)
def test_an_article_falls_into_the_group_that_a_merchandiser_would_choose(description: str, group: str) -> None:
    with open_engine(folders=[]) as engine:
        engine.execute('CREATE TEMP TABLE article ("Description" VARCHAR)')
        engine.execute("INSERT INTO article VALUES (?)", [description])
        sql = parse(group_expression()).sql()
        assert engine.execute(f"SELECT {sql} FROM article").fetchall() == [(group,)]


def test_at_most_a_tenth_of_the_lines_belong_to_no_group(shared_data: Path) -> None:
    folder = shared_data / "uci_online_retail"
    file = folder / "online_retail_2010_12_to_2011_12.parquet"
    with open_engine(folders=[folder]) as engine:
        found = engine.execute(
            f"""
            SELECT sum(lines) FILTER ({parse(group_expression()).sql()} = 'other') / sum(lines)
            FROM (
                SELECT "Description", count(*) AS lines FROM read_parquet(?)
                WHERE "UnitPrice" > 0 AND "Quantity" > 0 AND "CustomerID" IS NOT NULL GROUP BY ALL
            )
            """,
            [str(file)],
        ).fetchall()
    assert 0 < found[0][0] < 0.1


def test_what_the_telco_knows_only_with_the_answer_is_excluded() -> None:
    left = {"churn_value", "churn_label", "churn_score", "churn_category", "churn_reason", "satisfaction_score", "cltv"}
    assert {f"status.{column}" for column in left | {"customer_status"}} == set(labels("telco").exclude)


def test_tech_support_is_not_learnt_from_itself_or_from_a_price_that_holds_it() -> None:
    model = labels("telco").models["tech_support"]
    assert isinstance(model.label, RecordedField)
    assert {model.label.field, "services.monthly_charge", "services.total_charges"} <= set(model.exclude)
    shown = {field for view in views("telco").views.values() for field in view.fields}
    assert "services.total_revenue" not in shown
