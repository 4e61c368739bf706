"""Exports in the shape of real systems, where they lie beside the repository: read right, or refused by name."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from features.base.errors import NextbestError
from features.base.progress import Silent
from features.base.workspace import Workspace
from features.config.workspace_files import load_feeds
from features.consent.table_counts import count_tables
from features.pipeline.unify import unify
from serving.cli.init_command import new_workspace

REPOSITORY = Path(__file__).resolve().parents[3]
CASES = REPOSITORY.parent / "shared/cases/onboarding"
#: The exports of the README; `score` in the folder of the cases runs all of them.
README = re.findall(r"^\|.*\| `(\w+)` \|$", (REPOSITORY / "README.md").read_text(encoding="utf-8"), re.MULTILINE)
MORE = ("folder_name_payments", "kaggle_telco", "zoho")
REFUSED = ("mt940_txt", "telecom_cdr", "vcard")


def workspace(name: str, folder: Path) -> Workspace:
    if not CASES.is_dir():
        pytest.skip(f"the shared cases are not there: {CASES.name} is no folder beside the repository")
    (folder / "in").mkdir()
    files = [file for file in sorted((CASES / name).iterdir()) if file.name not in ("expected.md", "truth.json")]
    for file in files:
        shutil.copy2(file, folder / "in")
    new_workspace(folder / "ws", [file.name for file in files], Silent(), here=folder / "in")
    return Workspace(folder / "ws")


@pytest.mark.slow
@pytest.mark.parametrize("name", [*README, *MORE])
def test_an_export_is_read_right(name: str, tmp_path: Path) -> None:
    place = workspace(name, tmp_path)
    truth = json.loads((CASES / name / "truth.json").read_text(encoding="utf-8"))
    unify(place, Silent())
    tables = count_tables(place, load_feeds(place)[0].purposes)
    assert truth["customers"] * 0.9 <= tables["customers"]["customers"] <= truth["customers"]
    for table in ("events", "holdings", "consents"):
        if table in truth:
            assert tables[table]["rows"] == truth[table]
    amount = truth.get("amount", truth.get("amount_eur_converted"))
    if amount is not None:
        assert tables["events"]["amount"] == pytest.approx(amount, abs=0.01)
    if "orders" in truth:
        assert (tables["events"]["rows"], tables["events"]["amount"]) == (
            truth["orders"],
            pytest.approx(truth["total"]),
        )
    if "withdrawn" in truth:
        assert tables["consents"]["by_status"]["withdrawn"] == truth["withdrawn"]


def test_the_readme_names_ten_systems() -> None:
    assert len(README) == 10


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_table_is_refused_by_name(name: str, tmp_path: Path) -> None:
    with pytest.raises(NextbestError) as caught:
        workspace(name, tmp_path)
    assert caught.value.first.hint
