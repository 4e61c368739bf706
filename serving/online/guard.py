"""Middleware before every route: key → role, limits and strict JSON of the body, deadline, request id, log line.

It also guards BentoML's own routes: a path that is not a route of this service is answered with 404, and without
a key with 401. Every error is a problem document.
"""

from __future__ import annotations

import asyncio
import re
import secrets
import time
import traceback
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass

import structlog
from fastapi import FastAPI
from starlette.datastructures import Headers, MutableHeaders
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from serving.online import strict_json
from serving.online.deadline import DEADLINE_S, Deadline
from serving.online.metrics import Meters
from serving.online.problems import DEFECT, MEDIA_TYPE, TOO_SLOW, Fault, Refused, refuse
from serving.online.readiness import ReadinessGate
from serving.online.roles import Role, role_of

STATE = "nextbest"
OPEN = frozenset({"/live", "/ready"})
"""Paths that need no key: they answer whether the service is alive and ready, and nothing else."""
NOWHERE = "unknown"
_REQUEST_ID = re.compile(r"^[A-Za-z0-9][A-Za-z0-9._\-]{7,63}$")
_JSON = re.compile(r"^application/json\s*(;\s*charset\s*=\s*\"?utf-8\"?\s*)?$", re.IGNORECASE)
_LOG = structlog.get_logger("nextbest.online")


def _new_id() -> str:
    return secrets.token_hex(16)


@dataclass(frozen=True)
class RequestLimits:
    """How large a body may be, in bytes, and how long sending it and answering it may take, each, in seconds."""

    body: int = 64 * 1024
    deadline_s: float = DEADLINE_S


@dataclass
class Caller:
    """The caller of one request.

    Attributes
    ----------
    role : none on paths that need no key
    """

    request_id: str
    deadline: Deadline
    role: Role | None = None


@dataclass
class _Answering:
    """Sends the answer with the headers that all answers have; once abandoned, what the app still sends is dropped."""

    send: Send
    request_id: str
    status: int | None = None
    abandoned: bool = False

    async def __call__(self, message: Message) -> None:
        if not self.abandoned:
            await self._send(message)

    async def _send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            headers = MutableHeaders(scope=message)
            headers["X-Request-Id"] = self.request_id
            headers["Cache-Control"] = "no-store"
            headers["X-Content-Type-Options"] = "nosniff"
        await self.send(message)

    async def fault(self, fault: Fault) -> None:
        body = fault.body(request_id=self.request_id)
        headers = {"Content-Type": MEDIA_TYPE, "Content-Length": str(len(body)), **fault.headers}
        raw = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
        await self._send({"type": "http.response.start", "status": fault.status, "headers": raw})
        await self._send({"type": "http.response.body", "body": body})


class Guard:
    """ASGI middleware.

    Parameters
    ----------
    app : the guarded app, such as BentoML's app; without `routed` it answers the routes
    routed : answers the routes, past everything else in `app`, whose own layers cost more than a route does
    gate : gives the roles once the service context is loaded
    routes : of the app; every other path is answered with 404
    meters : counts requests
    new_id : gives the id of a request that brings none
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        routed: ASGIApp | None = None,
        gate: ReadinessGate,
        routes: Sequence[Route],
        meters: Meters,
        limits: RequestLimits = RequestLimits(),
        new_id: Callable[[], str] = _new_id,
    ) -> None:
        self._app, self._gate, self._meters, self._limits, self._new_id = app, gate, meters, limits, new_id
        self._routed = routed or app
        self._under_way: set[asyncio.Future[None]] = set()  # asyncio itself holds tasks only weakly
        self._paths = [(route.path_regex, route.path) for route in routes]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        elif scope["type"] != "http":
            await self._app(scope, receive, send)
        else:
            await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        began, headers = time.perf_counter(), Headers(scope=scope)
        caller = Caller(self._request_id(headers), Deadline(self._limits.deadline_s))
        answering = _Answering(send, caller.request_id)
        route = self._route(scope["path"])
        try:
            if route not in OPEN:
                caller.role = self._role(headers)
            if route == NOWHERE:
                raise refuse(404, "path.unknown", "no such path")
            if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
                receive = _replay(await self._body(headers, receive))
                caller.deadline = Deadline(self._limits.deadline_s)  # the body had a deadline of its own
            work = self._routed({**scope, STATE: caller}, receive, answering)
            await self._within_deadline(work, answering, deadline=caller.deadline)
        except Refused as refused:
            await answering.fault(refused.fault)
        except Exception as error:  # noqa: BLE001  whatever it is, the caller gets a problem document
            # The message may hold what was sent, so only the place is logged.
            frames = [f"{frame.filename}:{frame.lineno}" for frame in traceback.extract_tb(error.__traceback__)[-5:]]
            _LOG.error("defect", request_id=caller.request_id, route=route, kind=type(error).__name__, frames=frames)
            if answering.status is None:
                await answering.fault(DEFECT)
        seconds, role = time.perf_counter() - began, caller.role.name if caller.role else "none"
        status = answering.status or 0
        self._meters.request(route=route, status=status, role=role, seconds=seconds)
        if route in OPEN:
            return  # monitoring calls these every few seconds
        _LOG.info(
            "request",
            request_id=caller.request_id,
            route=route,
            method=scope["method"] if scope["method"] in ("GET", "POST") else "other",
            status=status,
            ms=round(seconds * 1000, 2),
            role=role,
        )

    async def _within_deadline(self, work: Awaitable[None], answering: _Answering, *, deadline: Deadline) -> None:
        """Wait for the app, but no longer than the deadline; a write that has begun is waited for and answered."""
        task = asyncio.ensure_future(work)
        self._under_way.add(task)
        task.add_done_callback(self._ended)
        try:
            await asyncio.wait({task}, timeout=deadline.left_s)
        except asyncio.CancelledError:
            task.cancel()
            raise
        if task.done() or answering.status is not None or not deadline.expire():
            await task
        else:
            answering.abandoned = True
            task.cancel()
            await answering.fault(TOO_SLOW)

    def _ended(self, task: asyncio.Future[None]) -> None:
        self._under_way.discard(task)
        if not task.cancelled():
            task.exception()  # retrieved, else asyncio logs it

    def _route(self, path: str) -> str:
        return next((template for pattern, template in self._paths if pattern.match(path)), NOWHERE)

    def _request_id(self, headers: Headers) -> str:
        given = headers.get("x-request-id", "")
        return given if _REQUEST_ID.match(given) else self._new_id()

    def _role(self, headers: Headers) -> Role:
        given = headers.getlist("authorization")
        scheme, _, key = given[0].partition(" ") if len(given) == 1 else ("", "", "")
        roles = self._gate.context.roles
        role = role_of(key.strip(), roles) if scheme.lower() == "bearer" else None
        if role is None:
            detail = "send the key of a role: Authorization: Bearer KEY"
            raise Refused(Fault(401, "key.missing_or_wrong", detail, headers={"WWW-Authenticate": "Bearer"}))
        return role

    async def _body(self, headers: Headers, receive: Receive) -> bytes:
        if not _JSON.match(headers.get("content-type", "")) or "content-encoding" in headers:
            raise refuse(415, "body.type", "send Content-Type: application/json, not compressed")
        limit, declared = self._limits.body, headers.get("content-length", "0")
        if not declared.isdecimal() or len(declared) > 12 or int(declared) > limit:
            raise refuse(413, "body.too_large", f"a body has at most {limit} bytes")
        try:
            async with asyncio.timeout(self._limits.deadline_s):
                body = await _read(receive, limit=limit)
        except TimeoutError:
            raise refuse(408, "body.too_slow", "the body did not come within the deadline") from None
        strict_json.check(body)
        return body


async def _read(receive: Receive, *, limit: int) -> bytes:
    body, more = bytearray(), True
    while more:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise refuse(400, "body.cut_off", "the body ended early")
        body += message.get("body", b"")
        more = message.get("more_body", False)
        if len(body) > limit:
            raise refuse(413, "body.too_large", f"a body has at most {limit} bytes")
    return bytes(body)


def routes_of(app: FastAPI) -> list[Route]:
    """Return the routes that a guard lets through."""
    return [route for route in app.routes if isinstance(route, Route)]


def _replay(body: bytes) -> Receive:
    sent = False

    async def receive() -> Message:
        nonlocal sent
        if sent:
            return {"type": "http.disconnect"}
        sent = True
        return {"type": "http.request", "body": body, "more_body": False}

    return receive
