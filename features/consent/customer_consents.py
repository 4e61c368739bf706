"""One customer's statements and what they allow, as of any moment and as far as it was known at any other."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from features.base.clock import as_utc
from features.base.database_engine import open_engine
from features.base.errors import BadData
from features.base.generations import not_published
from features.base.workspace import Workspace
from features.config.engine_settings import engine_resources
from features.config.purposes import Purpose
from features.consent.customer_data import present
from features.consent.lawful_basis import basis_select
from features.identity.customer_tables import register


@dataclass(frozen=True)
class Statement:
    """One entry of the consent ledger."""

    entry: str
    feed: str
    purpose: str
    status: str
    basis: str | None
    notice: str | None
    event_time: datetime
    known_at: datetime


@dataclass(frozen=True)
class ConsentStatus:
    """Where a customer stands.

    Parameters
    ----------
    as_of, known_at : statements that were given later, or came to light later, do not count
    reasons : why the data may not be used, by purpose; None where it may
    statements : those that count, oldest first
    """

    as_of: datetime
    known_at: datetime
    reasons: Mapping[str, str | None]
    statements: tuple[Statement, ...]


def consent_status_of(
    workspace: Workspace,
    purposes: Mapping[str, Purpose],
    customer: str,
    *,
    as_of: datetime | None = None,
    known_at: datetime | None = None,
) -> ConsentStatus:
    """Return where a customer stands.

    Parameters
    ----------
    workspace : unified before
    purposes : the declared purposes
    customer : the id
    as_of : when; the present moment of the data if left out
    known_at : as far as was known then; `as_of` if left out

    Raises
    ------
    BadData : nothing is unified yet, or there is no such customer
    """
    unified = workspace.unified
    if not (unified / "customers.parquet").is_file():
        raise not_published("consent.not_unified", workspace.state / "unified", "customers", "unify")
    with open_engine(folders=[unified], resources=engine_resources(workspace)) as engine:
        columns = register(engine, unified)
        moment = as_utc(as_of) if as_of is not None else present(engine, columns)
        known = as_utc(known_at) if known_at is not None else moment
        mine = "SELECT DISTINCT customer_id FROM customers WHERE customer_id = ?"
        engine.execute(f"CREATE TEMP TABLE everybody AS {mine}", [customer])
        if not engine.execute("SELECT * FROM everybody").fetchall():
            raise BadData(
                "consent.unknown_customer",
                "this customer is not known",
                where="customer_id",
                hint="`nextbest identity resolve` follows past ids",
            )
        statements: list[Statement] = []
        if "consents" in columns:
            rows = engine.execute(
                """
                SELECT record_id, feed, purpose, status, basis, notice, event_time, known_at FROM consents
                WHERE customer_id = ? AND event_time <= ? AND known_at <= ?
                ORDER BY event_time, known_at, record_id
                """,
                [customer, moment, known],
            ).fetchall()
            statements = [Statement(*row) for row in rows]
        reasons: dict[str, str | None] = {}
        if purposes:
            select = basis_select(purposes, as_of=moment, known_at=known, statements="consents" in columns)
            reasons = {
                purpose: reason
                for _, purpose, reason in sorted(engine.execute(select).fetchall(), key=lambda row: row[1])
            }
    return ConsentStatus(moment, known, reasons, tuple(statements))
