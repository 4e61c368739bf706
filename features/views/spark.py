"""Spark as the engine of the views, for what is too much for one machine: the same views, the same snapshots.

DuckDB reads the canonical tables under the filter of consents and writes the rows of a view's source as Parquet. Spark
joins them with the cutoffs and aggregates, which is where the work grows, and writes the features as Parquet.
"""

from __future__ import annotations

import logging
import os
import shutil
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import urlsplit

import duckdb
import ibis

from features.base.database_engine import literal, quoted
from features.base.errors import BadConfiguration, StorageFailure, Unreachable
from features.base.parquet import stream_parquet
from features.config.views_file import SparkSettings
from features.views.compute import embedded, too_large
from features.views.plan import PlannedView
from features.views.spark_dialect import tables_of, to_spark

PATIENCE = 5.0  # seconds that a master may take to answer
#: Makes Spark compute as DuckDB does, whatever the cluster's own settings.
_ALIKE = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.ansi.enabled": "true",  # a number that is too large is an error, never a null
    "spark.sql.caseSensitive": "true",
    "spark.sql.parquet.datetimeRebaseModeInRead": "CORRECTED",  # days before 1582 stay what they are
}
_OWN = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.catalogImplementation": "in-memory",
}
#: An error in Spark's log would quote rows; ours describe it without.
_SILENCE = """\
rootLogger.level = off
rootLogger.appenderRef.stderr.ref = stderr
appender.stderr.type = Console
appender.stderr.name = stderr
appender.stderr.target = SYSTEM_ERR
"""
_TYPES = {
    "TIMESTAMP WITH TIME ZONE": ("TIMESTAMPTZ", "TIMESTAMP"),
    **dict.fromkeys(("TINYINT", "SMALLINT", "INTEGER", "BIGINT"), ("BIGINT", "BIGINT")),
}


class _Library(NamedTuple):
    """What is used of pyspark: its sessions, the error of a number out of range, and all errors."""

    session: Any
    out_of_range: type[Exception]
    failures: tuple[type[Exception], type[Exception]]


def _load_spark() -> _Library:
    """Import pyspark, which is optional."""
    from py4j.protocol import Py4JError
    from pyspark.errors import ArithmeticException, PySparkException
    from pyspark.sql import SparkSession

    return _Library(SparkSession, ArithmeticException, (PySparkException, Py4JError))


class Spark:
    """A session of Spark, and the folder through which it and DuckDB exchange tables.

    Parameters
    ----------
    session : of Spark
    folder : that both may read and write; on a cluster, all its workers too
    """

    def __init__(self, session: Any, folder: Path) -> None:
        self._session = session
        self.folder = folder
        for name, value in _ALIKE.items():
            session.conf.set(name, value)

    def rows(self, engine: duckdb.DuckDBPyConnection, view: PlannedView) -> str:
        """Compute a view; return the relation of its rows in DuckDB, there until the next view is computed.

        A view whose SQL may mean something else to Spark is computed by DuckDB.

        Raises
        ------
        BadData : a number is too large to be added exactly
        StorageFailure : Spark ran out of memory or disk
        """
        shutil.rmtree(self.folder, ignore_errors=True)
        with_duckdb = embedded(engine, view)  # from here on DuckDB knows the view's source
        statement = self.statement(engine, view)
        if statement is None:
            return with_duckdb
        for table in sorted(tables_of(view.select)):
            path = self.folder / f"{table}.parquet"
            try:
                stream_parquet(engine.sql(_exchanged(engine, table)).to_arrow_reader(), path)
            except (duckdb.ConversionException, duckdb.OutOfRangeException):
                raise too_large(engine, view) from None
            self._session.read.schema(_schema(engine, table)).parquet(path.as_uri()).createOrReplaceTempView(table)
        result = self.folder / "result"
        self._run(statement, result, view, engine)
        return f"read_parquet({literal(str(result / '*.parquet'))})"

    def statement(self, engine: duckdb.DuckDBPyConnection, view: PlannedView) -> str | None:
        """Return Spark's SQL of a view whose source is known, or None where DuckDB computes the view."""
        if view.expression is not None:
            return str(ibis.to_sql(view.expression, dialect=ibis.pyspark.name))
        numbers = {
            name
            for table in tables_of(view.select)
            for name, kind in _described(engine, table).items()
            if _is_number(kind)
        }
        return to_spark(view.select, numbers=numbers)

    def _run(self, statement: str, result: Path, view: PlannedView, engine: duckdb.DuckDBPyConnection) -> None:
        library = _load_spark()
        try:
            self._session.sql(statement).write.parquet(result.as_uri(), mode="overwrite")
        except library.out_of_range:
            raise too_large(engine, view) from None
        except library.failures as error:
            raise StorageFailure(
                "spark.failed",
                f"Spark could not compute it ({type(error).__name__})",
                where=f"view {view.name}",
                hint="give it more memory under snapshots.spark, free some disk, or leave `engine` out for DuckDB",
            ) from None


@contextmanager
def open_spark(settings: SparkSettings, *, folder: Path) -> Iterator[Spark]:
    """Yield Spark, on this machine or on the cluster that the settings name.

    A session that is already there, as in a notebook, shares its cluster and is not changed.

    Parameters
    ----------
    settings : the master and its memory
    folder : for exchanged tables and what does not fit into memory; it is removed at the end

    Raises
    ------
    BadConfiguration : pyspark or Java is not there
    Unreachable : the master does not answer
    """
    refuse_without_spark()
    active = _load_spark().session.getActiveSession()
    session = active.newSession() if active is not None else _started(settings, folder)
    try:
        yield Spark(session, folder.resolve() / "exchange")
    finally:
        if active is None:
            session.stop()
        shutil.rmtree(folder, ignore_errors=True)


def refuse_without_spark() -> None:
    """Refuse to go on where Spark cannot run.

    Raises
    ------
    BadConfiguration : pyspark or Java is not there
    """
    where = "features/views.yaml: snapshots.engine"
    if find_spec("pyspark") is None:
        raise BadConfiguration(
            "spark.absent",
            "the engine spark needs pyspark, which is not installed",
            where=where,
            hint="install nextbest[spark], or leave `engine` out for DuckDB",
        )
    home = os.environ.get("JAVA_HOME")
    if shutil.which("java") is None and not (home and (Path(home) / "bin" / "java").is_file()):
        raise BadConfiguration(
            "spark.no_java",
            "the engine spark needs Java 17 or later, which is not found",
            where=where,
            hint="install a Java runtime and set JAVA_HOME, or leave `engine` out for DuckDB",
        )


def _started(settings: SparkSettings, folder: Path) -> Any:
    refuse_a_silent_master(settings.master)
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    logging.getLogger("SQLQueryContextLogger").setLevel(logging.CRITICAL + 1)  # it would quote rows
    folder.mkdir(parents=True, exist_ok=True)
    logs = folder / "log4j2.properties"
    logs.write_text(_SILENCE, encoding="utf-8")
    options = {
        **_OWN,
        **_ALIKE,
        "spark.driver.memory": settings.memory,
        "spark.executor.memory": settings.memory,
        "spark.local.dir": str(folder.resolve()),
        "spark.sql.warehouse.dir": (folder.resolve() / "warehouse").as_uri(),
        "spark.driver.extraJavaOptions": f"-Dlog4j.configurationFile={logs.resolve().as_uri()}",
    }
    if settings.is_local:
        options |= {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
    library = _load_spark()
    try:
        return library.session.builder.master(settings.master).appName("nextbest").config(map=options).getOrCreate()
    except (*library.failures, OSError) as error:
        raise Unreachable(
            "spark.not_started",
            f"Spark does not start ({type(error).__name__})",
            where="features/views.yaml: snapshots.spark",
            hint="try `master: local[*]`; Spark 4.3 needs Java 17 or later",
        ) from None


def refuse_a_silent_master(master: str) -> None:
    """Refuse a cluster whose port does not answer, for which Spark would wait minutes."""
    address = urlsplit(master)
    if address.scheme != "spark" or address.hostname is None:
        return
    try:
        socket.create_connection((address.hostname, address.port or 7077), timeout=PATIENCE).close()
    except OSError as error:
        raise Unreachable(
            "spark.unreachable",
            f"the Spark master does not answer ({type(error).__name__})",
            where="features/views.yaml: snapshots.spark.master",
            hint="start it, mend its address, or leave `engine` out for DuckDB",
        ) from None


def _exchanged(engine: duckdb.DuckDBPyConnection, table: str) -> str:
    """Return SQL of a table for Spark: text, numbers and times; all else as text, as in features."""
    columns = ", ".join(
        f"CAST({quoted(name)} AS {kind}) AS {quoted(name)}" for name, (kind, _) in _columns(engine, table).items()
    )
    return f"SELECT {columns} FROM {table}"


def _schema(engine: duckdb.DuckDBPyConnection, table: str) -> str:
    """Return the columns of an exchanged table as Spark declares them, so that it need not infer them."""
    return ", ".join(f"`{name.replace('`', '``')}` {kind}" for name, (_, kind) in _columns(engine, table).items())


def _columns(engine: duckdb.DuckDBPyConnection, table: str) -> dict[str, tuple[str, str]]:
    """Return the type of each column of an exchanged table, in DuckDB and in Spark."""

    def types(kind: str) -> tuple[str, str]:
        if kind.startswith("DECIMAL"):
            return kind, kind
        return _TYPES.get(kind) or (("DOUBLE", "DOUBLE") if _is_number(kind) else ("VARCHAR", "STRING"))

    return {name: types(kind) for name, kind in _described(engine, table).items()}


def _described(engine: duckdb.DuckDBPyConnection, table: str) -> dict[str, str]:
    return {name: kind for name, kind, *_ in engine.execute(f"DESCRIBE {table}").fetchall()}


def _is_number(kind: str) -> bool:
    return kind.startswith("DECIMAL") or any(number in kind for number in ("DOUBLE", "FLOAT", "INT"))
