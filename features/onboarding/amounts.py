"""What a row of dealings is worth: a total, an amount, pieces times a price, or what came in less what went out."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence

from features.base.database_engine import literal
from features.ingest.money import ISO_CODES, SYMBOLS
from features.onboarding.column_profile import ColumnProfile, TableProfile
from features.onboarding.proposal import Reasoned, reference
from features.onboarding.words import concepts, word_set

#: A number field is taken from a column in which at least so many of the rows are numbers.
NUMBERS = 0.95
_HALF = 0.5
_RARE = 0.02
#: So few different whole numbers are counts where other columns hold fractions.
_FEW = 20
_NOT_MONEY = word_set(
    """
    tax fee discount refund balance shipping quantity unit percent probability date time status type method
    currency points duration text converted name rate id in subtotal cart score phone postcode
    """
)
#: Beside a word of taxes: whether an amount includes them, and not how much they are.
_WITH_TAX = word_set("inc incl including included inkl inklusive inclusief inclusive incluido compris ttc")
_WITHOUT_TAX = word_set("ex exc excl excluding excluded exkl exklusive exclusief exclusive excluido hors ht untaxed")
_FRACTION = re.compile(r".*[0-9][.,][0-9]{1,4}(?![0-9]).*", re.DOTALL)
_SYMBOL = re.compile(f".*({SYMBOLS}).*", re.DOTALL)
_SIGNS = ("debit", "credit")
#: Single letters for debit and credit; a column is one of them by its name, too.
_LETTERS = {"d": "debit", "s": "debit", "c": "credit", "h": "credit", "k": "credit"}


def is_money(column: ColumnProfile) -> bool:
    """Return whether a column holds amounts: numbers, with or without symbols and thousands."""
    return max(column.share("number"), column.share("amount")) >= NUMBERS and not column.is_boolean


def choose_amount(table: TableProfile, columns: Iterable[ColumnProfile], quantity: Reasoned | None) -> Reasoned | None:
    """Return what a row is worth: its total, an amount, or pieces times the price of one.

    Parameters
    ----------
    table : the source
    columns : those that mean nothing else yet
    quantity : how many pieces a row has, where a column holds it
    """
    numbers = [c for c in columns if is_money(c) and c.share_filled >= _RARE and any(map(_is_something, c.values))]
    both = _debit_and_credit(numbers)
    if both is not None:
        return both
    mixed = any("currency" in c.meaning and c.distinct > 1 and len(c.few) > 1 for c in table.columns.values())
    if mixed:
        same = [c for c in numbers if {"converted", "amount"} <= c.meaning and not _other_number(c, but={"converted"})]
        if same:
            return Reasoned(same[0].name, "the amounts are in several currencies, and this column has them in one")
    for wanted in ("total", "amount"):
        chosen = _without_counts([c for c in numbers if wanted in c.meaning and not _other_number(c)])
        if chosen:
            best = min(chosen, key=lambda c: (c.share_filled < _HALF, "price" in c.meaning, *_plainness(c)))
            return _signed(table, best, f"by its name; {best.distinct:,} different numbers")
    prices = [
        c for c in numbers if "price" in c.meaning and not _other_number(c, but={"unit"}) and "compare" not in c.words
    ]
    if prices:
        price = min(prices, key=_plainness)
        if quantity is None or quantity.value not in table.columns:
            return _signed(table, price, "by its name")
        return times_price(table, quantity.value, price.name)
    return _unnamed(table, numbers)


def times_price(table: TableProfile, quantity: str, price: str) -> Reasoned:
    """Return what a line costs: its pieces times the price of one."""
    factors = [_number(table.columns[name]) for name in (quantity, price)]
    return Reasoned(" * ".join(factors), "pieces times the price of one")


def _number(column: ColumnProfile) -> str:
    name = reference(column.name)
    return name if column.sql_type != "VARCHAR" else f"try_cast({name} as double)"


def _is_something(value: str) -> bool:
    """Return whether a number is not zero."""
    return re.search("[1-9]", value) is not None


def _other_number(column: ColumnProfile, but: Collection[str] = ()) -> frozenset[str]:
    """Return the words of a name by which its numbers are no amounts."""
    told = set(column.words) & (_WITH_TAX | _WITHOUT_TAX)
    return column.meaning & _NOT_MONEY - {*but, *({"tax"} if told else ())}


def _plainness(column: ColumnProfile) -> tuple[bool, int]:
    return bool(set(column.words) & _WITHOUT_TAX), len(column.words)


def _without_counts(columns: list[ColumnProfile]) -> list[ColumnProfile]:
    """Return the columns without those of few whole numbers, where others hold fractions."""
    counts = [c for c in columns if c.share("digits") >= 1 and c.distinct <= _FEW]
    measured = [c for c in columns if c not in counts and any(map(_FRACTION.fullmatch, c.values))]
    return [c for c in columns if c not in counts] if measured else columns


def _unnamed(table: TableProfile, numbers: Sequence[ColumnProfile]) -> Reasoned | None:
    """Return the one column of fractions beside a currency, or with its symbols, whatever it is called."""
    coded = any(
        c.few and all(value.upper() in ISO_CODES for value in c.few) and c.share_filled > _HALF
        for c in table.columns.values()
    )
    found = [
        c
        for c in numbers
        if not _other_number(c)
        and not c.meaning & {"usage", "answer", "price"}
        and (coded or sum(map(bool, map(_SYMBOL.fullmatch, c.values))) > _HALF * len(c.values))
        and sum(map(bool, map(_FRACTION.fullmatch, c.values))) > _HALF * len(c.values)
    ]
    if len(found) != 1:
        return None
    return _signed(table, found[0], "the only column of fractions on rows with a currency")


def _debit_and_credit(numbers: Sequence[ColumnProfile]) -> Reasoned | None:
    """Return credit less debit, where two columns of the same name but for that word hold them."""
    for credit in numbers:
        if "credit" not in credit.meaning or _other_number(credit):
            continue
        for debit in numbers:
            if "debit" in debit.meaning and _but_sign(debit) == _but_sign(credit):
                text = f"coalesce({_number(credit)}, 0) - coalesce({_number(debit)}, 0)"
                return Reasoned(text, "what came in, less what went out")
    return None


def _but_sign(column: ColumnProfile) -> tuple[str, ...]:
    return tuple(word for word in column.words if not concepts(word) & {*_SIGNS})


def _signed(table: TableProfile, amount: ColumnProfile, why: str) -> Reasoned:
    """Return an amount, negative where a column of two words beside it says that the row is a debit."""
    if amount.share("negative") > 0:
        return Reasoned(amount.name, why)
    for column in table.columns.values():
        sides = {value: _side(column, value) for value in column.few} if column.distinct == 2 else {}
        if sorted(filter(None, sides.values())) == ["credit", "debit"]:
            debit = next(value for value, side in sides.items() if side == "debit")
            said = f"lower(trim({reference(column.name)}))"
            text = f"CASE WHEN {said} = {literal(debit.lower())} THEN -{_number(amount)} ELSE {_number(amount)} END"
            return Reasoned(text, f"{why}; {column.name} says which went out")
    return Reasoned(amount.name, why)


def _side(column: ColumnProfile, value: str) -> str | None:
    """Return whether a word means debit or credit."""
    named = concepts(value) & {*_SIGNS} if len(value) > 1 else frozenset()
    if not named and column.meaning & {*_SIGNS}:
        named = frozenset({_LETTERS.get(value.lower(), "")} - {""})
    return next(iter(named)) if len(named) == 1 else None
