"""Declared repairs: each cell recorded with what it was, and all of it reversible."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from features.base.errors import BadConfiguration
from features.quality.repairs import REPAIRS, unrepair
from tests.features.quality.world import SALES, answer, write
from tests.features.tiny import table, unified

PEOPLE = [
    "1, Ann@Larkmoor.co.uk ,01632 960001,1900-01-01,YO1 7HH,GB,2026-01-01",
    "2,bob@larkmoor.co.kk,020 7946 0018,1975-05-06,LS1 4AP,GB,2026-01-02",
    "3,n/a,ask later,1990-01-01,LS1 4AP,GB,2026-01-02",
]
REPAIRED = """\
quality:
  repairs:
    - {rule: placeholder, field: email, values: [n/a, none]}
    - {rule: trim, field: email}
    - {rule: lower, field: email}
    - {rule: replace, field: email, values: {bob@larkmoor.co.kk: bob@larkmoor.co.uk}}
    - {rule: phone, field: phone, feed: crm}
    - {rule: placeholder, field: birth_date, values: ['1900-01-01']}
    - {rule: convert, field: amount, factor: 0.01, when: {unit: GBX}}
    - {rule: clamp, field: amount, min: 0, max: 7}
"""


def test_repairs_are_done_in_order_and_each_cell_is_recorded(tmp_path: Path) -> None:
    sales = [*SALES[:2], "3,1,2026-01-05,750,shop,GBX", "4,1,2026-01-05,9,shop,GBP"]
    workspace = write(tmp_path, people=PEOPLE, sales=sales, more=REPAIRED)
    report = unified(workspace)
    people = table(workspace.staged / "crm" / "rows.parquet")
    assert [(row["email"], row["phone"]) for row in people] == [
        ("ann@larkmoor.co.uk", "+441632960001"),
        ("bob@larkmoor.co.uk", "+442079460018"),
        (None, "ask later"),
    ]
    assert people[0]["birth_date"] is None
    assert [row["amount"] for row in table(workspace.staged / "till" / "rows.parquet")] == [5.5, 6.5, 7, 7]
    noted = [
        (row["row"], row["column"], row["rule"], row["after"])
        for row in table(workspace.staged / "crm" / REPAIRS)
        if row["column"] == "email"
    ]
    assert noted == [
        (3, "email", "placeholder", None),
        (1, "email", "lower", "ann@larkmoor.co.uk"),
        (2, "email", "replace", "bob@larkmoor.co.uk"),
    ]
    assert [(row["rule"], row["before"]) for row in table(workspace.staged / "till" / REPAIRS)] == [
        ("convert", "750.0"),
        ("clamp", "7.5"),
        ("clamp", "9.0"),
    ]
    assert answer(report, "FQ008", "crm")[0] == "repaired"


def test_repairs_undone_give_the_rows_as_they_were(tmp_path: Path) -> None:
    bare = write(tmp_path / "bare", people=PEOPLE, more="quality: {checks: {FQ008: {severity: warn}}}")
    unified(bare)
    mended = write(tmp_path / "mended", people=PEOPLE, more=REPAIRED)
    unified(mended)
    for feed in ("crm", "till"):
        were = pq.read_table(bare.staged / feed / "rows.parquet").to_pylist()
        assert unrepair(mended.staged / feed).to_pylist() == were
    crm = mended.staged / "crm"
    assert unrepair(crm, "phone").column("phone").to_pylist() == ["01632 960001", "020 7946 0018", "ask later"]
    kept = pq.read_table(crm / "rows.parquet").column("email")
    assert unrepair(crm, "phone").column("email").to_pylist() == kept.to_pylist()


def test_a_repair_that_is_taken_out_of_the_declaration_is_undone_by_the_next_run(tmp_path: Path) -> None:
    workspace = write(tmp_path, people=PEOPLE, more=REPAIRED)
    unified(workspace)
    write(tmp_path, people=PEOPLE)
    unified(workspace)
    assert table(workspace.staged / "crm" / "rows.parquet")[1]["phone"] == "020 7946 0018"
    assert not (workspace.staged / "crm" / REPAIRS).exists()


def test_what_was_repaired_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    workspace = write(tmp_path, people=PEOPLE, more=REPAIRED)
    unified(workspace)
    assert (workspace.staged / "crm" / REPAIRS).stat().st_mode & 0o077 == 0


@pytest.mark.parametrize(
    ("repair", "said"),
    [
        ("{rule: clamp, field: amount}", "takes min, max or both"),
        ("{rule: replace, field: email}", "takes a mapping"),
        ("{rule: convert, field: amount}", "takes a factor"),
        ("{rule: placeholder, field: email}", "takes a list"),
        ("{rule: lower, field: email, feed: cmr}", "did you mean 'crm'"),
        ("{rule: lower, field: emial, feed: crm}", "did you mean 'email'"),
    ],
)
def test_a_repair_that_cannot_be_meant_is_refused(tmp_path: Path, repair: str, said: str) -> None:
    with pytest.raises(BadConfiguration, match=said):
        unified(write(tmp_path, more=f"quality: {{repairs: [{repair}]}}"))
