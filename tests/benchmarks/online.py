"""Decisions on the demo, served as `nextbest serve` does, beside an empty BentoML endpoint served the same way.

Run it from the repository root: ``python -m tests.benchmarks.online [WORKSPACE]``. Without a workspace a small demo is
made first; a given one must be a demo, and gets the decisions in its ledger. Loopback only; it ends by itself.
"""

from __future__ import annotations

import asyncio
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from socket import socket
from typing import IO

from features.base.parquet import read_parquet
from serving.batch.published_list import PARQUET
from tests.benchmarks._run import NEXTBEST, REPOSITORY, closing, run, table

CUSTOMERS = 800  # of the demo that is made
WARM_UP, ALONE, ROUND = 200, 600, 50  # requests of one connection, of both services in turn
RATE, SECONDS = 50, 20  # requests a second, and for how long
DECISIONS, CONNECTIONS = 10_000, 4  # over which the memory is flat
PATIENCE_S = 120.0
MAX_P50, MAX_P99 = 6.0, 30.0  # of the empty endpoint's p50
MAX_GROWTH = 1.10  # of the memory held after a tenth of the decisions
EMPTY = """
import socket, sys
import bentoml, uvicorn
@bentoml.service(name="empty", workers=1, metrics={"enabled": False}, logging={"access": {"enabled": False}})
class Empty:
    @bentoml.api(route="/v1/decide")
    def decide(self, customer_id: str, purpose: str, channel: str) -> dict:
        return {}
listening = socket.socket()
listening.bind(("127.0.0.1", int(sys.argv[1])))
app = Empty.to_asgi(is_main=True)
config = uvicorn.Config(app, log_config=None, access_log=False, timeout_keep_alive=30, ws="none")
uvicorn.Server(config).run(sockets=[listening])
"""


@dataclass
class Measured:
    """Latencies in milliseconds, and how often each status came."""

    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    def quantile(self, share: float) -> float:
        ordered = sorted(self.latencies)
        return ordered[min(len(ordered) - 1, int(share * len(ordered)))]

    @property
    def p50(self) -> float:
        return statistics.median(self.latencies)


@dataclass(frozen=True)
class Target:
    """A service under measurement."""

    port: int
    key: str
    customers: Sequence[str]
    process: subprocess.Popen[bytes]

    def request(self, number: int) -> bytes:
        """Return the bytes of one request."""
        body = {"customer_id": self.customers[number % len(self.customers)], "purpose": "marketing", "channel": "agent"}
        text = json.dumps(body)
        return (
            f"POST /v1/decide HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Bearer {self.key}\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(text)}\r\n\r\n{text}"
        ).encode()

    def held_mb(self) -> float:
        """Return the memory of the process in MB."""
        told = subprocess.run(["ps", "-o", "rss=", "-p", str(self.process.pid)], capture_output=True, check=True)
        return int(told.stdout) / 1024


class Connection:
    """One kept-alive connection of a client."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader, self._writer = reader, writer

    @classmethod
    async def open(cls, port: int) -> Connection:
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def send(self, request: bytes) -> int:
        """Send a request, read the whole answer, and return its status."""
        self._writer.write(request)
        head = await self._reader.readuntil(b"\r\n\r\n")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:] if b": " in line)
        await self._reader.readexactly(int(fields[b"content-length"]))
        return int(head.split(b" ", 2)[1])

    def close(self) -> None:
        self._writer.close()


async def alone(targets: Sequence[Target]) -> list[Measured]:
    """Send to each target over one connection, one request at a time, the targets in turn."""
    found = [Measured() for _ in targets]
    connections = [await Connection.open(target.port) for target in targets]
    for target, connection in zip(targets, connections, strict=True):
        for number in range(WARM_UP):
            await connection.send(target.request(number))
    for start in range(0, ALONE, ROUND):
        for target, connection, measured in zip(targets, connections, found, strict=True):
            for number in range(start, start + ROUND):
                began = time.perf_counter()
                measured.statuses[await connection.send(target.request(number))] += 1
                measured.latencies.append((time.perf_counter() - began) * 1000)
    for connection in connections:
        connection.close()
    return found


async def at_a_rate(target: Target) -> Measured:
    """Send so many requests a second, whether or not earlier ones are answered; a wait counts from when it was due."""
    measured, idle = Measured(), list[Connection]()
    began = time.perf_counter()

    async def one(number: int) -> None:
        due = began + number / RATE
        await asyncio.sleep(max(0.0, due - time.perf_counter()))
        connection = idle.pop() if idle else await Connection.open(target.port)
        measured.statuses[await connection.send(target.request(number))] += 1
        measured.latencies.append((time.perf_counter() - due) * 1000)
        idle.append(connection)

    await asyncio.gather(*(one(number) for number in range(RATE * SECONDS)))
    for connection in idle:
        connection.close()
    return measured


async def many(target: Target, decisions: int) -> Counter[int]:
    """Send so many requests over a few connections, as fast as they are answered."""
    statuses: Counter[int] = Counter()
    numbers = iter(range(decisions))

    async def work() -> None:
        connection = await Connection.open(target.port)
        for number in numbers:
            statuses[await connection.send(target.request(number))] += 1
        connection.close()

    await asyncio.gather(*(work() for _ in range(CONNECTIONS)))
    return statuses


@contextmanager
def served(command: list[str], log: IO[bytes]) -> Iterator[subprocess.Popen[bytes]]:
    """Run a service as long as it is needed."""
    environment = {**os.environ, "BENTOML_DO_NOT_TRACK": "True", "PYTHONPATH": str(REPOSITORY)}
    process = subprocess.Popen(command, stdout=log, stderr=log, env=environment)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


async def answers(target: Target) -> None:
    """Wait until a service answers with 200."""
    end = time.monotonic() + PATIENCE_S
    while time.monotonic() < end:
        if target.process.poll() is not None:
            raise SystemExit("a service ended before it answered")
        try:
            connection = await Connection.open(target.port)
            if await connection.send(target.request(0)) == 200:
                return connection.close()
        except (OSError, asyncio.IncompleteReadError):
            pass
        await asyncio.sleep(0.2)
    raise SystemExit("a service did not answer in time")


def free_port() -> int:
    """Return a port that is free at this moment."""
    with socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def measure(workspace: Path) -> int:
    """Measure the service of a workspace beside the empty one, print the figures, return the exit code."""
    decided = read_parquet(workspace / "state" / "published" / "decisions" / PARQUET, columns=["customer_id"])
    customers = sorted(set(decided["customer_id"].to_pylist()))
    key = (workspace / "state" / "keys" / "sales_agent.key").read_text(encoding="utf-8").strip()
    ports = free_port(), free_port()
    ours_command = [NEXTBEST, "serve", "--workspace", str(workspace), "--port", str(ports[0])]
    with (
        tempfile.TemporaryFile() as log,
        served(ours_command, log) as ours_process,
        served([sys.executable, "-W", "ignore", "-c", EMPTY, str(ports[1])], log) as empty_process,
    ):
        ours = Target(ports[0], key, customers, ours_process)
        empty = Target(ports[1], "none", customers, empty_process)
        for target in (ours, empty):
            asyncio.run(answers(target))
        one, nothing = asyncio.run(alone([ours, empty]))
        loaded = asyncio.run(at_a_rate(ours))
        asyncio.run(many(ours, DECISIONS // 10))
        before = ours.held_mb()
        began = time.perf_counter()
        statuses = asyncio.run(many(ours, DECISIONS))
        rate = DECISIONS / (time.perf_counter() - began)
        after = ours.held_mb()
    rows = {
        "empty endpoint": _figures(nothing, nothing),
        "one connection": _figures(one, nothing),
        f"{RATE} a second": _figures(loaded, nothing),
    }
    table("online decisions", rows, ("p50 ms", "p99 ms", "p50 x", "p99 x"))
    print(f"{DECISIONS} decisions, {rate:.0f} a second: {before:.0f} MB before, {after:.0f} MB after")
    short = []
    if one.p50 > MAX_P50 * nothing.p50:
        short.append(
            f"one connection: p50 is {one.p50 / nothing.p50:.1f} x the empty endpoint's, the bar is {MAX_P50:g}"
        )
    if loaded.quantile(0.99) > MAX_P99 * nothing.p50:
        times = loaded.quantile(0.99) / nothing.p50
        short.append(f"{RATE} a second: p99 is {times:.1f} x the empty endpoint's p50, the bar is {MAX_P99:g}")
    for name, counted in (("one connection", one.statuses), (f"{RATE} a second", loaded.statuses)):
        if set(counted) != {200}:
            short.append(f"{name}: answers other than 200: {dict(counted)}")
    if set(statuses) != {200}:
        short.append(f"{DECISIONS} decisions: answers other than 200: {dict(statuses)}")
    if after > MAX_GROWTH * before:
        short.append(f"{DECISIONS} decisions: memory grew from {before:.0f} to {after:.0f} MB")
    return closing(short)


def _figures(measured: Measured, nothing: Measured) -> dict[str, float]:
    p50, p99 = measured.p50, measured.quantile(0.99)
    return {"p50 ms": p50, "p99 ms": p99, "p50 x": p50 / nothing.p50, "p99 x": p99 / nothing.p50}


def main(arguments: Sequence[str]) -> int:
    if arguments:
        return measure(Path(arguments[0]).resolve())
    with tempfile.TemporaryDirectory() as folder:
        run("demo", "--workspace", folder, "--customers", str(CUSTOMERS))
        return measure(Path(folder))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
