"""Files are whole or not there, and a damaged one is found out."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from features.base import folder_swap as swapping
from features.base.errors import StorageFailure
from features.base.parquet import read_parquet, write_parquet
from features.base.storage import atomic_file, atomic_folder, digest_of, read_done, read_json, write_json

OLD, NEW = "old", "new" * 1000


def left(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_file_takes_its_place_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.txt"
    with atomic_file(path) as part:
        part.write_text(NEW, encoding="utf-8")
        assert not path.exists()
    assert path.read_text(encoding="utf-8") == NEW
    assert left(path.parent) == ["a.txt"]


def test_an_exception_leaves_the_old_file_and_no_part(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    path.write_text(OLD, encoding="utf-8")
    with pytest.raises(ZeroDivisionError), atomic_file(path) as part:  # noqa: PT012 - the fault is inside
        part.write_text(NEW, encoding="utf-8")
        raise ZeroDivisionError
    assert path.read_text(encoding="utf-8") == OLD
    assert left(tmp_path) == ["a.txt"]


def test_an_exception_leaves_the_old_folder_and_no_part(tmp_path: Path) -> None:
    path = tmp_path / "a"
    with atomic_folder(path) as part:
        (part / "x").write_text(OLD, encoding="utf-8")
    with pytest.raises(ZeroDivisionError), atomic_folder(path) as part:  # noqa: PT012 - the fault is inside
        (part / "x").write_text(NEW, encoding="utf-8")
        raise ZeroDivisionError
    assert (path / "x").read_text(encoding="utf-8") == OLD
    assert left(tmp_path) == ["a"]


def test_a_folder_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for content, name in ((OLD, "x"), (NEW, "y")):
        with atomic_folder(path) as part:
            (part / name).write_text(content, encoding="utf-8")
    assert left(path) == ["y"]
    assert left(tmp_path) == ["a"]


def test_a_folder_is_replaced_where_the_system_cannot_exchange_two(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(swapping, "_exchanged", lambda *_: False)
    test_a_folder_is_replaced_whole(tmp_path)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EACCES, errno.EIO])
def test_a_full_disk_is_a_failure_of_storage_and_the_old_stands(tmp_path: Path, number: int) -> None:
    (tmp_path / "f").mkdir()
    (tmp_path / "f" / "x").write_text(OLD, encoding="utf-8")
    (tmp_path / "a.txt").write_text(OLD, encoding="utf-8")
    for whole in (atomic_file(tmp_path / "a.txt"), atomic_folder(tmp_path / "f")):
        with pytest.raises(StorageFailure) as caught, whole:
            raise OSError(number, os.strerror(number))
        assert caught.value.exit_code == 74
        assert os.strerror(number) in caught.value.first.message
        assert caught.value.first.hint
    assert (tmp_path / "a.txt").read_text(encoding="utf-8") == (tmp_path / "f" / "x").read_text(encoding="utf-8") == OLD
    assert left(tmp_path) == ["a.txt", "f"]


def test_a_folder_that_cannot_be_written_is_a_failure_of_storage(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(StorageFailure):
        write_json(tmp_path / "file" / "a.json", {})
    with pytest.raises(StorageFailure), atomic_folder(tmp_path / "file" / "a"):
        pass


KILLED = """
import itertools, pathlib, sys
from features.base.storage import atomic_file, atomic_folder
root = pathlib.Path(sys.argv[1])
print("ready", flush=True)
for turn in itertools.count():
    with atomic_folder(root / "folder") as part:
        for name in "abc":
            (part / name).write_text(str(turn))
    with atomic_file(root / "file") as part:
        part.write_text(str(turn) * 5000)
"""


def test_a_process_killed_at_any_moment_leaves_the_old_or_the_new(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    for name in "abc":
        (tmp_path / "folder" / name).write_text("-1", encoding="utf-8")
    (tmp_path / "file").write_text("-1" * 5000, encoding="utf-8")
    for turn in range(8):
        process = subprocess.Popen([sys.executable, "-c", KILLED, str(tmp_path)], stdout=subprocess.PIPE)
        assert process.stdout is not None
        assert process.stdout.readline() == b"ready\n"
        try:
            process.wait(timeout=0.02 + 0.013 * turn)
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        texts = {(tmp_path / "folder" / name).read_text(encoding="utf-8") for name in "abc"}
        assert len(texts) == 1
        written = (tmp_path / "file").read_text(encoding="utf-8")
        assert written == written[: len(written) // 5000] * 5000
    with atomic_folder(tmp_path / "folder") as part:
        (part / "a").write_text("", encoding="utf-8")
    assert [name for name in left(tmp_path) if name.startswith(".folder")] == []  # what the killed left is swept


CONTAINER = """
import os, pathlib, sys
from features.base.storage import atomic_file, atomic_folder
os.getpid = lambda: 1  # as the first process of every container
root = pathlib.Path(sys.argv[1])
with atomic_folder(root / "folder") as part, atomic_file(root / "a.txt") as other:
    (part / "x").write_text("of the first")
    other.write_text("of the first")
    print("ready", flush=True)
    sys.stdin.readline()
"""


def container(root: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-c", CONTAINER, str(root)]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stdin=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    return process


def write_both(root: Path) -> None:
    with atomic_file(root / "a.txt") as part:
        part.write_text(NEW, encoding="utf-8")
    with atomic_folder(root / "folder") as folder:
        (folder / "x").write_text(NEW, encoding="utf-8")


def test_what_a_killed_process_left_is_removed(tmp_path: Path) -> None:
    process = container(tmp_path)
    assert len(left(tmp_path)) == 2
    process.kill()
    process.communicate()
    write_both(tmp_path)
    assert left(tmp_path) == ["a.txt", "folder"]


def test_what_another_container_is_writing_stays_though_no_process_of_ours_has_its_number(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = container(tmp_path)
    monkeypatch.setattr(os, "kill", lambda *_: (_ for _ in ()).throw(ProcessLookupError))
    monkeypatch.setattr(os, "getpid", lambda: 1)
    write_both(tmp_path)
    assert len(left(tmp_path)) == 4
    process.communicate(b"\n")
    assert process.returncode == 0
    assert left(tmp_path) == ["a.txt", "folder"]
    assert (tmp_path / "folder" / "x").read_text(encoding="utf-8") == "of the first"


def test_a_flipped_byte_anywhere_in_the_pages_is_found_out(tmp_path: Path) -> None:
    path = tmp_path / "a.parquet"
    table = pa.table({"n": list(range(300)), "s": [f"name {n % 7}" for n in range(300)]})
    write_parquet(table, path)
    whole = path.read_bytes()
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    assert read_parquet(path).equals(table)
    missed = []
    for place in range(4, footer):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 0x10]) + whole[place + 1 :])
        try:
            same = read_parquet(path).equals(table)
        except StorageFailure:
            continue
        if not same:
            missed.append(place)
    assert missed == []


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_truncated_table_is_a_failure_of_storage(tmp_path: Path, share: float) -> None:
    path = tmp_path / "a.parquet"
    write_parquet(pa.table({"n": list(range(300))}), path)
    whole = path.read_bytes()
    path.write_bytes(whole[: int(len(whole) * share)])
    with pytest.raises(StorageFailure) as caught:
        read_parquet(path)
    assert caught.value.first.where == "a.parquet"


def test_a_document_that_is_absent_or_damaged_is_a_failure_of_storage(tmp_path: Path) -> None:
    (tmp_path / "bad.json").write_text('{"a": ', encoding="utf-8")
    for name in ("none.json", "bad.json"):
        with pytest.raises(StorageFailure):
            read_json(tmp_path / name)


def test_work_is_done_when_its_document_carries_the_digest(tmp_path: Path) -> None:
    write_json(tmp_path / "a.json", {"digest": "x", "n": 1})
    assert read_done(tmp_path / "a.json", "x") == {"digest": "x", "n": 1}
    assert read_done(tmp_path / "a.json", "y") is None
    assert read_done(tmp_path / "none.json", "x") is None
    (tmp_path / "a.json").write_text("[]", encoding="utf-8")
    assert read_done(tmp_path / "a.json", "x") is None


def test_a_digest_does_not_depend_on_the_order_of_keys() -> None:
    assert digest_of({"a": 1, "b": [2]}) == digest_of({"b": [2], "a": 1}) != digest_of({"a": 1, "b": [3]})
