"""What was served is what the compiled views give for the same customer and moment; where not, it is found."""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from features.base.clock import to_microseconds
from features.base.errors import BadData
from features.base.workspace import Workspace
from features.monitoring.consistency import ConsistencyReport, FeatureConsistency, prove
from features.monitoring.recompute_served import RecomputeRequest, recompute
from features.store.online_backend import open_records
from tests.features.monitoring.world import FEATURES, MIDNIGHT, TILL, build, customers, serve, shop
from tests.features.tiny import table, unified

HOUR = timedelta(hours=1)


def by_name(found: ConsistencyReport) -> dict[str, FeatureConsistency]:
    return {feature.feature: feature for feature in found.features}


@pytest.fixture
def workspace(built: Workspace, tmp_path: Path) -> Workspace:
    """Return a copy of the built shop, for one test to change."""
    shutil.copytree(built.root, tmp_path, dirs_exist_ok=True)
    return Workspace(tmp_path)


def test_what_was_served_and_not_changed_is_the_same(workspace: Workspace) -> None:
    serve(workspace, customers(workspace), at=MIDNIGHT + HOUR)
    found = prove(workspace)
    assert (found.vectors, found.redefined, found.gone, found.dropped) == (3, 0, 0, 0)
    assert set(by_name(found)) == set(FEATURES)
    for feature in found.features:
        assert (feature.served, feature.compared, feature.mismatched, feature.missing, feature.stale) == (3, 3, 0, 0, 0)


def test_a_planted_skew_is_found_in_the_feature_that_has_it(workspace: Workspace) -> None:
    """One customer's sum is served a penny too high, as if a second implementation rounded otherwise."""
    ann, *others = customers(workspace)
    records = open_records(workspace.root)
    (held,) = records.read([ann], deadline_s=5)
    block = held["buys"]
    place = [name for name, _ in records.layout(block.layout)].index("buys__amount_sum_7d")
    values = list(block.values)
    values[place] = float(values[place] or 0) + 0.01
    records.write([(ann, {"buys": replace(block, values=tuple(values))})])
    serve(workspace, [ann, *others], at=MIDNIGHT + HOUR)
    first, *rest = prove(workspace).features
    assert (first.feature, first.mismatched, first.compared) == ("buys__amount_sum_7d", 1, 3)
    assert first.mismatch_rate == pytest.approx(1 / 3)
    assert {feature.mismatched for feature in rest} == {0}


def test_a_row_that_was_known_later_makes_no_difference(workspace: Workspace) -> None:
    """It belongs to the served moment by its event time; it came a day later, and is in the next snapshot only."""
    ann = customers(workspace)[0]
    serve(workspace, [ann], at=MIDNIGHT + HOUR)
    late = "5,1,2026-01-08 10:00,2026-01-10 09:00,bear,50"
    shop(workspace.root, till=(*TILL, late), delivered=datetime(2026, 1, 10, 12, tzinfo=UTC))
    assert {feature.mismatched for feature in prove(workspace).features} == {0}
    build(workspace)
    assert {feature.mismatched for feature in prove(workspace).features} == {0}
    serve(workspace, [ann], at=datetime(2026, 1, 11, 1, tzinfo=UTC))
    counts = by_name(prove(workspace))["buys__count_30d"]
    assert (counts.served, counts.compared, counts.mismatched) == (2, 2, 0)  # 2 then, 3 now, and both are right


def test_a_block_of_a_moment_to_come_is_judged_by_what_was_known_when_it_was_read(workspace: Workspace) -> None:
    """A build is as of the next midnight; what is known between a read and that midnight was not to be served."""
    ann = customers(workspace)[0]
    read = MIDNIGHT - 10 * HOUR
    (row,) = serve(workspace, [ann], at=read)
    assert row.event_times["buys"] == MIDNIGHT
    shop(workspace.root, till=(*TILL, "5,1,2026-01-08 15:00,2026-01-08 15:00,bear,50"))
    found = by_name(prove(workspace))
    assert {name: feature.mismatched for name, feature in found.items() if not name.startswith("market")} == {
        "buys__amount_sum_7d": 0,
        "buys__count_30d": 0,
        "buys__recency": 0,
        "profile__city": 0,
    }


def test_a_row_that_claims_to_have_been_known_earlier_is_a_skew(workspace: Workspace) -> None:
    """Training would see it at that moment, and the service did not: just what the proof is for."""
    ann = customers(workspace)[0]
    serve(workspace, [ann], at=MIDNIGHT + HOUR)
    shop(workspace.root, till=(*TILL, "5,1,2026-01-08 10:00,2026-01-08 10:00,bear,50"))
    found = by_name(prove(workspace))
    assert (found["buys__count_30d"].mismatched, found["profile__city"].mismatched) == (1, 0)


def test_what_was_not_served_though_it_was_there_offline_is_missing(workspace: Workspace) -> None:
    ann, bob, _ = customers(workspace)
    records = open_records(workspace.root)
    records.delete(ann)
    serve(workspace, [ann, bob, "nobody"], at=MIDNIGHT + HOUR)
    found = by_name(prove(workspace))["buys__count_30d"]
    assert (found.served, found.compared, found.missing, found.mismatched) == (3, 1, 1, 0)


def test_what_was_served_past_its_ttl_is_stale(workspace: Workspace) -> None:
    serve(workspace, customers(workspace), at=MIDNIGHT + 4 * 24 * HOUR)
    found = by_name(prove(workspace))
    assert (found["buys__count_30d"].stale_rate, found["profile__city"].stale_rate) == (1.0, 0.0)


def test_nobody_is_computed_for_whom_there_is_no_basis_any_more(tmp_path: Path) -> None:
    workspace = shop(tmp_path)
    views = (
        (tmp_path / "features" / "views.yaml")
        .read_text(encoding="utf-8")
        .replace("ttl: 3d", "ttl: 3d, purpose: marketing")
    )
    (tmp_path / "features" / "views.yaml").write_text(views, encoding="utf-8")
    build(workspace)
    ann = customers(workspace)[0]
    serve(workspace, [ann], at=MIDNIGHT + HOUR)
    (tmp_path / "said.csv").write_text(
        "who,what,word,at\n1,marketing,granted,2026-01-05\n1,marketing,withdrawn,2026-01-08\n"
    )
    unified(workspace)
    found = prove(workspace)
    assert found.gone == 1
    assert by_name(found)["buys__count_30d"].compared == 0
    assert by_name(found)["profile__city"].compared == 1


def test_what_was_served_under_other_views_proves_nothing(workspace: Workspace) -> None:
    serve(workspace, customers(workspace), at=MIDNIGHT + HOUR)
    file = workspace.root / "features" / "views.yaml"
    file.write_text(
        file.read_text(encoding="utf-8").replace("from: events, agg", "from: events, where: amount > 1, agg")
    )
    with pytest.raises(BadData) as caught:
        prove(workspace)
    assert caught.value.first.code == "consistency.nothing_to_compare"
    build(workspace)
    serve(workspace, customers(workspace), at=MIDNIGHT + HOUR)
    found = prove(workspace)
    assert (found.vectors, found.redefined) == (3, 3)
    assert {feature.mismatched for feature in found.features} == {0}


def test_nothing_logged_is_said_with_what_to_do(workspace: Workspace) -> None:
    with pytest.raises(BadData) as caught:
        prove(workspace)
    assert caught.value.first.code == "consistency.no_log"
    assert "serving/roles.yaml" in caught.value.first.hint


def test_what_is_recomputed_is_what_the_build_computed(workspace: Workspace) -> None:
    """Every row of every snapshot, asked for in one go, at all cutoffs."""
    expected: dict[str, dict[RecomputeRequest, dict[str, object]]] = {}
    for path in sorted(workspace.snapshots.rglob("*.parquet")):
        view = path.stem if path.parent == workspace.snapshots else path.parent.name
        for row in table(path):
            moment = to_microseconds(row.pop("event_timestamp"))
            row.pop("created_timestamp")
            expected.setdefault(view, {})[RecomputeRequest(moment, moment, row.pop("customer_id"))] = row
    assert set(expected) == {"buys", "market", "profile", "consent"}
    assert len({one.as_of_us for one in expected["buys"]}) > 1
    assert recompute(workspace, {view: list(rows) for view, rows in expected.items()}) == expected
