"""Counters for Prometheus: routes, roles, durations, decisions; nothing about a person."""

from __future__ import annotations

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

__all__ = ["CONTENT_TYPE_LATEST", "Meters"]

_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Meters:
    """What the service counts.

    Parameters
    ----------
    several : several workers share a folder of counts (``PROMETHEUS_MULTIPROC_DIR``, set before they start), and each
        tells those of all
    """

    def __init__(self, *, several: bool = False) -> None:
        self.registry, self._several = CollectorRegistry(), several
        self._requests = Counter(
            "nextbest_requests", "Requests answered", ("route", "status", "role"), registry=self.registry
        )
        self._seconds = Histogram(
            "nextbest_request_seconds", "Time to answer", ("route",), buckets=_SECONDS, registry=self.registry
        )
        self._decisions = Counter("nextbest_decisions", "Decisions made", ("purpose", "result"), registry=self.registry)

    def request(self, *, route: str, status: int, role: str, seconds: float) -> None:
        self._requests.labels(route, str(status), role).inc()
        self._seconds.labels(route).observe(seconds)

    def decision(self, *, purpose: str, result: str) -> None:
        """Count a decision; `result` is ``offered`` or why there was no action."""
        self._decisions.labels(purpose, result).inc()

    def text(self) -> bytes:
        """Return all counters in Prometheus' text format."""
        if self._several:
            together = CollectorRegistry()
            MultiProcessCollector(together)  # type: ignore[no-untyped-call]
            return generate_latest(together)
        return generate_latest(self.registry)
