"""The routes: each translates a request for the decider, and the decision into a reply; the work is done in threads."""

from __future__ import annotations

import asyncio
import re
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import structlog
from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.utils import get_openapi
from fastapi.responses import Response
from starlette.exceptions import HTTPException

from features.base.clock import Clock
from features.base.errors import NextbestError
from serving.online.guard import STATE, Caller
from serving.online.metrics import CONTENT_TYPE_LATEST, Meters
from serving.online.problems import (
    DEFECT,
    MEDIA_TYPE,
    UNKNOWN_CUSTOMER,
    UNKNOWN_DECISION,
    Fault,
    Refused,
    of_error,
    of_validation,
    refuse,
)
from serving.online.readiness import ReadinessGate
from serving.online.role_settings import NEEDED, ActionName
from serving.online.role_view import columns_for, customer_reply, decide_reply, scores_of, versions_of
from serving.online.roles import Role
from serving.online.schemas import (
    CUSTOMER_ID,
    CustomerReply,
    DecideReply,
    DecideRequest,
    EventsReply,
    EventsRequest,
    OutcomeReply,
    OutcomeRequest,
    ProblemReply,
    Reply,
    ScoreReply,
    ScoreRequest,
    StateReply,
)
from serving.online.worker_pool import WorkerPool

_LOG = structlog.get_logger("nextbest.online")
TITLE, VERSION = "nextbest", "1"


def create_app(
    gate: ReadinessGate,
    *,
    clock: Clock,
    meters: Meters,
    pool: WorkerPool | None = None,
    start: Callable[[], object] | None = None,
) -> FastAPI:
    """Return the app; a `Guard` must stand before it, which puts the caller into the request's scope.

    Parameters
    ----------
    gate : gives the service context once it is loaded
    clock : gives the moment of each decision
    meters : counts decisions
    pool : the threads that requests are worked on in; one of the default size if left out
    start : called once when the server starts, such as to load the service context
    """
    pool = pool or WorkerPool()

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if start is not None:
            start()
        yield
        pool.close()

    app = FastAPI(
        title=TITLE, version=VERSION, docs_url=None, redoc_url=None, redirect_slashes=False, lifespan=lifespan
    )
    _errors(app)
    _health(app, gate, meters)
    _decisions(app, gate, clock, meters, pool)
    _customers(app, gate, clock, pool)
    _events(app, gate, clock, pool)
    app.openapi = lambda: _document(app)  # type: ignore[method-assign]
    return app


def _decisions(app: FastAPI, gate: ReadinessGate, clock: Clock, meters: Meters, pool: WorkerPool) -> None:
    @app.post("/v1/decide", response_model=DecideReply)
    async def decide(ask: DecideRequest, request: Request) -> Response:
        """Decide the next best offers for one customer, or none, and write the decision into the ledger."""
        context, caller, role = gate.context, _caller(request), _role(request)
        _require_right(role, "decide")
        _require_purpose(ask, role)
        known = {offer.id for offer in context.decider.policy.offers}
        if not known.issuperset(ask.context.weights):
            raise refuse(422, "offer.unknown", "a weight is for an offer that is not known", pointer="/context/weights")

        def work() -> Response:
            now = clock()
            (row,) = context.read([ask.customer_id], role=role, as_of=now, without_values=True)
            if row is None:
                raise Refused(UNKNOWN_CUSTOMER)
            caller.deadline.check()
            answer = context.decider.decide_online(
                row,
                as_of=now,
                actor_role=role.name,
                channel=ask.channel,
                purpose=ask.purpose,
                context_weights=ask.context.weights,
                nonce=caller.request_id,
                before_commit=caller.deadline.begin_write,
            )
            meters.decision(purpose=ask.purpose, result=answer.decision.no_action_reason or "offered")
            return _json(decide_reply(answer, row, role=role, context=context))

        return await pool.run(work, deadline=caller.deadline)

    @app.post("/v1/outcomes", response_model=OutcomeReply)
    async def outcomes(ask: OutcomeRequest, request: Request) -> Response:
        """Write what came of an offer into the ledger."""
        context, deadline, role = gate.context, _caller(request).deadline, _role(request)
        _require_right(role, "outcomes")

        def work() -> Response:
            now, ledger = clock(), context.decider.ledger
            decision = ledger.get(ask.decision_id)
            item = next((item for item in decision.items if item.offer == ask.offer), None)
            purpose, channel = (decision.purpose, decision.channel) if item is None else (item.purpose, item.channel)
            if purpose not in role.purposes or not role.acts_through(channel):
                raise Refused(UNKNOWN_DECISION)
            if context.read([decision.customer_id], role=role, as_of=now, without_values=True) == [None]:
                raise Refused(UNKNOWN_DECISION)
            new = ledger.record_outcome(
                ask.decision_id,
                ask.offer,
                ask.outcome,
                at=now,
                reason=ask.reason,
                before_commit=deadline.begin_write,
            )
            return _json(OutcomeReply(recorded=new))

        return await pool.run(work, deadline=deadline)


def _customers(app: FastAPI, gate: ReadinessGate, clock: Clock, pool: WorkerPool) -> None:
    @app.post("/v1/score", response_model=ScoreReply)
    async def score(ask: ScoreRequest, request: Request) -> Response:
        """Return the models' scores of a few customers."""
        context, deadline, role = gate.context, _caller(request).deadline, _role(request)
        _require_right(role, "score")
        models = list(context.decider.scorer.models) if ask.models is None else ask.models
        for place, model in enumerate(models):
            if model not in context.decider.scorer.models:
                raise refuse(422, "model.unknown", "no champion of this name", pointer=f"/models/{place}")
        customers = list(dict.fromkeys(ask.customer_ids))

        def work() -> Response:
            found = context.read(customers, role=role, as_of=clock())
            if None in found:
                fault, place = UNKNOWN_CUSTOMER, ask.customer_ids.index(customers[found.index(None)])
                raise refuse(fault.status, fault.code, fault.detail, pointer=f"/customer_ids/{place}")
            deadline.check()
            rows = [row for row in found if row is not None]
            scores = context.decider.scores(rows, models=models)
            degraded = sorted({one for row in rows for one in context.decider.freshness(row)})
            by_customer = {row.customer_id: scores_of(scores, place) for place, row in enumerate(rows)}
            return _json(ScoreReply(scores=by_customer, degraded=degraded, versions=versions_of(context)))

        return await pool.run(work, deadline=deadline)

    @app.get("/v1/customers/{customer_id}", response_model=CustomerReply)
    async def customer(customer_id: str, request: Request) -> Response:
        """Return what is known of one customer."""
        context, role = gate.context, _role(request)
        _require_right(role, "customers")
        if re.match(CUSTOMER_ID, customer_id) is None:
            raise Refused(UNKNOWN_CUSTOMER)

        def work() -> Response:
            (row,) = context.read([customer_id], role=role, as_of=clock(), also=columns_for(role, context))
            if row is None:
                raise Refused(UNKNOWN_CUSTOMER)
            return _json(customer_reply(row, role=role, context=context))

        return await pool.run(work, deadline=_caller(request).deadline)


def _events(app: FastAPI, gate: ReadinessGate, clock: Clock, pool: WorkerPool) -> None:
    @app.post("/v1/events", response_model=EventsReply, status_code=202)
    async def events(ask: EventsRequest, request: Request) -> Response:
        """Write what customers did into the event log; `nextbest events follow` brings it into their features."""
        intake, deadline = gate.context.intake, _caller(request).deadline
        _require_right(_role(request), "events")
        if intake is None:
            raise Refused(DEFECT)  # it is opened where a role has the right to send events

        def work() -> Response:
            deadline.begin_write()
            done = intake.accept([event.model_dump_json(exclude_none=True) for event in ask.events], at=clock())
            reply = EventsReply(
                accepted=done.accepted, duplicates=done.duplicates, dead_letters=dict(done.dead_letters)
            )
            return _json(reply, status=202)

        return await pool.run(work, deadline=deadline)


def _health(app: FastAPI, gate: ReadinessGate, meters: Meters) -> None:
    @app.get("/live", response_model=StateReply)
    async def live() -> Response:
        """Answer that the process is alive."""
        return _json(StateReply(status="alive"))

    @app.get("/ready", response_model=StateReply)
    async def ready() -> Response:
        """Answer 200 when decisions can be made, else 503 with the reason."""
        await asyncio.to_thread(gate.require_ready)
        return _json(StateReply(status="ready"))

    @app.get("/metrics", response_class=Response)
    def metrics(request: Request) -> Response:
        """Return the counters in Prometheus' text format; for a role that holds `metrics`."""
        _require_right(_role(request), "metrics")
        return Response(meters.text(), media_type=CONTENT_TYPE_LATEST)


def _errors(app: FastAPI) -> None:
    async def refused(request: Request, error: Exception) -> Response:
        return _problem(request, error.fault if isinstance(error, Refused) else DEFECT)

    async def ours(request: Request, error: Exception) -> Response:
        fault = of_error(error) if isinstance(error, NextbestError) else DEFECT
        if fault.status >= 500 and isinstance(error, NextbestError):
            _LOG.error("failed", request_id=_caller(request).request_id, **error.first.as_dict())
        return _problem(request, fault)

    async def invalid(request: Request, error: Exception) -> Response:
        errors = error.errors() if isinstance(error, RequestValidationError) else []
        return _problem(request, of_validation(errors))

    async def http(request: Request, error: Exception) -> Response:
        if not isinstance(error, HTTPException):
            return _problem(request, DEFECT)
        known = {404: ("path.unknown", "no such path"), 405: ("method.not_allowed", "this path has other methods")}
        code, detail = known.get(error.status_code, ("http", "the request cannot be answered"))
        return _problem(request, Fault(error.status_code, code, detail, headers=dict(error.headers or {})))

    async def defect(request: Request, _: Exception) -> Response:
        return _problem(request, DEFECT)

    for kind, handler in (
        (Refused, refused),
        (NextbestError, ours),
        (RequestValidationError, invalid),
        (HTTPException, http),
        (Exception, defect),
    ):
        app.add_exception_handler(kind, handler)


def _require_purpose(ask: DecideRequest, role: Role) -> None:
    if ask.purpose not in role.purposes:
        raise refuse(403, "purpose.not_held", "the role does not act for this purpose", pointer="/purpose")
    if not role.acts_through(ask.channel):
        raise refuse(403, "channel.not_held", "the role names one of its own channels", pointer="/channel")


def _require_right(role: Role, action: ActionName) -> None:
    if not role.has_right(action):
        raise refuse(403, "action.not_allowed", f"the role has no right to this route (`{action}` in its actions)")
    if not role.may(action):
        raise refuse(403, "field.not_held", f"the role does not hold {' or '.join(NEEDED[action])}")


def _caller(request: Request) -> Caller:
    caller: Caller = request.scope[STATE]
    return caller


def _role(request: Request) -> Role:
    role = _caller(request).role
    if role is None:
        raise Refused(DEFECT)  # the guard refuses a caller without a role on these routes
    return role


def _json(reply: Reply, *, status: int = 200) -> Response:
    return Response(reply.model_dump_json(exclude_unset=True), status_code=status, media_type="application/json")


def _problem(request: Request, fault: Fault) -> Response:
    body = fault.body(request_id=_caller(request).request_id)
    return Response(body, status_code=fault.status, media_type=MEDIA_TYPE, headers=dict(fault.headers))


def _document(app: FastAPI) -> dict[str, Any]:
    """Return the OpenAPI document: every route with its problems and the key that it needs."""
    if app.openapi_schema is None:
        document = get_openapi(title=app.title, version=app.version, routes=app.routes)
        parts = document.setdefault("components", {})
        parts.setdefault("schemas", {})["ProblemReply"] = ProblemReply.model_json_schema()
        parts["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer", "description": "the key of a role"}}
        problem = {
            "description": "what is wrong",
            "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/ProblemReply"}}},
        }
        for path, methods in document["paths"].items():
            for operation in methods.values():
                operation["responses"].pop("422", None)
                operation["responses"] |= {"4XX": problem, "5XX": problem}
                if path not in ("/live", "/ready"):
                    operation["security"] = [{"key": []}]
        for unused in ("HTTPValidationError", "ValidationError"):
            parts["schemas"].pop(unused, None)
        app.openapi_schema = document
    return app.openapi_schema
