"""The event log that a workspace declares: SQLite under ``state/streaming``, or Redis."""

from __future__ import annotations

from features.base.workspace import Workspace, reveal
from features.config.workspace_files import load_feeds
from features.streaming.event_log import EventLog
from features.streaming.event_log_sqlite import SqliteLog


def open_log(workspace: Workspace) -> EventLog:
    """Open the log; a SQLite one is created where there is none.

    Raises
    ------
    BadConfiguration : the secret with the address of the Redis server cannot be read
    StorageFailure, Unreachable : the log cannot be reached
    """
    declared = load_feeds(workspace)[0].event_log
    if declared.log == "sqlite":
        return SqliteLog(workspace.streaming)
    from features.streaming.event_log_redis import RedisLog  # its client is only loaded where it is used

    where = "features/feeds.yaml"
    return RedisLog.at(reveal(declared.address or "", root=workspace.root, where=where), name=declared.name)


def has_log(workspace: Workspace) -> bool:
    """Return whether there is a log to read; a workspace without streamed events gets none."""
    return load_feeds(workspace)[0].event_log.log == "redis" or (workspace.streaming / "events.db").is_file()
