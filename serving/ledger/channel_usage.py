"""How many offers went through each channel in a period, counted as the ledger grows."""

from __future__ import annotations

import sqlite3
import threading
from array import array
from bisect import bisect_left, insort

#: Longer than any period of a capacity, in microseconds; older times are dropped.
MEMORY_US = 8 * 86_400_000_000


class ChannelUsage:
    """The times at which offers went through each channel; each decision of the ledger is read once.

    The ledger only grows and its writers take turns, so that a row number once read never gets a smaller one after it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._since: int | None = None
        self._last_row = 0
        self._times: dict[str, array[int]] = {}

    def count(self, connection: sqlite3.Connection, *, since: int, before: int) -> dict[str, int]:
        """Return the number of offers by channel in ``[since, before)``.

        Parameters
        ----------
        connection : in a read transaction of the ledger
        since, before : microseconds since 1970, UTC
        """
        with self._lock:
            if self._since is None or since < self._since:
                self._since, self._last_row, self._times = since, 0, {}
            self._read(connection)
            self._forget(since - MEMORY_US)
            counts = {
                channel: bisect_left(times, before) - bisect_left(times, since)
                for channel, times in self._times.items()
            }
        return {channel: count for channel, count in counts.items() if count}

    def _read(self, connection: sqlite3.Connection) -> None:
        (last,) = connection.execute("SELECT coalesce(max(rowid), 0) FROM decisions").fetchone()
        if last <= self._last_row:  # nothing new, or another thread has read a later state already
            return
        rows = connection.execute(
            """
            SELECT i.channel, d.decision_time
            FROM decisions d
            JOIN interactions i ON i.decision_id = d.decision_id
            WHERE d.rowid > ? AND d.rowid <= ? AND +d.decision_time >= ? AND i.channel IS NOT NULL
            """,
            [self._last_row, last, self._since],
        )
        for channel, time in rows:
            insort(self._times.setdefault(channel, array("q")), time)
        self._last_row = last

    def _forget(self, before: int) -> None:
        if self._since is not None and self._since < before:
            self._since = before
            for times in self._times.values():
                del times[: bisect_left(times, before)]
