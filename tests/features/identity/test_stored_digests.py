"""Nobody who reads state/identity finds a name, a telephone or an e-mail in it by hashing likely ones."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from pathlib import Path

import duckdb
import pyarrow.parquet as pq
import pytest

from features.base.workspace import Workspace
from tests.features.tiny import company, lines, table, unified

FEEDS = """\
feeds:
  crm: {source: crm.csv, kind: customers, key: no, updated_at: changed, timezone: UTC, drop: [first, last, mail, tel],
    fields: {first_name: first, last_name: last, email: mail, phone: tel, birth_date: dob, city: town, postcode: code}}
identity: {rules: RULES}
"""
FIRST = ["Ann", "Bob", "Cleo", "Dan", "Eve", "Fay", "Gus", "Hal"]
LAST = ["Archer", "Baker", "Cooper", "Dyer", "Eaton", "Fowler", "Glover"]


def rows() -> Iterator[str]:
    for number in range(2 * 56):
        person = number % 56
        first, last = FIRST[person % 8], LAST[person % 7]
        mail, phone = f"{first}.{last}@mail.example".lower(), f"+44 1632 960{person:03d}"
        born, city, code = f"19{60 + person % 40}-0{1 + person % 9}-1{person % 10}", "York", f"YO{person % 9} 1AA"
        yield f"A{number:03d},2026-01-01,{first},{last},{mail},{phone},{born},{city},{code}"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    text = lines("no,changed,first,last,mail,tel,dob,town,code", list(rows()))
    made = company(tmp_path, feeds=FEEDS.replace("RULES", "people"), files={"crm.csv": text})
    unified(made)
    return made


def guesses() -> set[str]:
    """Return names, telephones and e-mails in every form in which they are compared, alone and two by two."""
    found: set[str] = set()
    for row in rows():
        _, _, first, last, mail, phone, born, city, code = row.split(",")
        digits = "".join(letter for letter in phone if letter.isdigit())
        parts = {first, last, mail, phone, digits, digits[-9:], digits[2:], f"0{digits[2:]}", born, city, code}
        parts |= {born.replace("-", ""), born[:4], born.replace("-", "")[4:], code.replace(" ", "")}
        parts |= {f"{first} {last}", f"{last} {first}"}
        parts |= {part.lower() for part in parts}
        found |= parts | {f"{one}|{other}" for one in parts for other in parts}
    return found


def digests(texts: Iterable[str]) -> Iterator[str]:
    """Return the digests without a key of some texts, as text and as numbers."""
    for text in texts:
        for name in ("md5", "sha1", "sha256", "blake2b", "blake2s"):
            digest = hashlib.new(name, text.encode()).digest()
            yield from (digest.hex(), digest.hex()[:16], digest.hex()[:20], digest.hex()[:32])
            for part in (digest[:8], digest[8:16], digest[-8:]):
                yield from (str(int.from_bytes(part, "little")), str(int.from_bytes(part, "big")))


def engine_hashes(texts: set[str]) -> Iterator[str]:
    """Return the engine's own hashes of some texts, alone and with each number that a blocking key may have."""
    listed = sorted(texts)
    for seed in ("", *(f", {at}" for at in range(40))):
        for column in duckdb.execute(f"SELECT hash(t{seed}) FROM unnest(?) s(t)", [listed]).fetchall():
            yield str(column[0])


def stored(workspace: Workspace) -> set[str]:
    values: set[str] = set()
    for path in workspace.identity.rglob("*.parquet"):
        for row in table(path):
            values |= {str(value) for value in row.values() if value is not None}
    return values | {path.read_text(encoding="utf-8") for path in workspace.identity.rglob("*.json")}


def test_no_value_in_the_folder_is_the_digest_of_a_known_name_telephone_or_email(workspace: Workspace) -> None:
    values, tried = stored(workspace), guesses()
    assert len(pq.read_table(workspace.identity / "terms.parquet")) > 5
    assert len(pq.read_table(workspace.identity / "hashes.parquet")) == 112
    alone = {text for text in tried if "|" not in text}
    assert values.isdisjoint(tried)
    assert values.isdisjoint(digests(alone))
    assert values.isdisjoint(engine_hashes(tried))


def test_without_its_key_what_was_stored_compares_with_nothing_and_all_pairs_are_weighed_again(
    workspace: Workspace,
) -> None:
    before = pq.read_table(workspace.identity / "hashes.parquet")
    workspace.identity_key.write_text("another key that is no secret, for tests", encoding="ascii")
    path = workspace.root / "crm.csv"
    path.write_text(path.read_text(encoding="utf-8").replace("A000,2026-01-01", "A000,2026-01-02"), encoding="utf-8")
    ids = pq.read_table(workspace.unified / "ids.parquet")
    unified(workspace)
    after = pq.read_table(workspace.identity / "hashes.parquet")
    assert before["record_id"].equals(after["record_id"])
    for name in before.column_names[2:]:
        assert set(before[name].to_pylist()).isdisjoint(set(after[name].to_pylist()) - {None}), name
    assert pq.read_table(workspace.unified / "ids.parquet").equals(ids)


def test_digests_of_rules_that_no_longer_hold_are_removed(workspace: Workspace) -> None:
    company(workspace.root, feeds=FEEDS.replace("RULES", "exact"))
    unified(workspace)
    names = {path.name for path in workspace.identity.iterdir()}
    ledger = {"ledger.json", "assignments.parquet", "events.parquet", "judgements.parquet"}
    assert names == {*ledger, "review.parquet", "records.parquet"}  # the last holds digests of whole records alone
