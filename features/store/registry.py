"""A registry on PostgreSQL: connected so that every wait ends, and a server out of reach is said plainly; no Feast."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from features.base.errors import Unreachable
from features.store.records import WAIT_S


def engine_arguments(address: str) -> Mapping[str, Any]:
    """Return what SQLAlchemy is to make the engine of the registry with.

    Parameters
    ----------
    address : ``postgresql+psycopg://…``, its secret revealed; never printed
    """
    import psycopg
    import sqlalchemy as sa

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
