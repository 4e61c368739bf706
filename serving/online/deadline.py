"""The deadline of one request: it expires or the request writes, never both."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable

from serving.online.problems import TOO_SLOW, Refused

#: How long a request may take, in seconds.
DEADLINE_S = 5.0


class Deadline:
    """The time that a request may take.

    Parameters
    ----------
    seconds : from now on
    clock : gives seconds that never go back

    Examples
    --------
    >>> now = [0.0]
    >>> deadline = Deadline(5.0, clock=lambda: now[0])
    >>> deadline.begin_write()
    >>> deadline.expire()  # what is being written is answered, however late
    False
    >>> late = Deadline(5.0, clock=lambda: now[0])
    >>> late.expire()
    True
    >>> late.begin_write()
    Traceback (most recent call last):
    ...
    serving.online.problems.Refused: deadline
    """

    def __init__(self, seconds: float, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock, self._end = clock, clock() + seconds
        self._lock = threading.Lock()
        self._writing, self._expired = False, False

    @property
    def left_s(self) -> float:
        """The seconds that are left; never below 0.

        Examples
        --------
        >>> Deadline(5.0, clock=lambda: 0.0).left_s
        5.0
        """
        return max(0.0, self._end - self._clock())

    def check(self) -> None:
        """Stop the work of a request that is past its deadline.

        Raises
        ------
        Refused : 504 when the deadline is over

        Examples
        --------
        >>> late = Deadline(0.0, clock=lambda: 0.0)
        >>> try:
        ...     late.check()
        ... except Refused as refused:
        ...     print(refused.fault.status)
        504
        """
        if self._expired or self._clock() >= self._end:
            raise Refused(TOO_SLOW)

    def begin_write(self) -> None:
        """Claim the request for a write that is about to be committed: from now on it cannot expire.

        Raises
        ------
        Refused : 504 when the deadline is over, so that nothing is written after that answer
        """
        with self._lock:
            self.check()
            self._writing = True

    def expire(self) -> bool:
        """End the request unless it is writing; return whether it has ended."""
        with self._lock:
            self._expired = not self._writing
            return self._expired
