"""The stages from feeds to one customer: each a function from artefacts to an artefact."""

from __future__ import annotations

import shutil

import duckdb
import pyarrow.compute as pc

from features.base.database_engine import EngineResources, one_row
from features.base.errors import StorageFailure
from features.base.parquet import write_parquet
from features.base.progress import Progress
from features.base.stages import ContentDigest, NewGeneration
from features.base.workspace import Workspace
from features.config.feeds_file import FeedsFile
from features.consent import statements
from features.consent.customer_data import withheld_by_purpose
from features.consent.status import odd_select
from features.identity.customer_tables import PERSONAL, WHOLE, Written, register, seal, write_tables
from features.identity.golden_record import write_golden_record
from features.identity.id_changes import apply
from features.identity.id_ledger import former_records, past_ids
from features.identity.incremental_matching import gather_again
from features.identity.judgements import Judgements
from features.identity.keyed_digest import load_key
from features.identity.ledger_files import StoredLedger, read_ledger, write_ledger
from features.identity.matching_memory import Memory
from features.identity.resolve import join
from features.identity.review_pairs import between_records, carry_over, keep, with_ledger
from features.ingest import pending_loads
from features.ingest.pending_loads import load_folders
from features.ingest.personal_columns import apart_attributes
from features.ingest.row_history import UNTIL
from features.ingest.staging import StagedFeed, stage
from features.pipeline.unify_artefacts import (
    CanonicalTables,
    CheckedRows,
    ConsentStatements,
    CustomerIds,
    LastingState,
    Matches,
    QualityChecks,
    QualityReport,
    StagedFeeds,
    UnifyRequest,
)
from features.pipeline.unify_report import UnifyReport
from features.quality import loads as load_checks
from features.quality.checks import check_all, check_personal_columns
from features.quality.load_history import record_accepted
from features.quality.loads import CheckedLoads, check_agreement, refuse
from features.quality.repairs import repairs_of
from features.streaming.received_times import times_received


def read_feeds(
    file: FeedsFile, state: LastingState, request: UnifyRequest, resources: EngineResources, progress: Progress
) -> StagedFeeds:
    """Read and map every feed whose source or declaration has changed."""
    progress.step("reading feeds", total=len(file.feeds))
    staged: dict[str, StagedFeed] = {}
    for name in file.feeds:
        feed = file.with_declared_money(name)
        staged[name] = stage(
            name,
            feed,
            root=state.root,
            folder=state.accepted,
            named_by=file.named_by_others(name),
            arriving=state.arriving,
            transform=repairs_of(name, feed, file.quality.repairs, country=file.company.country, resources=resources),
            replay=name in request.replay,
            accept=name in request.accept,
            company=file.company,
        )
        progress.advance()
    pending_loads.date_loads(
        file.feeds,
        staged,
        accepted=state.accepted,
        arriving=state.arriving,
        streamed=lambda name: times_received(Workspace(state.root), name),
        resources=resources,
    )
    return StagedFeeds(staged)


def check_loads(
    engine: duckdb.DuckDBPyConnection, file: FeedsFile, staged: StagedFeeds, state: LastingState, request: UnifyRequest
) -> CheckedLoads:
    """Check every load by itself and beside the last accepted one; a suspicious one refuses the run."""
    where = load_folders(staged.feeds, accepted=state.accepted, arriving=state.arriving)
    checked = load_checks.check_loads(engine, file, staged.feeds, where, history=state.history)
    refuse(checked.checks, file.quality, accept=request.accept)
    return checked


def link_loads(staged: StagedFeeds, state: LastingState, checked: CheckedLoads, new: NewGeneration) -> CheckedRows:
    """Put the rows of the checked loads into one folder; they are not accepted before nothing can be refused."""
    del checked
    folder = new.folder / "loads"
    pending_loads.link_loads(staged.feeds, accepted=state.accepted, arriving=state.arriving, into=folder)
    return CheckedRows(folder)


def read_ids(state: LastingState, new: NewGeneration) -> StoredLedger:
    """Read the id ledger; one that is gone while its ids are still in use is not begun anew."""
    known = read_ledger(state.identity)
    if not known.version and (new.before / "ids.parquet").is_file():
        raise StorageFailure(
            "identity.lost",
            "the id ledger is gone, and customers with its ids are there",
            where="state/identity",
            hint="restore it from a copy; or remove state/unified, too: then all ids are given anew, and merges and "
            "judgements are forgotten",
        )
    return known


def match_records(
    engine: duckdb.DuckDBPyConnection,
    file: FeedsFile,
    loads: CheckedRows,
    declared: Judgements,
    known: StoredLedger,
    state: LastingState,
    request: UnifyRequest,
) -> Matches:
    """Find the records that are one customer."""
    judged = with_ledger(declared, known.ledger)
    gathered = gather_again(
        engine,
        file.feeds,
        file.identity,
        loads.folder,
        judged=judged,
        memory=Memory.load(state.identity),
        key=load_key(state.identity_key),
        refit=request.refit,
        phones=file.phone_countries,
    )
    ledger = carry_over(known.ledger, declared, state.identity, gathered.evidence.records.table)
    return Matches(join(gathered.evidence, file.identity, with_ledger(declared, ledger)), gathered, ledger)


def assign_ids(
    engine: duckdb.DuckDBPyConnection,
    matches: Matches,
    known: StoredLedger,
    state: LastingState,
    resources: EngineResources,
    new: NewGeneration,
) -> CustomerIds:
    """Give every customer the id that its records had, or a new one."""
    partition = matches.resolution.partition
    ledger = apply(
        matches.ledger,
        partition,
        at=pc.max(partition["known_at"]).as_py() or known.ledger.at,
        key=load_key(state.identity_key),
        evidence=between_records(partition, matches.resolution.edges),
        resources=resources,
    )
    records = ledger.open().sort_by([("feed", "ascending"), ("record_id", "ascending")])
    past = past_ids(ledger)
    seal(new.folder / PERSONAL)
    write_parquet(records, new.folder / PERSONAL / "records.parquet")
    write_parquet(past, new.folder / "ids.parquet")
    engine.register("records", records)
    engine.register("former_records", former_records(ledger, past))
    return CustomerIds(ledger, records, past)


def write_canonical_tables(
    engine: duckdb.DuckDBPyConnection, file: FeedsFile, loads: CheckedRows, ids: CustomerIds, new: NewGeneration
) -> Written:
    """Write the canonical tables, with the customer of every row."""
    del ids  # the engine knows them as the tables ``records`` and ``former_records``
    return write_tables(engine, file, staged=loads.folder, folder=new.folder)


def write_consents(
    engine: duckdb.DuckDBPyConnection,
    file: FeedsFile,
    loads: CheckedRows,
    ids: CustomerIds,
    state: LastingState,
    new: NewGeneration,
) -> ConsentStatements:
    """Write the consents of today's customers: those of the ledger and those that the feeds add to it."""
    update = statements.gather(
        engine,
        file,
        staged=loads.folder,
        ledger_folder=state.consent,
        key_file=state.pseudonym_key,
        past=ids.past,
        folder=new.folder,
    )
    return ConsentStatements(update)


def write_golden(
    engine: duckdb.DuckDBPyConnection, file: FeedsFile, tables: Written, consents: ConsentStatements, new: NewGeneration
) -> CanonicalTables:
    """Write the golden record, where each of its values comes from, and each owner's own view."""
    del consents  # their table is there
    columns = register(engine, new.folder)
    hidden = {*apart_attributes(file), *tables.found}
    now = f"SELECT * EXCLUDE ({UNTIL}) FROM customers WHERE {UNTIL} IS NULL"
    engine.execute(f"CREATE OR REPLACE TEMP VIEW current_customers AS {now}")
    write_golden_record(engine, file, hidden, source=WHOLE, shown="current_customers", folder=new.folder)
    seal(new.folder / PERSONAL)
    return CanonicalTables(columns)


def check_quality(
    engine: duckdb.DuckDBPyConnection,
    file: FeedsFile,
    staged: StagedFeeds,
    loads: CheckedRows,
    checked: CheckedLoads,
    matches: Matches,
    tables: Written,
    consents: ConsentStatements,
    canonical: CanonicalTables,
    request: UnifyRequest,
) -> QualityChecks:
    """Answer all checks; one that fails may refuse the run."""
    odd: tuple[int, int, int] | None = None
    if consents.update is not None and "consents" in canonical.columns:
        unknown, undeclared = one_row(engine, odd_select(list(file.purposes)))
        odd = (unknown, undeclared, consents.update.untimed)
    checks = check_all(file, staged.feeds, tables.attached, matches.resolution, odd_consents=odd)
    places = {name: loads.folder / name for name in staged.feeds}
    checks += [*checked.checks, *check_agreement(engine, file, places), *check_personal_columns(file, tables.found)]
    refuse(checks, file.quality, accept=request.accept)
    return QualityChecks(tuple(sorted(checks, key=lambda check: (check.code, check.feed))))


def enter_consents(consents: ConsentStatements, state: LastingState) -> None:
    """Enter the new consent statements into the ledger."""
    if consents.update is not None:
        consents.update.enter(state.consent)


def enter_ids(ids: CustomerIds, known: StoredLedger, matches: Matches, state: LastingState) -> None:
    """Enter this run's customers into the id ledger."""
    write_ledger(
        state.identity,
        ids.ledger,
        known,
        beside=lambda folder: keep(
            folder, matches.gathered.memory, matches.resolution, matches.gathered.evidence.records.table
        ),
    )


def accept_loads(staged: StagedFeeds, state: LastingState, loads: CheckedRows) -> None:
    """Let the loads take the place of the last ones."""
    shutil.rmtree(loads.folder)
    pending_loads.accept_loads(staged.feeds, accepted=state.accepted, arriving=state.arriving)


def count_customers(
    engine: duckdb.DuckDBPyConnection,
    file: FeedsFile,
    staged: StagedFeeds,
    ids: CustomerIds,
    matches: Matches,
    tables: Written,
    canonical: CanonicalTables,
    quality: QualityChecks,
    digest: ContentDigest,
) -> UnifyReport:
    """Return what the run did."""
    withheld_by, withheld = withheld_by_purpose(engine, file.purposes, canonical.columns)
    loads = staged.feeds.values()
    unusable = sum(feed.unusable for feed in loads)
    return UnifyReport(
        records=ids.records.num_rows,
        customers=matches.resolution.customers,
        quarantined=unusable + sum(feed.unknown + feed.ambiguous for feed in tables.attached),
        withheld=withheld,
        withheld_by=withheld_by,
        checks=quality.checks,
        digest=digest.value,
        feeds=applied(staged),
    )


def remember_loads(checked: CheckedLoads, state: LastingState) -> None:
    """Remember the accepted loads, for the next ones to be compared with."""
    record_accepted(state.history, checked.profiles, checked.checks)


def write_quality_report(report: UnifyReport, quality: QualityReport) -> None:
    """Write the quality report."""
    quality.write(report)


def applied(staged: StagedFeeds) -> dict[str, str]:
    """Return of every feed whether it was read, and how many of its files were read before."""
    read = {}
    for name, feed in staged.feeds.items():
        copies = f", {len(feed.repeated)} files of it already applied" if feed.repeated else ""
        ahead = f", {feed.ahead} rows dated after the delivery: they count from their day on" if feed.ahead else ""
        none = f", {feed.open_times} times such as 9999-12-31 or 1900-01-01 stand for none" if feed.open_times else ""
        read[name] = "already applied" if feed.already_applied else f"read{copies}{ahead}{none}"
    return read
