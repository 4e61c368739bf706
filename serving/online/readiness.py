"""Answers 503 until the service context is loaded, and while the online store cannot be read."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from features.base.errors import NextbestError
from serving.online.problems import Fault, Refused

if TYPE_CHECKING:
    from serving.online.service_context import ServiceContext

_LOG = structlog.get_logger("nextbest.online")


class ReadinessGate:
    """Gives the service context once it is loaded; until then every request is refused with 503.

    Parameters
    ----------
    context : one that is loaded already
    """

    def __init__(self, context: ServiceContext | None = None) -> None:
        self._context = context
        self._fault = Fault(503, "not_ready", "the service is starting", headers={"Retry-After": "2"})

    @property
    def context(self) -> ServiceContext:
        """The service context.

        Raises
        ------
        Refused : 503 while it is not loaded
        """
        context = self._context
        if context is None:
            raise Refused(self._fault)
        return context

    def require_ready(self) -> None:
        """Return when decisions can be made.

        Raises
        ------
        Refused : 503 while the context is not loaded, or the online store cannot be read
        """
        reason = self.context.unread_reason()
        if reason:
            detail = "the online store cannot be read; `nextbest features` fills it"
            raise Refused(Fault(503, f"store.{reason}", detail, headers={"Retry-After": "2"}))

    def load(self, opening: Callable[[], ServiceContext]) -> threading.Thread:
        """Load the context in a thread of its own, and return the thread; a failure is the answer of `/ready`."""
        thread = threading.Thread(target=self._load, args=(opening,), name="load context", daemon=True)
        thread.start()
        return thread

    def _load(self, opening: Callable[[], ServiceContext]) -> None:
        try:
            self._context = opening()
        except NextbestError as error:
            self._fault = Fault(503, error.first.code, "the service could not start; its log holds the reason")
            for problem in error.problems:
                _LOG.error("not_started", **problem.as_dict())
        except Exception:  # noqa: BLE001  the process lives on, and /ready answers why it cannot serve
            self._fault = Fault(503, "defect", "the service could not start; its log holds the reason")
            _LOG.exception("not_started")
        else:
            _LOG.info("ready")
