"""Choose a view's categories, words and topics, on the rows that were known by the end of training time.

Later rows do not count, since the columns of a model of the past would otherwise reveal them. The choice stays until
the declaration changes or `--refit` is given.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb

from features.base.clock import iso, to_microseconds
from features.base.database_engine import literal, quoted
from features.base.errors import BadData
from features.base.storage import digest_of
from features.config.feeds_file import FeedsFile
from features.config.views_file import Text, View, ViewsFile
from features.consent.customer_data import CustomerData
from features.views.fitted import FittedView
from features.views.source_rows import Rows, rows_for, undecided
from features.views.text_features import WORD
from features.views.topics import keywords_of, topics_of
from features.views.view_checks import named_columns

#: Words of more than this share of the texts are left out; they are most often grammar.
_COMMON = 0.2
#: Anything longer is a code or a line without spaces, and no word.
_LONGEST = 30
#: Greatest numbers of words and texts that topics are learnt from.
_VOCABULARY, _TEXTS = 1_000, 20_000


@dataclass(frozen=True)
class FittingResult:
    """What a view learnt, and how much of its data falls into none of its columns.

    Parameters
    ----------
    fitted : what it learnt
    unseen : rows of categories that nobody knew at the fitting moment
    """

    fitted: FittedView
    unseen: int = 0


def middle(cutoffs: Sequence[datetime]) -> datetime:
    """Return the fitting moment where none is declared: the middle of the time that the cutoffs span.

    Examples
    --------
    >>> middle([datetime(2026, 1, 1), datetime(2026, 1, 21), datetime(2026, 1, 31)]).isoformat()
    '2026-01-16T00:00:00'
    """
    return cutoffs[0] + (cutoffs[-1] - cutoffs[0]) / 2


def fit_views(
    engine: duckdb.DuckDBPyConnection,
    views: Mapping[str, View],
    feeds: FeedsFile,
    *,
    until: datetime,
    kept: Mapping[str, FittedView] | None = None,
    declared_until: datetime | None = None,
) -> dict[str, FittingResult]:
    """Return what each view has learnt; those that have nothing to learn are left out.

    Parameters
    ----------
    engine : with the canonical tables of the customers that may be used
    views : whose columns have passed `check_views`
    feeds : the declared feeds
    until : the fitting moment
    kept : what was learnt before; reused where the view is declared as it was
    declared_until : the declared fitting moment, if there is one: part of the declaration

    Raises
    ------
    BadData : there is nothing to learn from by then, or a view's `where` fails
    """
    learnt = {}
    for name, view in views.items():
        try:
            found = _fit(
                engine, name, view, feeds, until=until, before=(kept or {}).get(name), declared_until=declared_until
            )
        except (duckdb.ConversionException, duckdb.OutOfRangeException):  # only `where` casts what is read here
            raise undecided(name) from None
        if found is not None:
            learnt[name] = found
    return learnt


def learn_views(
    engine: duckdb.DuckDBPyConnection,
    data: CustomerData,
    file: ViewsFile,
    feeds: FeedsFile,
    *,
    until: datetime,
    kept: Mapping[str, FittedView],
) -> dict[str, FittingResult]:
    """Return what every view has learnt, each of those customers alone that may be used for its purpose.

    Parameters
    ----------
    engine : that `data` was opened in
    data : the canonical tables
    file, feeds : what is declared; the views' columns have passed `check_views`
    until, kept : see `fit_views`
    """
    learnt: dict[str, FittingResult] = {}
    for purpose in sorted({file.purpose_of(name) or "" for name in file.views}):
        data.allow(purpose=purpose or None)
        views = {name: view for name, view in file.views.items() if (file.purpose_of(name) or "") == purpose}
        learnt |= fit_views(engine, views, feeds, until=until, kept=kept, declared_until=file.fit.until)
    return learnt


def _fit(
    engine: duckdb.DuckDBPyConnection,
    name: str,
    view: View,
    feeds: FeedsFile,
    *,
    until: datetime,
    before: FittedView | None,
    declared_until: datetime | None,
) -> FittingResult | None:
    text = view.text if view.text is not None and view.text.is_fitted else None
    chosen = view.by is not None and not view.categories
    if not (text or chosen or (view.source == "holdings" and not view.items and not view.python)):
        return None
    parts = view.model_dump(mode="json", include={"source", "where", "by", "top", "text"})
    declared = digest_of([parts, iso(declared_until)] if declared_until is not None and view.is_fitted else parts)
    if view.is_fitted and before is not None and before.declared == declared:
        return FittingResult(before, _unseen(engine, view, feeds, before) if view.top else 0)
    if text is not None:
        return FittingResult(_fit_text(engine, name, view, text, feeds, declared=declared, until=until))
    return FittingResult(_fit_categories(engine, name, view, feeds, declared=declared, until=until))


def _fit_categories(
    engine: duckdb.DuckDBPyConnection, name: str, view: View, feeds: FeedsFile, *, declared: str, until: datetime
) -> FittedView:
    counted = f"SELECT category, count(*) AS n FROM ({_categories(view, feeds)}) WHERE category IS NOT NULL"
    if view.top is None and view.by is not None and view.by.startswith("items."):  # what is sold, bought or not
        field = quoted(view.by.removeprefix("items."))
        select = f"SELECT DISTINCT CAST({field} AS VARCHAR) AS v FROM items WHERE {field} IS NOT NULL ORDER BY v"
        return FittedView(declared, categories=tuple(row[0] for row in engine.execute(select).fetchall()))
    if view.top is None:  # all: a later category is a column of zeros at every earlier cutoff
        rows = engine.execute(f"{counted} GROUP BY category ORDER BY category").fetchall()
        return FittedView(declared, categories=tuple(row[0] for row in rows))
    rows = engine.execute(
        f"{counted} AND happened <= {to_microseconds(until)} AND known <= {to_microseconds(until)}\n"
        f"GROUP BY category ORDER BY n DESC, category LIMIT {view.top:d}"
    ).fetchall()
    if not rows:
        raise _nothing(name, "no category", until)
    return FittedView(declared, iso(until), categories=tuple(row[0] for row in rows))


def _unseen(engine: duckdb.DuckDBPyConnection, view: View, feeds: FeedsFile, fitted: FittedView) -> int:
    """Return the number of rows whose category came after the fitting moment."""
    until = to_microseconds(datetime.fromisoformat(fitted.until))
    (found,) = engine.execute(
        f"""
        SELECT coalesce(sum(n), 0)
        FROM (
            SELECT count(*) AS n FROM ({_categories(view, feeds)}) WHERE category IS NOT NULL
            GROUP BY category HAVING min(greatest(known, happened)) > {until}
        )
        """
    ).fetchall()
    return int(found[0])


def _categories(view: View, feeds: FeedsFile) -> str:
    """Return SQL of every row's category, and of when it happened and was known."""
    rows = rows_for(view, feeds, named=named_columns(view))
    column = quoted(view.by or "item")
    happened = "held_from" if view.source == "holdings" else "event_time"
    return (
        f"SELECT CAST({column} AS VARCHAR) AS category, epoch_us({happened}) AS happened, epoch_us(known_at) AS known\n"
        f"FROM {rows.table} WHERE {rows.where}"
    )


def _fit_text(
    engine: duckdb.DuckDBPyConnection,
    name: str,
    view: View,
    text: Text,
    feeds: FeedsFile,
    *,
    declared: str,
    until: datetime,
) -> FittedView:
    rows: Rows = rows_for(view, feeds, named=named_columns(view))
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE texts AS
        SELECT row_number() OVER (ORDER BY feed, record_id) AS number, customer_id,
               list_distinct(string_split(trim(__words), ' ')) AS words
        FROM {rows.table}
        WHERE {rows.where} AND __words IS NOT NULL
          AND epoch_us(event_time) <= {to_microseconds(until)} AND epoch_us(known_at) <= {to_microseconds(until)}
        """
    )
    engine.execute(
        f"""
        CREATE OR REPLACE TEMP TABLE vocabulary AS
        SELECT word, count(DISTINCT customer_id) AS customers
        FROM (SELECT number, customer_id, unnest(words) AS word FROM texts)
        WHERE length(word) BETWEEN 2 AND {_LONGEST:d}
        GROUP BY word
        HAVING regexp_full_match(word, {literal(WORD)}) AND customers >= {text.customers:d}
            AND count(*) <= {_COMMON} * (SELECT count(*) FROM texts)
        ORDER BY customers DESC, word LIMIT {_VOCABULARY:d}
        """
    )
    vocabulary = [
        row[0] for row in engine.execute("SELECT word FROM vocabulary ORDER BY customers DESC, word").fetchall()
    ]
    if not vocabulary:
        raise _nothing(name, f"no word that {text.customers} customers use", until)
    found = engine.execute(
        f"""
        SELECT number, word
        FROM (
            SELECT number, unnest(words) AS word
            FROM (SELECT * FROM texts ORDER BY md5(CAST(number AS VARCHAR)) LIMIT {_TEXTS:d})
        )
        WHERE word IN (SELECT word FROM vocabulary)
        ORDER BY number, word
        """
    ).fetchall()
    keywords = keywords_of(found, vocabulary, keywords=text.keywords)
    topics = topics_of(found, vocabulary, topics=text.topics) if text.topics else ()
    engine.execute("DROP TABLE texts")
    engine.execute("DROP TABLE vocabulary")
    return FittedView(declared, iso(until), keywords=keywords, topics=topics)


def _nothing(name: str, what: str, until: datetime) -> BadData:
    return BadData(
        "view.nothing_to_fit",
        f"view {name}: {what} is there by {iso(until)}, the end of training time",
        where="features/views.yaml",
        hint="move `fit: {until: …}` to a later moment, or leave `top`, keywords and topics out",
    )
