"""The runner of stages: what is unchanged is skipped, what is damaged is made again, a failure publishes nothing."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pytest

from features.base.generations import current_generation
from features.base.progress import Silent
from features.base.stages import (
    Artefacts,
    ContentDigest,
    NewGeneration,
    Pipeline,
    PipelineStage,
    open_artefacts,
    run_pipeline,
)
from features.base.storage import read_json


@dataclass(frozen=True)
class Rows:
    count: int


@dataclass(frozen=True)
class Table:
    rows: int


@dataclass(frozen=True)
class Counted:
    rows: int
    digest: str


def write_table(rows: Rows, new: NewGeneration) -> Table:
    if rows.count < 0:
        raise ValueError
    (new.folder / "table").write_text("x" * rows.count, encoding="utf-8")
    return Table(rows.count)


def count(table: Table, digest: ContentDigest) -> Counted:
    return Counted(table.rows, digest.value)


def load(generation: Path) -> Counted:
    return Counted(**read_json(generation / "report.json"))


def pipeline(version: int = 1) -> Pipeline[Counted]:
    return Pipeline(
        read=[],
        build=[PipelineStage(write_table, "writing", version)],
        commit=[PipelineStage(count)],
        after=[],
        report=Counted,
        file="report.json",
        write=asdict,
        load=load,
    )


def run(folder: Path, count: int, *, version: int = 1, again: bool = False, left: object = "") -> tuple[Counted, str]:
    """Return the report, and which generation is published after the run."""
    report = run_pipeline(
        pipeline(version),
        folder,
        Artefacts({Rows: Rows(count)}),
        inputs=lambda artefacts: [artefacts.get(Rows).count],
        upkeep=lambda _: [left],
        progress=Silent(),
        again=again,
    )
    return report, current_generation(folder).name


def test_a_run_over_the_same_inputs_is_skipped_and_gives_the_report_of_the_one_before(tmp_path: Path) -> None:
    first = run(tmp_path, 3)
    assert first[1] == "000001"
    assert run(tmp_path, 3) == first


def test_a_run_that_is_skipped_removes_the_generation_before_which_may_hold_who_has_gone(tmp_path: Path) -> None:
    run(tmp_path, 3)
    run(tmp_path, 4)
    assert {path.name for path in tmp_path.iterdir()} == {"000001", "000002", "current"}
    run(tmp_path, 4)
    assert {path.name for path in tmp_path.iterdir()} == {"000002", "current"}


@pytest.mark.parametrize("change", [{"count": 4}, {"version": 2}, {"again": True}, {"left": "lost"}])
def test_other_inputs_another_version_a_request_or_lost_upkeep_make_a_new_generation(
    tmp_path: Path, change: dict[str, object]
) -> None:
    run(tmp_path, 3)
    assert run(tmp_path, **{"count": 3, **change})[1] == "000002"  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["table", "report.json", "generation.json", "stranger"])
def test_a_damaged_or_foreign_file_is_noticed_and_the_generation_made_again(tmp_path: Path, name: str) -> None:
    first = run(tmp_path, 3)
    (current_generation(tmp_path) / name).write_text("yyy", encoding="utf-8")
    assert run(tmp_path, 3) == (first[0], "000002")


def test_a_stage_that_fails_publishes_nothing(tmp_path: Path) -> None:
    first = run(tmp_path, 3)
    with pytest.raises(ValueError):  # noqa: PT011 - the stage's own
        run(tmp_path, -1)
    assert (load(current_generation(tmp_path)), current_generation(tmp_path).name) == first


@dataclass(frozen=True)
class Opened:
    """A resource that is opened when a stage needs it."""

    number: int


def test_what_is_opened_on_demand_is_closed_before_stages_that_follow_the_generation(tmp_path: Path) -> None:
    log: list[str] = []

    @contextmanager
    def opened() -> Iterator[Opened]:
        log.append("opened")
        yield Opened(1)
        log.append("closed")

    def read(rows: Rows, resource: Opened, new: NewGeneration) -> Table:
        log.append("read")
        return write_table(Rows(rows.count + resource.number), new)

    def online(report: Counted) -> Counted:
        log.append("online")
        return replace(report, digest="online")

    def build() -> Counted:
        declared = replace(pipeline(), build=[PipelineStage(read)], sync=[PipelineStage(online)])
        with open_artefacts({Rows: Rows(3)}, on_demand={Opened: opened}) as artefacts:
            return run_pipeline(declared, tmp_path, artefacts, inputs=lambda _: [], progress=Silent())

    first = build()
    assert log == ["opened", "read", "closed", "online"]
    assert load(current_generation(tmp_path)) == first == Counted(4, "online")
    assert build() == first
    assert log[4:] == ["online"], "a skipped run brings what lies outside in line, too"
