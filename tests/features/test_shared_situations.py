"""Situations of real data, where they lie beside the repository: each is read right, or what is wrong is said."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from features.base.database_engine import open_engine
from features.base.errors import BadData
from features.base.progress import Silent
from features.base.workspace import Workspace
from features.config.workspace_files import load_feeds
from features.consent.customer_data import open_customer_data
from features.pipeline.build_features import build_features
from features.pipeline.unify import unify
from features.snapshots.build_report import FeaturesReport
from serving.batch.decide_job import decide_all
from serving.cli.init_command import new_workspace
from tests.features.tiny import groups, table, unified
from training.labels.build import build
from training.labels.label_settings import load_labels
from training.labels.labelled_rows import Labels

CASES = Path(__file__).resolve().parents[3] / "shared/cases/data"
LAST_ORDER = datetime(2026, 6, 29, tzinfo=UTC)
Copy = Callable[..., Workspace]


@pytest.fixture
def case(tmp_path: Path) -> Copy:
    """Copy a workspace of the shared cases; the folders there cannot be written."""

    def copy(name: str, to: str = "ws") -> Workspace:
        if not CASES.is_dir():
            pytest.skip(f"the shared cases are not there: {CASES.name} is no folder beside the repository")
        shutil.copytree(CASES / name, tmp_path / to)
        for folder, _, files in os.walk(tmp_path / to):
            Path(folder).chmod(0o755)
            for file in files:
                (Path(folder) / file).chmod(0o644)
        return Workspace(tmp_path / to)

    return copy


def run(workspace: Workspace) -> Any:
    """Run all steps in a process of their own, since MLflow warns while it is loaded."""
    command = [sys.executable, "-c", "from serving.cli.main import main; main()", "run", "--json", "-w"]
    done = subprocess.run([*command, str(workspace.root)], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


def built(workspace: Workspace) -> FeaturesReport:
    unified(workspace)
    return build_features(workspace, Silent())


def labels(workspace: Workspace, model: str) -> Labels:
    report = built(workspace)
    with open_engine(folders=[workspace.state]) as engine:
        open_customer_data(engine, workspace, {}, purpose=None)
        feeds, settings = load_feeds(workspace)[0], load_labels(workspace)[0].models[model]
        return build(engine, settings, report.cutoffs, feeds)


def newest(workspace: Workspace, view: str) -> list[dict[str, Any]]:
    """Return a view's rows as of the last cutoff."""
    return table(sorted((workspace.snapshots / view).glob("*.parquet"))[-1])


def by_record(workspace: Workspace, view: str) -> dict[str, dict[str, Any]]:
    """Return a view's rows as of the last cutoff, by the key of the customer's record."""
    names = {row["customer_id"]: row["record_id"] for row in table(workspace.personal / "records.parquet")}
    return {names[row["customer_id"]]: row for row in newest(workspace, view)}


def sums(workspace: Workspace) -> dict[str, float]:
    """Return the sum of each customer's amounts, by the key of their record."""
    names = {row["customer_id"]: row["record_id"] for row in table(workspace.personal / "records.parquet")}
    found: Counter[str] = Counter()
    for row in table(workspace.unified / "events.parquet"):
        found[names[row["customer_id"]]] += row["amount"]
    return dict(found)


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("F1", ["groups__count_180d__a_minus", "groups__count_180d__a_plus", "groups__count_180d__b"]),
        ("F3", ["plans__5_g", "plans__5_g_plus", "plans__basic"]),
    ],
)
def test_categories_that_differ_in_a_sign_have_names_of_their_own(case: Copy, name: str, wanted: list[str]) -> None:
    names = {feature.name for view in built(case(f"categories_collide/{name}")).views for feature in view.features}
    assert set(wanted) <= names


def test_groups_that_differ_in_a_sign_are_candidates_of_their_own(case: Copy) -> None:
    assert labels(case("categories_collide/F2"), "next_plan").candidates == ("a_plus", "a_minus", "b")


@pytest.mark.slow
def test_a_text_that_no_row_of_the_past_fills_does_not_stop_decisions(case: Copy) -> None:
    assert run(case("crm_touched_at_once/A3"))["decide"]["decided"] == 400


def test_a_cutoff_is_learnt_from_once_the_feed_of_its_label_has_reached_past_its_window(case: Copy) -> None:
    workspace = case("crm_touched_at_once/A3")
    people, views = workspace.root / "data" / "people.csv", workspace.file("features/views.yaml")
    views.write_text(views.read_text(encoding="utf-8").replace("every: 30d", "every: 7d"), encoding="utf-8")
    before = labels(workspace, "churn")
    text = people.read_text(encoding="utf-8")
    people.write_text(text.replace("2026-06-25", "2026-07-24", 1), encoding="utf-8")
    after = labels(workspace, "churn")
    assert max(after.rows["as_of"]) == max(before.rows["as_of"]) == datetime(2026, 5, 28, tzinfo=UTC)
    shares = after.rows.assign(churned=after.target).groupby("as_of")["churned"].mean()
    assert shares.iloc[-3:].max() < 0.45
    assert "the events of feed orders end on 2026-06-29" in after.waits


@pytest.mark.slow
def test_the_present_is_the_last_moment_in_the_data_whenever_they_were_copied(case: Copy, tmp_path: Path) -> None:
    source = case("crm_touched_at_once/A3", "in").root / "data"
    people = [line.rsplit(",", 2)[0] for line in (source / "people.csv").read_text(encoding="utf-8").splitlines()]
    (source / "people.csv").write_text("\n".join([*people, ""]), encoding="utf-8")  # without any date
    found = []
    for name, copied in (("one", datetime(2026, 7, 1, tzinfo=UTC)), ("two", datetime(2026, 11, 30, tzinfo=UTC))):
        for file in source.iterdir():
            os.utime(file, (copied.timestamp(),) * 2)
        new_workspace(tmp_path / name, ["people.csv", "orders.csv"], Silent(), here=source)
        workspace = Workspace(tmp_path / name)
        report = built(workspace)
        rows = pq.read_table(sorted((workspace.snapshots / report.views[0].name).glob("*.parquet"))[-1]).to_pydict()
        found.append((report.as_of, report.cutoffs, [sorted(map(str, rows[column])) for column in sorted(rows)[1:]]))
    assert found[0][:2] == found[1][:2]
    assert found[0][0] == LAST_ORDER
    assert run(workspace)["decide"]["decided"] == 400


def test_line_ends_may_be_mixed(case: Copy) -> None:
    workspace = case("mixed_line_ends/S")
    unified(workspace)
    orders = {row["record_id"]: row["amount"] for row in table(workspace.unified / "events.parquet")}
    assert (len(orders), orders["99999"]) == (432, 9.0)


def test_offers_that_read_no_feature_are_decided(case: Copy) -> None:
    workspace = case("offers_without_features/R")
    built(workspace)
    done = decide_all(workspace, Silent())
    assert (done.decided, done.by_offer) == (200, {"welcome-back": 200})


def test_a_row_of_the_future_does_not_move_the_present(case: Copy) -> None:
    workspace = case("offers_without_features/R")
    built(workspace)
    active = sum(row["orders__count_30d"] > 0 for row in newest(workspace, "orders"))
    orders = workspace.root / "data" / "orders.csv"
    orders.write_text(orders.read_text(encoding="utf-8") + "99999,1,2027-03-15,tea,9,1\n", encoding="utf-8")
    os.utime(orders, (datetime(2026, 6, 30, 12, tzinfo=UTC).timestamp(),) * 2)
    report = built(workspace)
    assert report.as_of in (LAST_ORDER, datetime(2026, 6, 30, tzinfo=UTC))
    assert sum(row["orders__count_30d"] > 0 for row in newest(workspace, "orders")) == active


@pytest.mark.parametrize("name", ["D", "D3"])
def test_an_end_in_9999_is_none(case: Copy, name: str) -> None:
    workspace = case(f"open_end_9999/{name}")
    built(workspace)
    plans = by_record(workspace, "plans")
    assert len(plans) == 40
    assert (plans["c40"]["plans__basic"], plans["c40"]["plans__count"]) == (1, 1)
    assert plans["c40"]["plans__days_to_end"] is None
    assert plans["c3"]["plans__days_to_end"] is not None


@pytest.mark.parametrize(("name", "withheld"), [("C_mail", 20), ("C_later", 18), ("C_no", 3), ("C_us", 1)])
def test_an_opt_out_reaches_its_person_in_any_spelling(case: Copy, name: str, withheld: int) -> None:
    report = unified(case(f"optout_by_phone/{name}"))
    assert report.withheld_by == {"marketing": {"objected": withheld}}


@pytest.mark.parametrize(
    ("name", "customers"),
    [
        ("B_us", [["crm:c1"], ["crm:c2", "web:w2"], ["web:w1"]]),
        ("B_cn", [["crm:c1"], ["crm:c2", "web:w2"], ["web:w1"]]),
        ("B_no", [["crm:c1", "web:w1"], ["crm:c2", "web:w2"]]),
    ],
)
def test_telephone_numbers_are_compared_as_their_country_writes_them(
    case: Copy, name: str, customers: list[list[str]]
) -> None:
    workspace = case(f"phone_nine_digits/{name}")
    unified(workspace)
    assert groups(workspace) == customers


def test_the_orders_of_a_shared_card_are_nobodys_in_every_workspace(case: Copy) -> None:
    found = []
    for name in ("one", "two", "three"):
        workspace = case("shared_card/G1", name)
        report = unified(workspace)
        assert report.quarantined == 10
        assert [check.outcome for check in report.checks if check.code == "FQ003" and check.feed == "orders"] == [
            "failed"
        ]
        found.append(sums(workspace))
    assert found == [{f"c{number}": 10.0 for number in range(11, 31)}] * 3


def test_amounts_are_read_with_what_parts_thousands_and_with_any_minus(case: Copy) -> None:
    for name, wanted in (
        ("E1", {"1": 7.5, "2": 15.0, "99": 12000.0, "100": 1050.0}),
        ("E2", {"1": 0.0, "2": 0.0, "4": 0.0}),
        ("E3", {"1": 750.0, "2": 1500.0, "100": 75000.0}),
    ):
        workspace = case(f"thousands/{name}", name)
        unify(workspace, Silent())
        read = sums(workspace)
        assert {key: read.get(key, 0.0) for key in wanted} == wanted, name


def test_a_point_that_may_part_thousands_is_refused_until_the_decimal_mark_is_declared(case: Copy) -> None:
    workspace = case("thousands/E4")
    with pytest.raises(BadData, match="can be read in two ways") as caught:
        unify(workspace, Silent())
    assert caught.value.first.code == "feed.decimal"
    feeds = workspace.file("features/feeds.yaml")
    text = feeds.read_text(encoding="utf-8")
    feeds.write_text(
        text.replace("source: data/orders.csv", 'source: data/orders.csv\n    decimal: ","'), encoding="utf-8"
    )
    unify(workspace, Silent())
    read = sums(workspace)
    assert (read["1"], read["2"], read["100"]) == (750.0, 1500.0, 75000.0)


def test_versions_of_a_customer_are_one_customer_as_they_were_at_each_moment(case: Copy) -> None:
    workspace = case("type2_customers/H1")
    report = built(workspace)
    assert (len(groups(workspace)), report.online_customers) == (30, 30)
    assert sums(workspace) == {str(number): 10.0 for number in range(1, 31)}
    assert Counter(row["profile__city"] for row in newest(workspace, "profile")) == {"Bergen": 10, "Oslo": 20}
