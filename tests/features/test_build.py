"""From a tiny company's files to features: numbers, resuming, and what stands when a run fails."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from features.base.errors import BadConfiguration, BadData, StorageFailure
from features.base.progress import Silent
from features.base.workspace import Workspace
from features.pipeline.build_features import build_features
from features.snapshots.build_report import read_report
from features.views.declaration_check import check
from tests.features.tiny import STORE, company, lines, table, unified

FEEDS = """\
company: {currency: GBP, timezone: Europe/London}
feeds:
  crm:
    {source: crm.csv, kind: customers, key: id, updated_at: changed, timezone: UTC,
     fields: {email: mail, city: town}, drop: [mail, town]}
  till:
    {source: "till*.csv", kind: events, event: buy, key: no, customer: crm.id = till.who, event_time: at,
     timezone: UTC, fields: {amount: qty * price, item: sku}, reject_above: 0.3}
  goods: {source: goods.csv, kind: items, key: sku, fields: {group: kind}, drop: [kind]}
  said:
    {source: said.csv, kind: consents, customer: crm.id = said.who, event_time: at, timezone: UTC,
     fields: {purpose: what, status: word}}
identity: {rules: exact, match: [email]}
quality: {unknown_customers_above: 0.3}
purposes: {marketing: {basis: consent}, service: {basis: contract}}
"""
VIEWS = """\
views:
  buys: {from: events, aggregates: {amount: [sum], "*": [count, recency]}, windows: [7d]}
  groups: {from: events, by: items.group, aggregates: {"*": [count]}, windows: [7d]}
  profile: {from: customers, fields: [city, crm.tier]}
snapshots: {every: 7d}
"""
FILES = {
    "features/feature_store.yaml": STORE,
    "crm.csv": lines(
        "id,changed,mail,town,tier",
        ["1,2026-01-01,a@x.org,York,gold", "2,2026-01-03,A@X.org,Leeds,", "3,2026-01-02,c@x.org,Hull,basic"],
    ),
    "till.csv": lines(
        "no,who,at,sku,qty,price",
        [
            "1,1,2026-01-04,bear,2,5",
            "2,2,2026-01-08 12:00,jam,1,3",
            "3,3,2026-01-08 12:00,jam,1,3",
            "4,,2026-01-08 12:00,jam,1,3",
            "5,9,2026-01-08 12:00,jam,1,3",
            "6,3,someday,jam,1,3",
        ],
    ),
    "goods.csv": lines("sku,kind", ["bear,toys", "jam,food"]),
    "said.csv": lines("who,what,word,at", ["1,marketing,granted,2026-01-05", "3,marketing,perhaps,2026-01-05"]),
}


def tiny(root: Path, views: str = VIEWS) -> Workspace:
    return company(root, feeds=FEEDS, views=views, files=FILES, delivered=datetime(2026, 1, 9, 12, tzinfo=UTC))


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = tiny(tmp_path_factory.mktemp("built"))
    unified(workspace)
    build_features(workspace, Silent())
    return workspace


def inodes(folder: Path, *, besides: tuple[str, ...] = ()) -> dict[str, tuple[int, int]]:
    found = {str(path.relative_to(folder)): path.stat() for path in folder.rglob("*") if path.is_file()}
    return {name: (stat.st_ino, stat.st_mtime_ns) for name, stat in found.items() if name not in besides}


def test_the_workspace_has_no_problems(built: Workspace) -> None:
    assert check(built) == []


def test_the_report_says_what_became_of_every_row(built: Workspace) -> None:
    report = unified(built)
    assert (report.records, report.customers, report.quarantined, report.withheld) == (3, 2, 2, 1)
    said = {(check.code, check.feed): (check.outcome, check.detail) for check in report.checks}
    assert said["FQ001", "till"] == ("repaired", "1 of 6 rows quarantined (event_time is not a time: 1)")
    assert said["FQ003", "till"] == ("repaired", "1 rows without a customer left out")
    assert said["FQ004", "till"] == ("repaired", "1 rows (25.0%) about unknown customers quarantined")
    assert said["FQ006", ""][0] == "failed"
    assert said["FQ002", "said"][0] == "not_applicable"


def test_the_features_are_those_that_the_rows_say(built: Workspace) -> None:
    report = read_report(built)
    assert report.as_of == datetime(2026, 1, 9, tzinfo=UTC)
    assert report.cutoffs == (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 8, tzinfo=UTC), report.as_of)
    assert (report.online_customers, [view.rows for view in report.views]) == (2, [5, 5, 5, 5])
    last = {
        view.name: {row["profile__city"] if view.name == "profile" else row["customer_id"]: row for row in rows}
        for view in report.views
        for rows in [table(built.snapshots / view.name)[-2:]]
    }
    assert set(last["profile"]) == {"Leeds", "Hull"}
    assert last["profile"]["Leeds"]["profile__crm_tier"] == "gold"
    ann = last["profile"]["Leeds"]["customer_id"]
    assert last["buys"][ann]["buys__amount_sum_7d"] == 13
    assert last["buys"][ann]["buys__recency"] == 0.5
    assert (last["groups"][ann]["groups__count_7d__toys"], last["groups"][ann]["groups__count_7d__food"]) == (1, 1)
    assert last["consent"][ann]["consent__marketing"] == 1


def test_a_second_call_does_nothing_again(built: Workspace) -> None:
    before = [inodes(built.staged), inodes(built.unified), inodes(built.snapshots, besides=("features.json",))]
    report = read_report(built)
    unified(built)
    assert build_features(built, Silent()) == report
    after = [inodes(built.staged), inodes(built.unified), inodes(built.snapshots, besides=("features.json",))]
    assert before == after


def test_a_second_call_removes_the_generations_before_which_may_hold_who_has_gone(tmp_path: Path) -> None:
    workspace = tiny(tmp_path)
    unified(workspace)
    build_features(workspace, Silent())
    till = tmp_path / "till.csv"
    till.write_text(till.read_text(encoding="utf-8").replace("bear,2,5", "bear,2,6"), encoding="utf-8")
    for expected in (2, 1):
        unified(workspace)
        build_features(workspace, Silent())
        folders = [workspace.unified.parent, workspace.snapshots.parent]
        assert [len(list(folder.glob("0*"))) for folder in folders] == [expected, expected]


def test_two_builds_give_the_same_bytes(built: Workspace, tmp_path: Path) -> None:
    again = tiny(tmp_path)
    unified(again)
    build_features(again, Silent())
    for folder in (built.unified, built.snapshots):
        other = tmp_path / folder.relative_to(built.root)
        names = sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
        assert names == sorted(str(path.relative_to(other)) for path in other.rglob("*") if path.is_file())
        assert [name for name in names if (folder / name).read_bytes() != (other / name).read_bytes()] == []


def test_changed_files_and_settings_are_built_anew_and_the_rest_is_left_alone(tmp_path: Path) -> None:
    workspace = tiny(tmp_path)
    first = unified(workspace)
    untouched = inodes(workspace.staged / "crm")
    (tmp_path / "till2.csv").write_text(
        lines("no,who,at,sku,qty,price", ["7,3,2026-01-08 12:00,jam,4,3"]), encoding="utf-8"
    )
    second = unified(workspace)
    assert (second.digest != first.digest, inodes(workspace.staged / "crm")) == (True, untouched)
    assert len(table(workspace.unified / "events.parquet")) == 4
    features = build_features(workspace, Silent())
    workspace.file("features/views.yaml").write_text(VIEWS.replace("[7d]", "[7d, 14d]"), encoding="utf-8")
    assert unified(workspace) == second
    assert len(build_features(workspace, Silent()).features) > len(features.features)


def test_a_failed_run_leaves_the_last_good_tables(tmp_path: Path) -> None:
    workspace = tiny(tmp_path)
    unified(workspace)
    build_features(workspace, Silent())
    good = [inodes(workspace.unified), inodes(workspace.snapshots)]
    (tmp_path / "till.csv").write_text("no,who\n1,1\n", encoding="utf-8")
    with pytest.raises(BadData, match=r"feed\.column_renamed"):
        unified(workspace)
    workspace.file("features/views.yaml").write_text(VIEWS.replace("crm.tier", "crm.teir"), encoding="utf-8")
    with pytest.raises(BadConfiguration, match=r"did you mean 'crm\.tier'"):
        build_features(workspace, Silent())
    assert [inodes(workspace.unified), inodes(workspace.snapshots)] == good


def test_a_damaged_report_is_made_again_and_not_stumbled_over(tmp_path: Path) -> None:
    workspace = tiny(tmp_path)
    first = unified(workspace)
    (workspace.unified / "unified.json").write_text("{", encoding="utf-8")
    assert unified(workspace) == first


def test_a_number_too_large_to_add_is_named_by_its_view(tmp_path: Path) -> None:
    workspace = tiny(tmp_path)
    (tmp_path / "till.csv").write_text(
        lines("no,who,at,sku,qty,price", ["1,1,2026-01-04,bear,9e28,1", "2,1,2026-01-04,bear,9e28,1"]), encoding="utf-8"
    )
    text = workspace.file("features/feeds.yaml").read_text(encoding="utf-8")
    workspace.file("features/feeds.yaml").write_text(
        text.replace("qty * price", "cast(qty as double)"), encoding="utf-8"
    )
    unified(workspace)
    with pytest.raises(BadData) as caught:
        build_features(workspace, Silent())
    assert (caught.value.first.code, caught.value.first.where) == ("feature.range", "view buys")


def test_all_wheres_that_are_no_conditions_are_named_with_their_lines(tmp_path: Path) -> None:
    views = VIEWS.replace("aggregates:", 'where: "amount + item > 3", aggregates:', 1)
    more = "  late: {from: events, where: amount, aggregates: {'*': [count]}, windows: [7d]}\n"
    workspace = tiny(tmp_path, views.replace("views:\n", f"views:\n{more}"))
    unified(workspace)
    with pytest.raises(BadConfiguration) as caught:
        build_features(workspace, Silent())
    assert [(one.code, one.where) for one in caught.value.problems] == [
        ("view.where", "features/views.yaml:2"),
        ("view.where", "features/views.yaml:3"),
    ]


@pytest.mark.parametrize(("every", "code"), [("0d", "config.value"), ("1s", "snapshots.too_many")])
def test_a_distance_of_snapshots_that_is_none_or_makes_too_many_is_refused(
    tmp_path: Path, every: str, code: str
) -> None:
    workspace = tiny(tmp_path, VIEWS.replace("every: 7d", f"every: {every}"))
    unified(workspace)
    with pytest.raises(BadConfiguration) as caught:
        build_features(workspace, Silent())
    assert caught.value.first.code == code


def test_features_before_customers_say_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(BadData) as caught:
        build_features(tiny(tmp_path), Silent())
    assert (caught.value.first.code, caught.value.first.hint) == ("features.not_unified", "run `nextbest unify` first")
    with pytest.raises(BadData, match="nextbest features"):
        read_report(Workspace(tmp_path))
    Workspace(tmp_path).snapshots.mkdir(parents=True)
    (Workspace(tmp_path).snapshots / "features.json").write_text("{", encoding="utf-8")
    with pytest.raises(StorageFailure):
        read_report(Workspace(tmp_path))


def test_a_check_of_a_broken_workspace_says_everything_with_its_line(tmp_path: Path) -> None:
    workspace = tiny(tmp_path)
    (tmp_path / "goods.csv").unlink()
    text = FEEDS.replace("event_time: at,", "event_time: att,", 1).replace("qty * price", "qty * prise")
    text = text.replace("crm.id = said.who", "crm.idd = said.whom")
    workspace.file("features/feeds.yaml").write_text(text, encoding="utf-8")
    workspace.file("features/views.yaml").write_text(VIEWS.replace("amount: [sum]", "amuont: [sum]"), encoding="utf-8")
    found = [(problem.code, problem.where) for problem in check(workspace)]
    assert sorted(found) == [
        ("feed.column_absent", "features/feeds.yaml:11"),
        ("feed.column_absent", "features/feeds.yaml:3"),
        ("feed.column_absent", "features/feeds.yaml:7"),
        ("feed.column_absent", "features/feeds.yaml:8"),
        ("feed.missing", "features/feeds.yaml:9"),
        ("view.unknown_column", "features/views.yaml:2"),
    ]


@pytest.mark.parametrize("seed", ["1", "2"])
def test_another_process_keeps_the_snapshots_that_nothing_has_touched(tmp_path: Path, seed: str) -> None:
    views = VIEWS.replace('{amount: [sum], "*"', '{amount: [sum, std, last], item: [nunique], "*"').replace(
        "[7d]", "[2d, 7d]"
    )
    workspace = tiny(tmp_path, views)
    unified(workspace)
    build_features(workspace, Silent())
    before = inodes(workspace.snapshots / "buys")
    script = f"""
from datetime import UTC, datetime
from pathlib import Path
from features.base.progress import Silent
from features.base.workspace import Workspace
from features.pipeline.build_features import build_features
build_features(Workspace(Path({str(tmp_path)!r})), Silent(), as_of=datetime(2026, 1, 10, tzinfo=UTC))
"""
    subprocess.run([sys.executable, "-c", script], check=True, env={**os.environ, "PYTHONHASHSEED": seed})
    after = inodes(workspace.snapshots / "buys")
    kept = sorted(before.keys() & after.keys())
    assert [name for name in kept if before[name] != after[name]] == []
    assert len(kept) == len(before) - 1  # all but the snapshot of the day before, whose day is over
