"""The OpenAPI document describes what is really answered, and no body makes the service fail."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.serving.house import customer
from tests.serving.online.client import problem
from tests.serving.online.conftest import ClientFor, Running

ASKS: dict[str, dict[str, Any]] = {
    "/v1/decide": {"customer_id": customer(0), "purpose": "marketing", "channel": "email"},
    "/v1/score": {"customer_ids": [customer(0)], "models": ["churn"]},
    "/v1/events": {
        "events": [
            {
                "feed": "app",
                "id": "e1",
                "customer_id": customer(0),
                "event": "login",
                "event_time": "2026-05-01T08:00:00Z",
            }
        ]
    },
    "/v1/outcomes": {"decision_id": "0" * 32, "offer": "toy-box", "outcome": "accepted", "reason": None},
}


@pytest.fixture
def document(running: Running) -> dict[str, Any]:
    return running.app.openapi()


def refs(part: object) -> Iterator[str]:
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "$ref":
                yield value
            yield from refs(value)
    elif isinstance(part, list):
        for value in part:
            yield from refs(value)


def test_every_route_is_described_with_its_key_and_its_problems(document: dict[str, Any]) -> None:
    assert set(document["paths"]) == {
        "/v1/decide",
        "/v1/outcomes",
        "/v1/score",
        "/v1/customers/{customer_id}",
        "/v1/events",
        "/live",
        "/ready",
        "/metrics",
    }
    for path, methods in document["paths"].items():
        for operation in methods.values():
            assert ("security" in operation) == (path not in ("/live", "/ready"))
            assert "application/problem+json" in operation["responses"]["4XX"]["content"]
    for ref in set(refs(document)):
        found: Any = document
        for part in ref.removeprefix("#/").split("/"):
            found = found[part]


def test_fields_that_depend_on_the_role_are_optional_and_never_null(document: dict[str, Any]) -> None:
    reply = document["components"]["schemas"]["DecideReply"]
    assert set(reply["required"]) == {"decision_id", "degraded", "versions", "ttl_s"}
    for name in ("items", "blocked", "risk_band", "control_group"):
        assert "null" not in str(reply["properties"][name])
        assert "default" not in reply["properties"][name]


@pytest.mark.parametrize("role", ["everything", "shop"])
def test_what_is_answered_fits_the_document(as_role: ClientFor, document: dict[str, Any], role: str) -> None:
    for number in range(12):
        answer = as_role(role).post("/v1/decide", {**ASKS["/v1/decide"], "customer_id": customer(number)})
        _check(document, "DecideReply", answer.json())
    _check(document, "ProblemReply", as_role(role).post("/v1/decide", {}).json())
    if role == "everything":
        _check(document, "ScoreReply", as_role(role).post("/v1/score", ASKS["/v1/score"]).json())
        _check(document, "EventsReply", as_role(role).post("/v1/events", ASKS["/v1/events"]).json())
        _check(document, "CustomerReply", as_role(role).get(f"/v1/customers/{customer(0)}").json())


def _check(document: dict[str, Any], name: str, answer: object) -> None:
    schema = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    jsonschema.Draft202012Validator(schema).validate(answer)


def test_the_document_itself_needs_a_key(as_role: ClientFor) -> None:
    assert as_role("shop").get("/openapi.json").json()["openapi"].startswith("3.")


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=8,
)
KEYS = sorted({key for ask in ASKS.values() for key in ask} | {"context", "weights"})


@given(
    path=st.sampled_from(sorted(ASKS)),
    keep=st.sets(st.sampled_from(KEYS)),
    changes=st.dictionaries(st.sampled_from(KEYS) | st.text(max_size=6), JSON_VALUES, max_size=3),
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_json_body_makes_the_service_fail(
    as_role: ClientFor, path: str, keep: set[str], changes: dict[str, Any]
) -> None:
    body = {key: value for key, value in ASKS[path].items() if key in keep} | changes
    answer = as_role("everything").post(path, body)
    if answer.status_code not in (200, 202):
        assert problem(answer)[0] in (400, 403, 404, 422)


@given(path=st.sampled_from(sorted(ASKS)), body=st.binary(max_size=60) | st.text(max_size=40).map(str.encode))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_bytes_make_the_service_fail(as_role: ClientFor, path: str, body: bytes) -> None:
    assert problem(as_role("everything").post(path, body))[0] in (400, 422)


@given(
    headers=st.dictionaries(
        st.sampled_from(["Authorization", "X-Request-Id", "Content-Type", "Content-Length", "Accept"]),
        st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=40),
        max_size=3,
    )
)
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_no_header_makes_the_service_fail(as_role: ClientFor, headers: dict[str, str]) -> None:
    answer = as_role("everything").post("/v1/decide", b"{}", headers=headers)
    assert problem(answer)[0] in (401, 413, 415, 422)
