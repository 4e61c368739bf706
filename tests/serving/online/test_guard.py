"""What the guard turns away, each with a problem document."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any

import httpx
import pytest
import structlog
from starlette.types import Message

from features.base.errors import StorageFailure
from features.base.workspace import Workspace
from features.store.online_reader import OnlineRow, open_reader
from features.store.repository import Store
from serving.online.app import create_app
from serving.online.deadline import Deadline
from serving.online.guard import Guard, RequestLimits, routes_of
from serving.online.metrics import Meters
from serving.online.problems import TOO_SLOW, Refused
from serving.online.readiness import ReadinessGate
from serving.online.service_context import ServiceContext
from serving.online.worker_pool import WorkerPool
from tests.serving.house import NOW, customer
from tests.serving.online.client import JSON, Client, problem
from tests.serving.online.conftest import ClientFor, Running, key_of

ASK = {"customer_id": customer(0), "purpose": "marketing", "channel": "email"}
GOOD = b'{"customer_id": "c0000", "purpose": "marketing", "channel": "email"}'


@pytest.mark.parametrize(
    "header",
    [
        {},
        {"Authorization": ""},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer wrong-key-wrong-key-wrong"},
        {"Authorization": "Basic KEY"},
        {"Authorization": "KEY"},
    ],
)
@pytest.mark.parametrize("path", ["/v1/decide", "/metrics", "/openapi.json", "/no/such/path", "/docs.json"])
def test_without_a_key_nothing_is_there(running: Running, keyed: Workspace, header: dict[str, str], path: str) -> None:
    header = {name: value.replace("KEY", key_of(keyed, "shop")) for name, value in header.items()}
    answer = Client(running.guarded).post(path, ASK, headers=header)
    assert problem(answer)[:2] == (401, "key.missing_or_wrong")
    assert answer.headers["www-authenticate"] == "Bearer"


def test_two_keys_at_once_are_none(running: Running, keyed: Workspace) -> None:
    both = [("Authorization", f"Bearer {key_of(keyed, role)}") for role in ("shop", "everything")]
    sent = Client(running.guarded)

    async def call() -> list[Message]:
        told: list[Message] = []

        async def send(message: Message) -> None:
            told.append(message)

        async def receive() -> Message:
            return {"type": "http.request", "body": b"", "more_body": False}

        headers = [(name.lower().encode(), value.encode()) for name, value in both]
        scope = {"type": "http", "method": "GET", "path": "/metrics", "headers": headers, "query_string": b""}
        await sent.app(scope, receive, send)
        return told

    assert asyncio.run(call())[0]["status"] == 401


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "body.json"),
        (b"{", 400, "body.json"),
        (b"{'customer_id': 1}", 400, "body.json"),
        (GOOD + b"x", 400, "body.json"),
        (b"[" * 20_000, 400, "body.json"),
        (b'{"a": ' + b"9" * 5_000 + b"}", 400, "body.json"),
        (b"\xff\xfe", 400, "body.encoding"),
        (b'{"customer_id": "\xe9"}', 400, "body.encoding"),
        (b'{"customer_id": "\\ud800"}', 400, "body.encoding"),
        (b'{"customer_id": "c0000", "customer_id": "c0001"}', 400, "body.duplicate_key"),
        (b'{"context": {"weights": {"toy-box": 1, "toy-box": 9}}}', 400, "body.duplicate_key"),
        (b'{"context": {"weights": {"toy-box": NaN}}}', 400, "body.not_finite"),
        (b'{"context": {"weights": {"toy-box": -Infinity}}}', 400, "body.not_finite"),
        (b'{"context": {"weights": {"toy-box": 1e999}}}', 400, "body.not_finite"),
    ],
)
def test_a_body_that_is_not_strict_json_is_refused(as_role: ClientFor, body: bytes, status: int, code: str) -> None:
    assert problem(as_role("everything").post("/v1/decide", body)) == (status, code, "")


@pytest.mark.parametrize(
    ("change", "pointer"),
    [
        ({"customer_id": 7}, "/customer_id"),
        ({"customer_id": None}, "/customer_id"),
        ({"customer_id": ""}, "/customer_id"),
        ({"customer_id": "x" * 129}, "/customer_id"),
        ({"customer_id": "../etc"}, "/customer_id"),
        ({"purpose": ["marketing"]}, "/purpose"),
        ({"context": []}, "/context"),
        ({"context": {"weights": {"toy-box": True}}}, "/context/weights"),
        ({"context": {"weights": {"toy-box": "1.5"}}}, "/context/weights"),
        ({"context": {"weights": {"toy-box": -1}}}, "/context/weights"),
        ({"context": {"weights": {"toy-box": 10**400}}}, "/context/weights"),
        ({"customerid": "c0001"}, "/customerid"),
        ({"context": {"Ann Smith, 12 High Street": 1}}, "/context"),
    ],
)
def test_a_wrong_type_is_named_by_its_place_and_its_value_is_not_echoed(
    as_role: ClientFor, change: dict[str, Any], pointer: str
) -> None:
    answer = as_role("everything").post("/v1/decide", {**ASK, **change})
    assert problem(answer)[::2] == (422, pointer)
    assert "Smith" not in answer.text
    assert "etc" not in answer.text


def test_a_missing_key_is_named(as_role: ClientFor) -> None:
    assert problem(as_role("everything").post("/v1/decide", {"purpose": "marketing"})) == (
        422,
        "body.missing_key",
        "/customer_id",
    )


@pytest.mark.parametrize(
    "kind", ["text/plain", "application/x-www-form-urlencoded", "", "application/json; charset=latin-1"]
)
def test_another_content_type_is_refused(as_role: ClientFor, kind: str) -> None:
    answer = as_role("everything").send("POST", "/v1/decide", content=GOOD, headers={"Content-Type": kind})
    assert problem(answer)[:2] == (415, "body.type")


def test_a_compressed_body_is_refused(as_role: ClientFor) -> None:
    answer = as_role("everything").post("/v1/decide", GOOD, headers={"Content-Encoding": "gzip"})
    assert problem(answer)[:2] == (415, "body.type")


def test_a_body_beyond_the_limit_is_refused_whether_declared_or_not(as_role: ClientFor) -> None:
    client, large = as_role("everything"), b" " * 70_000 + GOOD
    assert problem(client.post("/v1/decide", large))[:2] == (413, "body.too_large")

    async def pieces() -> Any:
        for _ in range(70):
            yield b" " * 1_000

    assert problem(client.send("POST", "/v1/decide", content=pieces(), headers=JSON))[:2] == (413, "body.too_large")


def test_a_path_has_its_own_methods(as_role: ClientFor) -> None:
    answer = as_role("everything").get("/v1/decide")
    assert problem(answer)[:2] == (405, "method.not_allowed")
    assert answer.headers["allow"] == "POST"


@pytest.mark.parametrize("path", ["/", "/docs", "/v1/decide/", "/v1/customers/", "/v1/customers/a/b", "/v2/decide"])
def test_a_path_that_is_not_ours_is_unknown(as_role: ClientFor, path: str) -> None:
    assert problem(as_role("everything").get(path))[:2] == (404, "path.unknown")


@pytest.mark.parametrize("strange", ["c0000%00", "%F0%9F%99%82", "a b", "x" * 2_000, "..%2f", "'; drop table"])
def test_a_strange_customer_in_the_path_is_unknown(as_role: ClientFor, strange: str) -> None:
    assert problem(as_role("everything").get(f"/v1/customers/{strange}"))[0] == 404


def test_a_sane_request_id_is_kept_and_another_is_replaced(as_role: ClientFor) -> None:
    client = as_role("shop")
    kept = client.post("/v1/decide", ASK, headers={"X-Request-Id": "call-centre.0815"})
    assert kept.headers["x-request-id"] == "call-centre.0815"
    for odd in ("short", "x" * 65, "two words, no", "a\tb-------"):
        made = client.post("/v1/decide", ASK, headers={"X-Request-Id": odd}).headers["x-request-id"]
        assert made != odd
        assert len(made) >= 32


def test_nothing_is_kept_by_caches(as_role: ClientFor) -> None:
    assert as_role("shop").post("/v1/decide", ASK).headers["cache-control"] == "no-store"


class Broken:
    """An online store that fails in one way or another."""

    def __init__(self, fail: Callable[[], object]) -> None:
        self.fail = fail

    def read(self, customers: Sequence[str], features: Sequence[str], *, as_of: datetime) -> list[OnlineRow]:
        self.fail()
        raise AssertionError((customers, features, as_of))


def raises(error: Exception) -> Callable[[], object]:
    def fail() -> object:
        raise error

    return fail


def test_a_slow_store_is_cut_off_at_the_deadline(make: Callable[..., Running], keyed: Workspace) -> None:
    answered = threading.Event()
    broken = Broken(lambda: answered.wait(timeout=60))  # hangs until there is an answer
    guarded = make(limits=RequestLimits(deadline_s=0.1), reads=broken).guarded
    client = Client(guarded, key_of(keyed, "shop"), answered=answered.set)
    assert problem(client.post("/v1/decide", ASK))[:2] == (504, "deadline")


def decisions(running: Running) -> int:
    with running.context.decider.ledger.connections.reading() as connection:
        (count,) = connection.execute("SELECT count(*) FROM decisions").fetchone()
    return int(count)


def test_nothing_is_written_once_the_deadline_has_been_answered(make: Callable[..., Running], keyed: Workspace) -> None:
    answered, store = threading.Event(), open_reader(keyed.root)

    class Late:
        """An online store that gives its rows only after the caller has been answered."""

        def read(self, customers: Sequence[str], features: Sequence[str], *, as_of: datetime) -> list[OnlineRow]:
            answered.wait(timeout=60)
            return store.read(customers, features, as_of=as_of)

    pool = WorkerPool()
    running = make(limits=RequestLimits(deadline_s=0.1), reads=Late(), pool=pool)
    client = Client(running.guarded, key_of(keyed, "shop"), answered=answered.set)
    assert problem(client.post("/v1/decide", ASK))[:2] == (504, "deadline")
    pool.close(wait=True)
    assert decisions(running) == 0


def test_a_deadline_that_ends_while_deciding_rolls_the_decision_back(
    running: Running, keyed: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def expired(self: Deadline) -> None:
        self.expire()
        raise Refused(TOO_SLOW)

    monkeypatch.setattr(Deadline, "begin_write", expired)
    client = Client(running.guarded, key_of(keyed, "shop"))
    assert problem(client.post("/v1/decide", ASK))[:2] == (504, "deadline")
    assert decisions(running) == 0


def test_beyond_the_workers_and_the_queue_requests_are_refused_at_once(
    make: Callable[..., Running], keyed: Workspace
) -> None:
    release = threading.Event()
    broken = Broken(lambda: release.wait(timeout=60))
    guarded = make(reads=broken, pool=WorkerPool(workers=2, waiting=3)).guarded
    before = threading.active_count()

    async def send_all() -> list[httpx.Response]:
        key = {"Authorization": f"Bearer {key_of(keyed, 'shop')}"}
        async with httpx.AsyncClient(transport=httpx.ASGITransport(guarded), base_url="http://here") as client:
            sent = [asyncio.ensure_future(client.post("/v1/decide", json=ASK, headers=key)) for _ in range(40)]
            done: set[asyncio.Future[httpx.Response]] = set()
            waiting = set(sent)
            while len(waiting) > 5:
                more, waiting = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
                done |= more
            assert threading.active_count() <= before + 3
            release.set()
            await asyncio.wait(waiting)
            return [one.result() for one in done]

    refused = asyncio.run(send_all())
    assert len(refused) == 35
    assert {problem(answer)[:2] for answer in refused} == {(503, "busy")}
    assert {answer.headers["retry-after"] for answer in refused} == {"1"}


def test_ready_is_answered_with_the_reason_while_the_online_store_cannot_be_read(
    make: Callable[..., Running], keyed: Workspace
) -> None:
    store, away = open_reader(keyed.root), [True]

    class Sometimes:
        def read(self, customers: Sequence[str], features: Sequence[str], *, as_of: datetime) -> list[OnlineRow]:
            rows = store.read(customers, features, as_of=as_of)
            return [replace(row, found=False, unread="unreachable") for row in rows] if away else rows

    client = Client(make(reads=Sometimes()).guarded)
    answer = client.get("/ready")
    assert problem(answer)[:2] == (503, "store.unreachable")
    assert answer.headers["retry-after"] == "2"
    away.clear()
    assert client.get("/ready").json() == {"status": "ready"}


def test_a_body_that_does_not_come_is_not_waited_for(make: Callable[..., Running], keyed: Workspace) -> None:
    client = Client(make(limits=RequestLimits(deadline_s=0.1)).guarded, key_of(keyed, "shop"))

    async def never() -> Any:
        yield b"{"
        await asyncio.Event().wait()

    assert problem(client.send("POST", "/v1/decide", content=never(), headers=JSON))[:2] == (408, "body.too_slow")


def test_a_store_that_fails_is_unavailable_and_says_no_more(make: Callable[..., Running], keyed: Workspace) -> None:
    broken = Broken(raises(StorageFailure("store.locked", "row of Ann Smith", where="/var/lib")))
    with structlog.testing.capture_logs() as logs:
        answer = Client(make(reads=broken).guarded, key_of(keyed, "shop")).post("/v1/decide", ASK)
    assert problem(answer)[:2] == (503, "store.locked")
    assert [one["code"] for one in logs if one["event"] == "failed"] == ["store.locked"]
    assert "Ann" not in answer.text
    assert "/var" not in answer.text


def test_a_defect_is_a_500_without_a_trace_in_answer_or_message_in_log(
    make: Callable[..., Running], keyed: Workspace
) -> None:
    broken = Broken(raises(ZeroDivisionError("Ann Smith")))
    with structlog.testing.capture_logs() as logs:
        answer = Client(make(reads=broken).guarded, key_of(keyed, "shop")).post("/v1/decide", ASK)
    assert problem(answer)[:2] == (500, "defect")
    assert "Traceback" not in answer.text
    assert "ZeroDivision" not in answer.text
    assert [one["kind"] for one in logs if one["event"] == "defect"] == ["ZeroDivisionError"]
    assert "Ann Smith" not in repr(logs)


def test_the_log_has_route_role_and_time_but_no_customer(as_role: ClientFor) -> None:
    with structlog.testing.capture_logs() as logs:
        as_role("everything").get(f"/v1/customers/{customer(3)}", headers={"X-Request-Id": "request-0003"})
        as_role("shop").post("/v1/decide", {**ASK, "customer_id": customer(3)})
    first, second = (one for one in logs if one["event"] == "request")
    assert first["route"] == "/v1/customers/{customer_id}"
    assert first["request_id"] == "request-0003"
    assert (first["role"], first["status"]) == ("everything", 200)
    assert second["ms"] > 0
    assert customer(3) not in repr(logs)


def test_until_the_desk_is_loaded_the_service_lives_but_is_not_ready(running: Running) -> None:
    gate, meters = ReadinessGate(), Meters()
    app = create_app(gate, clock=lambda: NOW, meters=meters)
    client = Client(Guard(app, gate=gate, routes=routes_of(app), meters=meters), "any-key-any-key-any-key")
    assert client.get("/live").json() == {"status": "alive"}
    assert problem(client.get("/ready"))[:2] == (503, "not_ready")
    assert problem(client.post("/v1/decide", ASK))[:2] == (503, "not_ready")
    gate.load(lambda: running.context).join()
    assert client.get("/ready").json() == {"status": "ready"}


def test_a_desk_that_cannot_be_loaded_is_told_by_its_code(keyed: Workspace, store: Store) -> None:
    del keyed, store

    def make_context() -> ServiceContext:
        raise StorageFailure("bundle.digest", "damaged", where="churn")

    gate, meters = ReadinessGate(), Meters()
    with structlog.testing.capture_logs() as logs:
        gate.load(make_context).join()
    app = create_app(gate, clock=lambda: NOW, meters=meters)
    client = Client(Guard(app, gate=gate, routes=routes_of(app), meters=meters))
    assert problem(client.get("/ready"))[:2] == (503, "bundle.digest")
    assert logs[0]["where"] == "churn"


def test_a_websocket_is_closed(running: Running) -> None:
    told: list[Message] = []

    async def send(message: Message) -> None:
        told.append(message)

    async def receive() -> Message:
        return {"type": "websocket.connect"}

    asyncio.run(running.guarded({"type": "websocket", "path": "/v1/decide", "headers": []}, receive, send))
    assert told == [{"type": "websocket.close", "code": 1008}]
