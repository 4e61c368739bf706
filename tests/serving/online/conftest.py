"""The service over the small workspace, in process: a client for each role."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import pytest
from fastapi import FastAPI

from features.base.workspace import Workspace
from features.store.online_reader import open_reader
from features.streaming.event_log_sqlite import SqliteLog
from features.streaming.intake import Intake
from serving.engine import Decider
from serving.online.api_keys import ensure_keys
from serving.online.app import create_app
from serving.online.feature_read_logger import OnlineReads
from serving.online.guard import Guard, RequestLimits, routes_of
from serving.online.metrics import Meters
from serving.online.readiness import ReadinessGate
from serving.online.roles import read_roles
from serving.online.service_context import ServiceContext
from serving.online.worker_pool import WorkerPool
from tests.serving.house import NOW
from tests.serving.online.client import Client

ClientFor = Callable[[str], Client]
PATIENT = RequestLimits(deadline_s=60.0)  # only a test of the deadline is about time


@dataclass(frozen=True)
class Running:
    """The parts of a service, to look at and to vary."""

    context: ServiceContext
    app: FastAPI
    guarded: Guard


@pytest.fixture(scope="session")
def keyed(house: Workspace) -> Workspace:
    """Return the workspace with its keys made."""
    ensure_keys(house)
    return house


@pytest.fixture
def make(keyed: Workspace, decider: Decider, tmp_path: Path) -> Callable[..., Running]:
    """Return a function that puts a service together."""

    def put_together(
        *,
        limits: RequestLimits | None = None,
        reads: OnlineReads | None = None,
        at: datetime = NOW,
        pool: WorkerPool | None = None,
    ) -> Running:
        roles, risk = read_roles(keyed)
        profile = frozenset({"profile__region"})
        intake = Intake(keyed, SqliteLog(tmp_path / "streaming"))
        read = reads or open_reader(keyed.root)
        context = ServiceContext(decider=decider, reader=read, roles=roles, risk=risk, profile=profile, intake=intake)
        gate, meters = ReadinessGate(context), Meters()
        app = create_app(gate, clock=lambda: at, meters=meters, pool=pool)
        guarded = Guard(app, gate=gate, routes=routes_of(app), meters=meters, limits=limits or PATIENT)
        return Running(context, app, guarded)

    return put_together


@pytest.fixture
def running(make: Callable[..., Running]) -> Running:
    """Return the service as it is by default."""
    return make()


@pytest.fixture
def as_role(running: Running, keyed: Workspace) -> ClientFor:
    """Return a function that gives a role's client."""
    return lambda role: Client(running.guarded, key_of(keyed, role))


def key_of(workspace: Workspace, role: str) -> str:
    return (workspace.state / "keys" / f"{role}.key").read_text(encoding="utf-8").strip()
