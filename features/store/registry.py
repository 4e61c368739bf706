"""The registry's database: plain errors for a damaged file or an unreachable server, no endless wait; no Feast."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psycopg
import sqlalchemy as sa

from features.base.errors import StorageFailure, Unreachable
from features.store.online_records import WAIT_S

_SQLITE = "sqlite:///"
_HEADER = b"SQLite format 3\0"


def engine_arguments(address: str) -> Mapping[str, Any]:
    """Return the arguments of SQLAlchemy's engine for the registry.

    Parameters
    ----------
    address : ``postgresql+psycopg://…``, its secret revealed; never printed
    """
    url = sa.make_url(address).set(drivername="postgresql").render_as_string(hide_password=False)

    def connect() -> psycopg.Connection[Any]:
        try:
            return psycopg.connect(
                url, connect_timeout=round(WAIT_S), options=f"-c statement_timeout={round(WAIT_S * 1000)}"
            )
        except psycopg.OperationalError as error:
            raise Unreachable(
                "store.registry_unreachable",
                f"the PostgreSQL server of the registry cannot be reached ({type(error).__name__})",
                where="features/feature_store.yaml",
                hint="check `registry.path`, and that the server is up and lets you in",
            ) from None

    return {"creator": connect, "pool_pre_ping": True}


def refuse_damage(address: str) -> None:
    """Refuse a registry's file that is no SQLite database, before Feast opens it.

    Raises
    ------
    StorageFailure : the file is damaged
    """
    path = Path(address.removeprefix(_SQLITE))
    if not address.startswith(_SQLITE) or not path.is_file() or path.stat().st_size == 0:
        return
    with path.open("rb") as stream:
        if stream.read(len(_HEADER)) == _HEADER:
            return
    raise StorageFailure(
        "store.registry_damaged",
        "Feast's registry is damaged: it is no SQLite database",
        where=path.name,
        hint="remove the file and run `nextbest features`, which registers everything again",
    )
