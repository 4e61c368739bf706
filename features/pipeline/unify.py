"""The story's first half: feeds → one customer, with quality checked and consents counted."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import duckdb
import pyarrow.compute as pc

from features.base.engine import one_row, open_engine
from features.base.errors import BadData, StorageFailure, UsageError
from features.base.generations import new_generation
from features.base.progress import Progress
from features.base.storage import digest_of, read_done, read_json, write_json, write_parquet
from features.base.workspace import Workspace
from features.base.workspace_lock import locked
from features.config.engine_settings import engine_resources
from features.config.feeds_file import FeedsFile
from features.config.loading import did_you_mean
from features.config.workspace_files import load_feeds
from features.consent.customer_data import withheld_by_purpose
from features.consent.ledger import consent_digest
from features.consent.statements import gather
from features.consent.status import odd_select
from features.identity.customer_tables import PERSONAL, WHOLE, Attached, damaged_table, register, seal, write_tables
from features.identity.golden_record import write_golden_record
from features.identity.id_changes import apply
from features.identity.id_ledger import past_ids
from features.identity.incremental_matching import Memory, gather_again
from features.identity.judgements import read_judgements
from features.identity.keyed_digest import load_key
from features.identity.ledger_files import Kept, ledger_digest, read_ledger, write_ledger
from features.identity.resolve import join
from features.identity.review_pairs import between_records, keep, with_ledger
from features.ingest.pending_loads import accept_loads, load_folders
from features.ingest.personal_columns import apart_attributes
from features.ingest.staging import StagedFeed, stage
from features.quality.check import Check
from features.quality.checks import check_all, check_personal_columns
from features.quality.load_history import is_accepted, record_accepted
from features.quality.loads import CheckedLoads, check_agreement, check_loads, refuse
from features.quality.repairs import repairs_of
from features.quality.report import REPORT as QUALITY
from features.quality.report import report_content, write_report
from features.snapshots.build_report import UNIFIED_REPORT

#: Raised when this module would write other bytes for the same input.
VERSION = 6
REPORT = UNIFIED_REPORT


@dataclass(frozen=True)
class UnifyReport:
    """What unification did.

    Parameters
    ----------
    records : source records about customers
    customers : who they turned out to be
    quarantined : rows kept aside, unusable or about unknown customers
    withheld : customers who have not granted every purpose that rests on consent
    withheld_by : purpose → reason → customers who may not be processed for it now
    checks : the answers of the feed checks
    digest : equal digests mean equal tables
    feeds : of every feed, whether it was read or is ``already applied``, and how many of its files are
    """

    records: int
    customers: int
    quarantined: int
    withheld: int
    withheld_by: dict[str, dict[str, int]]
    checks: tuple[Check, ...]
    digest: str
    feeds: Mapping[str, str] = field(default_factory=dict, compare=False)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> UnifyReport:
        """Return the report that an earlier run wrote."""
        return cls(**{**document, "checks": tuple(Check(**check) for check in document["checks"])})


@locked("unify")
def unify(
    workspace: Workspace,
    progress: Progress,
    *,
    accept: Collection[str] = (),
    replay: Collection[str] = (),
    refit: bool = False,
) -> UnifyReport:
    """Stage every feed, check it, resolve its records to customers and write the canonical tables.

    What has not changed since the last run is not done again. A load that is refused leaves the last good one standing.

    Parameters
    ----------
    workspace, progress : the workspace, and who is told how far it is
    accept : feeds whose loads are taken though a check would refuse them
    replay : feeds that are read again with the rows that are kept aside of earlier loads
    refit : learn the weights of identity anew, and weigh every pair by them

    Raises
    ------
    BadData, BadConfiguration : a feed cannot be used, or does not fit its declaration
    UsageError : a feed to accept or to replay is not declared
    """
    file, _ = load_feeds(workspace)
    _refuse_unknown([*accept, *replay], file)
    progress.step("reading feeds", total=len(file.feeds))
    staged: dict[str, StagedFeed] = {}
    resources = engine_resources(workspace)
    for name, feed in file.feeds.items():
        staged[name] = stage(
            name,
            feed,
            root=workspace.root,
            folder=workspace.staged,
            named_by=file.named_by_others(name),
            arriving=workspace.arriving,
            transform=repairs_of(name, feed, file.quality.repairs, country=file.company.country, resources=resources),
            replay=name in replay,
            accept=name in accept,
        )
        progress.advance()
    declared = read_judgements(file.identity, workspace.root)
    inputs = [VERSION, file.model_dump(mode="json"), {name: feed.digest for name, feed in staged.items()}]
    inputs += [[list(pair) for pair in (*declared.always, *declared.never, *declared.labels)]]
    digest = digest_of([*inputs, ledger_digest(workspace.identity), consent_digest(workspace.consent)])
    done = read_done(workspace.unified / REPORT, digest)
    if done is not None and not refit and _all_there(workspace) and _all_accepted(workspace, staged):
        report = replace(UnifyReport.from_json(done), feeds=_applied(staged))
        if read_done(workspace.published / "quality" / QUALITY, digest) is None:  # a run was killed before its report
            report_quality(workspace, report)
        return report
    progress.step("checking what they say")
    checked = _checked(workspace, file, staged, accept=accept)
    progress.step("resolving customers")
    with (
        open_engine(folders=[workspace.state], resources=engine_resources(workspace)) as engine,
        new_generation(workspace.state / "unified") as part,
    ):
        known, key = _known_ids(workspace), load_key(workspace.identity_key)
        judged = with_ledger(declared, known.ledger)
        gathered = gather_again(
            engine,
            file.feeds,
            file.identity,
            workspace.staged,
            judged=judged,
            memory=Memory.load(workspace.identity),
            key=key,
            refit=refit,
        )
        resolution = join(gathered.evidence, file.identity, judged)
        ids = apply(
            known.ledger,
            resolution.partition,
            at=pc.max(resolution.partition["known_at"]).as_py() or known.ledger.at,
            key=key,
            evidence=between_records(resolution.partition, resolution.edges),
            resources=resources,
        )
        records = ids.open().sort_by([("feed", "ascending"), ("record_id", "ascending")])
        seal(part / PERSONAL)
        write_parquet(records, part / PERSONAL / "records.parquet")
        past = past_ids(ids)
        write_parquet(past, part / "ids.parquet")
        engine.register("records", records)
        tables = write_tables(engine, file, staged=workspace.staged, folder=part)
        words = gather(engine, workspace, file.feeds, past=past, folder=part)
        columns = register(engine, part)
        hidden = {*apart_attributes(file), *tables.found}
        write_golden_record(engine, file, hidden, source=WHOLE, shown="customers", folder=part)
        odd = _count(engine, odd_select(list(file.purposes))) if "consents" in columns else None
        checks = check_all(file, staged, tables.attached, resolution, odd_consents=odd)
        places = {name: workspace.staged / name for name in staged}
        checks += [*checked.checks, *check_agreement(engine, file, places), *check_personal_columns(file, tables.found)]
        checks = sorted(checks, key=lambda it: (it.code, it.feed))
        refuse(checks, file.quality, accept=accept)
        # Last of all, and before the tables take their place: a run that is refused changes no id, and one that is
        # killed here finds the ledger as it left it, and makes the tables that belong to it.
        if words is not None:
            words.enter(workspace.consent)
        written = write_ledger(
            workspace.identity, ids, known, beside=lambda folder: keep(folder, gathered.memory, resolution)
        )
        withheld_by, withheld = withheld_by_purpose(engine, file.purposes, columns)
        report = UnifyReport(
            records=records.num_rows,
            customers=resolution.customers,
            quarantined=_kept_aside(staged, tables.attached),
            withheld=withheld,
            withheld_by=withheld_by,
            checks=tuple(checks),
            digest=digest_of([*inputs, written, consent_digest(workspace.consent)]),
            feeds=_applied(staged),
        )
        seal(part / PERSONAL)
        write_json(part / REPORT, asdict(report))
    record_accepted(workspace.quality, checked.profiles, checked.checks)
    progress.step("writing the quality report")
    report_quality(workspace, report)
    return report


def last_report(workspace: Workspace) -> UnifyReport:
    """Return what the last unification that succeeded did.

    Raises
    ------
    BadData : there was none yet
    """
    if not (workspace.unified / REPORT).is_file():
        raise BadData("unify.missing", "nothing is unified yet", where="state/unified", hint="run `nextbest unify`")
    return UnifyReport.from_json(read_json(workspace.unified / REPORT))


def report_quality(workspace: Workspace, report: UnifyReport) -> Path:
    """Write the report of what the feeds said and became, as a page and as JSON; return the page."""
    file, _ = load_feeds(workspace)
    counts = {name: getattr(report, name) for name in ("records", "customers", "quarantined", "withheld")}
    content = report_content(workspace, file, checks=report.checks, counts=counts, digest=report.digest)
    return write_report(content, workspace.published / "quality")


def _applied(staged: Mapping[str, StagedFeed]) -> dict[str, str]:
    told = {}
    for name, feed in staged.items():
        copies = f", {len(feed.repeated)} files of it already applied" if feed.repeated else ""
        told[name] = "already applied" if feed.already_applied else f"read{copies}"
    return told


def _refuse_unknown(named: Collection[str], file: FeedsFile) -> None:
    for name in named:
        if name not in file.feeds:
            raise UsageError(
                "unify.unknown_feed", f"there is no feed {name!r}", hint=did_you_mean(name, sorted(file.feeds))
            )


def _known_ids(workspace: Workspace) -> Kept:
    """Return the id ledger; one that is gone while its ids are still in use is not silently begun anew."""
    known = read_ledger(workspace.identity)
    if not known.version and (workspace.unified / "ids.parquet").is_file():
        raise StorageFailure(
            "identity.lost",
            "the id ledger is gone, and customers with its ids are there",
            where="state/identity",
            hint="restore it from a copy; or remove state/unified, too: then all ids are given anew, and merges and "
            "judgements are forgotten",
        )
    return known


def _all_there(workspace: Workspace) -> bool:
    """Whether nobody removed or damaged a table of the last run, which then has to be made again."""
    ours = [workspace.unified / name for name in ("customers.parquet", "golden.parquet", "ids.parquet")]
    there = all(path.is_file() for path in (*ours, workspace.unified / PERSONAL / "records.parquet"))
    return there and damaged_table(workspace.unified) is None


def _all_accepted(workspace: Workspace, staged: Mapping[str, StagedFeed]) -> bool:
    """Return whether every load has taken its place and is remembered; a run that was killed may have left some."""
    where = load_folders(staged, accepted=workspace.staged, arriving=workspace.arriving)
    return all(
        where[name].parent == workspace.staged and is_accepted(workspace.quality, name, feed.digest)
        for name, feed in staged.items()
    )


def _checked(
    workspace: Workspace, file: FeedsFile, staged: Mapping[str, StagedFeed], *, accept: Collection[str]
) -> CheckedLoads:
    """Check every load, refuse a suspicious one, and only then accept them."""
    where = load_folders(staged, accepted=workspace.staged, arriving=workspace.arriving)
    with open_engine(folders=[workspace.state], resources=engine_resources(workspace)) as engine:
        checked = check_loads(engine, file, staged, where, history=workspace.quality)
        refuse(checked.checks, file.quality, accept=accept)
    accept_loads(staged, accepted=workspace.staged, arriving=workspace.arriving)
    return checked


def _kept_aside(staged: Mapping[str, StagedFeed], attached: Sequence[Attached]) -> int:
    unusable = sum(feed.rows_read - feed.rows - feed.excluded - feed.duplicates for feed in staged.values())
    return unusable + sum(feed.unknown for feed in attached)


def _count(engine: duckdb.DuckDBPyConnection, select: str) -> int:
    return int(one_row(engine, select)[0])
