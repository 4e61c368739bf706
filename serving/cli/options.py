"""The options that all commands share: the workspace's folder, JSON output, a moment."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated

import typer

from features.base.clock import as_utc
from features.base.errors import UsageError
from features.base.workspace import Workspace

Folder = Annotated[Path, typer.Option("--workspace", "-w", help="The workspace's folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
AsOf = Annotated[str | None, typer.Option("--as-of", help="The moment that counts as now, ISO 8601 (UTC).")]


def workspace_of(folder: Path) -> Workspace:
    """Return the workspace in a folder.

    Raises
    ------
    UsageError : there is no such folder

    Examples
    --------
    >>> workspace_of(Path()).root == Path().resolve()
    True
    """
    if not folder.is_dir():
        raise UsageError("workspace.missing", f"there is no folder {folder}", hint="name one with --workspace")
    return Workspace(folder.resolve())


def moment_of(text: str | None, *, option: str = "--as-of") -> datetime | None:
    """Return the moment that an option names; none when it was left out.

    Raises
    ------
    UsageError : it is not a moment of the years 1900 to 2199, the range that rows must lie in, too

    Examples
    --------
    >>> moment_of("2026-06-30")
    datetime.datetime(2026, 6, 30, 0, 0, tzinfo=datetime.timezone.utc)
    >>> moment_of(None) is None
    True
    """
    if text is None:
        return None
    try:
        moment = as_utc(datetime.fromisoformat(text))
    except (ValueError, OverflowError):
        moment = None
    if moment is None or not 1900 <= moment.year <= 2199:
        raise UsageError(
            f"usage.{option.strip('-').replace('-', '_')}",
            f"{option} is not a moment between 1900 and 2199",
            hint="write 2026-06-30 or 2026-06-30T12:00:00Z",
        )
    return moment
