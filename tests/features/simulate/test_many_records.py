"""Records of many people are varied, soiled as declared, and the same every time; days arrive, change and leave."""

from __future__ import annotations

import csv
from itertools import pairwise
from pathlib import Path

import pyarrow.compute as pc
import pytest

from features.base.errors import UsageError
from features.simulate.dirt import DIRT
from tests.features.simulate.days import SETTINGS, Day, days
from tests.features.simulate.many_records import Crowd, many_records
from tests.features.tiny import company, unified

N = 20_000


@pytest.fixture(scope="module")
def crowd() -> Crowd:
    return many_records(N, seed=5)


@pytest.fixture(scope="module")
def month() -> list[Day]:
    return list(days(400, days=30, seed=5))


def test_the_same_seed_gives_the_same_records_and_another_others(crowd: Crowd) -> None:
    again = many_records(N, seed=5)
    assert again.records.equals(crowd.records)
    assert again.truth.equals(crowd.truth)
    assert not many_records(N, seed=6).records.equals(crowd.records)


def test_every_record_has_one_person_and_every_person_one_to_four_records(crowd: Crowd) -> None:
    assert crowd.records.num_rows == crowd.truth.num_rows == N
    assert crowd.truth["key"].to_pylist() == crowd.records["record_id"].to_pylist()
    assert len(set(crowd.truth["key"].to_pylist())) == N
    sizes = pc.value_counts(crowd.truth["person"]).field("counts")
    assert (pc.min(sizes).as_py(), pc.max(sizes).as_py()) == (1, 4)
    assert 1.70 < N / len(sizes) < 1.80


def test_records_are_soiled_in_the_declared_shares(crowd: Crowd) -> None:
    for field, share in (("email", DIRT.missing_email), ("phone", DIRT.missing_phone), ("birth_date", 0.12)):
        assert crowd.records[field].null_count / N == pytest.approx(share, abs=0.01)
    unlike = pc.sum(pc.not_equal(crowd.records["last_name"], crowd.clean["last_name"])).as_py() / N
    assert unlike == pytest.approx(DIRT.misspelt, abs=0.01)


def test_names_are_many_and_some_are_frequent(crowd: Crowd) -> None:
    names = pc.value_counts(crowd.clean["last_name"])
    counts = names.field("counts")
    assert len(names) > 3_000
    assert pc.max(counts).as_py() > 10 * N / len(names)


def test_no_record_is_no_request() -> None:
    with pytest.raises(UsageError):
        many_records(0, seed=1)
    with pytest.raises(UsageError):
        next(days(0))


def test_a_day_differs_from_the_day_before_by_what_it_says(month: list[Day]) -> None:
    assert len(month) == 30
    for before, after in pairwise(month):
        old, new = rows(before), rows(after)
        assert new.keys() - old.keys() == set(after.arrived)
        assert old.keys() - new.keys() == set(after.left)
        touched = {key for key in old.keys() & new.keys() if old[key] != new[key]}
        assert touched == set(after.changed)
    for word in ("arrived", "changed", "left"):
        assert sum(len(getattr(day, word)) for day in month) > 20


def test_the_truth_of_a_day_is_about_its_records_and_never_changes_its_mind(month: list[Day]) -> None:
    whose: dict[str, str] = {}
    for day in month:
        truth = dict(zip(day.truth["key"].to_pylist(), day.truth["person"].to_pylist(), strict=True))
        assert truth.keys() == rows(day).keys()
        assert all(whose.setdefault(key, person) == person for key, person in truth.items())


def test_a_day_is_written_as_feeds_that_a_workspace_reads(month: list[Day], tmp_path: Path) -> None:
    workspace = company(tmp_path, feeds=SETTINGS + "\nidentity: {rules: exact}\n")
    month[0].write(tmp_path)
    report = unified(workspace)
    assert report.records == month[0].truth.num_rows
    with (tmp_path / "truth" / "records.csv").open(newline="") as stream:
        assert len(list(csv.DictReader(stream))) == report.records


def rows(day: Day) -> dict[str, object]:
    return {row["record_id"]: row for table in day.feeds.values() for row in table.to_pylist()}
