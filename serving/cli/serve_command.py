"""``nextbest serve``: the online service."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from serving.cli.options import Folder, workspace_of
from serving.online.serve import serve as start


def serve(
    workspace: Folder = Path(),
    host: Annotated[str, typer.Option(help="Address to listen on.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=1, max=65535, help="Port to listen on.")] = 3000,
) -> None:
    """Serve decisions online."""
    start(workspace_of(workspace), host=host, port=port)
