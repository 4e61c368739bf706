"""Rows kept aside are told of, carried from load to load, and read again: none is lost, none counted twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.base.progress import Silent
from features.base.workspace import Workspace
from features.pipeline.unify import unify
from features.quality.quarantine_list import REASONS, quarantined_groups
from tests.features.quality.world import SALES, write
from tests.features.tiny import table, unified

BAD = "9,1,soon,8.5,web,GBP"
LIMITS = "quality: {unknown_customers_above: 0.5}"


@pytest.fixture(autouse=True)
def _lenient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a quarter of a feed's rows be unusable."""
    from tests.features.quality import world

    monkeypatch.setattr(world, "FEEDS", world.FEEDS.replace("    key: no\n", "    key: no\n    reject_above: 0.5\n"))


def keys(workspace: Workspace) -> list[str]:
    return sorted(row["record_id"] for row in table(workspace.unified / "events.parquet"))


def held(workspace: Workspace) -> list[tuple[str, int]]:
    return [(group.reason, group.rows) for group in quarantined_groups(workspace, ["till"])]


def mend(workspace: Workspace, old: str, new: str) -> None:
    path = workspace.file("features/feeds.yaml")
    text = path.read_text(encoding="utf-8")
    assert old in text
    path.write_text(text.replace(old, new), encoding="utf-8")


def test_what_is_kept_aside_is_told_by_reason_and_place_and_shown_only_when_asked(tmp_path: Path) -> None:
    workspace = write(tmp_path, sales=[*SALES, BAD, "10,77,2026-01-06,1,web,GBP"], more=LIMITS)
    unified(workspace)
    groups = quarantined_groups(workspace, ["crm", "till"])
    assert [(group.feed, group.reason, group.rows, group.places) for group in groups] == [
        ("till", "event_time is not a time", 1, ("row 4",)),
        ("till", REASONS["unknown"], 1, ("record 10",)),
    ]
    assert all("contents" not in group.as_dict() for group in groups)
    assert '"at":"soon"' in quarantined_groups(workspace, ["till"], show_rows=True)[0].contents[0]


def test_the_quarantine_is_its_owners_alone(tmp_path: Path) -> None:
    workspace = write(tmp_path, sales=[*SALES, BAD])
    unified(workspace)
    assert (workspace.staged / "till" / "rejected.parquet").stat().st_mode & 0o077 == 0


def test_rows_of_files_that_have_gone_are_held_and_come_back_once_the_mapping_is_mended(tmp_path: Path) -> None:
    workspace = write(tmp_path, sales=[*SALES, BAD])
    unified(workspace)
    write(tmp_path, sales=["4,2,2026-01-06,4.5,web,GBP", "5,2,2026-01-07,3.5,web,GBP", "6,1,2026-01-08,3.5,web,GBP"])
    unified(workspace)
    assert (keys(workspace), held(workspace)) == (["4", "5", "6"], [("event_time is not a time", 1)])
    (group,) = quarantined_groups(workspace, ["till"])
    assert group.earlier == 1

    unify(workspace, Silent(), replay=["till"])
    assert (keys(workspace), held(workspace)) == (["4", "5", "6"], [("event_time is not a time", 1)])

    times = "    event_time: at\n    timezone: UTC\n    fields: {amount"
    mend(workspace, times, times.replace(": at\n", ": case when at = 'soon' then '2026-01-09' else at end\n"))
    unified(workspace)
    assert (keys(workspace), held(workspace)) == (["4", "5", "6"], [("event_time is not a time", 1)])
    for _ in range(2):
        unify(workspace, Silent(), replay=["till"])
        assert (keys(workspace), held(workspace)) == (["4", "5", "6", "9"], [])
    assert unified(workspace).quarantined == 0
    assert keys(workspace) == ["4", "5", "6", "9"]


def test_a_row_that_came_back_stays_through_later_loads_and_leaves_when_a_file_brings_it(tmp_path: Path) -> None:
    workspace = write(tmp_path, sales=[*SALES, BAD])
    unified(workspace)
    write(tmp_path, sales=SALES)
    times = "    event_time: at\n    timezone: UTC\n    fields: {amount"
    mend(workspace, times, times.replace(": at\n", ": case when at = 'soon' then '2026-01-09' else at end\n"))
    unify(workspace, Silent(), replay=["till"])
    assert keys(workspace) == ["1", "2", "3", "9"]
    mended = workspace.file("features/feeds.yaml").read_text(encoding="utf-8")
    for sales, expected in (
        ([*SALES, "4,2,2026-01-06,4.5,web,GBP"], ["1", "2", "3", "4", "9"]),
        ([*SALES, BAD], ["1", "2", "3", "9"]),  # the very row
        ([*SALES, "9,1,2026-01-20,8.5,web,GBP"], ["1", "2", "3", "9"]),  # mended at the source
        (SALES, ["1", "2", "3"]),
    ):
        write(tmp_path, sales=sales)
        workspace.file("features/feeds.yaml").write_text(mended, encoding="utf-8")
        unified(workspace)
        assert keys(workspace) == expected


def test_a_row_that_the_source_has_mended_is_settled_by_its_key(tmp_path: Path) -> None:
    workspace = write(tmp_path, sales=[*SALES, BAD])
    unified(workspace)
    write(tmp_path, sales=[*SALES, "9,1,2026-01-20,8.5,web,GBP"])
    unified(workspace)
    unify(workspace, Silent(), replay=["till"])
    assert (keys(workspace), held(workspace)) == (["1", "2", "3", "9"], [])


def test_rows_about_a_customer_who_is_known_by_now_find_them(tmp_path: Path) -> None:
    workspace = write(tmp_path, sales=[*SALES, "10,3,2026-01-06,1,web,GBP"], more=LIMITS)
    unified(workspace)
    assert held(workspace) == [(REASONS["unknown"], 1)]
    person = "3,cat@larkmoor.co.uk,01632 960003,1990-01-01,YO1 7HH,GB,2026-01-01"
    from tests.features.quality.world import PEOPLE

    write(tmp_path, people=[*PEOPLE, person], sales=[*SALES, "10,3,2026-01-06,1,web,GBP"], more=LIMITS)
    unify(workspace, Silent(), replay=["till"])
    assert (keys(workspace), held(workspace)) == (["1", "10", "2", "3"], [])


def test_a_column_that_was_numbers_stays_numbers_when_odd_rows_are_read_again(tmp_path: Path) -> None:
    workspace = write(tmp_path, sales=[*SALES, "9,1,soon,many,web,GBP"])
    unified(workspace)
    write(tmp_path, sales=SALES)
    unify(workspace, Silent(), replay=["till"])
    assert [row["amount"] for row in table(workspace.unified / "events.parquet")]
    assert held(workspace)[0][1] == 1
