"""Numbers that a file stores as numbers, with texts beside them in one column: neither is read by the other's mark."""

from __future__ import annotations

import re
from collections.abc import Mapping
from decimal import Decimal
from typing import Any

#: A text in which a comma stands before the last digits, and nothing else could be the decimal mark.
_COMMA = re.compile(r"\D{0,4}[0-9][0-9.' \u00a0\u202f]*,[0-9]+\D{0,4}")


class StoredNumber(str):
    """A number of a file, digit for digit as it is written there."""


class TypedNumbers:
    """Which columns of a source hold stored numbers, and how those are written where texts stand beside them.

    A column of stored numbers alone is read with a point, whatever mark texts of other columns have. A stored fraction
    beside texts with decimal commas is written without a mark: 12.5 as 125e-1.

    Parameters
    ----------
    decimal : the decimal mark that is declared for texts

    Examples
    --------
    >>> seen = TypedNumbers(None)
    >>> for value in (StoredNumber("1.234"), "12,50"):
    ...     seen.observe({"paid": value})
    >>> seen.observe({"rate": StoredNumber("0.5")})
    >>> seen.columns, seen.written("paid", "1.234"), seen.written("rate", "0.5")
    (frozenset({'rate'}), '1234e-3', '0.5')
    """

    def __init__(self, decimal: str | None) -> None:
        self._numbers, self._texts = set[str](), set[str]()
        self._commas: set[str] | None = None if decimal == "," else set()

    def observe(self, row: Mapping[str, Any]) -> None:
        """Note what the columns of a row hold: `StoredNumber` or a number, text, or nothing."""
        for column, value in row.items():
            if value is None or value == "":
                continue
            if isinstance(value, (StoredNumber, int, float)) and not isinstance(value, bool):
                self._numbers.add(column)
                continue
            self._texts.add(column)
            if self._commas is not None and isinstance(value, str) and _COMMA.fullmatch(value.strip()):
                self._commas.add(column)

    @property
    def columns(self) -> frozenset[str]:
        """The columns in which every value is a stored number."""
        return frozenset(self._numbers - self._texts)

    def written(self, column: str, number: str) -> str:
        """Return a stored number of a column as text that no decimal mark makes another number."""
        mixed = column in self._numbers and column in self._texts
        if not mixed or "." not in number or (self._commas is not None and column not in self._commas):
            return str(number)
        sign, digits, exponent = Decimal(number).as_tuple()
        return f"{'-' if sign else ''}{''.join(map(str, digits))}e{exponent}"
