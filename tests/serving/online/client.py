"""Calls an ASGI app without a network, one request at a time."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx
from starlette.types import ASGIApp

JSON = {"Content-Type": "application/json"}


@dataclass(frozen=True)
class Client:
    """Sends a key with every request, unless told otherwise.

    `answered` is called when an answer is there, before what the app still does for it is waited for.
    """

    app: ASGIApp
    key: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    answered: Callable[[], object] = lambda: None

    def send(self, method: str, path: str, **request: Any) -> httpx.Response:
        """Send one request."""
        headers = {**self.headers, **request.pop("headers", {})}
        if self.key is not None:
            headers.setdefault("Authorization", f"Bearer {self.key}")

        async def call() -> httpx.Response:
            async with httpx.AsyncClient(transport=httpx.ASGITransport(self.app), base_url="http://here") as client:
                answer = await client.request(method, path, headers=headers, **request)
            self.answered()
            return answer

        return asyncio.run(call())

    def get(self, path: str, **request: Any) -> httpx.Response:
        return self.send("GET", path, **request)

    def post(self, path: str, body: object, **request: Any) -> httpx.Response:
        """Send a JSON body; bytes are sent as they are."""
        if isinstance(body, bytes):
            return self.send("POST", path, content=body, headers={**JSON, **request.pop("headers", {})}, **request)
        return self.send("POST", path, json=body, **request)


def problem(answer: httpx.Response) -> tuple[int, str, str]:
    """Return status, code and pointer, after checking that the answer is a whole problem document."""
    assert answer.headers["content-type"] == "application/problem+json"
    told = answer.json()
    assert set(told) == {"type", "title", "status", "code", "detail", "pointer", "request_id"}
    assert told["status"] == answer.status_code
    assert told["request_id"] == answer.headers["x-request-id"]
    assert told["type"] == f"urn:nextbest:problem:{told['code']}"
    return answer.status_code, told["code"], told["pointer"]
