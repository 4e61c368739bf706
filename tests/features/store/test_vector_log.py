"""The log of served vectors never slows or fails a read: what it cannot keep it drops, and counts."""

from __future__ import annotations

import stat
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from features.base.clock import to_microseconds
from features.base.errors import BadData, StorageFailure
from features.store.feature_read_log import NAME, FeatureRead, FeatureReadLog, forget, read_vectors
from features.store.online_reader import OnlineRow

JAN = datetime(2026, 1, 1, tzinfo=UTC)
DAY = timedelta(days=1)


def row(customer: str, *, status: str = "fresh") -> OnlineRow:
    values = {"spend__sum": 1.5, "spend__city": "Zürich", "visits__n": None, "visits__last": JAN}
    ages = {"spend__sum": status, "spend__city": status, "visits__n": "missing", "visits__last": "missing"}
    return OnlineRow(customer, True, values, ages, {"spend": JAN, "visits": None})  # type: ignore[arg-type]


def log(
    folder: Path, *, sample: float = 1.0, rng: Callable[[], float] = lambda: 0.0, waiting: int = 1000
) -> FeatureReadLog:
    return FeatureReadLog(folder, definition="d1", sample=sample, keep=30 * DAY, rng=rng, waiting=waiting)


def test_a_vector_comes_back_as_it_was_served(tmp_path: Path) -> None:
    kept = log(tmp_path / "served")
    kept.add([row("ann"), row("bob", status="stale")], at=JAN + DAY)
    kept.close()
    bob, ann = read_vectors(tmp_path / "served", newest=10).vectors
    assert ann == FeatureRead(
        customer="ann",
        at_us=to_microseconds(JAN + DAY),
        definition="d1",
        moments={"spend": to_microseconds(JAN), "visits": None},
        stale=frozenset(),
        values={"spend__sum": 1.5, "spend__city": "Zürich", "visits__n": None, "visits__last": int(JAN.timestamp())},
    )
    assert (bob.customer, set(bob.stale)) == ("bob", {"spend__sum", "spend__city"})


def test_only_a_sample_is_kept_and_none_by_default(tmp_path: Path) -> None:
    chances = iter([0.05, 0.95, 0.1, 0.0999])
    kept = log(tmp_path, sample=0.1, rng=lambda: next(chances))
    kept.add([row(name) for name in ("a", "b", "c", "d")], at=JAN)
    kept.close()
    assert [vector.customer for vector in read_vectors(tmp_path, newest=10).vectors] == ["d", "a"]
    never = log(tmp_path / "never", sample=0.0)
    never.add([row("a")], at=JAN)
    never.close()
    assert not (tmp_path / "never").exists()


def test_a_store_that_could_not_be_read_is_no_vector(tmp_path: Path) -> None:
    kept = log(tmp_path)
    unread = OnlineRow("ann", False, {"spend__sum": None}, {"spend__sum": "missing"}, {"spend": None}, "timeout")
    kept.add([unread, row("bob")], at=JAN)
    kept.close()
    assert [vector.customer for vector in read_vectors(tmp_path, newest=10).vectors] == ["bob"]


def test_vectors_past_their_time_are_removed_and_the_newest_come_first(tmp_path: Path) -> None:
    kept = log(tmp_path)
    for number in range(5):
        kept.add([row(f"c{number}")], at=JAN + number * 10 * DAY)
        kept.close()
    assert [vector.customer for vector in read_vectors(tmp_path, newest=2).vectors] == ["c4", "c3"]
    assert [vector.customer for vector in read_vectors(tmp_path, newest=9).vectors] == ["c4", "c3", "c2", "c1"]


def test_what_waits_too_long_is_dropped_and_counted_and_no_reader_waits(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = log(tmp_path, waiting=3)
    write, writing, goes_on = kept._write, threading.Event(), threading.Event()

    def slowly(taken, *, lost):
        writing.set()
        goes_on.wait()
        write(taken, lost=lost)

    monkeypatch.setattr(kept, "_write", slowly)
    kept.add([row("first")], at=JAN)
    writing.wait()
    kept.add([row(f"c{number}") for number in range(100)], at=JAN)  # comes back while the write goes on
    assert kept.dropped == 97
    goes_on.set()
    kept.close()
    kept.add([row("last")], at=JAN)
    kept.close()
    found = read_vectors(tmp_path, newest=1000)
    assert (len(found.vectors), found.dropped, kept.dropped) == (5, 97, 97)


def test_a_log_that_cannot_be_written_fails_no_read(tmp_path: Path) -> None:
    (tmp_path / "served").write_text("a file where the folder should be")
    kept = log(tmp_path / "served")
    kept.add([row("ann")], at=JAN)
    kept.close()
    assert kept.dropped == 1
    (tmp_path / "served").unlink()
    kept.add([row("bob")], at=JAN)
    kept.close()
    found = read_vectors(tmp_path / "served", newest=10)
    assert ([vector.customer for vector in found.vectors], found.dropped) == (["bob"], 1)


def test_the_log_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    kept = log(tmp_path / "served")
    kept.add([row("ann")], at=JAN)
    kept.close()
    assert stat.S_IMODE((tmp_path / "served").stat().st_mode) == 0o700
    assert {stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "served").iterdir()} == {0o600}


def test_no_log_and_a_damaged_one_are_said(tmp_path: Path) -> None:
    with pytest.raises(BadData) as none:
        read_vectors(tmp_path, newest=10)
    assert none.value.first.code == "consistency.no_log"
    (tmp_path / NAME).write_bytes(b"no database at all " * 100)
    with pytest.raises(StorageFailure) as damaged:
        read_vectors(tmp_path, newest=10)
    assert damaged.value.first.code == "consistency.log_unreadable"


def test_one_customer_is_forgotten_and_nobody_else(tmp_path: Path) -> None:
    assert forget(tmp_path, "ann of York") == 0
    kept = log(tmp_path)
    kept.add([row("ann of York"), row("ann"), row("ann of York")], at=JAN)
    kept.close()
    assert _holds(tmp_path, b"ann of York")
    assert forget(tmp_path, "ann of York") == 2
    assert [vector.customer for vector in read_vectors(tmp_path, newest=10).vectors] == ["ann"]
    assert not _holds(tmp_path, b"ann of York")


def _holds(folder: Path, text: bytes) -> bool:
    return any(text in path.read_bytes() for path in folder.iterdir())
