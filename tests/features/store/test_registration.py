"""Registering: idempotent, complete, and strict about what the snapshot files hold."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
import pytest

from features.base.errors import BadConfiguration, BadData, StorageFailure
from features.store.definitions import FeatureColumn, ServiceDefinition
from features.store.repository import Applied, Store, open_store

JAN = datetime(2026, 1, 1, tzinfo=UTC)
SPEND = {"spend__sum": "float", "spend__count": "int"}


def test_applying_twice_changes_nothing(store: Store, write_view) -> None:
    view = write_view("spend", SPEND, {JAN: [("ann", 1.0, 2)]})
    service = ServiceDefinition("churn", ("spend__count", "spend__sum"))
    first = store.apply([view], [service])
    assert store.apply([view], [service]) == first == Applied(("spend",), ("churn",), ())
    assert store.views() == ("spend",)
    assert store.features("spend") == ("spend__sum", "spend__count")


def test_what_is_no_longer_declared_is_removed_with_its_online_rows(store: Store, write_view) -> None:
    spend = write_view("spend", SPEND, {JAN: [("ann", 1.0, 2)]})
    visits = write_view("visits", {"visits__n": "int"}, {JAN: [("ann", 3)]})
    store.apply([spend, visits], [ServiceDefinition("churn", ("visits__n",))])
    store.materialize(as_of=JAN)
    assert store.apply([spend]).removed == ("visits", "churn")
    with pytest.raises(BadConfiguration, match="visits"):
        store.online(["ann"], ["visits__n"], as_of=JAN)
    store.apply([spend, visits])
    assert not store.online(["ann"], ["visits__n"], as_of=JAN)[0].found


def test_another_process_reads_what_was_registered(store: Store, workspace: Path, write_view) -> None:
    store.apply([write_view("spend", SPEND, {JAN: [("ann", 1.0, 2)]})])
    assert open_store(workspace).features("spend") == ("spend__sum", "spend__count")


def test_a_workspace_without_state_is_made_ready(workspace: Path, write_view) -> None:
    shutil.rmtree(workspace / "state")
    view = write_view("spend", SPEND, {JAN: [("ann", 1.0, 2)]})
    store = open_store(workspace)
    assert store.views() == ()
    assert store.materialize(as_of=JAN) == ()
    store.apply([view])
    assert store.views() == ("spend",)


def test_a_registry_in_one_file_serves_as_well(workspace: Path, write_view) -> None:
    file = workspace / "features" / "feature_store.yaml"
    text = file.read_text(encoding="utf-8")
    in_one_file = text.replace(
        '{registry_type: sql, path: "sqlite:///state/feast/registry.db"}',
        "{registry_type: file, path: state/feast/registry.pb}",
    )
    assert in_one_file != text
    file.write_text(in_one_file, encoding="utf-8")
    store = open_store(workspace)
    store.apply([write_view("spend", SPEND, {JAN: [("ann", 1.0, 2)]})])
    store.materialize(as_of=JAN)
    assert store.online(["ann"], ["spend__sum"], as_of=JAN)[0].values == {"spend__sum": 1.0}


def test_python_files_of_the_workspace_are_not_imported(store: Store, workspace: Path, write_view) -> None:
    (workspace / "features" / "trap.py").write_text("raise SystemExit('imported')", encoding="utf-8")
    store.apply([write_view("spend", SPEND, {JAN: [("ann", 1.0, 2)]})])


def test_a_feature_that_changes_its_type_is_refused_unless_allowed(store: Store, write_view) -> None:
    store.apply([write_view("spend", SPEND, {JAN: [("ann", 1.0, 2)]})])
    changed = write_view("spend", {**SPEND, "spend__count": "float"}, {JAN: [("ann", 1.0, 2.5)]})
    with pytest.raises(BadConfiguration, match="'spend__count' was int and is now float"):
        store.apply([changed])
    store.apply([changed], allow_type_change=True)
    store.materialize(as_of=JAN)
    assert store.online(["ann"], ["spend__count"], as_of=JAN)[0].values["spend__count"] == 2.5


def test_a_row_written_before_a_view_changed_is_still_read_rightly(store: Store, write_view) -> None:
    store.apply([write_view("spend", SPEND, {JAN: [("ann", 1.0, 2)]})])
    store.materialize(as_of=JAN)
    swapped = {"spend__count": "int", "spend__max": "float", "spend__sum": "float"}
    store.apply([write_view("spend", swapped, {JAN: [("ann", 2, 9.0, 1.0)]})])
    row = store.online(["ann"], ["spend__sum", "spend__count", "spend__max"], as_of=JAN)[0]
    assert row.values == {"spend__sum": 1.0, "spend__count": 2, "spend__max": None}


def test_a_view_without_files_is_refused(store: Store, write_view) -> None:
    view = write_view("spend", SPEND, {})
    with pytest.raises(BadData, match=r"store\.no_snapshot"):
        store.apply([view])


def test_a_declared_column_that_the_file_lacks_is_named(store: Store, write_view) -> None:
    view = write_view("spend", SPEND, {JAN: [("ann", 1.0, 2)]})
    wider = replace(view, columns=(*view.columns, FeatureColumn("spend__max", "float")))
    with pytest.raises(BadData, match="no column 'spend__max'"):
        store.apply([wider])


def test_a_column_stored_as_another_type_is_named(store: Store, write_view) -> None:
    view = write_view("spend", SPEND, {JAN: [("ann", 1.0, 2)]})
    with pytest.raises(BadData, match="'spend__sum' is stored as double, not int64"):
        store.apply([replace(view, columns=(FeatureColumn("spend__sum", "int"),))])


def test_times_in_nanoseconds_are_refused(store: Store, write_view) -> None:
    view = write_view("spend", SPEND, {JAN: [("ann", 1.0, 2)]}, time_type=pa.timestamp("ns", "UTC"))
    with pytest.raises(BadData, match="'event_timestamp' is stored as timestamp"):
        store.apply([view])


def test_a_row_without_a_created_time_is_refused(store: Store, write_view) -> None:
    view = write_view("spend", SPEND, {JAN: [("ann", 1.0, 2)]}, created={JAN: None})
    with pytest.raises(BadData, match="1 of 1 rows have no created_timestamp"):
        store.apply([view])


def test_a_customer_twice_at_one_cutoff_is_refused(store: Store, write_view) -> None:
    view = write_view("spend", SPEND, {JAN: [("ann", 1.0, 2), ("ann", 2.0, 2)], JAN + timedelta(days=7): []})
    with pytest.raises(BadData, match=r"store\.rows_twice"):
        store.apply([view])


def test_a_registry_that_names_an_earlier_generation_is_refused(workspace: Path, store: Store, write_view) -> None:
    folder = workspace / "state" / "snapshots"
    view = write_view("visits", {"visits__n": "int"}, {JAN: [("ann", 3)]})
    first = folder / "000001" / "visits"
    first.parent.mkdir(parents=True)
    view.path.rename(first)
    (folder / "current").write_text("000001\n", encoding="utf-8")
    store.apply([replace(view, path=first)])
    assert len(store.latest(["visits__n"], as_of=JAN)) == 1
    (folder / "current").write_text("000002\n", encoding="utf-8")  # published, and killed before it was registered
    with pytest.raises(StorageFailure) as caught:
        store.latest(["visits__n"], as_of=JAN)
    assert caught.value.first.code == "store.out_of_step"
