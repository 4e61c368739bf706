"""Snapshots of 10 million events, 100,000 customers, 12 cutoffs, 5 windows of 10 aggregates, beside SQL by hand.

Three statements by hand, each as one would write it in DuckDB, are run on a tenth of the events; the fastest is the
peer on all of them, and must give the same numbers; it also makes the one snapshot that one more day asks for. A tenth
of the events is built by ours alone. A build of ours also digests every row, so that the next one finds what changed.
Each runs in a process of its own.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import yaml

from features.base.database_engine import EngineResources, open_engine
from features.base.manifest import MANIFEST, Manifest
from features.base.storage import write_json
from features.config.canonical import Kind
from features.config.feeds_file import FeedsFile
from features.config.loading import Lines
from features.config.views_file import ViewsFile
from features.snapshots.incremental_build import IncrementalBuild, SnapshotInputs
from features.views.compute import embedded
from features.views.plan import plan_views
from tests.benchmarks._run import closing, table

EVENTS, CUSTOMERS, DAYS, CUTOFFS, APART = 10_000_000, 100_000, 720, 12, 30
WINDOWS = (7, 30, 90, 180, 365)
MAX_TIMES_BY_HAND, MAX_TIMES_A_TENTH, MAX_SHARE_OF_A_DAY = 1.5, 11.0, 0.05
DAY = 86_400_000_000  # microseconds
START = 655 * APART * DAY  # on the grid of cutoffs, as all but the present moment are
FEEDS = "feeds: {crm: {source: a.csv, kind: customers, key: id}}"
VIEWS = """
views:
  v:
    from: events
    aggregates:
      "*": [count]
      amount: [sum, mean, min, max, std, first, last]
      quantity: [sum]
      item: [nunique]
    windows: [7d, 30d, 90d, 180d, 365d]
"""
COLUMNS: dict[Kind, dict[str, bool]] = {
    "events": {
        **dict.fromkeys(("customer_id", "feed", "record_id", "event_time", "known_at", "item"), False),
        "amount": True,
        "quantity": True,
    }
}
MOMENTS = [START + (DAYS - APART * number) * DAY for number in range(CUTOFFS)]
NEXT = START + (DAYS + 1) * DAY
PEERS = ("filters", "rings", "tiles")


def make(folder: Path, events: int) -> None:
    """Write the events of all days, and of one day more, as `unify` writes them; one in fifty is known late."""
    (folder / "base").mkdir(parents=True)
    (folder / "day").mkdir()
    for name, first, rows, days in (("base", 0, events, DAYS), ("day", events, events // DAYS, 1)):
        since = START + (DAYS if name == "day" else 0) * DAY
        duckdb.sql(
            f"""
            COPY (
                WITH chance AS (
                    SELECT i, hash(i) AS who, hash(i * 7 + 1) AS moment, hash(i * 13 + 5) AS late,
                           hash(i * 31 + 11) AS what
                    FROM range({first}, {first + rows}) t(i)
                ), dated AS (
                    SELECT *, {since} + CAST(moment % {days * DAY} AS BIGINT) AS us,
                           CASE WHEN late % 50 = 0 THEN CAST(late % 3000000 AS BIGINT) * 1000000 ELSE 0 END AS delay
                    FROM chance
                )
                SELECT 'c' || lpad(CAST(who % {CUSTOMERS} AS VARCHAR), 12, '0') AS customer_id, 'till' AS feed,
                       lpad(CAST(i AS VARCHAR), 9, '0') AS record_id, make_timestamptz(us) AS event_time,
                       make_timestamptz(us + delay) AS known_at,
                       CASE WHEN what % 20 > 0 THEN (what % 100000) / 100.0 END AS amount,
                       CAST(1 + what % 5 AS DOUBLE) AS quantity, 'item' || (late // 64) % 1000 AS item
                FROM dated ORDER BY customer_id, event_time
            ) TO '{folder}/{name}/events.parquet' (FORMAT parquet, COMPRESSION zstd)
            """
        )


def ours(folder: Path, old: Path, new: Path, *, day: bool) -> None:
    """Build all snapshots, or what one more day asks for."""
    last = datetime.fromtimestamp(START / 1e6, UTC) + timedelta(days=DAYS)
    cutoffs = [last - timedelta(days=APART * number) for number in reversed(range(CUTOFFS))]
    manifest = Manifest.read(old)
    new.mkdir()
    with open_engine(folders=[folder, old, new], resources=EngineResources(spill=folder / "scratch")) as engine:
        files = [f"'{folder}/{part}/events.parquet'" for part in ("base", *(["day"] if day else []))]
        engine.execute(f"CREATE VIEW events AS SELECT * FROM read_parquet([{', '.join(files)}])")
        incremental = IncrementalBuild(
            old=old,
            new=new,
            before=SnapshotInputs.read(old),
            intact=manifest.intact(old),
            cutoffs=[*cutoffs, *([last + timedelta(days=1)] if day else [])],
            every=timedelta(days=APART),
            numbered=frozenset(),
            rows_of_view=embedded,
        )
        incremental.detect_changes(engine, COLUMNS, "")
        views, feeds = ViewsFile.model_validate(yaml.safe_load(VIEWS)), FeedsFile.model_validate(yaml.safe_load(FEEDS))
        for view in plan_views(views, Lines("views.yaml"), feeds, columns=COLUMNS, fitted={}):
            incremental.build_view(engine, COLUMNS, view, "")
        incremental.write_inputs()
    write_json(new / MANIFEST, Manifest.of(new, old, manifest, besides=()).as_json())


def by_hand(folder: Path, peer: str, *, day: bool) -> None:
    """Write the same features as one file, by the statement of that name: of all cutoffs, or of one more day's."""
    moments, parts = ([NEXT], ("base", "day")) if day else (MOMENTS, ("base",))
    edges = sorted({moment - w * DAY for moment in moments for w in (0, *WINDOWS)})
    files = ", ".join(f"'{folder}/{part}/events.parquet'" for part in parts)
    engine = duckdb.connect()
    engine.execute(f"SET threads = 2; SET memory_limit = '2GB'; SET temp_directory = '{folder}/scratch'")
    engine.execute("CREATE TABLE cutoffs AS SELECT unnest(?) AS as_of", [moments])
    engine.execute("CREATE TABLE edges AS SELECT unnest(?) AS edge", [edges])
    engine.execute(
        f"""
        CREATE VIEW rows AS
        SELECT customer_id, epoch_us(event_time) AS t, epoch_us(known_at) AS k, amount, quantity, item
        FROM read_parquet([{files}])
        """
    )
    statement = {"filters": _filters(), "rings": _rings(), "tiles": _tiles(edges[0])}[peer]
    engine.execute(
        f"""
        COPY (
            SELECT * FROM (
                SELECT customer_id, as_of
                FROM (SELECT customer_id, min(k) AS since FROM rows GROUP BY 1) JOIN cutoffs ON since <= as_of
            ) LEFT JOIN ({statement}) USING (customer_id, as_of) ORDER BY as_of, customer_id
        ) TO '{folder}/{peer}{"-day" if day else ""}.parquet' (FORMAT parquet, COMPRESSION zstd)
        """
    )


def _filters() -> str:
    """Join the rows with the cutoffs, and filter every aggregate by its window."""
    columns = ", ".join(
        f"""
        count(*) FILTER ({f}) AS count_{w}, sum(amount) FILTER ({f}) AS sum_{w}, avg(amount) FILTER ({f}) AS mean_{w},
        min(amount) FILTER ({f}) AS min_{w}, max(amount) FILTER ({f}) AS max_{w},
        stddev_samp(amount) FILTER ({f}) AS std_{w}, arg_min(amount, t) FILTER ({f}) AS first_{w},
        arg_max(amount, t) FILTER ({f}) AS last_{w}, sum(quantity) FILTER ({f}) AS quantity_{w},
        count(DISTINCT item) FILTER ({f}) AS items_{w}
        """
        for w in WINDOWS
        for f in [f"t > as_of - {w * DAY}"]
    )
    return f"""
        SELECT customer_id, as_of, {columns}
        FROM rows JOIN cutoffs ON t <= as_of AND k <= as_of AND t > as_of - {max(WINDOWS) * DAY} GROUP BY ALL
    """


_BASE = """
    count(*) AS n, count(amount) AS f, sum(amount) AS s, sum(amount * amount) AS sq, min(amount) AS lo,
    max(amount) AS hi, arg_min(amount, t) AS first, min(t) FILTER (amount IS NOT NULL) AS first_t,
    arg_max(amount, t) AS last, max(t) FILTER (amount IS NOT NULL) AS last_t, sum(quantity) AS q
"""
_LATER = """
    min(k) OVER (PARTITION BY customer_id, item ORDER BY t DESC ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING)
"""


def _ring(time: str) -> str:
    cases = " ".join(f"WHEN {time} > as_of - {w * DAY} THEN {place}" for place, w in enumerate(WINDOWS))
    return f"CASE {cases} END"


def _of_rings() -> str:
    return ", ".join(
        f"""
        sum(n) FILTER ({f}) AS count_{w}, sum(s) FILTER ({f}) AS sum_{w},
        sum(s) FILTER ({f}) / nullif(sum(f) FILTER ({f}), 0) AS mean_{w}, min(lo) FILTER ({f}) AS min_{w},
        max(hi) FILTER ({f}) AS max_{w},
        CASE WHEN sum(f) FILTER ({f}) > 1 THEN sqrt(greatest(0, (sum(sq) FILTER ({f})
            - (sum(s) FILTER ({f})) ** 2 / sum(f) FILTER ({f})) / (sum(f) FILTER ({f}) - 1))) END AS std_{w},
        arg_min(first, first_t) FILTER ({f}) AS first_{w}, arg_max(last, last_t) FILTER ({f}) AS last_{w},
        sum(q) FILTER ({f}) AS quantity_{w}, sum(d) FILTER ({f}) AS items_{w}
        """
        for place, w in enumerate(WINDOWS)
        for f in [f"ring <= {place}"]
    )


def _rings() -> str:
    """Aggregate the rows between each window and the next longer one, then add them up."""
    return f"""
        WITH seen AS (
            SELECT r.*, as_of, {_ring("t")} AS ring
            FROM (SELECT *, {_LATER} AS until FROM rows) r
            JOIN cutoffs ON t <= as_of AND k <= as_of AND t > as_of - {max(WINDOWS) * DAY}
        ), rings AS (
            SELECT customer_id, as_of, ring, {_BASE}, count(*) FILTER (until IS NULL OR until > as_of) AS d
            FROM seen GROUP BY ALL
        )
        SELECT customer_id, as_of, {_of_rings()} FROM rings GROUP BY ALL
    """


def _tiles(since: int) -> str:
    """Aggregate the rows between all edges once, then these tiles to rings, and those to windows."""
    return f"""
        WITH placed AS (
            SELECT r.*, edge, CASE WHEN k > edge THEN k END AS late
            FROM rows r ASOF JOIN edges ON t <= edge WHERE t > {since}
        ), tiles AS MATERIALIZED (SELECT customer_id, edge, late, {_BASE} FROM placed GROUP BY ALL
        ), newest AS MATERIALIZED (
            SELECT customer_id, edge, late, until, count(*) AS d
            FROM (SELECT customer_id, edge, late, {_LATER} AS until FROM placed) GROUP BY ALL
        ), rings AS (
            SELECT customer_id, as_of, {_ring("edge")} AS ring, sum(n) AS n, sum(f) AS f, sum(s) AS s, sum(sq) AS sq,
                   min(lo) AS lo, max(hi) AS hi, arg_min(first, first_t) AS first, min(first_t) AS first_t,
                   arg_max(last, last_t) AS last, max(last_t) AS last_t, sum(q) AS q
            FROM tiles JOIN cutoffs ON edge <= as_of AND (late IS NULL OR late <= as_of)
                AND edge > as_of - {max(WINDOWS) * DAY}
            GROUP BY ALL
        ), distinct_items AS (
            SELECT customer_id, as_of, {_ring("edge")} AS ring, sum(d) AS d
            FROM newest JOIN cutoffs ON edge <= as_of AND (late IS NULL OR late <= as_of)
                AND (until IS NULL OR until > as_of) AND edge > as_of - {max(WINDOWS) * DAY}
            GROUP BY ALL
        )
        SELECT customer_id, as_of, {_of_rings()}
        FROM rings LEFT JOIN distinct_items USING (customer_id, as_of, ring) GROUP BY ALL
    """


def differing(ours: Path, theirs: Path) -> int:
    """Return how many rows are not the same; theirs adds floats, so that sums may differ in the last digits."""
    names = {"count": "count", "quantity": "quantity_sum", "items": "item_nunique"}
    pairs = [
        (f"v__{names.get(name, f'amount_{name}')}_{w}d", f"{name}_{w}", name in ("count", "quantity", "items", "sum"))
        for name in ("count", "sum", "mean", "min", "max", "std", "first", "last", "quantity", "items")
        for w in WINDOWS
    ]
    unlike = " OR ".join(
        f"(o.{mine} IS NULL) <> ({other} IS NULL) OR abs(o.{mine} - {other}) > 1e-6 * greatest(1, abs(o.{mine}))"
        for mine, theirs_, zero in pairs
        for other in [f"coalesce(t.{theirs_}, 0)" if zero else f"t.{theirs_}"]
    )
    (count,) = duckdb.sql(
        f"""
        SELECT count(*) FILTER (o.customer_id IS NULL OR t.customer_id IS NULL OR {unlike})
        FROM '{ours}/v/*.parquet' o
        FULL JOIN '{theirs}' t ON o.customer_id = t.customer_id AND epoch_us(o.event_timestamp) = t.as_of
        """
    ).fetchall()[0]
    return int(count)


def one(what: str, folder: Path) -> None:
    """Run one contender and print what it took."""
    began = time.perf_counter()
    if (peer := what.removesuffix("-day")) in PEERS:
        by_hand(folder, peer, day=peer != what)
    else:
        ours(folder, folder / "0", folder / ("1" if what == "day" else "0"), day=what == "day")
    seconds = time.perf_counter() - began
    usage = resource.getrusage(resource.RUSAGE_SELF)
    gb = usage.ru_maxrss * 1024 / 1e9
    print(json.dumps({"seconds": seconds, "cpu": usage.ru_utime + usage.ru_stime, "gb": gb}))


def run(what: str, folder: Path) -> dict[str, float]:
    command = [sys.executable, "-m", "tests.benchmarks.snapshots", what, str(folder)]
    found: dict[str, float] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    return found


def main() -> int:
    short: list[str] = []
    with tempfile.TemporaryDirectory() as room:
        tenth, whole = Path(room) / "tenth", Path(room) / "whole"
        make(tenth, EVENTS // 10)
        make(whole, EVENTS)
        found = {f"by hand, {peer}, a tenth": run(peer, tenth) for peer in PEERS}
        fastest = min(PEERS, key=lambda peer: found[f"by hand, {peer}, a tenth"]["seconds"])
        found["nextbest, a tenth"] = run("full", tenth)
        found[f"by hand, {fastest}"] = hand = run(fastest, whole)
        found["nextbest"] = mine = run("full", whole)
        found[f"by hand, {fastest}, one more day"] = hand_day = run(f"{fastest}-day", whole)
        found["nextbest, one more day"] = day = run("day", whole)
        differ = differing(whole / "0", whole / f"{fastest}.parquet")
    table("snapshots", found, ("seconds", "cpu", "gb"))
    if differ:
        short.append(f"nextbest: {differ} rows other than by hand")
    times = mine["seconds"] / hand["seconds"]
    tenfold = mine["seconds"] / found["nextbest, a tenth"]["seconds"]
    share = day["seconds"] / mine["seconds"]
    print(f"times by hand {times:.2f}, ten times the events {tenfold:.1f} times the time, one more day {share:.1%}")
    print(f"by hand the one snapshot of one more day takes {hand_day['seconds'] / mine['seconds']:.1%} of ours of all")
    if times > MAX_TIMES_BY_HAND:
        short.append(f"nextbest: {times:.2f} times the statement by hand, the bar is {MAX_TIMES_BY_HAND}")
    if tenfold > MAX_TIMES_A_TENTH:
        short.append(f"nextbest: {tenfold:.1f} times the time of a tenth, the bar is {MAX_TIMES_A_TENTH}")
    if share > MAX_SHARE_OF_A_DAY:
        short.append(f"nextbest, one more day: {share:.1%} of the full build, the bar is {MAX_SHARE_OF_A_DAY:.0%}")
    return closing(short)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        one(sys.argv[1], Path(sys.argv[2]))
    else:
        sys.exit(main())
