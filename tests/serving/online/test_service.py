"""BentoML's app stands behind the guard, whole; and a real server starts, answers and ends."""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import warnings
from collections.abc import Callable
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

PATIENCE_S = 300.0  # a busy machine may take long
ASK = {"customer_id": customer(0), "purpose": "marketing", "channel": "email"}
SERVE = """
import sys
from pathlib import Path
from features.base.workspace import Workspace
from serving.online.serve import serve
serve(Workspace(Path(sys.argv[1])), port=0)
"""


@pytest.fixture
def bento_app(running: Running, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Return BentoML's whole app, over the small workspace."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # BentoML's own imports
        from serving.online import service

    # One gate for the whole process: it is shut again after a test.
    monkeypatch.setattr(service.gate, "_context", running.context)
    return service.decisions.to_asgi()


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
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
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
        Workspace(tmp_path).snapshots / "features.json",
        {"views": [], "as_of": "2026-06-01T00:00:00Z", "cutoffs": [], "online_customers": 0, "digest": "x"},
    )
    with pytest.raises(BadConfiguration, match="unknown row rule 'my_territory'"):
        serve(Workspace(tmp_path), port=1)


@pytest.mark.slow
def test_a_real_server_starts_answers_and_ends(keyed: Workspace, tmp_path: Path) -> None:
    command = [sys.executable, "-c", SERVE, str(keyed.root)]
    log = tmp_path / "log.txt"
    with log.open("w") as written:
        server = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=written)
    try:
        with httpx.Client(base_url=_until(lambda: _listening(log), server, log), timeout=PATIENCE_S) as client:
            for path in ("/live", "/ready"):
                _until(lambda path=path: _is_200(client, path), server, log)  # type: ignore[misc]
            key = {"Authorization": f"Bearer {key_of(keyed, 'everything')}"}
            answer = client.post("/v1/decide", json=ASK, headers=key)
            assert answer.status_code == 200, answer.text
            assert answer.json()["versions"]["features"] == "d" * 12
            assert problem(client.post("/v1/decide", json=ASK))[0] == 401
            assert problem(client.get("/docs.json", headers=key))[0] == 404
            assert "server" not in answer.headers
        server.send_signal(signal.SIGINT)
        server.wait(timeout=PATIENCE_S)
    finally:
        server.kill()
        server.wait()
    errors = log.read_text(encoding="utf-8")
    assert server.returncode == 0, errors
    assert "Traceback" not in errors
    assert customer(0) not in errors
    assert {"listening", "ready"} <= {one["event"] for one in _logged(log)}
    assert {"/v1/decide"} <= {one.get("route") for one in _logged(log)}


def _logged(log: Path) -> list[dict[str, Any]]:
    lines = log.read_text(encoding="utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]


def _listening(log: Path) -> str:
    return next((one["url"] for one in _logged(log) if one["event"] == "listening"), "")


def _is_200(client: httpx.Client, path: str) -> bool:
    try:
        return client.get(path).status_code == 200
    except httpx.TransportError:
        return False


def _until(look: Callable[[], Any], server: subprocess.Popen[bytes], log: Path) -> Any:
    """Look again and again until something is there, and return it."""
    end = time.monotonic() + PATIENCE_S
    while not (found := look()):
        assert server.poll() is None, log.read_text(encoding="utf-8")
        assert time.monotonic() < end, log.read_text(encoding="utf-8")
        time.sleep(0.1)
    return found
