"""Words are entered once and for ever; they follow people, and people are matched without being named."""

from __future__ import annotations

import stat
from datetime import UTC, datetime
from pathlib import Path

import pytest

from features.base.errors import StorageFailure
from features.base.parquet import read_parquet, write_parquet
from features.base.progress import Silent
from features.base.workspace import Workspace
from features.config.workspace_files import load_feeds
from features.consent.consent_ledger import read_statements
from features.consent.customer_consents import ConsentStatus, consent_status_of
from features.consent.customer_data import allowed_customers
from features.pipeline.unify import unify
from tests.features.consent.world import CRM, FEEDS, TILL, who, world
from tests.features.tiny import company, lines, people, unified

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


SUPPRESSED = """\
feeds:
  crm: {source: crm.csv, kind: customers, key: id, updated_at: changed, timezone: UTC, fields: {email: mail}}
  optouts:
    {source: optouts.csv, kind: consents, customer: crm.mail = optouts.address, key: [address, what],
     fields: {purpose: what, status: word}}
  till:
    {source: till.csv, kind: events, event: buy, key: no, customer: crm.id = till.who, event_time: at, timezone: UTC,
     fields: {amount: amount}}
quality: {unknown_customers_above: 1.0, checks: {FQ017: {severity: warn}, FQ019: {severity: warn}}}
purposes: {marketing: {basis: consent}, care: {basis: legitimate_interest}}
"""
NOBODY = "nobody@x.org,care,objected"


def load(root: Path, words: list[str], *, until: str, feeds: str = SUPPRESSED) -> Workspace:
    """Load statements without a time; the last order is of the day `until`."""
    files = {
        "crm.csv": lines("id,changed,mail,name", CRM),
        "optouts.csv": lines("address,what,word", [NOBODY, *words]),
        "till.csv": lines("no,who,at,amount", [*TILL, f"9,A1,{until},5"]),
    }
    workspace = company(root, feeds=feeds, files=files)
    unify(workspace, Silent(), accept=["optouts", "till"])
    return workspace


def entered(workspace: Workspace) -> list[tuple[str, datetime, datetime]]:
    rows = read_statements(workspace.consent).to_pylist()
    return [(row["status"], row["event_time"], row["known_at"]) for row in rows if row["purpose"] == "marketing"]


def test_a_statement_without_a_time_counts_from_the_first_load_that_holds_it(tmp_path: Path) -> None:
    june, july, august = (datetime(2026, month, 1, tzinfo=UTC) for month in (6, 7, 8))
    load(tmp_path, ["ann@x.org,marketing,granted"], until="2026-06-01")
    load(tmp_path, ["ann@x.org,marketing,granted", "bob@x.org,marketing,granted"], until="2026-07-01")
    workspace = load(tmp_path, ["ann@x.org,marketing,withdrawn", "bob@x.org,marketing,granted"], until="2026-08-01")
    assert entered(workspace) == [
        ("granted", june, june),
        ("granted", july, july),
        ("withdrawn", august, august),
    ]
    assert [standing(workspace, name).reasons["marketing"] for name in ("A1", "B1")] == ["withdrawn", None]
    assert standing(workspace, "A1", as_of=july).reasons["marketing"] is None
    again = load(tmp_path, ["ann@x.org,marketing,granted"], until="2026-08-01")  # nothing is newer but the consent
    assert standing(again, "A1").reasons["marketing"] is None
    assert (
        standing(again, "B1").reasons["marketing"] is None
    )  # the file has lost the statement, which was not withdrawn


def test_a_grant_without_a_time_that_comes_back_does_not_undo_a_withdrawal_and_a_withdrawal_counts_again(
    tmp_path: Path,
) -> None:
    web = """\
  web:
    {source: web.csv, kind: consents, customer: crm.id = web.who, event_time: at, timezone: UTC,
     fields: {purpose: what, status: word}}
identity"""
    feeds = SUPPRESSED.replace("quality", "identity: {rules: keys}\nquality").replace("identity", web, 1)
    (tmp_path / "web.csv").write_text(
        lines(
            "who,what,word,at",
            ["A1,marketing,withdrawn,2026-06-15", "B1,marketing,granted,2026-06-15", "C1,x,no,2026-01-01"],
        ),
        encoding="utf-8",
    )
    words = ["ann@x.org,marketing,granted", "bob@x.org,marketing,withdrawn"]
    load(tmp_path, words, until="2026-06-01", feeds=feeds)
    load(tmp_path, [], until="2026-07-01", feeds=feeds)
    workspace = load(tmp_path, words, until="2026-08-01", feeds=feeds)
    assert [standing(workspace, name).reasons["marketing"] for name in ("A1", "B1")] == ["withdrawn", "withdrawn"]


def test_a_row_without_its_time_is_a_statement_too(tmp_path: Path) -> None:
    workspace = world(tmp_path, (), ["ann@x.org,care,objected,", "bob@x.org,care,objected,1970-01-01"])
    report = unified(workspace)
    assert report.quarantined == 0
    assert [standing(workspace, name).reasons["care"] for name in ("A1", "B1")] == ["objected", "objected"]


SHARED = """\
feeds:
  crm: {source: crm.csv, kind: customers, key: id, fields: {email: mail, phone: tel, first_name: first}}
  optouts:
    {source: optouts.csv, kind: consents, customer: crm.COLUMN = optouts.address, event_time: at, timezone: UTC,
     fields: {purpose: what, status: word}}
identity: {rules: exact, match: [email]}
purposes: {marketing: {basis: BASIS}}
"""


def shared(root: Path, crm: list[str], statement: str, *, column: str, basis: str, company_: str = "") -> set[str]:
    """Return the records whose customers may be contacted."""
    files = {"crm.csv": lines("id,first,mail,tel", crm), "optouts.csv": lines("address,what,word,at", [statement])}
    feeds = company_ + SHARED.replace("COLUMN", column).replace("BASIS", basis)
    workspace = company(root, feeds=feeds, files=files)
    unified(workspace)
    allowed = allowed_customers(workspace, load_feeds(workspace)[0].purposes, purpose="marketing")
    return {name for customer, records in people(workspace).items() if customer in allowed for name in records}


def test_a_withdrawal_stays_with_everybody_whom_it_covered_and_a_grant_with_who_still_has_the_address(
    tmp_path: Path,
) -> None:
    home = ["1,Ann,home@x.org,", "2,Bob,home@x.org,", "3,Cy,c@x.org,"]
    moved = ["1,Ann,ann@x.org,", "2,Bob,home@x.org,", "3,Cy,c@x.org,"]
    for basis, word, before, after in (
        ("legitimate_interest", "withdrawn", {"crm:3"}, {"crm:3"}),
        ("consent", "granted", {"crm:1", "crm:2"}, {"crm:2"}),
    ):
        said, root = f"home@x.org,marketing,{word},2026-01-02", tmp_path / basis
        assert shared(root, home, said, column="mail", basis=basis) == before
        assert shared(root, moved, said, column="mail", basis=basis) == after
        assert shared(root, moved, said, column="mail", basis=basis) == after


@pytest.mark.parametrize("company_", ["", "company: {country: US}\n"])
def test_a_grant_by_telephone_is_of_one_country_and_a_withdrawal_of_each(tmp_path: Path, company_: str) -> None:
    crm = ["1,Ann,a@x.org,+1 212 555 0123", "2,Ulf,b@x.org,+44 21 2555 0123", "3,Cy,c@x.org,+1 312 555 0199"]
    number = "+1 212 555 0123,marketing"
    granted = shared(
        tmp_path / "1", crm, f"{number},granted,2026-01-02", column="tel", basis="consent", company_=company_
    )
    assert granted == {"crm:1"}
    refused = shared(
        tmp_path / "2",
        crm,
        f"{number},withdrawn,2026-01-02",
        column="tel",
        basis="legitimate_interest",
        company_=company_,
    )
    assert refused == {"crm:3"}


def test_a_ledger_from_before_numbers_had_their_country_is_read_and_holds_what_it_held(tmp_path: Path) -> None:
    workspace = world(tmp_path, [GRANT])
    unified(workspace)
    (path,) = workspace.consent.glob("words-*.parquet")
    write_parquet(read_parquet(path).drop_columns("number"), path)
    subjects = workspace.consent / "subjects.parquet"
    write_parquet(read_parquet(subjects).select(["subject", "customer_id"]), subjects)
    world(tmp_path, [GRANT, TAKEN_BACK])
    unified(workspace)
    assert standing(workspace, "A1").reasons["marketing"] == "withdrawn"
    assert len(read_statements(workspace.consent)) == 4


@pytest.mark.parametrize("at", ["", "someday", "1850-01-01"])
def test_a_withdrawal_without_a_time_counts_from_the_load_that_first_holds_it(tmp_path: Path, at: str) -> None:
    refused = f"A1,marketing,withdrawn,v1,{at}"
    workspace = world(tmp_path, [GRANT, refused])
    checks = {(check.code, check.feed): check.detail for check in unified(workspace).checks}
    assert standing(workspace, "A1").reasons["marketing"] == "withdrawn"
    assert checks["FQ001", "said"] == "3 rows"
    assert checks["FQ006", ""] == "1 consents without a time count from the load that first held them"
    world(tmp_path, [GRANT, refused, "A1,marketing,granted,v2,2026-01-09"])
    for _ in range(2):
        unified(workspace)
        assert standing(workspace, "A1").reasons["marketing"] is None
        world(tmp_path, ["A1,marketing,granted,v2,2026-01-09", refused])


FLAGS = FEEDS.replace(
    "event_time: at, timezone: UTC,\n     fields: {purpose: what, status: word, notice: version}", "FLAG"
)
FLAGS = FLAGS.replace("FLAG", "fields: {purpose: what, status: word}")


def test_a_flag_without_a_time_is_followed_from_load_to_load(tmp_path: Path) -> None:
    found = []
    for flags in (["no"], ["yes"], ["no"], ["no", "yes"], ["yes"]):
        workspace = world(tmp_path, [f"A1,marketing,{flag},," for flag in flags], feeds=FLAGS)
        unified(workspace)
        found.append(standing(workspace, "A1").reasons["marketing"])
    assert found == ["withdrawn", None, *["withdrawn"] * 3]


def test_a_flag_that_allows_is_no_answer_to_a_withdrawal_that_it_may_be_older_than(tmp_path: Path) -> None:
    optout = ["ann@x.org,marketing,withdrawn,2026-01-03"]
    workspace = world(tmp_path, ["A1,marketing,yes,,", "B1,marketing,yes,,"], optout, feeds=FLAGS)
    unified(workspace)
    assert standing(workspace, "A1").reasons["marketing"] == "withdrawn"
    assert standing(workspace, "B1").reasons["marketing"] is None


def test_a_withdrawal_that_is_dated_after_its_delivery_counts_at_once_and_a_grant_then(tmp_path: Path) -> None:
    said = [GRANT, "A1,marketing,withdrawn,v1,2062-01-03", "B1,marketing,granted,v1,2062-01-03"]
    workspace = world(tmp_path, said)
    unified(workspace)
    assert standing(workspace, "A1").reasons["marketing"] == "withdrawn"
    assert standing(workspace, "B1").reasons["marketing"] == "no_consent"
