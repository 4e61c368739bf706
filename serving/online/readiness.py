"""The door of the service: shut until the desk is loaded, which happens beside answering `/live`."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from features.base.errors import NextbestError
from serving.online.problems import Fault, Refused

if TYPE_CHECKING:
    from serving.online.service_context import Desk

_LOG = structlog.get_logger("nextbest.online")


class Front:
    """Holds the desk once it is there."""

    def __init__(self, desk: Desk | None = None) -> None:
        self._desk = desk
        self._fault = Fault(503, "not_ready", "the service is starting", headers={"Retry-After": "2"})

    @property
    def desk(self) -> Desk:
        """The desk.

        Raises
        ------
        Refused : 503 while it is not there
        """
        desk = self._desk
        if desk is None:
            raise Refused(self._fault)
        return desk

    def require_open(self) -> None:
        """Refuse while the desk is not there."""
        if self._desk is None:
            raise Refused(self._fault)

    def open(self, make: Callable[[], Desk]) -> threading.Thread:
        """Load the desk in a thread of its own, and return the thread."""
        thread = threading.Thread(target=self._load, args=(make,), name="desk", daemon=True)
        thread.start()
        return thread

    def _load(self, make: Callable[[], Desk]) -> None:
        try:
            self._desk = make()
        except NextbestError as error:
            self._fault = Fault(503, error.first.code, "the service could not start; its log says why")
            for problem in error.problems:
                _LOG.error("not_started", **problem.as_dict())
        except Exception:  # noqa: BLE001  the process lives on to say in /ready that it cannot serve
            self._fault = Fault(503, "defect", "the service could not start; its log says why")
            _LOG.exception("not_started")
        else:
            _LOG.info("ready")
