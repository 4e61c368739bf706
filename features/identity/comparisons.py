"""How two values of a kind are compared: levels from equal to different, as Splink's comparisons."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from features.identity.presets import Compared


@dataclass(frozen=True)
class Level:
    """One level of agreement.

    Parameters
    ----------
    label : what it means
    sql : condition over ``_l`` and ``_r`` columns
    m : the share of true pairs that is expected here before anything is learnt
    frequency_of : column whose rarer values count more, if any
    u : the share of pairs of two people that is usual here
    """

    label: str
    sql: str
    m: float
    frequency_of: str | None = None
    u: float = 0.0


#: How probable it usually is that two records of two people have an equal value.
_EQUAL_BY_CHANCE = {
    "given": 0.01, "family": 0.003, "date": 3e-4, "email": 1e-5, "phone": 1e-5, "street": 1e-4, "postcode": 0.002,
    "identifier": 1e-6, "company": 1e-4, "name": 0.003, "place": 0.03, "exact": 0.2,
}  # fmt: skip


def levels(each: Compared) -> dict[str, list[Level]]:
    """Return the levels of what is compared, by the name of the comparison, the closest first, ``else`` last."""
    return {
        name: _with_usual(found, _EQUAL_BY_CHANCE[name if each.kind == "person" else each.kind])
        for name, found in _levels(each).items()
    }


def _with_usual(found: list[Level], equal: float) -> list[Level]:
    """Return levels with the usual probabilities among records of two people: near values are twice as frequent."""
    usual = [equal, *[min(2 * equal, 0.05)] * (len(found) - 2)]
    return [replace(level, u=u) for level, u in zip(found, [*usual, 1 - sum(usual)], strict=True)]


def _levels(each: Compared) -> dict[str, list[Level]]:
    c = each.column
    match each.kind:
        case "person":
            return {"given": _given(), "family": _family()}
        case "date":
            return {c: _date(c)}
        case "email":
            return {c: _email(c)}
        case "phone":
            return {c: _edits(c, 0.7, 0.1)}
        case "postcode":
            start = f"left({c}_l, 3) = left({c}_r, 3)"
            return {c: [*_edits(c, 0.7, 0.1)[:-1], Level("begins alike", start, 0.05), _other(0.15)]}
        case "identifier":
            return {c: [*_edits(c, 0.8, 0.1)[:-1], _other(0.1)]}
        case "street":
            return {c: _street(c)}
        case "exact":
            return {c: [Level("equal", f"{c}_l = {c}_r", 0.85, c), _other(0.15)]}
        case _:
            return {c: _words(c)}


def nothing(name: str) -> str:
    """Return the condition under which comparison `name` is no evidence.

    Examples
    --------
    >>> nothing("postcode")
    '(postcode_l IS NULL OR postcode_r IS NULL)'
    """
    absent = f"{name}_l IS NULL OR {name}_r IS NULL"
    if name == "family":  # swapped names have been counted once, with the given name
        return f"({absent} OR {_SWAPPED})"
    if name == "given":
        return f"(({absent}) AND NOT {_SWAPPED})"
    return f"({absent})"


def splink_comparison(name: str, found: Sequence[Level], *, m: Sequence[float], u: Sequence[float]) -> dict[str, Any]:
    """Return a comparison as Splink takes it, with its parameters.

    Parameters
    ----------
    name : the comparison's name
    found : its levels, without the one for missing values
    m, u : of shape (n_levels,); how probable each level is among true pairs, and among others

    Examples
    --------
    >>> equal, other = Level("equal", "city_l = city_r", 0.9), Level("different", "ELSE", 0.1)
    >>> found = splink_comparison("city", [equal, other], m=[0.9, 0.1], u=[0.2, 0.8])
    >>> [level["label_for_charts"] for level in found["comparison_levels"]]
    ['missing', 'equal', 'different']
    """
    listed: list[dict[str, Any]] = [
        {"sql_condition": nothing(name), "label_for_charts": "missing", "is_null_level": True}
    ]
    for level, m_level, u_level in zip(found, m, u, strict=True):
        entry: dict[str, Any] = {
            "sql_condition": level.sql,
            "label_for_charts": level.label,
            "m_probability": float(m_level),
            "u_probability": float(u_level),
        }
        if level.frequency_of is not None:
            entry |= {"tf_adjustment_column": level.frequency_of, "tf_adjustment_weight": 1.0}
        listed.append(entry)
    return {"output_column_name": name, "comparison_levels": listed}


_SWAPPED = (
    "coalesce(given_l <> family_l AND ((given_l = family_r AND family_l = given_r) OR "
    "(jaro_winkler_similarity(given_l, family_r) >= 0.9 AND jaro_winkler_similarity(family_l, given_r) >= 0.9 "
    "AND jaro_winkler_similarity(given_l, given_r) < 0.8)), false)"
)


def within(c: str, edits: int) -> str:
    """Return the condition of so few edits, of which turning two letters round is one.

    DuckDB counts edits without turned letters eight times as fast; a turn is two of those, so they rule out most pairs.

    Examples
    --------
    >>> within("city", 1)
    '(levenshtein(city_l, city_r) <= 2 AND damerau_levenshtein(city_l, city_r) <= 1)'
    """
    few = f"levenshtein({c}_l, {c}_r) <= {2 * edits:d}"
    return f"({few} AND damerau_levenshtein({c}_l, {c}_r) <= {edits:d})"


def _other(m: float) -> Level:
    return Level("different", "ELSE", m)


def _given() -> list[Level]:
    initial = "left(given_l, 1) = left(given_r, 1) AND least(length(given_l), length(given_r)) = 1"
    part = (
        "(starts_with(given_l, given_r || ' ') OR starts_with(given_r, given_l || ' ') "
        "OR (least(length(given_l), length(given_r)) >= 3 "
        "AND (starts_with(given_l, given_r) OR starts_with(given_r, given_l))))"
    )
    return [
        Level("equal", "given_l = given_r", 0.72, "given"),
        Level("given and family name swapped", _SWAPPED, 0.03),
        Level("one edit", within("given", 1), 0.08),
        Level("one begins the other", part, 0.03),
        Level("similar", "jaro_winkler_similarity(given_l, given_r) >= 0.85", 0.05),
        Level("initial alone", initial, 0.02),
        _other(0.07),
    ]


def _family() -> list[Level]:
    part = "(starts_with(family_l, family_r || ' ') OR ends_with(family_l, ' ' || family_r) "
    part += "OR starts_with(family_r, family_l || ' ') OR ends_with(family_r, ' ' || family_l))"
    return [
        Level("equal", "family_l = family_r", 0.78, "family"),
        Level("one edit", within("family", 1), 0.09),
        Level("a part of it", part, 0.01),
        Level("similar", "jaro_winkler_similarity(family_l, family_r) >= 0.85", 0.06),
        _other(0.06),
    ]


def _words(c: str) -> list[Level]:
    return [
        Level("equal", f"{c}_l = {c}_r", 0.75, c),
        Level("one edit", within(c, 1), 0.09),
        Level("similar", f"jaro_winkler_similarity({c}_l, {c}_r) >= 0.88", 0.06),
        _other(0.1),
    ]


def _street(c: str) -> list[Level]:
    number = f"regexp_extract({c}_l, '[0-9]+') = regexp_extract({c}_r, '[0-9]+') AND regexp_matches({c}_l, '[0-9]')"
    return [
        Level("equal", f"{c}_l = {c}_r", 0.65, c),
        Level("two edits", within(c, 2), 0.12),
        Level("same number, similar", f"{number} AND jaro_winkler_similarity({c}_l, {c}_r) >= 0.75", 0.04),
        Level("similar", f"jaro_winkler_similarity({c}_l, {c}_r) >= 0.88", 0.05),
        _other(0.14),
    ]


def _date(c: str) -> list[Level]:
    turned = f"left({c}_l, 4) || right({c}_l, 2) || substr({c}_l, 5, 2) = {c}_r AND length({c}_l) = 8"
    shorter = f"(starts_with({c}_l, {c}_r) OR starts_with({c}_r, {c}_l))"
    day = f"right({c}_l, 4) = right({c}_r, 4) AND length({c}_l) = 8 AND length({c}_r) = 8"
    return [
        Level("equal", f"{c}_l = {c}_r", 0.85, c),
        Level("day and month turned, or one edit", f"({within(c, 1)} OR ({turned}))", 0.07),
        Level("one is cut short", shorter, 0.005),
        Level("same day of another year", day, 0.02),
        Level("two edits", within(c, 2), 0.025),
        _other(0.03),
    ]


def _email(c: str) -> list[Level]:
    user = f"split_part({c}_l, '@', 1) = split_part({c}_r, '@', 1)"
    return [
        Level("equal", f"{c}_l = {c}_r", 0.75, c),
        Level("two edits", within(c, 2), 0.07),
        Level("same user elsewhere", user, 0.05),
        Level("similar", f"jaro_winkler_similarity({c}_l, {c}_r) >= 0.92", 0.02),
        _other(0.11),
    ]


def _edits(c: str, equal: float, near: float) -> list[Level]:
    return [
        Level("equal", f"{c}_l = {c}_r", equal, c),
        Level("one edit", within(c, 1), near),
        _other(1 - equal - near),
    ]
