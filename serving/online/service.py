"""The BentoML service: ``serving.online.service:decisions``, for the workspace in ``NEXTBEST_WORKSPACE``.

Importing it loads nothing of the workspace: BentoML imports it in its supervisor, too. The worker that answers loads
the desk beside, so that `/live` answers at once and `/ready` when it can.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import bentoml

from features.base.clock import system_clock
from features.base.errors import BadConfiguration
from features.base.workspace import Workspace
from serving.online.app import create_app
from serving.online.guard import Guard, routes_of
from serving.online.json_logs import log_json
from serving.online.metrics import Meters
from serving.online.readiness import Front

if TYPE_CHECKING:
    from serving.online.service_context import Desk

WORKSPACE = "NEXTBEST_WORKSPACE"


def load_desk() -> Desk:
    """Load the desk of the workspace that the environment names.

    Raises
    ------
    BadConfiguration : when it names none
    """
    if not os.environ.get(WORKSPACE):
        raise BadConfiguration(
            "serve.workspace", f"{WORKSPACE} is not set", hint="`nextbest serve` sets it; else set it to the folder"
        )
    from serving.online.service_context import open_desk  # takes its time: not before `/live` answers

    return open_desk(Workspace(Path(os.environ[WORKSPACE])))


def _start() -> None:
    log_json()
    front.open(load_desk)


front, meters = Front(), Meters()
app = create_app(front, clock=system_clock, meters=meters, start=_start)


@bentoml.service(
    name="nextbest",
    workers=1,
    http={"host": "127.0.0.1", "port": 3000},
    traffic={"timeout": 30},  # behind our own deadline
    metrics={"enabled": False},  # ours need a key
    logging={"access": {"enabled": False}},  # it would write customer ids down
)
@bentoml.asgi_app(app, path="/")
class _Decisions:
    """Next best offers, role by role."""


decisions: Any = _Decisions  # a bentoml.Service by now
# Outermost of all that BentoML answers: its own routes (/docs.json, /schema.json, /livez …) are unknown paths to it.
decisions.add_asgi_middleware(Guard, front=front, routes=routes_of(app), meters=meters)
