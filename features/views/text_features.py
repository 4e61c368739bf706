"""Numbers of texts: their length, and which words and topics they hold, as SQL of every engine."""

from __future__ import annotations

from collections.abc import Sequence

from features.base.database_engine import literal, quoted
from features.config.canonical import category_name
from features.views.catalogue import DerivedColumn
from features.views.fitted import FittedView

#: A text's words, each between spaces of its own; what stands around an @ (an address) is no word.
_WORDS = (
    "' ' || regexp_replace(regexp_replace(lower(CAST({} AS VARCHAR)), '\\S*@\\S*', ' ', 'g'), "
    "'[^\\p{{L}}\\p{{M}}\\p{{N}}]+', '  ', 'g') || ' '"
)
#: A word that may become a column: letters alone, in any script, so that no number of anybody's stands as one.
WORD = r"[\p{L}\p{M}]+"


def words_of(column: str) -> str:
    """Return SQL of a text's words in lower case, each with a space before and after it.

    Examples
    --------
    >>> import duckdb
    >>> words = words_of("note")
    >>> duckdb.sql(f"SELECT {words} FROM (VALUES ('Too late, again!')) t(note)").fetchall()
    [(' too  late  again   ',)]
    """
    return _WORDS.format(quoted(column))


def lengths(column: str) -> list[DerivedColumn]:
    """Return the numbers that need no vocabulary: how many characters and words a text has.

    Their SQL, as that of `counts`, reads the text as ``__text`` and its `words_of` as ``__words``.

    Examples
    --------
    >>> [column.name for column in lengths("note")]
    ['note.characters', 'note.words']
    """
    return [
        DerivedColumn(unit, f"{unit} of {column}", column, name=f"{column}.{unit}", sql=sql)
        for unit, sql in (("characters", "length(__text)"), ("words", _times("[^ ]+")))
    ]


def counts(column: str, fitted: FittedView) -> list[DerivedColumn]:
    """Return one number a keyword (whether it stands in the text) and a topic (how many of its words do)."""
    return [
        *(
            DerivedColumn(
                "texts",
                f"number of texts with the word {word!r} in {column}",
                column,
                counted=True,
                name=f"{column}.keyword.{category_name(word)}",
                sql=f"CASE WHEN contains(__words, {literal(f' {word} ')}) THEN 1 WHEN __words IS NOT NULL THEN 0 END",
            )
            for word in fitted.keywords
        ),
        *(
            DerivedColumn(
                "words",
                f"number of words of {column} such as {', '.join(words[:5])}",
                column,
                counted=True,
                name=f"{column}.topic.{topic_name(words)}",
                sql=_times("|".join(words)),
            )
            for words in fitted.topics
        ),
    ]


def topic_name(words: Sequence[str]) -> str:
    """Return what a topic is called: its two heaviest words, so that a topic that is learnt again has another name.

    Examples
    --------
    >>> topic_name(["price", "late", "bill"])
    'price_late'
    """
    return "_".join(category_name(word) for word in words[:2])


def _times(pattern: str) -> str:
    """Return SQL of how many words match; words are letters and digits, so `pattern` needs no escaping."""
    marked = f"regexp_replace(__words, {literal(f' ({pattern}) ')}, '|', 'g')"
    return f"length(regexp_replace({marked}, '[^|]+', '', 'g'))"
