"""Counters for Prometheus: routes, roles, durations, decisions; nothing about a person."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from prometheus_client import CONTENT_TYPE_LATEST, CollectorRegistry, Counter, Histogram, Metric, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector
from prometheus_client.values import MutexValue, ValueClass

__all__ = ["CONTENT_TYPE_LATEST", "Meters"]

_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
_OURS = "nextbest_"
_BEGUN = 8  # bytes: a shorter file of counts was made a moment ago, and holds none
_SECONDS = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0)


class Meters:
    """What the service counts.

    Where ``PROMETHEUS_MULTIPROC_DIR`` was set before Prometheus' client was imported, as BentoML's supervisor does for
    its workers, counts lie in that folder, and each worker reports those of all. Other libraries may set the variable
    later, or put counts of their own there: those are not reported.
    """

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
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
        if ValueClass is MutexValue:
            return generate_latest(self.registry)
        together = CollectorRegistry()
        together.register(_AllWorkers(Path(os.environ[_FOLDER])))
        return generate_latest(together)


class _AllWorkers(Collector):
    """Our counts of all workers that share a folder."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def collect(self) -> Iterable[Metric]:
        files = [
            str(file)
            for kind in ("counter", "histogram")  # gauges, which come and go with their process, are others'
            for file in self._folder.glob(f"{kind}_*.db")
            if file.stat().st_size >= _BEGUN
        ]
        merged: Iterable[Metric] = MultiProcessCollector.merge(files)  # type: ignore[no-untyped-call]
        return [metric for metric in merged if metric.name.startswith(_OURS)]
