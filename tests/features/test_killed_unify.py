"""`nextbest unify` killed at random moments: what is published is whole, and nothing is lost."""

from __future__ import annotations

import json
import random
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path

import pytest

from features.base.parquet import read_parquet
from features.base.storage import read_json
from features.base.workspace import Workspace
from features.identity.id_ledger import past_ids
from features.identity.ledger_files import read_ledger
from features.snapshots.build_report import UNIFIED_REPORT as REPORT
from tests.features.tiny import company, groups, lines, people, table
from tests.repetitions import repetitions
from tests.serving.forking import Forking, Moments

REPOSITORY = Path(__file__).resolve().parents[2]
KILLS = repetitions(40, fuzz=200)
SEED = 20261125
FEEDS = """
company: {currency: GBP, timezone: UTC}
feeds:
  crm:
    source: crm.csv
    kind: customers
    key: no
    updated_at: changed
    timezone: UTC
    fields: {first_name: name, email: mail, city: town}
  desk:
    source: desk.csv
    kind: customers
    key: contact
    updated_at: changed
    timezone: UTC
    fields: {first_name: name, email: mail}
  till:
    source: till.csv
    kind: events
    event: purchase
    key: receipt
    customer: crm.no = till.who
    event_time: at
    timezone: UTC
    fields: {amount: price}
  words:
    source: words.csv
    kind: consents
    customer: crm.no = words.who
    event_time: at
    timezone: UTC
    fields: {purpose: purpose, status: status}
identity: {rules: exact}
purposes: {marketing: {basis: consent}}
quality: {unknown_customers_above: 1}
"""


def files(version: int) -> dict[str, str]:
    """Return the feeds of one day: each day brings records and events and changes all, some are joined by an e-mail."""
    day, people_there = (date(2026, 1, 1) + timedelta(days=version)).isoformat(), range(40 + version)
    shift = version // 20  # now and then others share an address: customers merge, and come apart
    mails = [f"p{number if (number + shift) % 9 else number // 2}@example.com" for number in people_there]
    return {
        "crm.csv": lines(
            "no,name,mail,town,changed",
            [f"{n},Ann{n},{mails[n]},Town{(n + version) % 7},{day}" for n in people_there],
        ),
        "desk.csv": lines(
            "contact,name,mail,changed", [f"c{n},Ann{n},{mails[n]},{day}" for n in people_there if n % 3]
        ),
        "till.csv": lines(
            "receipt,who,at,price", [f"{n},{n % len(mails)},{day},{n}" for n in range(100 + 3 * version)]
        ),
        "words.csv": lines("who,purpose,status,at", [f"{n},marketing,granted,{day}" for n in people_there if n % 2]),
    }


def deliver(workspace: Workspace, version: int) -> None:
    for name, text in files(version).items():
        (workspace.root / name).write_text(text, encoding="utf-8")


@pytest.fixture(scope="module")
def forking() -> Iterator[Forking]:
    with Forking() as server:
        yield server


def unify(forking: Forking, workspace: Workspace, *, killed_at: Moments | None = None) -> bool:
    """Run `unify`, killed at one of these moments if it is asked for; say whether it came to its end."""
    command, log = ["unify", "--workspace", str(workspace.root)], workspace.root / "log.txt"
    log.unlink(missing_ok=True)
    if killed_at is not None:
        return not forking.kill(command, log=log, moments=killed_at)
    forking.start(command, log=log)
    assert forking.wait() == 0, log.read_text(encoding="utf-8")
    return True


def look(workspace: Workspace) -> set[str]:
    """Read all that is published, with its checksums; return the ids of its customers (none before the first run)."""
    if not workspace.unified.is_dir():
        return set()
    report = read_json(workspace.unified / REPORT)
    for path in workspace.unified.rglob("*.parquet"):
        read_parquet(path)
    found = people(workspace)
    assert (sum(map(len, found.values())), len(found)) == (report["records"], report["customers"])
    assert {row["customer_id"] for row in table(workspace.unified / "golden.parquet")} == set(found)
    return set(found)


@pytest.mark.slow
@pytest.mark.fuzz
def test_killed_again_and_again_it_publishes_whole_states_only_and_ends_as_if_never_killed(
    forking: Forking, tmp_path: Path
) -> None:
    workspace = company(tmp_path / "killed", feeds=FEEDS, files=files(0))
    whole = company(tmp_path / "whole", feeds=FEEDS, files=files(0))
    unify(forking, whole)
    moments, ids, kills, version = Moments(random.Random(SEED), takes=forking.took), set[str](), 0, 0
    while kills < KILLS:
        ended = unify(forking, workspace, killed_at=moments)
        ids |= look(workspace)
        if ended:
            version += 1
            deliver(workspace, version)
        else:  # the next run begins where this one left
            kills += 1
    unify(forking, workspace)
    ids |= look(workspace)

    deliver(whole, version)
    unify(forking, whole)
    assert groups(workspace) == groups(whole)
    assert by_record(workspace) == by_record(whole)
    ledger = read_ledger(workspace.identity).ledger
    today = look(workspace)
    assert ids
    leads = {row["past_id"]: row["customer_id"] for row in past_ids(ledger).to_pylist()}
    assert ids <= set(leads), "an id that was published leads nowhere"
    assert {leads[past] for past in ids} <= today
    assert [path.name for path in workspace.state.rglob(".*.part")] == []
    assert [path.name for path in workspace.state.rglob(".*.old")] == []


def test_on_a_full_disk_it_says_so_and_the_last_good_state_stands(tmp_path: Path) -> None:
    workspace = company(tmp_path, feeds=FEEDS, files=files(0))
    nextbest = str(Path(sys.executable).with_name("nextbest"))
    limited = f"ulimit -f 8; exec {nextbest} unify --json --workspace {tmp_path}"  # blocks of 1 kB a file
    command = [nextbest, "unify", "--workspace", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, cwd=REPOSITORY)
    before, mine = look(workspace), by_record(workspace)
    for name, text in files(400).items():  # what these say is longer than any file may be
        (workspace.root / name).write_text(text, encoding="utf-8")
    full = subprocess.run(["bash", "-c", limited], check=False, capture_output=True, text=True, cwd=REPOSITORY)
    assert full.returncode == 74, full.stdout + full.stderr
    assert set(json.loads(full.stdout)["error"]) >= {"code", "message", "hint"}
    assert (look(workspace), by_record(workspace)) == (before, mine)
    subprocess.run(command, check=True, capture_output=True, cwd=REPOSITORY)
    assert len(look(workspace)) > len(before)


def test_into_a_folder_that_cannot_be_written_it_says_so_and_the_last_good_state_stands(tmp_path: Path) -> None:
    workspace = company(tmp_path, feeds=FEEDS, files=files(0))
    command = [str(Path(sys.executable).with_name("nextbest")), "unify", "--json", "--workspace", str(tmp_path)]
    subprocess.run(command, check=True, capture_output=True, cwd=REPOSITORY)
    before, mine = look(workspace), by_record(workspace)
    deliver(workspace, 1)
    shutil.rmtree(workspace.arriving, ignore_errors=True)
    workspace.arriving.write_text("a file stands where the folder should", encoding="utf-8")  # stops root too
    refused = subprocess.run(command, check=False, capture_output=True, text=True, cwd=REPOSITORY)
    assert refused.returncode == 74, refused.stdout + refused.stderr
    assert json.loads(refused.stdout)["error"]["code"] == "storage.unwritable"
    assert (look(workspace), by_record(workspace)) == (before, mine)
    workspace.arriving.unlink()
    subprocess.run(command, check=True, capture_output=True, cwd=REPOSITORY)
    assert len(look(workspace)) > len(before)


def by_record(workspace: Workspace) -> dict[str, dict[str, object]]:
    """Return every customer's golden record by the first of its records, without the id."""
    golden = {row.pop("customer_id"): row for row in table(workspace.unified / "golden.parquet")}
    return {min(records): golden[customer] for customer, records in people(workspace).items()}
