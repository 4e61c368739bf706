"""The offline store, asked as plain Feast asks it: equal to a slow literal reading of the rule, whatever the rows."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from feast import Entity, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
from feast.errors import SavedDatasetLocationAlreadyExists
from feast.infra.offline_stores.file_source import SavedDatasetFileStorage
from feast.types import Float64, Int64, String
from hypothesis import given
from hypothesis import strategies as st

from features.base.database_engine import one_row, open_engine
from features.base.errors import BadData
from features.store.point_in_time import (
    ENTITY_ROWS,
    MOMENT,
    PLACE,
    ROW,
    JoinedView,
    match_select,
    parquet,
    plain_select,
)

START = datetime(2026, 1, 1, tzinfo=UTC)
FEATURES = ["spend:amount", "visits:count"]


def day(number: float) -> datetime:
    return START + timedelta(days=number)


def write(path: Path, rows: Sequence[tuple[str, float, float, float]], column: str, kind: pa.DataType) -> None:
    """Write rows of (customer, day it holds from, day it was created, value)."""
    table = {
        "customer": pa.array([row[0] for row in rows], pa.string()),
        "at": pa.array([day(row[1]) for row in rows], pa.timestamp("us", "UTC")),
        "made": pa.array([day(row[2]) for row in rows], pa.timestamp("us", "UTC")),
        column: pa.array([row[3] for row in rows], kind),
    }
    pq.write_table(pa.table(table), path)


@pytest.fixture(scope="module")
def feast(tmp_path_factory: pytest.TempPathFactory) -> FeatureStore:
    """Return plain Feast over two files: spend has a ttl of ten days and a row that was created late."""
    root = tmp_path_factory.mktemp("plain_feast")
    spend = [("ann", 0, 0, 1.0), ("ann", 5, 5, 2.0), ("ann", 6, 9, 3.0), ("bob", 2, 2, 4.0)]
    write(root / "spend.parquet", spend, "amount", pa.float64())
    write(root / "visits.parquet", [("ann", 1, 1, 7), ("cid", 3, 3, 8)], "count", pa.int64())
    store = FeatureStore(
        config=RepoConfig(
            project="plain",
            provider="local",
            registry=str(root / "registry.db"),
            offline_store={"type": "features.store.offline.PointInTimeOfflineStore"},
            entity_key_serialization_version=3,
            repo_path=root,
        )
    )
    customer = Entity(name="customer", join_keys=["customer"], value_type=ValueType.STRING)

    def view(name: str, column: str, kind: object, ttl: timedelta | None) -> FeatureView:
        source = FileSource(
            name=name, path=f"{root}/{name}.parquet", timestamp_field="at", created_timestamp_column="made"
        )
        schema = [Field(name="customer", dtype=String), Field(name=column, dtype=kind)]
        return FeatureView(name=name, entities=[customer], ttl=ttl, schema=schema, source=source)

    store.apply([customer, view("spend", "amount", Float64, timedelta(days=10)), view("visits", "count", Int64, None)])
    return store


def asked(*rows: tuple[str, float]) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "customer": [row[0] for row in rows],
            "event_timestamp": pd.Series([day(row[1]) for row in rows]).astype("datetime64[us, UTC]"),
        }
    )


def test_rows_keep_their_number_and_order_also_repeated_and_unknown_ones(feast: FeatureStore) -> None:
    rows = asked(("zoe", 9), ("ann", 5), ("ann", 5), ("bob", 1), ("ann", 0))
    answer = feast.get_historical_features(entity_df=rows, features=FEATURES).to_df()
    assert list(answer["customer"]) == list(rows["customer"])
    assert answer["amount"].tolist() == pytest.approx([float("nan"), 2.0, 2.0, float("nan"), 1.0], nan_ok=True)


def test_a_row_that_was_created_late_is_not_seen_before(feast: FeatureStore) -> None:
    rows = asked(("ann", 8), ("ann", 9))
    answer = feast.get_historical_features(entity_df=rows, features=FEATURES).to_df()
    assert answer["amount"].tolist() == [2.0, 3.0]


def test_past_the_ttl_a_value_is_missing_and_at_its_end_it_is_not(feast: FeatureStore) -> None:
    answer = feast.get_historical_features(entity_df=asked(("bob", 12), ("bob", 12.001)), features=FEATURES).to_df()
    assert answer["amount"].tolist() == pytest.approx([4.0, float("nan")], nan_ok=True)


@pytest.mark.parametrize("kind", ["arrow", "sql", "naive", "text"])
def test_the_rows_may_come_as_arrow_sql_and_with_moments_of_any_kind(feast: FeatureStore, kind: str) -> None:
    rows = asked(("ann", 5), ("bob", 3))
    entities: object = {
        "arrow": pa.Table.from_pandas(rows, preserve_index=False),
        "sql": "SELECT * FROM (VALUES ('ann', TIMESTAMPTZ '2026-01-06'), ('bob', TIMESTAMPTZ '2026-01-04')) "
        "t(customer, event_timestamp)",
        "naive": rows.assign(event_timestamp=rows["event_timestamp"].dt.tz_localize(None)),
        "text": rows.assign(event_timestamp=rows["event_timestamp"].astype(str)),
    }[kind]
    answer = feast.get_historical_features(entity_df=entities, features=FEATURES).to_arrow()
    assert answer["amount"].to_pylist() == [2.0, 4.0]


def test_without_rows_every_customer_of_the_span_is_asked_at_its_end(feast: FeatureStore) -> None:
    answer = feast.get_historical_features(features=FEATURES, start_date=day(0), end_date=day(6)).to_df()
    assert answer["customer"].tolist() == ["ann", "bob", "cid"]
    assert answer["amount"].tolist() == pytest.approx([2.0, 4.0, float("nan")], nan_ok=True)


def test_full_names_and_other_key_names_are_feasts(feast: FeatureStore) -> None:
    answer = feast.get_historical_features(
        entity_df=asked(("ann", 5)), features=FEATURES, full_feature_names=True
    ).to_df()
    assert {"spend__amount", "visits__count"} <= set(answer.columns)


def test_a_row_without_a_moment_or_a_key_is_refused_by_name(feast: FeatureStore) -> None:
    without = asked(("ann", 5)).rename(columns={"customer": "client"})
    with pytest.raises(BadData, match="no column 'customer'"):
        feast.get_historical_features(entity_df=without, features=FEATURES).to_df()
    empty = asked(("ann", 5)).assign(event_timestamp=pd.Series([pd.NaT], dtype="datetime64[us, UTC]"))
    with pytest.raises(BadData, match="1 rows have no event_timestamp"):
        feast.get_historical_features(entity_df=empty, features=FEATURES).to_df()


def test_an_answer_is_saved_once_unless_it_may_be_overwritten(feast: FeatureStore, tmp_path: Path) -> None:
    place = SavedDatasetFileStorage(path=str(tmp_path / "saved.parquet"))
    job = feast.get_historical_features(entity_df=asked(("ann", 5)), features=FEATURES)
    job.persist(place)
    assert pq.read_table(tmp_path / "saved.parquet")["amount"].to_pylist() == [2.0]
    with pytest.raises(SavedDatasetLocationAlreadyExists):
        job.persist(place)
    job.persist(place, allow_overwrite=True)


ENTITIES = {
    "pandas": asked(("ann", 5), ("bob", 3)),
    "arrow": pa.Table.from_pandas(asked(("ann", 5), ("bob", 3)), preserve_index=False),
    "sql": "SELECT 'ann' AS customer, TIMESTAMPTZ '2026-01-06 00:00:00+00' AS event_timestamp",
    "further columns": asked(("ann", 5)).assign(label=1),
    "non-entity": None,
}


@pytest.mark.filterwarnings("ignore:Saving dataset is an experimental feature:RuntimeWarning")
@pytest.mark.filterwarnings("ignore:Retrieving datasets is an experimental feature:RuntimeWarning")
@pytest.mark.parametrize("kind", list(ENTITIES))
def test_a_saved_dataset_is_registered_and_read_again(feast: FeatureStore, tmp_path: Path, kind: str) -> None:
    entities = ENTITIES[kind]
    span = {"start_date": day(0), "end_date": day(5)} if entities is None else {"entity_df": entities}
    job = feast.get_historical_features(features=FEATURES, **span)
    place = SavedDatasetFileStorage(path=str(tmp_path / "saved.parquet"))
    name = f"saved_{kind.replace(' ', '_').replace('-', '_')}"
    saved = feast.create_saved_dataset(from_=job, name=name, storage=place).to_df()
    assert len(saved) == len(job.to_df()) > 0
    again = feast.get_saved_dataset(name).to_df()
    assert sorted(again["amount"].dropna()) == sorted(job.to_df()["amount"].dropna())
    assert saved["amount"].notna().any()


@pytest.mark.filterwarnings("ignore:Saving dataset is an experimental feature:RuntimeWarning")
def test_no_rows_are_not_saved(feast: FeatureStore, tmp_path: Path) -> None:
    job = feast.get_historical_features(entity_df=asked(("ann", 5)).iloc[:0], features=FEATURES)
    place = SavedDatasetFileStorage(path=str(tmp_path / "saved.parquet"))
    with pytest.raises(BadData, match="no rows to save"):
        feast.create_saved_dataset(from_=job, name="none", storage=place)
    assert not (tmp_path / "saved.parquet").exists()


def test_many_retrievals_at_once_give_each_its_own_answer(feast: FeatureStore) -> None:
    def one(number: int) -> list[float]:
        rows = asked(*[("ann" if number % 2 else "bob", 5)] * (number + 1))
        amounts: list[float] = (
            feast.get_historical_features(entity_df=rows, features=FEATURES).to_df()["amount"].tolist()
        )
        return amounts

    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(one, range(32)))
    assert answers == [[2.0 if number % 2 else 4.0] * (number + 1) for number in range(32)]


def test_feast_materializes_the_newest_row_of_each_customer(feast: FeatureStore) -> None:
    view = feast.get_feature_view("spend")
    job = feast._get_provider().offline_store.pull_latest_from_table_or_query(
        feast.config, view.batch_source, ["customer"], ["amount"], "at", "made", day(0), day(5)
    )
    assert sorted(job.to_arrow().select(["customer", "amount"]).to_pylist(), key=str) == [
        {"customer": "ann", "amount": 2.0},
        {"customer": "bob", "amount": 4.0},
    ]


moments = st.integers(0, 6)
rows_of_a_view = st.lists(st.tuples(st.sampled_from(["ann", "bob"]), moments, moments), max_size=12)


@given(rows=rows_of_a_view, asks=st.lists(st.tuples(st.sampled_from(["ann", "bob", "cid"]), moments), max_size=6))
def test_the_join_is_the_literal_rule(
    tmp_path_factory: pytest.TempPathFactory, rows: list[tuple[str, int, int]], asks: list[tuple[str, int]]
) -> None:
    folder = tmp_path_factory.mktemp("rule")
    # the value is the row's place among rows that are alike in time, so that only the winner can be meant
    stored = [(who, at, made, float(at * 10 + made)) for who, at, made in rows]
    write(folder / "view.parquet", stored, "value", pa.float64())
    view = JoinedView(
        parquet([folder / "view.parquet"]),
        (folder / "view.parquet",),
        {"customer": "customer"},
        {"value": "value"},
        "at",
        "made",
        ttl=timedelta(days=3),
    )
    with open_engine(folders=[folder]) as engine:
        table = pa.table(
            {
                "customer": pa.array([who for who, _ in asks], pa.string()),
                MOMENT: pa.array([day(at) for _, at in asks], pa.timestamp("us", "UTC")),
                ROW: pa.array(range(len(asks)), pa.int64()),
            }
        )
        engine.register(ENTITY_ROWS, table)
        plain = bool(one_row(engine, plain_select(view))[0])
        matched = engine.sql(match_select(view)).to_arrow_table().to_pylist()
    answer: list[float | None] = [None] * len(asks)
    for row in matched:
        answer[row[ROW]] = stored[row[PLACE]][3]
    assert len({row[ROW] for row in matched}) == len(matched)
    assert answer == [_by_hand(stored, who, at) for who, at in asks]
    assert plain == (all(made <= at for _, at, made in rows) and len({row[:2] for row in rows}) == len(rows))


def _by_hand(stored: list[tuple[str, int, int, float]], who: str, moment: int) -> float | None:
    known = [(at, made, value) for name, at, made, value in stored if name == who and max(at, made) <= moment]
    if not known:
        return None
    at, _, value = max(known)
    return value if at >= moment - 3 else None
