"""The id ledger on disk: versions in a chain, damage found, a kill leaves the version before."""

from __future__ import annotations

import hmac
import stat
from pathlib import Path

import pytest

from features.base.database_engine import open_engine
from features.base.errors import StorageFailure
from features.identity.id_changes import new_id
from features.identity.keyed_digest import load_key, register_key
from features.identity.ledger_files import MANIFEST, ledger_digest, read_ledger, write_ledger
from tests.features.identity.ledgers import after, history


def test_a_ledger_is_read_back_as_it_was_written(tmp_path: Path) -> None:
    folder = tmp_path / "identity"
    nothing = read_ledger(folder)
    assert (nothing.version, nothing.digest, ledger_digest(folder)) == (0, "", "")
    ledger = history([[1, 2], [3]], [[1, 2, 3]])
    digest = write_ledger(folder, ledger, nothing)
    kept = read_ledger(folder)
    assert (kept.version, kept.digest) == (1, digest)
    assert kept.ledger == ledger
    assert after(kept.ledger, [[1, 2, 3]]) is kept.ledger


def test_versions_are_a_chain_and_other_files_of_the_folder_stay(tmp_path: Path) -> None:
    folder = tmp_path / "identity"
    write_ledger(folder, history([[1]]), read_ledger(folder), beside=lambda part: _note(part / "model.json", "one"))
    first = read_ledger(folder)
    write_ledger(folder, after(first.ledger, [[1], [2]], 1), first)
    second = read_ledger(folder)
    assert (second.version, (folder / "model.json").read_text()) == (2, "one")
    write_ledger(folder, second.ledger, second, beside=lambda part: _note(part / "edges.txt", "two"))
    assert read_ledger(folder).digest == second.digest
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        ["assignments.parquet", "events.parquet", "judgements.parquet", MANIFEST, "model.json", "edges.txt"]
    )


def _note(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def test_a_process_that_read_an_older_version_may_not_write_over_a_newer_one(tmp_path: Path) -> None:
    folder = tmp_path / "identity"
    stale = read_ledger(folder)
    write_ledger(folder, history([[1]]), stale)
    with pytest.raises(StorageFailure) as caught:
        write_ledger(folder, history([[2]]), stale)
    assert (caught.value.exit_code, caught.value.first.code) == (74, "identity.concurrent")


@pytest.mark.parametrize("name", ["events.parquet", "assignments.parquet", "judgements.parquet", MANIFEST])
@pytest.mark.parametrize("harm", ["cut", "gone", "flipped"])
def test_a_damaged_ledger_is_refused_and_never_begun_anew(tmp_path: Path, name: str, harm: str) -> None:
    folder = tmp_path / "identity"
    write_ledger(folder, history([[1], [2]]), read_ledger(folder))
    whole = (folder / name).read_bytes()
    if harm == "gone":
        (folder / name).unlink()
    else:
        (folder / name).write_bytes(whole[: len(whole) // 2] if harm == "cut" else bytes([whole[0] ^ 1]) + whole[1:])
    with pytest.raises(StorageFailure) as caught:
        read_ledger(folder)
    assert caught.value.exit_code == 74


@pytest.mark.parametrize("content", [b"{}", b"[]", b"\xff\xfe{", b""])
def test_a_damaged_manifest_is_to_be_restored_and_not_written_again(tmp_path: Path, content: bytes) -> None:
    folder = tmp_path / "identity"
    write_ledger(folder, history([[1]]), read_ledger(folder))
    (folder / MANIFEST).write_bytes(content)
    for reads in (read_ledger, ledger_digest):
        with pytest.raises(StorageFailure) as caught:
            reads(folder)
        assert caught.value.first.code == "identity.damaged"
        assert "restore" in caught.value.first.hint


def test_a_run_that_dies_while_it_writes_leaves_the_version_before(tmp_path: Path) -> None:
    folder = tmp_path / "identity"
    write_ledger(folder, history([[1]]), read_ledger(folder))
    before = read_ledger(folder)

    def dies(part: Path) -> None:
        (part / "events.parquet").write_bytes(b"half")
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_ledger(folder, after(before.ledger, [[1], [2]]), before, beside=dies)
    assert read_ledger(folder).digest == before.digest


def test_the_key_is_made_once_for_its_owner_only_and_too_short_a_one_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "identity.key"
    key = load_key(path)
    assert load_key(path) == key
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert [child.name for child in path.parent.iterdir()] == ["identity.key"]
    path.write_bytes(b"short\n")
    with pytest.raises(StorageFailure, match="shorter than 32 bytes") as caught:
        load_key(path)
    assert caught.value.first.code == "identity.key"


def test_an_id_depends_on_the_key_the_record_and_how_often_one_was_tried() -> None:
    made = {}
    with open_engine(folders=[]) as engine:
        for key in (b"a" * 32, b"b" * 70):
            register_key(engine, "ids", key)
            for record in ("crm:1", "crm:Zoë 2"):
                for ordinal in ("0", "1"):
                    select = f"SELECT {new_id('?', '?', key='ids')}"
                    ((made[key, record, ordinal],),) = engine.execute(select, [record, ordinal]).fetchall()
    assert len(set(made.values())) == 8
    for (key, record, ordinal), name in made.items():
        assert name == "c" + hmac.digest(key, f"{record}\0{ordinal}".encode(), "sha256").hex()[:16]
