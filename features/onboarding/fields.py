"""Which column holds which canonical field: by its name, and only where its values look like it."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping

from features.config.canonical import Kind
from features.onboarding.column_names import (
    BIRTH_PARTS,
    FIELD_NAMES,
    HOUSE_NUMBER,
    OF_BIRTH,
    UNIT_PRICE,
    names_customer,
    plain,
    words,
)
from features.onboarding.column_profile import ColumnProfile, TableProfile
from features.onboarding.proposal import Reasoned, reference
from features.onboarding.time_columns import TimeFormat, names_time, read_moments

#: A number field is taken from a column in which at least so many of the values are numbers.
_NUMBERS = 0.95
#: An e-mail or telephone is a column in which at least so many of the values look like it.
_CONTACTS = 0.5
#: A column of text with this share of whole numbers may become one of numbers when it is read.
_DIGITS = 0.9

_FITS: Mapping[str, Callable[[ColumnProfile], bool]] = {
    "email": lambda column: column.share("email") >= _CONTACTS,
    "phone": lambda column: column.share("phone") >= _CONTACTS,
    "postcode": lambda column: column.share("place") >= _CONTACTS,
    "gender": lambda column: column.distinct <= 10,
    "first_name": lambda column: column.share("digits") < _CONTACTS,
    "last_name": lambda column: column.share("digits") < _CONTACTS,
    "full_name": lambda column: column.share("digits") < _CONTACTS,
    "city": lambda column: column.share("number") < _CONTACTS,
    "text": lambda column: column.share("number") < _CONTACTS,
}
_NUMBER_FIELDS = ("amount", "quantity", "price", "selection_prob")


def map_fields(kind: Kind, table: TableProfile, *, taken: Collection[str] = ()) -> dict[str, Reasoned]:
    """Return the canonical fields of a kind that columns of a table hold, each with its reason.

    Parameters
    ----------
    kind : the canonical table
    table : the source
    taken : columns that mean something else already
    """
    found: dict[str, Reasoned] = {}
    free = {name: column for name, column in table.columns.items() if name not in taken and column.filled}
    for field, names in FIELD_NAMES[kind].items():
        for name in names:
            column = next((c for c in free.values() if plain(c.name) == name and _fits(field, c)), None)
            if column is None:
                continue
            mapped = _said(field, column)
            if mapped is not None:
                found[field] = mapped
                del free[column.name]
                break
    if kind == "customers":
        found |= _of_shape(found, free) | _born(found, free) | _street(found, free)
    if kind == "events" and "amount" not in found and "quantity" in found:
        found |= _paid(found["quantity"].value, table, free)
    return found


def birth_parts(table: TableProfile) -> tuple[str, str, str] | None:
    """Return the three columns that hold a birth's year, month and day, where there are such."""
    lower = {name.lower(): name for name in table.columns}
    for parts in BIRTH_PARTS:
        if all(part in lower for part in parts):
            year, month, day = (lower[part] for part in parts)
            return year, month, day
    return None


def moments_of(column: ColumnProfile, *, as_date: bool = False) -> TimeFormat | None:
    """Return how a column's moments are read; None where it holds none."""
    return read_moments(
        column.name,
        _text_of(column) if column.stays_text or column.share("digits") < _DIGITS else digits_of(column),
        column.sql_type,
        column.shapes,
        whole=column.whole,
        named=names_time(words(column.name)),
        as_date=as_date,
    )


def digits_of(column: ColumnProfile) -> str:
    """Return an expression of a whole number as text, whether the source holds it as text or as a number."""
    return f"cast(try_cast({reference(column.name)} as bigint) as varchar)"


def _written(column: ColumnProfile) -> str:
    if column.stays_text:
        return reference(column.name)
    return digits_of(column) if column.is_whole_number else f"cast({reference(column.name)} as varchar)"


def _text_of(column: ColumnProfile) -> str:
    return f"nullif(trim({reference(column.name)}), '')" if column.blank else reference(column.name)


def is_of_birth(name: str) -> bool:
    """Whether the name speaks of a birth."""
    return bool(words(name) & set(OF_BIRTH))


def _fits(field: str, column: ColumnProfile) -> bool:
    if field in _NUMBER_FIELDS:
        return max(column.share("number"), column.share("comma")) >= _NUMBERS
    if field == "item" and column.is_time:
        return False
    fits = _FITS.get(field)
    return fits is None or fits(column)


def _said(field: str, column: ColumnProfile) -> Reasoned | None:
    reason = f"by its name; {column.distinct:,} different values"
    if field == "birth_date":
        read = moments_of(column, as_date=True)
        return Reasoned(read.expression, f"by its name; {read.reason}") if read is not None else None
    if field in ("email", "phone", "postcode"):
        shape = "place" if field == "postcode" else field
        reason = f"by its name, and {column.share(shape):.0%} of the values look like it"
    return Reasoned(column.name, reason)


def _of_shape(found: Mapping[str, Reasoned], free: Mapping[str, ColumnProfile]) -> dict[str, Reasoned]:
    """Return the e-mail that its values give away, whatever the column is called."""
    if "email" in found:
        return {}
    for column in free.values():
        if column.share("email") >= 0.8:
            return {"email": Reasoned(column.name, f"{column.share('email'):.0%} of the values look like one")}
    return {}


def _born(found: Mapping[str, Reasoned], free: Mapping[str, ColumnProfile]) -> dict[str, Reasoned]:
    if "birth_date" in found:
        return {}
    parts = birth_parts(TableProfile("", 0, free, 0))
    if parts is None:
        return {}
    texts = " || '-' || ".join(_written(free[part]) for part in parts)
    return {"birth_date": Reasoned(f"try_cast({texts} as date)", "year, month and day stand in three columns")}


def _street(found: Mapping[str, Reasoned], free: Mapping[str, ColumnProfile]) -> dict[str, Reasoned]:
    """Return the street with its number, where that has a column of its own."""
    number = next((name for name in free if plain(name) in HOUSE_NUMBER), None)
    if number is None or "street" not in found:
        return {}
    written = _written(free[number])
    text = f"coalesce({written} || ' ', '') || {reference(found['street'].value)}"
    return {"street": Reasoned(text, "the number has a column of its own")}


def _paid(quantity: str, table: TableProfile, free: Mapping[str, ColumnProfile]) -> dict[str, Reasoned]:
    """Return what a line costs, where the source has pieces and the price of one."""
    price = next((c for c in free.values() if plain(c.name) in UNIT_PRICE and _fits("price", c)), None)
    if price is None or names_customer(price.name):
        return {}
    factors = []
    for name in (quantity, price.name):
        typed = table.columns[name].sql_type != "VARCHAR"
        factors.append(reference(name) if typed else f"try_cast({reference(name)} as double)")
    return {"amount": Reasoned(" * ".join(factors), "pieces times the price of one")}
