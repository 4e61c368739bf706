"""A fixed number of threads that work on requests, with a bounded queue before them."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from serving.online.deadline import Deadline
from serving.online.problems import BUSY, Refused

WORKERS, WAITING = 4, 32
Result = TypeVar("Result")


class WorkerPool:
    """Runs the work of requests in threads.

    Parameters
    ----------
    workers : threads, which is how many requests are worked on at a time
    waiting : requests that may wait for a thread; one more is refused at once
    """

    def __init__(self, *, workers: int = WORKERS, waiting: int = WAITING) -> None:
        self._threads = ThreadPoolExecutor(workers, thread_name_prefix="request")
        self._places = threading.BoundedSemaphore(workers + waiting)

    async def run(self, work: Callable[[], Result], *, deadline: Deadline) -> Result:
        """Return what the work returns; it does not begin once the deadline is over.

        Raises
        ------
        Refused : 503 with ``Retry-After`` when all threads are taken and the queue is full; 504 past the deadline
        """
        if not self._places.acquire(blocking=False):
            raise Refused(BUSY)

        def begin() -> Result:
            try:
                deadline.check()
                return work()
            finally:
                self._places.release()

        # Shielded: what waits keeps its place until a thread has taken it, so that the queue stays bounded.
        running = asyncio.wrap_future(self._threads.submit(begin))
        # After a 504 nobody awaits it: asyncio would log its exception, whose text may hold what was sent.
        running.add_done_callback(lambda done: done.cancelled() or done.exception())
        return await asyncio.shield(running)

    def close(self, *, wait: bool = False) -> None:
        """End the threads after what they have taken in; optionally wait for that."""
        self._threads.shutdown(wait=wait)
