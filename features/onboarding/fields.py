"""Which column holds which canonical field: proposed by the words of its name, taken only where its values agree."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass

from features.config.canonical import PERSONAL_FIELDS, Kind
from features.onboarding.amounts import NUMBERS, choose_amount
from features.onboarding.column_profile import ColumnProfile, TableProfile
from features.onboarding.column_roles import OTHERS
from features.onboarding.proposal import Reasoned, columns_read, reference
from features.onboarding.words import word_set

_HALF = 0.5
_LONG = 60
_STATES = word_set(
    """
    active inactive open closed new paused pending paid canceled cancelled trial trialing enabled disabled
    expired past_due aktiv inaktiv gekündigt offen actif inactif activo inactivo actief
    """
)


@dataclass(frozen=True)
class FieldRule:
    """Which names propose a column for a field, and which values confirm it.

    Parameters
    ----------
    meanings : alternatives, the surest first; a name has to mean all words of one
    avoid : words of names that mean something else
    fits : whether the values agree
    only : words that a name may have beside those; any where None
    """

    meanings: tuple[str, ...]
    avoid: frozenset[str] = frozenset()
    fits: Callable[[ColumnProfile], bool] = bool
    only: frozenset[str] | None = None


def _is_number(column: ColumnProfile) -> bool:
    return max(column.share("number"), column.share("amount")) >= NUMBERS


def _is_share(column: ColumnProfile) -> bool:
    """Return whether the values are probabilities."""
    try:
        return column.distinct > 1 and all(0 <= float(value) <= 1 for value in column.values)
    except ValueError:
        return False


def _is_name(column: ColumnProfile) -> bool:
    return (
        max(column.share(s) for s in ("number", "amount", "hash", "email", "dated", "json")) < 0.1
        and column.length < _LONG
    )


def _is_full_name(column: ColumnProfile) -> bool:
    spaced = sum(" " in value.strip() for value in column.values) >= _HALF * max(len(column.values), 1)
    return _is_name(column) and (spaced or column.stays_text) and column.distinct > 2


def _is_birth(column: ColumnProfile) -> bool:
    eight = column.share("digits") >= 0.9 and 7 < column.length < 9
    return column.is_time or column.share("dated") >= _HALF or eight


def _is_region(column: ColumnProfile) -> bool:
    return not (column.few and {value.lower() for value in column.few} <= _STATES) and column.share("digits") < _HALF


def _is_text(column: ColumnProfile) -> bool:
    return max(column.share(shape) for shape in ("number", "json", "email")) < _HALF and column.distinct > 2


def _is_postcode(column: ColumnProfile) -> bool:
    return column.share("postcode") >= _HALF and any(letter.isdigit() for value in column.values for letter in value)


_NOT_PEOPLE = OTHERS | {
    "item",
    "campaign",
    "event",
    "plan",
    "domain",
    "file",
    "ip",
    "geo",
    "marketing",
    "optout",
    "bank",
}
_ADDRESS = OTHERS - {"company"} | {"email", "ip", "geo", "url", "location", "domain", "event", "id", "phone"}
_OF_PERSON = word_set(
    """
    customer contact person billing shipping card payer member requester recipient respondent guest full
    subscriber name source channel author user holder other beguenstigter
    """
)  # fmt: skip

RULES: Mapping[Kind, Mapping[str, FieldRule]] = {
    "customers": {
        "first_name": FieldRule(("first_name",), _NOT_PEOPLE, _is_name),
        "last_name": FieldRule(("last_name",), _NOT_PEOPLE, _is_name),
        "full_name": FieldRule(
            ("name full", "name customer", "name person", "name billing", "name contact", "name", "payer"),
            _NOT_PEOPLE | {"first_name", "last_name", "id"},
            _is_full_name,
            _OF_PERSON,
        ),
        "email": FieldRule(("email",), OTHERS | {"optout", "marketing"}, lambda c: c.share("email") >= _HALF),
        "phone": FieldRule(
            ("phone",), OTHERS | {"optout", "ip"}, lambda c: c.share("phone") >= _HALF and c.distinct > 1
        ),
        "birth_date": FieldRule(("birth_date", "birth"), frozenset({"city", "country"}), _is_birth),
        "gender": FieldRule(("gender",), OTHERS, lambda c: c.distinct <= 10),
        "street": FieldRule(
            ("street",), _ADDRESS | {"city", "postcode", "region", "country", "2", "name", "title"}, _is_text
        ),
        "city": FieldRule(("city",), _ADDRESS, lambda c: c.share("number") < _HALF),
        "postcode": FieldRule(("postcode",), _ADDRESS - {"id"}, _is_postcode),
        "region": FieldRule(("region",), _ADDRESS, _is_region),
        "country": FieldRule(
            ("country",), (_ADDRESS - {"id"}) | {"card", "issue"}, lambda c: c.share("digits") < _HALF
        ),
        "company_name": FieldRule(("company",), frozenset({"staff", "id", "email", "phone", "other", "ip"}), _is_text),
        "national_id": FieldRule(("national",), OTHERS, lambda c: c.is_code),
    },
    "events": {
        "item": FieldRule(
            ("item id", "item"),
            frozenset(
                {"price", "amount", "quantity", "tax", "discount", "status", "requires", "url", "text", "campaign"}
            ),
            lambda c: not c.is_time and not c.is_boolean and c.share("words") < _HALF and c.share("json") < _HALF,
        ),
        "quantity": FieldRule(
            ("quantity",), frozenset({"tax", "refund", "price", "amount", "discount", "days"}), _is_number
        ),
        "channel": FieldRule(("channel",), frozenset({"id", "url", "payment", "text"}), lambda c: 1 < c.distinct <= 50),
        "text": FieldRule(("text", "title"), frozenset({"id", "type", "status", "date", "time"}), _is_text),
    },
    "holdings": {
        "item": FieldRule(
            ("plan", "item", "subscription"),
            frozenset({"id", "status", "date", "amount", "price", "time", "start", "end"}),
        ),
        "price": FieldRule(("price", "amount"), frozenset({"tax", "discount", "currency", "refund"}), _is_number),
    },
    "items": {
        "name": FieldRule(("name", "title", "text", "type"), frozenset({"group", "plan"}), _is_text),
        "group": FieldRule(("group", "department"), frozenset({"id"})),
        "price": FieldRule(("price",), frozenset({"discount", "tax"}), _is_number),
    },
    "interactions": {
        "offer": FieldRule(
            ("offer id", "offer", "campaign id", "campaign", "name", "treatment"),
            frozenset({"date", "time", "type", "status"}),
        ),
        "channel": FieldRule(("channel",), frozenset({"id", "url"}), lambda c: 1 <= c.distinct <= 50),
        "arm": FieldRule(("arm", "variant", "control", "group"), frozenset({"id"}), lambda c: c.distinct <= 10),
        "selection_prob": FieldRule(("propensity", "pscore", "probability", "selection"), frozenset(), _is_share),
        "outcome": FieldRule(("outcome", "answer"), frozenset({"id", "date", "time"}), lambda c: c.distinct <= 50),
    },
}


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
    for field, rule in RULES.get(kind, {}).items():
        column = choose(free.values(), rule)
        if column is not None:
            found[field] = _mapped(field, column)
            del free[column.name]
    if kind == "customers":
        _complete_person(found, table, free)
    if kind == "events":
        money = choose_amount(table, free.values(), found.get("quantity"))
        found |= {"amount": money} if money else {}
    return found


def choose(columns: Iterable[ColumnProfile], rule: FieldRule) -> ColumnProfile | None:
    """Return the column that a rule takes; of several the one that is filled and has the plainest name."""
    columns = list(columns)
    for alternative in rule.meanings:
        wanted = frozenset(alternative.split())
        fitting = [
            column
            for column in columns
            if wanted <= column.meaning
            and not rule.avoid & column.meaning
            and (rule.only is None or column.meaning <= rule.only | wanted)
            and rule.fits(column)
        ]
        if fitting:
            filled = max(column.filled for column in fitting)
            rare = [column for column in fitting if column.filled >= 0.2 * filled]
            return min(rare, key=lambda c: ("shipping" in c.meaning, len(c.words)))
    return None


def personal_columns(table: TableProfile, fields: Mapping[str, Reasoned], key: Collection[str] = ()) -> tuple[str, ...]:
    """Return the columns that identify people by their values or names, and are mapped to no personal field."""
    texts = [mapped.value for field, mapped in fields.items() if field in PERSONAL_FIELDS]
    mapped = frozenset[str]().union(*(columns_read(text, table) for text in texts))
    known = {
        value for name in mapped if name in table.columns for value in table.columns[name].values if len(value) > 2
    }
    return tuple(
        column.name
        for column in table.columns.values()
        if column.name not in mapped and column.name not in key and column.filled and _is_personal(column, known)
    )


_NAMES_PERSON = word_set(
    """
    first_name last_name birth birth_date phone email national bank street fax ip maiden login username password
    passport imsi imei fingerprint
    """
)


def _is_personal(column: ColumnProfile, known: Collection[str]) -> bool:
    if column.share("email") >= _HALF or column.share("ip") >= _HALF or column.share("bank") >= _HALF:
        return True
    if column.is_boolean or column.meaning & {"status", "type", "marketing", "optout", "subscribed", "count"}:
        return False
    named = bool(column.meaning & _NAMES_PERSON) or {"soc", "sec"} <= set(column.words)
    texts = _is_text(column) or column.is_code or column.is_time or column.share("phone") > _HALF
    shared = known and column.distinct > 5 and sum(v in known for v in column.values) >= _HALF * len(column.values)
    few = column.distinct <= 5 and column.rows > 50
    return (named and texts and not few) or bool(shared)


def _mapped(field: str, column: ColumnProfile) -> Reasoned:
    reason = f"by its name; {column.distinct:,} different values"
    if field in ("email", "phone", "postcode"):
        reason = f"by its name, and {column.share(field):.0%} of the rows look like it"
    quoted_cells = sum(value.startswith("'") for value in column.values) > _HALF * len(column.values)
    if quoted_cells:
        return Reasoned(f"replace({reference(column.name)}, '''', '')", f"{reason}; without the apostrophe before it")
    return Reasoned(column.name, reason)


def _complete_person(found: dict[str, Reasoned], table: TableProfile, free: Mapping[str, ColumnProfile]) -> None:
    """Add what more than one column holds, and the e-mail that its values give away."""
    if "email" not in found:
        shaped = [c for c in free.values() if c.share("email") >= 0.8 and not c.meaning & OTHERS and c.distinct > 2]
        if shaped:
            found["email"] = Reasoned(shaped[0].name, f"{shaped[0].share('email'):.0%} of the rows look like one")
    if "first_name" in found and "last_name" in found:
        found.pop("full_name", None)
    parts = birth_parts(table)
    if "birth_date" not in found and parts is not None:
        texts = " || '-' || ".join(_written(free[part]) for part in parts if part in free)
        found["birth_date"] = Reasoned(f"try_cast({texts} as date)", "year, month and day stand in three columns")
    number = next((c for c in free.values() if "house" in c.meaning or c.words[-2:] == ("street", "number")), None)
    if "street" in found and number is not None and found["street"].value in table.columns:
        text = f"coalesce({_written(number)} || ' ', '') || {reference(found['street'].value)}"
        found["street"] = Reasoned(text, "the number has a column of its own")
    if "street" in found and not {"city", "postcode"} & found.keys():
        column = table.columns.get(found["street"].value)
        if column is not None and column.share("words") > _HALF:
            del found["street"]  # one cell with the whole address


def birth_parts(table: TableProfile) -> tuple[str, str, str] | None:
    """Return the three columns that hold a birth's year, month and day, where there are such."""
    lower = {name.lower(): name for name in table.columns}
    for parts in (("by", "bm", "bd"), ("birth_year", "birth_month", "birth_day")):
        if all(part in lower for part in parts):
            year, month, day = (lower[part] for part in parts)
            return year, month, day
    return None


def _written(column: ColumnProfile) -> str:
    if column.stays_text:
        return reference(column.name)
    return digits_of(column) if column.is_whole_number else f"cast({reference(column.name)} as varchar)"


def digits_of(column: ColumnProfile) -> str:
    """Return an expression of a whole number as text, whether the source holds it as text or as a number."""
    return f"cast(try_cast({reference(column.name)} as bigint) as varchar)"
