"""Words are entered once and for ever; they follow people, and people are matched without being named."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from features.base.errors import StorageFailure
from features.base.workspace import Workspace
from features.config.workspace_files import load_feeds
from features.consent.consent_ledger import read_statements
from features.consent.customer_consents import ConsentStatus, consent_status_of
from tests.features.consent.world import CRM, FEEDS, who, world
from tests.features.tiny import unified

GRANT = "A1,marketing,granted,v1,2026-01-02"
TAKEN_BACK = "A1,marketing,withdrawn,v2,2026-01-04"


def standing(workspace: Workspace, record: str, *, as_of: datetime | None = None) -> ConsentStatus:
    return consent_status_of(workspace, load_feeds(workspace)[0].purposes, who(workspace, record), as_of=as_of)


def test_a_word_is_entered_once_with_its_notice_and_both_times(tmp_path: Path) -> None:
    workspace = world(tmp_path, [GRANT])
    unified(workspace)
    world(tmp_path, [GRANT, GRANT, TAKEN_BACK])
    unified(workspace)
    words = [word for word in read_statements(workspace.consent).to_pylist() if word["purpose"] == "marketing"]
    assert [(word["status"], word["notice"], word["event_time"], word["known_at"]) for word in words] == [
        ("granted", "v1", datetime(2026, 1, 2, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC)),
        ("withdrawn", "v2", datetime(2026, 1, 4, tzinfo=UTC), datetime(2026, 1, 4, tzinfo=UTC)),
    ]


def test_a_word_that_its_source_has_lost_still_counts_and_no_file_is_touched(tmp_path: Path) -> None:
    workspace = world(tmp_path, [GRANT, TAKEN_BACK])
    unified(workspace)
    (first,) = workspace.consent.glob("words-*.parquet")
    before = (first.read_bytes(), first.stat().st_mtime_ns)
    world(tmp_path, [GRANT, "B1,marketing,granted,v1,2026-01-02"])
    unified(workspace)
    assert standing(workspace, "A1").reasons["marketing"] == "withdrawn"
    assert (first.read_bytes(), first.stat().st_mtime_ns) == before
    assert len(list(workspace.consent.glob("words-*.parquet"))) == 2


def test_an_earlier_moment_knows_only_earlier_words(tmp_path: Path) -> None:
    workspace = world(tmp_path, [GRANT, TAKEN_BACK])
    unified(workspace)
    then = standing(workspace, "A1", as_of=datetime(2026, 1, 3, tzinfo=UTC))
    assert then.reasons["marketing"] is None
    assert [word.status for word in then.statements] == ["granted"]
    now = standing(workspace, "A1")
    assert now.reasons == {"marketing": "withdrawn", "service": None, "care": None}


def test_a_late_word_is_seen_as_of_when_it_was_known(tmp_path: Path) -> None:
    feeds = FEEDS.replace("fields: {purpose: what, status: word, notice: version}", "known_at: version,\n     \\g<0>")
    feeds = feeds.replace("\\g<0>", "fields: {purpose: what, status: word}")
    workspace = world(tmp_path, ["A1,marketing,granted,2026-01-05,2026-01-02"], feeds=feeds)
    unified(workspace)
    purposes = load_feeds(workspace)[0].purposes
    given = datetime(2026, 1, 3, tzinfo=UTC)
    ann = who(workspace, "A1")
    assert consent_status_of(workspace, purposes, ann, as_of=given).reasons["marketing"] == "no_consent"
    later = consent_status_of(workspace, purposes, ann, as_of=given, known_at=datetime(2026, 1, 6, tzinfo=UTC))
    assert later.reasons["marketing"] is None


def test_after_a_merge_the_latest_word_of_either_counts_and_at_equal_times_the_one_against(tmp_path: Path) -> None:
    said = [GRANT, "B1,marketing,withdrawn,v1,2026-01-02"]
    workspace = world(tmp_path, said)
    unified(workspace)
    assert (standing(workspace, "A1").reasons["marketing"], standing(workspace, "B1").reasons["marketing"]) == (
        None,
        "withdrawn",
    )
    merged = [CRM[0], "B1,2026-01-08,ann@x.org,Archer", CRM[2]]
    world(tmp_path, said, crm=merged)
    unified(workspace)
    assert who(workspace, "A1") == who(workspace, "B1")
    assert standing(workspace, "A1").reasons["marketing"] == "withdrawn"
    world(tmp_path, said)
    unified(workspace)
    assert (standing(workspace, "A1").reasons["marketing"], standing(workspace, "B1").reasons["marketing"]) == (
        None,
        "withdrawn",
    )


def test_a_word_outlives_the_record_that_it_was_given_by(tmp_path: Path) -> None:
    both = [CRM[0], "B1,2026-01-01,ann@x.org,Archer", CRM[2]]
    said = [GRANT, "B1,marketing,withdrawn,v1,2026-01-03"]
    workspace = world(tmp_path, said, crm=both)
    unified(workspace)
    world(tmp_path, said, crm=[both[0], both[2]])
    unified(workspace)
    assert standing(workspace, "A1").reasons["marketing"] == "withdrawn"


def test_a_withdrawal_may_name_somebody_by_an_address_however_it_is_spelt(tmp_path: Path) -> None:
    optouts = [" ANN@X.org ,marketing,withdrawn,2026-01-05", "bob@x.org,care,objected,2026-01-05"]
    workspace = world(tmp_path, [GRANT], optouts)
    unified(workspace)
    assert standing(workspace, "A1").reasons["marketing"] == "withdrawn"
    assert standing(workspace, "B1").reasons["care"] == "objected"
    held = b"".join(path.read_bytes() for path in workspace.consent.iterdir())
    assert b"x.org" not in held.lower()
    assert b"A1" not in held


def test_a_withdrawal_by_somebody_unknown_waits_for_them(tmp_path: Path) -> None:
    workspace = world(tmp_path, (), ["dan@x.org,care,objected,2026-01-05"])
    unified(workspace)
    world(tmp_path, (), ["dan@x.org,care,objected,2026-01-05"], crm=[*CRM, "D1,2026-01-08,Dan@x.org,Dane"])
    unified(workspace)
    assert standing(workspace, "D1").reasons["care"] == "objected"


def test_the_ledger_is_for_its_owner_alone(tmp_path: Path) -> None:
    workspace = world(tmp_path, [GRANT])
    unified(workspace)
    assert stat.S_IMODE(workspace.consent.stat().st_mode) == 0o700
    private = [*workspace.consent.iterdir(), workspace.pseudonym_key]
    assert {stat.S_IMODE(path.stat().st_mode) for path in private} == {0o600}


@pytest.mark.parametrize("lost", ["pseudonym.key", "words-000001.parquet"])
def test_a_ledger_that_cannot_be_read_as_it_was_is_never_begun_anew(tmp_path: Path, lost: str) -> None:
    workspace = world(tmp_path, [GRANT])
    unified(workspace)
    world(tmp_path, [GRANT, TAKEN_BACK])
    unified(workspace)
    world(tmp_path, [GRANT, TAKEN_BACK, "B1,marketing,granted,v1,2026-01-02"])
    (path,) = workspace.state.rglob(lost)
    path.unlink()
    with pytest.raises(StorageFailure):
        unified(workspace)
