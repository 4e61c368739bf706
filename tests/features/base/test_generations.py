"""A reader reads one generation, whoever publishes the next meanwhile; what nobody reads any more is removed."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.base.database_engine import open_engine
from features.base.generations import (
    CURRENT,
    current_generation,
    hold_generation,
    new_generation,
    not_published,
    remove_earlier,
)
from features.base.workspace import Workspace
from features.config.purposes import Purpose
from features.consent.customer_data import open_customer_data
from tests.features.tiny import company, lines, unified

FEEDS = """
feeds:
  crm: {source: crm.csv, kind: customers, key: no, updated_at: changed, timezone: UTC, fields: {city: town}}
  till:
    {source: till.csv, kind: events, event: purchase, key: receipt, customer: crm.no = till.who, event_time: at,
     timezone: UTC, fields: {amount: price}}
"""


class Reader:
    """Somebody who reads a folder for a while."""


def files(people: int) -> dict[str, str]:
    return {
        "crm.csv": lines("no,changed,town", [f"{n},2026-01-01,Town{people}" for n in range(people)]),
        "till.csv": lines("receipt,who,at,price", [f"{n},{n},2026-01-02,{people}" for n in range(people)]),
    }


def publish(folder: Path, text: str) -> Path:
    with new_generation(folder) as part:
        (part / "table").write_text(text, encoding="utf-8")
    return current_generation(folder)


def test_a_reader_opened_before_unify_reads_customers_and_events_of_one_run_while_the_next_are_published(
    tmp_path: Path,
) -> None:
    workspace = company(tmp_path, feeds=FEEDS, files=files(10))
    unified(workspace)
    purposes: dict[str, Purpose] = {}
    with open_engine(folders=[workspace.state]) as engine:
        open_customer_data(engine, workspace, purposes, purpose=None)
        for people in (20, 30, 40):
            for name, text in files(people).items():
                (tmp_path / name).write_text(text, encoding="utf-8")
            unified(workspace)
            customers = "SELECT count(*), min(city), max(city) FROM customers"
            events = "SELECT count(*), min(amount), max(amount) FROM events JOIN customers USING (customer_id)"
            assert engine.execute(customers).fetchall() == [(10, "Town10", "Town10")]
            assert engine.execute(events).fetchall() == [(10, 10, 10)]
    with open_engine(folders=[workspace.state]) as engine:
        open_customer_data(engine, workspace, purposes, purpose=None)
        assert engine.execute("SELECT count(*) FROM events").fetchall() == [(40,)]


def test_a_generation_stays_while_it_is_read_and_the_one_before_the_last_for_who_has_just_found_it(
    tmp_path: Path,
) -> None:
    first, reader = publish(tmp_path, "1"), Reader()
    hold_generation(reader, first)
    second, third = publish(tmp_path, "2"), publish(tmp_path, "3")
    assert (first / "table").read_text(encoding="utf-8") == "1"
    assert [path.is_dir() for path in (first, second, third)] == [True, True, True]
    del reader
    fourth = publish(tmp_path, "4")
    assert [path.is_dir() for path in (first, second, third, fourth)] == [False, False, True, True]


def test_a_run_that_fails_publishes_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    first = publish(tmp_path, "1")
    with pytest.raises(ZeroDivisionError), new_generation(tmp_path) as part:  # noqa: PT012 - the fault is inside
        (part / "table").write_text("2", encoding="utf-8")
        raise ZeroDivisionError
    assert current_generation(tmp_path) == first
    assert sorted(path.name for path in tmp_path.iterdir()) == [first.name, CURRENT]


def test_a_generation_that_was_never_published_is_replaced_and_tables_of_before_generations_go(tmp_path: Path) -> None:
    (tmp_path / "customers.parquet").write_text("of an older version", encoding="utf-8")
    (tmp_path / "000001").mkdir()  # killed before it was named
    assert not current_generation(tmp_path).exists()
    assert publish(tmp_path, "1").name == "000002"
    assert sorted(path.name for path in tmp_path.iterdir()) == ["000002", CURRENT]


def test_nothing_is_there_before_the_first_run(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path)
    assert not workspace.unified.exists()
    hold_generation(Reader(), workspace.unified)


def test_earlier_generations_are_removed_unless_they_are_read_and_nothing_is_where_none_is_published(
    tmp_path: Path,
) -> None:
    (tmp_path / "customers.parquet").write_text("of an older version", encoding="utf-8")
    remove_earlier(tmp_path)
    assert (tmp_path / "customers.parquet").is_file()
    first, reader = publish(tmp_path, "1"), Reader()
    hold_generation(reader, first)
    second = publish(tmp_path, "2")
    remove_earlier(tmp_path)
    assert (first.is_dir(), second.is_dir()) == (True, True)
    del reader
    remove_earlier(tmp_path)
    assert (first.is_dir(), second.is_dir()) == (False, True)


def test_tables_of_before_generations_are_named_with_the_commands_that_write_them_again(tmp_path: Path) -> None:
    folder = tmp_path / "snapshots"
    first = not_published("features.not_built", folder, "features", "features").first
    assert (first.message, first.hint) == ("there are no features yet", "run `nextbest features` first")
    folder.mkdir()
    (folder / "features.json").write_text("{}", encoding="utf-8")
    earlier = not_published("features.not_built", folder, "features", "features").first
    assert "earlier version" in earlier.message
    assert earlier.hint == "run `nextbest unify` and then `nextbest features` again"
