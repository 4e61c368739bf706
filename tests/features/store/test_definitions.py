"""What a view and a service may be called, and that saying so needs no Feast."""

from __future__ import annotations

import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import pytest

from features.base.errors import BadConfiguration
from features.store.definitions import (
    ColumnType,
    FeatureColumn,
    ServiceDefinition,
    SnapshotView,
    check_services,
    view_of,
)

PATH = Path("/snapshots/spend")
SUM = FeatureColumn("spend__sum_30d", "float")


def test_declaring_views_and_reading_snapshots_does_not_import_feast() -> None:
    code = "import sys, features.store.definitions, features.store.snapshot_files, features.store.store_settings;"
    done = subprocess.run(
        [sys.executable, "-c", code + "sys.exit('feast' in sys.modules)"], check=False, capture_output=True
    )
    assert done.returncode == 0, done.stderr


def test_the_view_of_a_feature_is_the_part_before_the_first_double_underscore() -> None:
    assert view_of("purchases__amount__sum") == "purchases"


@pytest.mark.parametrize("name", ["Spend", "spend__x", "1spend", "spend_", "", "sp end", 'sp"end'])
def test_a_view_name_that_breaks_the_rule_is_refused(name: str) -> None:
    with pytest.raises(BadConfiguration, match=r"store\.view_name"):
        SnapshotView(name, PATH, (FeatureColumn(f"{name}__sum", "float"),))


@pytest.mark.parametrize("column", ["sum", "other__sum", "spend_sum", "spend__"])
def test_a_column_without_its_view_as_prefix_is_refused(column: str) -> None:
    with pytest.raises(BadConfiguration, match=r"store\.column_name"):
        SnapshotView("spend", PATH, (FeatureColumn(column, "float"),))


def test_a_column_that_stands_twice_is_refused() -> None:
    with pytest.raises(BadConfiguration, match=r"store\.column_twice"):
        SnapshotView("spend", PATH, (SUM, SUM))


def test_an_unknown_column_type_is_refused() -> None:
    kind: ColumnType = "decimal"  # type: ignore[assignment]
    with pytest.raises(BadConfiguration, match=r"store\.column_type"):
        SnapshotView("spend", PATH, (FeatureColumn("spend__sum", kind),))


def test_a_relative_path_is_refused() -> None:
    with pytest.raises(BadConfiguration, match=r"store\.view_path"):
        SnapshotView("spend", Path("snapshots/spend"), (SUM,))


def test_a_view_without_a_feature_is_refused() -> None:
    with pytest.raises(BadConfiguration, match=r"store\.view_columns"):
        SnapshotView("spend", PATH, ())


def test_a_ttl_that_is_not_positive_is_refused() -> None:
    with pytest.raises(BadConfiguration, match=r"store\.view_ttl"):
        SnapshotView("spend", PATH, (SUM,), ttl=timedelta(0))


def test_a_service_that_names_an_unknown_feature_is_refused() -> None:
    with pytest.raises(BadConfiguration, match="spend__avg"):
        check_services([SnapshotView("spend", PATH, (SUM,))], [ServiceDefinition("churn", ("spend__avg",))])


def test_a_service_without_a_feature_is_refused() -> None:
    with pytest.raises(BadConfiguration, match=r"store\.service_empty"):
        check_services([SnapshotView("spend", PATH, (SUM,))], [ServiceDefinition("churn", ())])


def test_a_view_that_stands_twice_is_refused() -> None:
    view = SnapshotView("spend", PATH, (SUM,))
    with pytest.raises(BadConfiguration, match=r"store\.view_twice"):
        check_services([view, view], [])
