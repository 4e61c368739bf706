"""What keeps two records apart though they share a contact point: given name, suffix (Jr., Sr.) or birth date."""

from __future__ import annotations

from features.identity.comparisons import within

#: Years between two birth dates that are a generation apart, and no slip of the pen.
GENERATION = 15


def separation_sql(*, weighed: bool) -> str:
    """Return SQL of what separates two records, NULL where nothing does.

    The records are the columns ``given``, ``family``, ``suffix`` and ``born``, each with ``_l`` and ``_r``. A typing
    error, an initial, a part of a name or turned names and dates separate nobody. A suffix that only one of two
    records has separates them unless their birth dates are equal: fathers and sons often share all else.

    Parameters
    ----------
    weighed : whether what is compared is weighed, too; then only wholly different names and dates a generation apart
        separate people, since the weights take care of the rest

    Examples
    --------
    >>> import duckdb
    >>> pair = "'ann' AS given_l, 'bob' AS given_r, 'lee' AS family_l, 'lee' AS family_r"
    >>> pair += ", NULL AS suffix_l, NULL AS suffix_r, NULL AS born_l, NULL AS born_r"
    >>> duckdb.sql(f"SELECT {separation_sql(weighed=False)} FROM (SELECT {pair})").fetchall()
    [('given name',)]
    """
    named = "coalesce(given_l, family_l) IS NOT NULL AND coalesce(given_r, family_r) IS NOT NULL"
    one_has_none = f"(suffix_l IS NULL) <> (suffix_r IS NULL) AND {named} AND (born_l = born_r) IS NOT TRUE"
    crossed = " OR ".join(f"jaro_winkler_similarity({one}, {other}) >= 0.85" for one, other in _CROSSED)
    given = f"{_names_differ('given', similar=0.7 if weighed else 0.85)} AND ({crossed}) IS NOT TRUE"
    return f"""CASE
        WHEN suffix_l <> suffix_r OR ({one_has_none}) THEN 'suffix'
        WHEN {_dates_differ(weighed=weighed)} THEN 'birth date'
        WHEN {given} THEN 'given name'
        END"""


def family_differs() -> str:
    """Return the condition under which two family names are not one, misspelt or in part.

    Examples
    --------
    >>> import duckdb
    >>> duckdb.sql(f"SELECT {family_differs()} FROM (SELECT 'quist' AS family_l, 'alder' AS family_r)").fetchall()
    [(True,)]
    """
    return _names_differ("family", similar=0.85)


#: A given name that stands in the place of the family name is no other one.
_CROSSED = (("given_l", "family_r"), ("family_l", "given_r"))


def _dates_differ(*, weighed: bool) -> str:
    apart = f"abs(CAST(left(born_l, 4) AS INTEGER) - CAST(left(born_r, 4) AS INTEGER)) >= {GENERATION:d}"
    turned = "left(born_l, 4) || right(born_l, 2) || substr(born_l, 5, 2) = born_r"
    likely = "" if weighed else f" OR NOT {within('born', 2)}"
    return (
        f"length(born_l) = 8 AND length(born_r) = 8 AND NOT {within('born', 1)} AND NOT ({turned}) "
        f"AND right(born_l, 4) <> right(born_r, 4) AND ({apart}{likely})"
    )


def _names_differ(name: str, *, similar: float) -> str:
    one, other = f"{name}_l", f"{name}_r"
    return (
        f"({one} <> {other} AND NOT starts_with({one}, {other}) AND NOT starts_with({other}, {one}) "
        f"AND NOT {within(name, 1)} AND jaro_winkler_similarity({one}, {other}) < {similar!r} "
        f"AND NOT list_has_any(string_split({one}, ' '), string_split({other}, ' ')))"
    )
