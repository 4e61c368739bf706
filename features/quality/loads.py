"""Checks of all loads of a run before any of them is accepted; a suspicious load stops the run."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from features.base.database_engine import literal, one_row, quoted
from features.base.errors import BadData, Problem
from features.config.feeds_file import FeedsFile
from features.config.quality_settings import Quality
from features.identity.customer_tables import Attached, link_sides
from features.ingest.staging import StagedFeed
from features.quality.check import Check
from features.quality.checks import check_unknown_customers
from features.quality.load_checks import check_freshness, compare_loads
from features.quality.load_history import last_accepted
from features.quality.load_profile import LoadProfile, profile_load
from features.quality.repairs import changed_cells
from features.quality.value_checks import Load, check_values

_CODES = {"FQ004": "quality.unknown_customers", "FQ017": "quality.volume", "FQ018": "quality.columns"}
_CODES |= {"FQ019": "quality.spread"}


@dataclass(frozen=True)
class CheckedLoads:
    """Profiles and checks of all loads of a run.

    Parameters
    ----------
    profiles : of every feed's load
    checks : the outcomes of FQ004, FQ007 to FQ014 and FQ016 to FQ019
    """

    profiles: Mapping[str, LoadProfile]
    checks: tuple[Check, ...]


def check_loads(
    engine: duckdb.DuckDBPyConnection,
    file: FeedsFile,
    staged: Mapping[str, StagedFeed],
    folders: Mapping[str, Path],
    *,
    history: Path,
) -> CheckedLoads:
    """Profile and check every load, by itself and against the last accepted one; nothing is refused here.

    Parameters
    ----------
    engine : may read `folders`
    file, staged : the declaration, and the feeds as they were read
    folders : where each feed's rows lie
    history : folder of the accepted loads
    """
    last = {name: last_accepted(history, name) for name in staged}
    profiles = {}
    for name, feed in staged.items():
        then = last[name]
        if then is not None and then.profile.digest == feed.digest:
            profiles[name] = then.profile
        else:
            before = then.profile if then is not None else None
            profiles[name] = profile_load(engine, feed, file.feeds[name], folders[name], last=before)
    newest = max((made.newest for made in profiles.values()), default="")
    checks: list[Check] = []
    for name, made in profiles.items():
        source = _relation(folders[name])
        columns = [row[0] for row in engine.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()]
        load = Load(name, file.feeds[name], made.rows, source, columns, changed_cells(folders[name]), newest)
        then = last[name]
        checks += check_values(engine, load, file)
        checks.append(check_freshness(name, made, file.quality, newest_of_all=newest))
        if then is not None and then.profile is made:
            checks += then.checks
        else:
            checks += compare_loads(name, made, then.profile if then is not None else None, file.quality)
    checks += check_known_customers(engine, file, folders)
    return CheckedLoads(profiles, tuple(checks))


def check_known_customers(
    engine: duckdb.DuckDBPyConnection, file: FeedsFile, folders: Mapping[str, Path]
) -> list[Check]:
    """Return whether the customers that the loads refer to are known (FQ004)."""
    checks = []
    for name, feed in file.feeds.items():
        link = feed.link(name)
        if link is None or feed.kind == "customers":
            continue
        theirs, ours = link_sides(name, file)
        found, anonymous, unknown = one_row(
            engine,
            f"""
            SELECT count(k.ref), count(*) FILTER (s.customer_ref IS NULL),
                   count(*) FILTER (s.customer_ref IS NOT NULL AND k.ref IS NULL)
            FROM {_relation(folders[name])} s
            LEFT JOIN (SELECT DISTINCT {theirs} AS ref FROM {_relation(folders[link[0]])} o WHERE ref IS NOT NULL) k
              ON k.ref = {ours}
            """,
        )
        checks.append(check_unknown_customers(Attached(name, int(found), int(anonymous), int(unknown)), file))
    return checks or [Check("FQ004", "", "not_applicable", "no feed is about customers")]


def refuse(checks: Sequence[Check], quality: Quality, *, accept: Collection[str] = ()) -> None:
    """Stop the run at a failed check that refuses loads, except for feeds that the user accepts.

    Raises
    ------
    BadData : naming every such check; the last accepted loads stay in use
    """
    failed = [
        check
        for check in checks
        if check.outcome == "failed"
        and check.refuses
        and quality.severity(check.code) == "refuse"
        and check.feed not in accept
    ]
    if not failed:
        return
    raise BadData.of(
        [
            Problem(
                _CODES.get(check.code, f"quality.{check.code.lower()}"),
                f"{check.code}: {check.detail}; the load is refused and the last accepted one stays in use",
                f"feed {check.feed}" if check.feed else "all feeds",
                _hint(check),
            )
            for check in failed
        ]
    )


def _hint(check: Check) -> str:
    if check.code == "FQ004":
        return "check `customer:` in features/feeds.yaml, or raise quality.unknown_customers_above"
    again = f"nextbest unify --accept {check.feed}" if check.feed else f"quality.checks.{check.code}.severity: warn"
    return (
        f"deliver corrected files; if the files are right, run {again}"
        if check.feed
        else f"correct the files, or set {again}"
    )


def _relation(folder: Path) -> str:
    return f"read_parquet({literal(str(folder / 'rows.parquet'))})"


def check_agreement(engine: duckdb.DuckDBPyConnection, file: FeedsFile, folders: Mapping[str, Path]) -> list[Check]:
    """Return whether each customer's records agree (FQ015); the table ``records`` must be registered.

    Parameters
    ----------
    engine : has ``records`` (feed, record_id, customer_id), may read `folders`
    """
    checks = []
    for field in file.quality.agree if file.quality.severity("FQ015") != "off" else ():
        feeds = [name for name, feed in file.feeds.items() if feed.kind == "customers" and field in feed.fields]
        if not feeds:
            continue
        rows = " UNION ALL ".join(
            f"SELECT {literal(name)} AS feed, record_id, CAST({quoted(field)} AS VARCHAR) AS value "
            f"FROM {_relation(folders[name])}"
            for name in feeds
        )
        several, odd = one_row(
            engine,
            f"""
            SELECT count(*), count(*) FILTER (different > 1)
            FROM (
                SELECT customer_id, count(value) AS records, count(DISTINCT lower(trim(value))) AS different
                FROM ({rows}) JOIN records USING (feed, record_id)
                GROUP BY customer_id
            )
            WHERE records > 1
            """,
        )
        if several:
            limit = file.quality.tolerated("FQ015")
            text = f"{odd} of {several} customers with several records hold two values of {field} ({odd / several:.1%})"
            checks.append(Check("FQ015", "", "failed" if odd / several > limit else "passed", text))
    if not checks:
        return [Check("FQ015", "", "not_applicable", "no customer has two records that hold such a field")]
    failed = [check for check in checks if check.outcome == "failed"]
    details = "; ".join(check.detail for check in failed or checks)
    return [Check("FQ015", "", "failed" if failed else "passed", details)]
