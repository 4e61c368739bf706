"""The one way to customer data: for a purpose, and only of those for whom it has a basis; the withheld are counted."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import duckdb
import pyarrow as pa

from features.base.clock import as_utc
from features.base.database_engine import literal, one_row, open_engine
from features.base.errors import BadConfiguration, BadData
from features.base.generations import not_published
from features.base.workspace import Workspace
from features.config.engine_settings import engine_resources
from features.config.loading import did_you_mean
from features.config.purposes import Purpose
from features.consent.lawful_basis import basis_select
from features.identity.customer_tables import PERSONAL, Columns, register
from features.identity.data_time import about_customers, known_span, next_midnight

#: Before the names of the tables with all their rows, which only the filter reads.
_ALL = "all_"


@dataclass(frozen=True)
class Withheld:
    """Customers who are not there for a purpose, and why.

    Parameters
    ----------
    purpose : the purpose; empty where any declared one would have done
    reason : ``no_consent``, ``withdrawn``, ``objected``, ``unknown``, ``expired``; ``no_basis`` for any purpose at all
    customers : how many
    """

    purpose: str
    reason: str
    customers: int


def by_purpose(withheld: Iterable[Withheld]) -> dict[str, dict[str, int]]:
    """Return purpose → reason → customers; the purpose is ``any`` where any declared one would have done.

    Examples
    --------
    >>> by_purpose([Withheld("marketing", "withdrawn", 3), Withheld("", "withdrawn", 1)])
    {'any': {'withdrawn': 1}, 'marketing': {'withdrawn': 3}}
    """
    found: dict[str, dict[str, int]] = {}
    for row in sorted(withheld, key=lambda row: (row.purpose, row.reason)):
        found.setdefault(row.purpose or "any", {})[row.reason] = row.customers
    return found


@dataclass(frozen=True)
class Access:
    """What a purpose may see.

    Parameters
    ----------
    columns : of each canonical table, and which of them hold numbers
    withheld : who is not there, by reason
    moment : whose statements counted
    generation : the folder of the tables
    """

    columns: Columns
    withheld: tuple[Withheld, ...]
    moment: datetime
    generation: Path


class CustomerData:
    """The canonical tables of one generation, opened once; a purpose at a time is let through to them.

    Before `allow` is called, no table can be read: the engine has none under its name.

    Parameters
    ----------
    engine : may read the workspace's state
    workspace : unified before
    purposes : the declared purposes
    as_of : see `open_customer_data`

    Raises
    ------
    BadData : there are no customers yet
    """

    def __init__(
        self,
        engine: duckdb.DuckDBPyConnection,
        workspace: Workspace,
        purposes: Mapping[str, Purpose],
        *,
        as_of: datetime | None = None,
    ) -> None:
        self.engine, self._purposes = engine, purposes
        self._generation = workspace.unified
        self.columns: Columns = register(engine, self._generation, streaming=workspace.streaming, prefix=_ALL)
        if "customers" not in self.columns:
            raise not_published("customers.not_unified", workspace.state / "unified", "customers", "unify")
        self.moment = present(engine, self.columns, as_of=as_of, prefix=_ALL)
        if purposes:
            everybody, consents = f"{_ALL}customers", f"{_ALL}consents" if "consents" in self.columns else None
            find_status(engine, purposes, everybody, as_of=self.moment, consents=consents)

    def allow(self, *, purpose: str | None) -> Access:
        """Leave in the tables the rows of those customers alone for whom a purpose has a basis.

        Parameters
        ----------
        purpose : one of the declared ones; None where any of them will do

        Raises
        ------
        BadConfiguration : the purpose is not declared
        """
        check_purpose(purpose, self._purposes, where="purpose")
        withheld = find_allowed(self.engine, purpose) if self._purposes else ()
        about = about_customers(self.columns) if withheld else []
        for kind in self.columns:
            where = " WHERE customer_id IN (SELECT customer_id FROM allowed)" if kind in about else ""
            self.engine.execute(f"CREATE OR REPLACE VIEW {kind} AS SELECT * FROM {_ALL}{kind}{where}")
        return Access(self.columns, withheld, self.moment, self._generation)


def open_customer_data(
    engine: duckdb.DuckDBPyConnection,
    workspace: Workspace,
    purposes: Mapping[str, Purpose],
    *,
    purpose: str | None,
    as_of: datetime | None = None,
) -> Access:
    """Make the canonical tables known to the engine, without the rows of customers for whom there is no basis.

    Parameters
    ----------
    engine : may read the workspace's state
    workspace : unified before
    purposes : the declared purposes
    purpose : what the data is wanted for; None where any declared purpose would do (and everybody is there when a
        workspace declares none)
    as_of : later than the last known row, a grant may have expired by then; earlier, it changes nothing: whoever has
        withdrawn is left out, of rows of the past, too

    Raises
    ------
    BadConfiguration : the purpose is not declared
    """
    check_purpose(purpose, purposes, where="purpose")
    return CustomerData(engine, workspace, purposes, as_of=as_of).allow(purpose=purpose)


def present(
    engine: duckdb.DuckDBPyConnection, columns: Columns, *, as_of: datetime | None = None, prefix: str = ""
) -> datetime:
    """Return the moment whose statements count: the present one of the data, or `as_of` where that is later."""
    now = next_midnight(known_span(engine, columns, prefix=prefix)[1])
    return now if as_of is None else max(now, as_utc(as_of))


def find_status(
    engine: duckdb.DuckDBPyConnection,
    purposes: Mapping[str, Purpose],
    customers: str,
    *,
    as_of: datetime,
    consents: str | None,
) -> None:
    """Create ``consent_status`` (customer_id, purpose, reason): why a purpose has no basis, empty where it has one.

    Parameters
    ----------
    engine : has the tables
    purposes : the declared purposes, at least one
    customers, consents : names of tables; None where there are no consents
    as_of : whose statements count
    """
    everybody = f"SELECT customer_id, bool_or(known_until IS NULL) AS present FROM {customers} GROUP BY customer_id"
    engine.execute(f"CREATE OR REPLACE TEMP VIEW everybody AS {everybody}")
    select = basis_select(purposes, as_of=as_of, statements=consents is not None, consents=consents or "")
    engine.execute(f"CREATE OR REPLACE TEMP TABLE consent_status AS {select}")


def find_allowed(engine: duckdb.DuckDBPyConnection, purpose: str | None) -> tuple[Withheld, ...]:
    """Create ``allowed`` (customer_id); return how many who have records at present are left out of it.

    Parameters
    ----------
    engine : has ``consent_status``, see `find_status`
    purpose : one of the declared purposes; None where any will do
    """
    asked = "true" if purpose is None else f"purpose = {literal(purpose)}"
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE allowed AS
        SELECT DISTINCT customer_id FROM consent_status WHERE reason IS NULL AND {asked}
        """
    )
    why = "'no_basis'" if purpose is None else "reason"
    rows = engine.execute(
        f"""
        SELECT {why} AS why, count(DISTINCT customer_id) FROM consent_status JOIN everybody USING (customer_id)
        WHERE {asked} AND present AND customer_id NOT IN (SELECT customer_id FROM allowed) GROUP BY why ORDER BY why
        """
    ).fetchall()
    return tuple(Withheld(purpose or "", reason, customers) for reason, customers in rows)


def allowed_customers(
    workspace: Workspace, purposes: Mapping[str, Purpose], *, purpose: str | None, as_of: datetime | None = None
) -> dict[str, int]:
    """Return the customers for whom there is a basis, in order, with how many records each has.

    See `open_customer_data`.
    """
    with open_engine(folders=[workspace.state / "unified"], resources=engine_resources(workspace)) as engine:
        open_customer_data(engine, workspace, purposes, purpose=purpose, as_of=as_of)
        counted = engine.execute(
            "SELECT customer_id, count(*) FROM customers WHERE known_until IS NULL GROUP BY 1 ORDER BY 1"
        ).fetchall()
    return {str(customer): int(records) for customer, records in counted}


def withheld_by_purpose(
    engine: duckdb.DuckDBPyConnection, purposes: Mapping[str, Purpose], columns: Columns
) -> tuple[dict[str, dict[str, int]], int]:
    """Return purpose → reason → customers, and how many customers lack some purpose that rests on consent.

    Parameters
    ----------
    engine : has the canonical tables
    purposes : the declared purposes
    columns : of the canonical tables
    """
    if not purposes:
        return {}, 0
    moment = present(engine, columns)
    find_status(engine, purposes, "customers", as_of=moment, consents="consents" if "consents" in columns else None)
    found: dict[str, dict[str, int]] = {purpose: {} for purpose in sorted(purposes)}
    for purpose, reason, customers in engine.execute(
        """
        SELECT purpose, reason, count(*) FROM consent_status JOIN everybody USING (customer_id)
        WHERE reason IS NOT NULL AND present GROUP BY ALL ORDER BY ALL
        """
    ).fetchall():
        found[purpose][reason] = customers
    asked = ", ".join(literal(name) for name, purpose in purposes.items() if purpose.basis == "consent") or "NULL"
    (lacking,) = one_row(
        engine,
        f"""
        SELECT count(DISTINCT customer_id) FROM consent_status JOIN everybody USING (customer_id)
        WHERE reason IS NOT NULL AND present AND purpose IN ({asked})
        """,
    )
    return found, int(lacking)


def rows_of(
    workspace: Workspace,
    purposes: Mapping[str, Purpose],
    table: str,
    customer: str,
    *,
    purpose: str | None,
    as_of: datetime | None = None,
    personal: bool = False,
) -> pa.Table:
    """Return one customer's rows of one table, in its order.

    Parameters
    ----------
    table : ``golden``, ``customers``, ``events``, …
    customer : the id
    purpose, as_of : what they are wanted for, and when; see `open_customer_data`
    personal : with what identifies the person (``golden`` and ``customers`` only)

    Raises
    ------
    BadData : the table is not there, the customer is not known, or there is no basis for the purpose
    """
    with open_engine(folders=[workspace.state / "unified"], resources=engine_resources(workspace)) as engine:
        access = open_customer_data(engine, workspace, purposes, purpose=purpose, as_of=as_of)
        path = access.generation / (PERSONAL if personal else "") / f"{table}.parquet"
        if not path.is_file():
            raise BadData("customers.no_table", f"this workspace has no {table}", hint="declare a feed of that kind")
        (there,) = engine.execute("SELECT count(*) FROM customers WHERE customer_id = ?", [customer]).fetchall()[0]
        if not there:
            raise _absent(access.withheld)
        rows: pa.Table = engine.sql(
            f"SELECT * FROM read_parquet({literal(str(path))}) WHERE customer_id = {literal(customer)}"
        ).to_arrow_table()
    return rows


def _absent(withheld: Collection[Withheld]) -> BadData:
    if withheld:
        return BadData(
            "customers.withheld_or_unknown",
            "this customer is not known, or there is no basis for the purpose",
            hint="`nextbest consent show CUSTOMER` tells which",
        )
    return BadData(
        "customers.unknown", "this customer is not known", hint="`nextbest identity resolve` follows past ids"
    )


def check_purpose(purpose: str | None, purposes: Collection[str], *, where: str) -> None:
    """Refuse a purpose that is not declared.

    Raises
    ------
    BadConfiguration : naming the nearest declared one
    """
    if purpose is not None and purpose not in purposes:
        raise BadConfiguration(
            "purpose.undeclared",
            f"the purpose {purpose!r} is not declared in features/feeds.yaml",
            where=where,
            hint=did_you_mean(purpose, sorted(purposes)),
        )
