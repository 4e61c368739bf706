"""BentoML's app stands behind the guard, whole; and a real server starts, answers and ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from features.base.errors import BadConfiguration, BadData, Unreachable
from features.base.storage import write_json
from features.base.workspace import Workspace
from serving.online.serve import bind, serve
from tests.serving.house import FILES, customer
from tests.serving.online.client import Client, problem
from tests.serving.online.conftest import Running, key_of

ASK = {"customer_id": customer(0), "purpose": "marketing", "channel": "email"}
SERVE = """
import sys
from pathlib import Path
from features.base.workspace import Workspace
from serving.online.serve import serve
serve(Workspace(Path(sys.argv[1])), port=int(sys.argv[2]))
"""


@pytest.fixture
def bento_app(running: Running) -> Iterator[Any]:
    """Return BentoML's whole app, over the small workspace."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # BentoML's own imports
        from serving.online import service

        service.front.open(lambda: running.desk).join(timeout=5)
        yield service.decisions.to_asgi()
        service.front.__init__()  # type: ignore[misc]


def test_bentoml_answers_our_routes(bento_app: Any, keyed: Workspace) -> None:
    client = Client(bento_app, key_of(keyed, "everything"))
    answer = client.post("/v1/decide", ASK)
    assert answer.status_code == 200
    assert len(answer.json()["decision_id"]) == 32
    assert "nextbest_requests_total" in client.get("/metrics").text
    assert problem(client.get("/v1/decide"))[:2] == (405, "method.not_allowed")


@pytest.mark.parametrize(
    "path",
    ["/", "/docs.json", "/schema.json", "/livez", "/readyz", "/healthz", "/static_content/index.css", "/metrics"],
)
def test_nothing_of_bentoml_s_own_is_reachable(bento_app: Any, keyed: Workspace, path: str) -> None:
    assert problem(Client(bento_app).get(path))[0] == 401
    if path != "/metrics":
        assert problem(Client(bento_app, key_of(keyed, "everything")).get(path))[:2] == (404, "path.unknown")
    else:
        assert problem(Client(bento_app, key_of(keyed, "shop")).get(path))[:2] == (403, "field.not_held")


def test_importing_the_service_loads_neither_feast_nor_a_model() -> None:
    code = "import sys, serving.online.service as s; print(sorted({'feast', 'mlflow', 'lightgbm'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


def test_a_taken_port_is_told(keyed: Workspace) -> None:
    del keyed
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(Unreachable, match="the port is taken"):
            bind("127.0.0.1", other.getsockname()[1])


def test_a_host_that_is_not_ours_is_told() -> None:
    with pytest.raises(BadConfiguration, match="not an address of this machine"):
        bind("192.0.2.1", 0)


def test_a_workspace_that_cannot_be_served_is_refused_before_a_port_is_opened(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text.replace("rows: same_territory", "rows: my_territory"), encoding="utf-8")
    (tmp_path / "state").mkdir()
    with pytest.raises(BadData, match="run `nextbest features` first"):
        serve(Workspace(tmp_path), port=1)
    write_json(
        tmp_path / "state" / "snapshots" / "features.json",
        {"views": [], "as_of": "2026-06-01T00:00:00Z", "cutoffs": [], "online_customers": 0, "digest": "x"},
    )
    with pytest.raises(BadConfiguration, match="unknown row rule 'my_territory'"):
        serve(Workspace(tmp_path), port=1)


@pytest.mark.slow
def test_a_real_server_starts_answers_and_ends(keyed: Workspace) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-c", SERVE, str(keyed.root), str(port)]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
            _wait(client, "/live", server)
            _wait(client, "/ready", server)
            key = {"Authorization": f"Bearer {key_of(keyed, 'everything')}"}
            answer = client.post("/v1/decide", json=ASK, headers=key)
            assert answer.status_code == 200, answer.text
            assert answer.json()["versions"]["features"] == "d" * 12
            assert problem(client.post("/v1/decide", json=ASK))[0] == 401
            assert problem(client.get("/docs.json", headers=key))[0] == 404
            assert "server" not in answer.headers
        server.send_signal(signal.SIGINT)
        _, errors = server.communicate(timeout=30)
    finally:
        server.kill()
        server.wait(timeout=10)
    assert server.returncode == 0, errors
    assert "Traceback" not in errors
    assert customer(0) not in errors
    logged = [json.loads(line) for line in errors.splitlines() if line.startswith("{")]
    assert {"listening", "ready"} <= {one["event"] for one in logged}
    assert {"/v1/decide"} <= {one.get("route") for one in logged}


def _wait(client: httpx.Client, path: str, server: subprocess.Popen[str]) -> None:
    until = time.monotonic() + 90
    while time.monotonic() < until and server.poll() is None:
        try:
            if client.get(path).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.2)
    server.kill()
    raise AssertionError(f"{path} never answered 200: {server.communicate()[1][-2000:]}")
