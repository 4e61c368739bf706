"""`nextbest check` says everything that is wrong with a workspace at once, and nothing about a sound one."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from features.base.workspace import CONFIGURATION, Workspace
from serving.cli.workspace_check import check_workspace
from tests.serving.house import FILES

REPOSITORY = Path(__file__).resolve().parents[2]


def settings_of(source: Path, root: Path) -> Workspace:
    for name in CONFIGURATION:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(source / name, root / name)
    return Workspace(root)


def test_the_repositorys_own_configuration_lacks_only_its_data(tmp_path: Path) -> None:
    found = check_workspace(settings_of(REPOSITORY, tmp_path))
    assert {problem.code for problem in found if problem.code != "secret.missing"} == {"feed.missing"}
    assert all(problem.where.startswith("features/feeds.yaml:") for problem in found if problem.code == "feed.missing")


@pytest.mark.parametrize("name", ["online_retail", "telco"])
def test_a_workspace_on_real_data_has_no_problems(name: str, shared_data: Path, tmp_path: Path) -> None:
    workspace = settings_of(REPOSITORY / "tests" / "workspaces" / name, tmp_path)
    feeds = workspace.file("features/feeds.yaml")
    text = feeds.read_text(encoding="utf-8").replace("../../../../shared/data", os.path.relpath(shared_data, tmp_path))
    feeds.write_text(text, encoding="utf-8")
    assert check_workspace(workspace) == []


BROKEN = {
    "mlflow.yaml": "experimnt: x\n",
    "features/feeds.yaml": """\
company: {currency: pounds}
feeds:
  crm: {source: crm.csv, kind: customers, key: idd}
  web: {source: none/*.csv, kind: customers, key: id}
purposes: {marketing: {basis: consent}}
""",
    "features/views.yaml": "views:\n  profile: {from: customers, fields: [cty]}\n  p: {from: evnts}\n",
    "features/feature_store.yaml": "project: nextbest\nonlin_store: {}\n",
    "training/labels.yaml": "models:\n  churn: {label: {kind: inactivity, event: buy, horizn: 30d}}\n",
    "serving/offers.yaml": "offers:\n  - {id: a, purpose: marketing, chanels: [email]}\n",
    "serving/roles.yaml": "roles:\n  boss: {purposes: [marketing], feilds: [offers]}\n",
}


def written(root: Path, files: dict[str, str]) -> Workspace:
    for name, text in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text, encoding="utf-8")
    (root / "crm.csv").write_text("id,city\n1,York\n", encoding="utf-8")
    return Workspace(root)


def test_a_thoroughly_broken_workspace_is_told_of_every_file_at_once(tmp_path: Path) -> None:
    found = check_workspace(written(tmp_path, BROKEN))
    assert {problem.where.split(":")[0] for problem in found} == set(BROKEN)
    assert all(problem.hint for problem in found)
    hints = " ".join(problem.hint for problem in found)
    for meant in ("experiment", "horizon", "channels", "fields"):
        assert f"did you mean {meant!r}?" in hints


def test_what_the_settings_name_and_nothing_declares_is_told_across_files(tmp_path: Path) -> None:
    files = FILES | {
        "features/feeds.yaml": BROKEN["features/feeds.yaml"].replace("pounds", "GBP"),
        "mlflow.yaml": "{}\n",
        "features/views.yaml": "views:\n  profile: {from: customers, fields: [cty, web.device]}\n",
    }
    found = {(problem.code, problem.where) for problem in check_workspace(written(tmp_path, files))}
    assert {
        ("feed.column_absent", "features/feeds.yaml:3"),
        ("feed.missing", "features/feeds.yaml:4"),
        ("view.unknown_column", "features/views.yaml:2"),
    } <= found
    assert any(where.startswith("serving/offers.yaml:") for _, where in found)
    assert any(where.startswith("serving/roles.yaml:") for _, where in found)


def test_an_empty_folder_lacks_every_file(tmp_path: Path) -> None:
    found = check_workspace(Workspace(tmp_path))
    assert {problem.where.split(":")[0] for problem in found} >= set(CONFIGURATION) - {"mlflow.yaml"}


def test_nothing_is_changed(tmp_path: Path) -> None:
    workspace = written(tmp_path, BROKEN)
    before = sorted(tmp_path.rglob("*"))
    check_workspace(workspace)
    assert sorted(tmp_path.rglob("*")) == before
