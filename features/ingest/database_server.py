"""One database server: an address without plain secrets, read-only connections, and no wait without an end."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from features.base.errors import BadConfiguration, BadData, NextbestError, Unreachable
from features.base.workspace import is_reference, reveal

#: What may stand before ``://``, and the driver that is used for it; no other one is loaded.
DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "postgres": "postgresql+psycopg",
    "mysql": "mysql+pymysql",
    "mariadb": "mariadb+pymysql",
    "sqlite": "sqlite+pysqlite",
}


@dataclass
class Server:
    """A database, reached when it is first asked.

    Parameters
    ----------
    feed : whose source it is, for messages
    url : the address, secrets revealed; never printed
    timeout : the longest wait for a connection, and for every answer
    file : SQLite's file
    """

    feed: str
    url: sa.URL = field(repr=False)
    timeout: timedelta
    file: Path | None
    _connection: Any = field(default=None, repr=False)
    _engine: Any = field(default=None, repr=False)

    @classmethod
    def at(cls, feed: str, address: str, *, root: Path, timeout: timedelta) -> Server:
        """Read an address such as ``postgresql://reader:${env:CRM_PASSWORD}@db.example/crm``.

        Raises
        ------
        BadConfiguration : it is no such address, or its password is written out
        """
        where = f"feeds.{feed}.source"
        hidden = is_reference(address)
        try:
            url = sa.make_url(reveal(address, root=root, where=where) if hidden else address)
            drivername = DRIVERS[url.drivername]
        except (sa.exc.ArgumentError, ValueError, KeyError):
            raise BadConfiguration(
                "feed.source",
                "this is no address of a database",
                where=where,
                hint="write postgresql://USER:${env:PASSWORD}@HOST/DATABASE, mysql://…, or sqlite:///PATH",
            ) from None
        if url.password and not hidden and not is_reference(str(url.password)):
            raise BadConfiguration(
                "feed.secret",
                "the address holds a password",
                where=where,
                hint="write ${env:NAME} or ${file:PATH} in its place",
            )
        said = {
            part: reveal(str(value), root=root, where=where)
            for part in ("username", "password", "host", "database")
            if (value := getattr(url, part)) is not None
        }
        url = url.set(drivername=drivername, **said)  # type: ignore[arg-type]  # each of them is a text
        file = (root / (url.database or "")).resolve() if url.get_backend_name() == "sqlite" else None
        if file is not None and not file.is_file():
            raise BadData(
                "feed.missing",
                f"there is no file {file.name!r}",
                where=f"feed {feed}",
                hint="check `source` in features/feeds.yaml; it starts from the workspace's folder",
            )
        return cls(feed, url, timeout, file)

    @property
    def dialect(self) -> str:
        return self.url.get_backend_name()

    def now(self) -> datetime:
        """Return the server's present moment; of SQLite, when its file was written."""
        if self.file is not None:
            return datetime.fromtimestamp(self.file.stat().st_mtime, UTC)
        (row,) = self.rows(sa.select(sa.func.now()))
        moment: datetime = row[0]
        return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)

    def rows(self, select: sa.Executable) -> list[Any]:
        """Return all the rows of a small answer."""
        with self._waiting() as connection:
            return list(connection.execute(select).all())

    def partitions(self, select: sa.Executable, *, size: int) -> Iterator[Sequence[Any]]:
        """Yield rows in parts as the server sends them; it holds its own cursor, and so does not send ahead."""
        with self._waiting() as connection:
            streamed = connection.execution_options(stream_results=True, max_row_buffer=size)
            result = streamed.execute(select)
        try:
            parts = result.partitions(size)
            while True:
                with self._waiting():
                    part = next(parts, None)
                if part is None:
                    return
                yield part
        finally:
            with suppress(Exception):  # the server may be gone, and its cursor with it
                result.close()

    def names(self, query: sa.TextClause) -> list[str]:
        """Return what the columns of a query are called, without its rows."""
        nothing = sa.select(sa.text("*")).select_from(query.columns().subquery("feed_rows")).where(sa.false())
        with self._waiting() as connection:
            return list(connection.execute(nothing).keys())

    def describe(self, table: str, schema: str | None) -> sa.Table | None:
        """Return a table or view with its columns as the database describes them; None when it is not there."""
        with self._waiting() as connection:
            try:
                return sa.Table(table, sa.MetaData(), schema=schema, autoload_with=connection, resolve_fks=False)
            except sa.exc.NoSuchTableError:
                return None

    def tables(self, schema: str | None) -> list[str]:
        """Return the names of the tables and views."""
        with self._waiting() as connection:
            inspector = sa.inspect(connection)
            return sorted([*inspector.get_table_names(schema=schema), *inspector.get_view_names(schema=schema)])

    def close(self) -> None:
        """Hang up."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(Exception):  # the server may be gone; there is nothing left to do with it
                connection.close()
        if self._engine is not None:
            self._engine.dispose()

    @contextmanager
    def _waiting(self) -> Iterator[Any]:
        """Yield the connection; when the time is over before the block ends, the wait is cut off.

        Raises
        ------
        Unreachable : the server is not there, refuses us, or did not answer in time
        BadConfiguration : it does not understand the query
        """
        over = threading.Event()
        timer: threading.Timer | None = None
        try:
            if self._connection is None:
                self._connection = self._connect()
            timer = threading.Timer(self.timeout.total_seconds(), self._cut, [self._connection, over])
            timer.daemon = True
            timer.start()
            yield self._connection
        except NextbestError:
            raise
        except (sa.exc.SQLAlchemyError, OSError, UnicodeError) as error:
            self.close()
            raise self._explained(error, late=over.is_set()) from None
        finally:
            if timer is not None:
                timer.cancel()

    def _connect(self) -> Any:
        seconds = self.timeout.total_seconds()
        arguments: dict[str, Any]
        url = self.url
        if self.file is not None:
            arguments = {"timeout": seconds, "check_same_thread": False}
            url = url.set(database=self.file.as_uri(), query={"mode": "ro", "uri": "true"})
        elif self.dialect == "postgresql":
            limit = f"-c statement_timeout={int(seconds * 1000)} -c default_transaction_read_only=on -c TimeZone=UTC"
            arguments = {"connect_timeout": max(1, int(seconds)), "options": limit}
        else:
            arguments = {"connect_timeout": seconds, "read_timeout": seconds, "write_timeout": seconds}
            arguments["init_command"] = "SET time_zone = '+00:00'"
            arguments["charset"] = "utf8mb4"
        self._engine = sa.create_engine(url, connect_args=arguments, poolclass=sa.pool.NullPool, hide_parameters=True)
        sa.event.listen(self._engine, "handle_error", _close_cursor)
        connection = self._engine.connect()
        if self.file is None and self.dialect != "postgresql":
            connection.execute(sa.text("SET SESSION TRANSACTION READ ONLY"))
            connection.rollback()
        return connection

    def _cut(self, connection: Any, over: threading.Event) -> None:
        """End the wait from beside: shut the socket, or interrupt SQLite; the waiting thread then gets its error."""
        over.set()
        with suppress(Exception):  # whatever goes wrong here, the driver's own limit still stands
            raw = connection.connection.driver_connection
            if self.file is not None:
                raw.interrupt()
                return
            handle = raw.fileno() if hasattr(raw, "fileno") else raw._sock.fileno()
            with socket.fromfd(handle, socket.AF_INET, socket.SOCK_STREAM) as twin:
                twin.shutdown(socket.SHUT_RDWR)

    def _explained(self, error: Exception, *, late: bool) -> NextbestError:
        raw = getattr(error, "orig", None)
        state = str(getattr(raw, "sqlstate", "") or "")
        number = raw.args[0] if raw is not None and raw.args and isinstance(raw.args[0], int) else 0
        said = str(raw)
        damaged = self.file is not None and ("not a database" in said or "malformed" in said)
        if damaged:
            return BadData(
                "feed.truncated",
                f"{self.file.name if self.file else 'the file'} is not a whole SQLite database",
                where=f"feed {self.feed}",
                hint="it is truncated or damaged: deliver it again",
            )
        unsound = (
            state[:2] in ("42", "22") or number in (1054, 1064, 1146, 1142) or "no such" in said or "syntax" in said
        )
        if not late and (unsound or isinstance(error, sa.exc.CompileError)):
            return BadConfiguration(
                "feed.query",
                f"the database does not understand what it is asked ({state or number or type(error).__name__})",
                where=f"feeds.{self.feed}",
                hint="check `table` and `query`, and that the user may read them",
            )
        seconds = f"{self.timeout.total_seconds():g}"
        what = f"does not answer within {seconds} s" if late or _is_late(raw, state, number) else "cannot be reached"
        return Unreachable(
            "feed.unreachable",
            f"the database {what} ({state or type(raw or error).__name__})",
            where=f"feed {self.feed}",
            hint="check the address, the user, the network and `timeout`; the last good state stands",
        )


def _close_cursor(context: sa.ExceptionContext) -> None:
    """Close a cursor that the server holds: its connection first, since over a broken one it cannot say goodbye."""
    cursor: Any = getattr(context.execution_context, "cursor", None)
    if getattr(cursor, "name", None):
        with suppress(Exception):  # whatever is closed already is what we want
            cursor.connection.close()
        with suppress(Exception):
            cursor.close()


def _is_late(raw: object, state: str, number: int) -> bool:
    said = str(raw).lower()
    return state == "57014" or number in (1969, 3024) or "timeout" in said or "timed out" in said or "locked" in said
