"""The BentoML service: ``serving.online.service:decisions``, for the workspace in ``NEXTBEST_WORKSPACE``.

Importing it loads nothing of the workspace: BentoML imports it in its supervisor, too. The worker loads the service
context in a thread, so that `/live` answers at once, and `/ready` answers 503 until then.
"""

from __future__ import annotations

from pkgutil import resolve_name
from typing import Any

import bentoml

from features.base.clock import system_clock
from serving.online.app import create_app
from serving.online.guard import Guard, routes_of
from serving.online.json_logs import log_json
from serving.online.metrics import Meters
from serving.online.readiness import ReadinessGate

CONTEXT = "serving.online.service_context:load_service_context"


def _start() -> None:
    log_json()
    gate.load(lambda: resolve_name(CONTEXT)())


gate, meters = ReadinessGate(), Meters()
app = create_app(gate, clock=system_clock, meters=meters, start=_start)


@bentoml.service(
    name="nextbest",
    workers=1,
    http={"host": "127.0.0.1", "port": 3000},
    traffic={"timeout": 30},  # behind our own deadline
    metrics={"enabled": False},  # ours need a key
    logging={"access": {"enabled": False}},  # it would log customer ids
)
@bentoml.asgi_app(app, path="/")
class _Decisions:
    """Next best offers, role by role."""


decisions: Any = _Decisions  # the decorators made it a bentoml.Service
# Before all that BentoML answers: the guard refuses its own routes (/docs.json, /schema.json, /livez …).
decisions.add_asgi_middleware(Guard, routed=app, gate=gate, routes=routes_of(app), meters=meters)
