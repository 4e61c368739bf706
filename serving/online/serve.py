"""Serve decisions online until Ctrl-C.

The service is BentoML's ASGI app, run by uvicorn in this process, as BentoML's own worker runs it. BentoML's supervisor
(circus) is left out: it opens control sockets on the loopback interface through which anybody on the machine could
start programs as this user, and one worker needs no supervisor. Where several workers and a supervisor are wanted,
``bentoml serve serving.online.service:decisions`` runs the same service.
"""

from __future__ import annotations

import errno
import ipaddress
import os
import socket
from contextlib import closing, suppress
from pkgutil import resolve_name

import structlog
import uvicorn

from features.base.errors import BadConfiguration, StorageFailure, Unreachable
from features.base.workspace import Workspace
from serving.engine import Decider
from serving.online.api_keys import ensure_keys
from serving.online.json_logs import log_json
from serving.online.roles import read_roles
from serving.online.service_context import WORKSPACE

HOST, PORT = "127.0.0.1", 3000
SERVICE = "serving.online.service:decisions"
GRACE_S = 10
_LOG = structlog.get_logger("nextbest.online")


def serve(workspace: Workspace, *, host: str = HOST, port: int = PORT) -> None:
    """Serve a workspace; returns after Ctrl-C. SIGTERM ends the process, after the requests under way.

    Missing key files inside ``state/`` are written first.

    Parameters
    ----------
    host : an address of this machine; other machines reach the service only when it is not a loopback address
    port : 0 takes any free one

    Raises
    ------
    BadConfiguration : when ``serving/roles.yaml`` or ``serving/offers.yaml`` is wrong, or the address is not one of
        this machine
    BadData : when no features have been built
    StorageFailure : when a champion or the ledger cannot be read
    Unreachable : when the port is taken
    """
    ensure_keys(workspace)
    read_roles(workspace)
    Decider.open(workspace).ledger.close()  # a workspace that cannot be served is refused before the port opens
    with closing(bind(host, port)) as listening:
        os.environ[WORKSPACE] = str(workspace.root.resolve())
        os.environ["BENTOML_DO_NOT_TRACK"] = "True"
        log_json()
        _LOG.info("listening", url=f"http://{host}:{listening.getsockname()[1]}")
        if not ipaddress.ip_address(listening.getsockname()[0]).is_loopback:
            _LOG.warning("not_loopback", hint="keys travel in the clear: put a proxy that speaks TLS before it")
        config = uvicorn.Config(
            resolve_name(SERVICE).to_asgi(),  # BentoML takes seconds to load: a workspace that is wrong comes first
            log_config=None,
            access_log=False,  # it would log customer ids
            server_header=False,
            timeout_keep_alive=30,
            timeout_graceful_shutdown=GRACE_S,
            h11_max_incomplete_event_size=16 * 1024,
            ws="none",
        )
        with suppress(KeyboardInterrupt):
            uvicorn.Server(config).run(sockets=[listening])


def bind(host: str, port: int) -> socket.socket:
    """Return a socket that is bound to the address and not yet listened on.

    Raises
    ------
    Unreachable : when another program has the port
    BadConfiguration : when the address is not one of this machine
    StorageFailure : when the system refuses otherwise
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    bound = socket.socket(family, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((host, port))
    except OSError as error:
        bound.close()
        where = f"{host}:{port}"
        if error.errno == errno.EADDRINUSE:
            raise Unreachable(
                "serve.port_taken", "the port is taken", where=where, hint="stop what uses it, or choose with --port"
            ) from None
        if error.errno == errno.EADDRNOTAVAIL or isinstance(error, socket.gaierror):
            raise BadConfiguration(
                "serve.host", "the host is not an address of this machine", where=where, hint="try 127.0.0.1"
            ) from None
        raise StorageFailure(
            "serve.bind", f"the port cannot be opened ({error.strerror})", where=where, hint="choose another port"
        ) from None
    return bound
