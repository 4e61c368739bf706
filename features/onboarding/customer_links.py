"""Links of rows to customers: by overlap of the values of two columns, unless the linked people differ."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from features.base.database_engine import one_row, quoted
from features.config.canonical import snake_case
from features.onboarding.column_names import names_customer, names_id, plain
from features.onboarding.column_profile import ColumnProfile, TableProfile, text_of
from features.onboarding.proposal import CustomerLink, ProposedFeed

#: A column whose values another holds to this share is taken to name its records.
LINKED = 0.5
#: Below this some rows would have no customer, and the feed gets customers of its own.
COMPLETE = 0.95
#: Linked records that agree less often than this on who they are about are not the same people.
_AGREE = 0.5
_FEW = 12
_TELLING = ("email", "last_name", "first_name", "full_name", "phone")


class Overlaps:
    """How far the values of columns overlap; each is computed once.

    Parameters
    ----------
    engine : holds the tables
    """

    def __init__(self, engine: duckdb.DuckDBPyConnection) -> None:
        self._engine = engine
        self._values: dict[tuple[str, str], str] = {}

    def share(self, table: TableProfile, column: str, other: TableProfile, other_column: str) -> float:
        """Return the share of a column's different values that another column has."""
        mine, theirs = self._of(table, column), self._of(other, other_column)
        found, total = one_row(
            self._engine,
            f"SELECT count(b.value), count(*) FROM {mine} a LEFT JOIN {theirs} b ON a.value = b.value",
        )
        return float(found) / total if total else 0.0

    def agreement(self, link: CustomerLink, own: ProposedFeed, other: ProposedFeed) -> float | None:
        """Return how often linked records agree on the person; None where nothing can be compared."""
        best: float | None = None
        mine, theirs = own.given.table, other.given.table
        for field in _TELLING:
            if field not in own.fields or field not in other.fields:
                continue
            left, right = own.fields[field].value, other.fields[field].value
            if left not in mine.columns or right not in theirs.columns:
                continue
            share, pairs = one_row(
                self._engine,
                f"""
                SELECT avg(CASE WHEN lower(a.mapped) = lower(b.mapped) THEN 1.0 ELSE 0.0 END), count(*)
                FROM (SELECT {_text(mine, link.own)} AS id, {_text(mine, left)} AS mapped FROM {quoted(mine.table)}) a
                JOIN (SELECT {_text(theirs, link.column)} AS id, {_text(theirs, right)} AS mapped
                      FROM {quoted(theirs.table)}) b USING (id)
                WHERE a.mapped IS NOT NULL AND b.mapped IS NOT NULL
                """,
            )
            if pairs:
                best = max(best or 0.0, float(share))
        return best

    def _of(self, table: TableProfile, column: str) -> str:
        known = self._values.get((table.table, column))
        if known is None:
            known = f"values_{len(self._values)}"
            self._engine.execute(
                f"CREATE TEMP TABLE {known} AS SELECT DISTINCT {_text(table, column)} AS value "
                f"FROM {quoted(table.table)} WHERE value IS NOT NULL"
            )
            self._values[table.table, column] = known
        return known

    def best(
        self, table: TableProfile, own: Sequence[ColumnProfile], among: Sequence[ProposedFeed]
    ) -> tuple[CustomerLink, float] | None:
        """Return the link with the largest overlap, and that; None where nothing overlaps.

        Parameters
        ----------
        table : whose rows are to find their customers
        own : its columns that may name one
        among : feeds of customers
        """
        found: list[tuple[float, bool, int, CustomerLink]] = []
        for place, feed in enumerate(among):
            for column in own:
                for theirs in _named_by(feed):
                    if not _comparable(column, theirs):
                        continue
                    share = self.share(table, column.name, feed.given.table, theirs.name)
                    if share > 0.01:
                        reason = (
                            f"{share:.1%} of the {column.distinct:,} different values are in {feed.name}.{theirs.name}"
                        )
                        is_key = feed.key == (theirs.name,)
                        link = CustomerLink(feed.name, theirs.name, column.name, reason)
                        found.append((share, is_key, -place, link))
        if not found:
            return None
        share, *_, link = max(found, key=lambda one: one[:3])
        return link, share

    def agree(self, link: CustomerLink, own: ProposedFeed, other: ProposedFeed) -> tuple[bool, str]:
        """Return whether linked records seem to be the same people, and the reason in words."""
        share = self.agreement(link, own, other)
        if share is None:
            return True, link.reason
        return share >= _AGREE, f"{link.reason}; {share:.0%} of the linked records agree on a name or contact"


def naming_columns(table: TableProfile) -> list[ColumnProfile]:
    """Return the columns of customers by which other sources may name them."""
    found = [
        column
        for column in table.columns.values()
        if (names_id(column.name) or names_customer(column.name) or table.is_unique(column))
        and not column.is_time
        and column.share("code") >= LINKED
        and column.sql_type not in ("DOUBLE", "FLOAT", "BOOLEAN")
        and column.distinct * 2 > column.filled > 0
    ]
    return found or customer_columns(table)


def customer_columns(table: TableProfile) -> list[ColumnProfile]:
    """Return the columns that refer to a customer by name and values; the likeliest first."""
    found = [
        column
        for column in table.columns.values()
        if names_customer(column.name)
        and column.share("code") >= LINKED
        and not column.is_time
        and (column.distinct > _FEW or column.distinct * 20 >= table.rows)
    ]
    return sorted(found, key=lambda column: not names_id(column.name))


def _named_by(feed: ProposedFeed) -> list[ColumnProfile]:
    table = feed.given.table
    keys = [table.columns[name] for name in feed.key if name in table.columns]
    others = [] if feed.drop else naming_columns(table)  # made of activities: only the key is theirs
    return [*keys, *(column for column in others if column not in keys)]


def _comparable(one: ColumnProfile, other: ColumnProfile) -> bool:
    """Return whether equal values are evidence: consecutive numbers overlap by chance, so the names have to agree."""
    if not (one.is_whole_number and other.is_whole_number):
        return True
    same = plain(one.name) == plain(other.name) or snake_case(one.name) == snake_case(other.name)
    return same or (names_customer(one.name) and names_customer(other.name))


def _text(table: TableProfile, column: str) -> str:
    return text_of(column, table.columns[column].sql_type)
