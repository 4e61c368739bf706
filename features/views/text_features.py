"""Texts as numbers: how long they are, which words and topics stand in them; SQL that every engine reads alike"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from features.base.database_engine import literal, quoted
from features.config.canonical import category_name
from features.views.catalogue import Made
from features.views.fitted import FittedView

#: A text's words, each between spaces of its own; what stands around an @ (an address) is no word.
_WORDS = (
    "' ' || regexp_replace(regexp_replace(lower(CAST({} AS VARCHAR)), '\\S*@\\S*', ' ', 'g'), "
    "'[^\\p{{L}}\\p{{M}}\\p{{N}}]+', '  ', 'g') || ' '"
)
#: A word that may become a column: letters alone, in any script, so that no number of anybody's stands as one.
WORD = r"[\p{L}\p{M}]+"


@dataclass(frozen=True)
class TextColumn:
    """A number that is made of a text.

    Parameters
    ----------
    name : under which a view aggregates it, such as ``text.words``
    sql : of its value, over `words_of` as ``__words`` and the text as ``__text``; null where there is no text
    made : what it is
    """

    name: str
    sql: str
    made: Made


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


def lengths(column: str) -> list[TextColumn]:
    """Return the numbers that need no vocabulary: how many characters and words a text has.

    Examples
    --------
    >>> [column.name for column in lengths("note")]
    ['note.characters', 'note.words']
    """
    return [
        TextColumn(f"{column}.characters", "length(__text)", Made("characters", f"characters of {column}", column)),
        TextColumn(f"{column}.words", _times("[^ ]+"), Made("words", f"words of {column}", column)),
    ]


def counts(column: str, fitted: FittedView) -> list[TextColumn]:
    """Return one number a keyword (whether it stands in the text) and a topic (how many of its words do)."""
    return [
        *(
            TextColumn(
                f"{column}.keyword.{category_name(word)}",
                f"CASE WHEN contains(__words, {literal(f' {word} ')}) THEN 1 WHEN __words IS NOT NULL THEN 0 END",
                Made("texts", f"number of texts with the word {word!r} in {column}", column, counted=True),
            )
            for word in fitted.keywords
        ),
        *(
            TextColumn(
                f"{column}.topic.{topic_name(words)}",
                _times("|".join(words)),
                Made("words", f"number of words of {column} such as {', '.join(words[:5])}", column, counted=True),
            )
            for words in fitted.topics
        ),
    ]


def topic_name(words: Sequence[str]) -> str:
    """Return what a topic is called: its two heaviest words, so that a topic learnt again has another name.

    Examples
    --------
    >>> topic_name(["price", "late", "bill"])
    'price_late'
    """
    return "_".join(category_name(word) for word in words[:2])


def _times(pattern: str) -> str:
    """Return SQL of how many words match; words are letters and digits, so that nothing in `pattern` is taken amiss."""
    marked = f"regexp_replace(__words, {literal(f' ({pattern}) ')}, '|', 'g')"
    return f"length(regexp_replace({marked}, '[^|]+', '', 'g'))"
