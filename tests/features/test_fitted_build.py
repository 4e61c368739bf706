"""What views learnt stays over builds; types that change, and everything that is wrong, are said before any work."""

from __future__ import annotations

import math
import shutil
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import FeatureStore

from features.base import generations
from features.base.errors import BadConfiguration, BadData, StorageFailure
from features.base.progress import Silent
from features.base.workspace import Workspace
from features.pipeline.build_features import build_features
from features.snapshots.build_report import FeaturesReport, read_report
from features.views.declaration_check import check
from features.views.declarations import declared_features
from features.views.fitted import read_fitted
from tests.features.tiny import STORE, company, lines, table, unified

FEEDS = """\
company: {currency: GBP}
feeds:
  crm: {source: crm.csv, kind: customers, key: id, updated_at: changed, timezone: UTC, fields: {city: town}}
  till:
    {source: till.csv, kind: events, event: buy, key: no, customer: crm.id = till.who, event_time: at,
     known_at: at, timezone: UTC, fields: {amount: price, item: sku}}
"""
VIEWS = """\
python: features/mine.py
fit: {until: 2026-01-04}
views:
  goods: {from: events, by: item, top: 1, aggregates: {"*": [count]}, windows: [30d]}
  mine: {from: events, python: [spend], windows: [30d]}
  profile: {from: customers, fields: [crm.score]}
snapshots: {every: 7d}
"""
MINE = """\
from features.views.python_features import feature

@feature(type="float", unit="GBP", description="money")
def spend(rows):
    return rows.amount.sum()
"""
TILL = ["1,1,2026-01-02,bear,5", "2,1,2026-01-03,bear,5", "3,2,2026-01-03,jam,1"]
LATER = [f"{number},2,2026-01-08,jam,1" for number in range(4, 9)] + ["9,2,2026-01-08,oil,1", "10,1,2026-01-09,oil,1"]


def shop(root: Path, *, till: list[str], score: str = "3", views: str = VIEWS, mine: str = MINE) -> Workspace:
    files = {
        "features/feature_store.yaml": STORE,
        "features/mine.py": mine,
        "crm.csv": lines("id,changed,town,score", [f"1,2026-01-01,York,{score}", f"2,2026-01-01,Hull,{score}"]),
        "till.csv": lines("no,who,at,sku,price", till),
    }
    return company(root, feeds=FEEDS, views=views, files=files)


def built(workspace: Workspace, **options: bool) -> FeaturesReport:
    unified(workspace)
    return build_features(workspace, Silent(), **options)  # type: ignore[arg-type]


def names(report: FeaturesReport, view: str) -> list[str]:
    return [feature.name for one in report.views if one.name == view for feature in one.features]


def test_the_choice_of_yesterday_stands_until_somebody_asks_for_another(tmp_path: Path) -> None:
    workspace = shop(tmp_path, till=TILL)
    first = built(workspace)
    assert names(first, "goods") == ["goods__count_30d__bear"]
    assert read_fitted(workspace.snapshots)["goods"].until == "2026-01-04T00:00:00Z"
    shop(tmp_path, till=TILL + LATER)
    second = built(workspace)
    assert names(second, "goods") == names(first, "goods")
    assert {view.name: view.unseen for view in second.views} == {"goods": 2, "mine": 0, "profile": 0}
    assert build_features(workspace, Silent()) == read_report(workspace)  # and nothing is learnt again
    early = [f"{number},2,2026-01-03,jam,1" for number in (11, 12)]
    shop(tmp_path, till=TILL + LATER + early)
    assert names(built(workspace), "goods") == names(first, "goods")
    assert names(built(workspace, refit=True), "goods") == ["goods__count_30d__jam"]
    shop(tmp_path, till=TILL + LATER + early, views=VIEWS.replace("2026-01-04", "2026-01-02"))
    assert names(built(workspace), "goods") == ["goods__count_30d__bear"]  # another declared moment is another choice


def test_feast_shows_what_a_feature_knows_of_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built(shop(tmp_path, till=TILL))
    monkeypatch.chdir(tmp_path)  # from where a workspace's own file counts
    feast = FeatureStore(fs_yaml_file=Path("features/feature_store.yaml"))
    (spend,) = feast.get_feature_view("mine").features
    assert spend.tags == {"unit": "GBP", "sources": "events.amount, events.event_time"}


WORDS = """\
  words: {from: events, text: {column: item}, aggregates: {item.characters: [max, last]}, windows: [3d]}
  latest: {from: events, python: [newest], windows: [3d, 30d]}
snapshots: {every: 1d}
"""
NEWEST = """
@feature(type="string", description="the last item")
def newest(rows):
    return rows.item.argmax(rows.order)
"""


def test_what_is_mended_for_a_few_customers_is_what_a_whole_build_gives(tmp_path: Path) -> None:
    declared = VIEWS.replace("snapshots: {every: 7d}\n", WORDS)
    people = [f"{number},1,2026-01-02,bear,5" for number in range(100, 110)]
    workspace = shop(tmp_path, till=TILL + people, views=declared, mine=MINE + NEWEST)
    built(workspace)
    shop(tmp_path, till=TILL + people + LATER[:1], views=declared, mine=MINE + NEWEST)
    built(workspace)
    folder = workspace.snapshots
    mended = {path.relative_to(folder): table(path) for path in folder.rglob("*.parquet")}
    shutil.rmtree(workspace.snapshots)
    build_features(workspace, Silent())
    folder = workspace.snapshots
    whole = {path.relative_to(folder): table(path) for path in folder.rglob("*.parquet")}
    assert len(whole) > 20
    assert {path: rows for path, rows in mended.items() if path in whole} == whole


def test_a_damaged_choice_is_not_made_again_unasked(tmp_path: Path) -> None:
    workspace = shop(tmp_path, till=TILL)
    built(workspace)
    (workspace.snapshots / "fitted.json").write_text('{"goods": 3}')
    with pytest.raises(StorageFailure, match=r"--refit"):
        build_features(workspace, Silent())
    assert names(build_features(workspace, Silent(), refit=True), "goods") == ["goods__count_30d__bear"]


def test_a_build_that_is_not_published_leaves_the_choice_of_the_published_snapshots(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    workspace = shop(tmp_path, till=TILL)
    built(workspace)
    before = read_fitted(workspace.snapshots)
    shop(tmp_path, till=TILL + [f"{number},2,2026-01-03,jam,1" for number in (11, 12)])
    unified(workspace)
    with monkeypatch.context() as patched:
        patched.setattr(generations, "atomic_file", full_disk)
        with pytest.raises(StorageFailure):
            build_features(workspace, Silent(), refit=True)
    assert read_fitted(workspace.snapshots) == before
    build_features(workspace, Silent(), refit=True)
    assert read_fitted(workspace.snapshots) != before


def full_disk(path: Path) -> None:
    raise StorageFailure("storage.unwritable", "cannot be written", where=path.name)


def test_a_changed_function_is_computed_anew(tmp_path: Path) -> None:
    workspace = shop(tmp_path, till=TILL)
    first = built(workspace)
    shop(tmp_path, till=TILL, mine=MINE.replace("rows.amount.sum()", "rows.amount.sum() * 2"))
    assert built(workspace).digest != first.digest


def test_a_feature_of_another_type_is_refused_before_any_work_and_may_be_allowed(tmp_path: Path) -> None:
    workspace = shop(tmp_path, till=TILL)
    before = built(workspace)
    shop(tmp_path, till=TILL, score="high")
    unified_with_change(workspace)
    with pytest.raises(BadConfiguration) as caught:
        build_features(workspace, Silent())
    (problem,) = caught.value.problems
    assert (problem.code, problem.where) == ("store.type_change", "view profile")
    assert "profile__crm_score was float and is now string" in problem.message
    assert "--allow-type-change" in problem.hint
    assert read_report(workspace) == before
    allowed = build_features(workspace, Silent(), allow_type_change=True)
    assert [one.type for view in allowed.views for one in view.features if view.name == "profile"] == ["string"]


def unified_with_change(workspace: Workspace) -> None:
    """Unify though a column holds another type than in the last load, as somebody has accepted."""
    from features.pipeline.unify import unify

    unify(workspace, Silent(), accept=["crm"])


FAULTY = """\
views:
  a: {from: events, where: "evnt = 'x'", aggregates: {amuont: [summ]}, by: itm, windows: [7dd]}
  b: {from: customers, fields: [cty], owne: sales}
  c: {from: events, python: [spnd], purpose: ads, windows: [30d]}
  d: {from: events, text: {column: amount}, aggregates: {amount.words: sum, item: mean}, windows: [30d]}
python: features/mine.py
"""


def test_unknown_columns_functions_windows_and_keys_are_said_in_one_go(tmp_path: Path) -> None:
    workspace = shop(tmp_path, till=TILL)
    built(workspace)
    (tmp_path / "features" / "views.yaml").write_text(FAULTY)
    with pytest.raises(BadConfiguration) as caught:
        build_features(workspace, Silent())
    for found in (caught.value.problems, tuple(check(workspace))):
        told = {(problem.message.split(": ")[-1], problem.hint) for problem in found}
        assert {problem.where.partition(":")[0] for problem in found} == {"features/views.yaml"}
        assert told >= {
            ("'summ' is not one of its choices", "did you mean 'sum'?"),
            ("unknown key 'views.b.owne'", "did you mean 'owner'?"),
            ("events has no column 'amuont'", "did you mean 'amount'?"),
            ("events has no column 'itm'", "did you mean 'item'?"),
            ("events has no column 'evnt'", "did you mean 'event'?"),
            ("customers has no column 'cty'", "did you mean 'city'?"),
            ("features/mine.py declares no feature 'spnd'", "did you mean 'spend'?"),
            ("amount holds numbers", "name a column of texts"),
            ("mean of item, which is text", "use nunique, first or last"),
        }
        assert "the purpose 'ads' is not declared in features/feeds.yaml" in {problem.message for problem in found}
        assert any("7dd" not in problem.message and "such as 30d" in problem.message for problem in found)


def test_an_undeclared_purpose_is_said_beside_an_unknown_column(tmp_path: Path) -> None:
    workspace = shop(tmp_path, till=TILL, views="purpose: ads\n" + VIEWS.replace("crm.score", "crm.scor"))
    unified(workspace)
    with pytest.raises(BadConfiguration) as caught:
        build_features(workspace, Silent())
    for found in (caught.value.problems, check(workspace)):
        assert [problem.code for problem in found] == ["view.unknown_column", "purpose.undeclared"]


def test_functions_and_chosen_categories_are_declared_features(tmp_path: Path) -> None:
    declared, prefixes = declared_features(shop(tmp_path, till=TILL))
    assert (declared, prefixes) == ({"mine__spend_30d", "profile__crm_score"}, ("goods__",))


@pytest.mark.parametrize("score", [math.inf, -math.inf])
def test_an_infinite_number_is_refused_by_its_view(tmp_path: Path, score: float) -> None:
    workspace = shop(tmp_path, till=TILL)
    columns = {"id": ["1", "2"], "changed": ["2026-01-01"] * 2, "town": ["York", "Hull"], "score": [score, math.nan]}
    pq.write_table(pa.table(columns), tmp_path / "crm.parquet")
    (tmp_path / "features" / "feeds.yaml").write_text(FEEDS.replace("crm.csv", "crm.parquet"))
    with pytest.raises(BadData) as caught:
        built(workspace)
    assert (caught.value.first.code, caught.value.first.where) == ("feature.range", "view profile")


def test_what_is_no_number_is_missing(tmp_path: Path) -> None:
    nothing = MINE.replace("rows.amount.sum()", "(rows.amount.sum() - rows.amount.sum()) / (rows.count() * 0.0)")
    workspace = shop(tmp_path, till=TILL, mine=nothing)
    built(workspace)
    files = [path for path in workspace.snapshots.rglob("*.parquet") if "mine" in str(path)]
    values = {row["mine__spend_30d"] for path in files for row in table(path)}
    assert values == {None}
