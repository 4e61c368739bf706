"""Texts as numbers: lengths, keywords and topics, the vocabulary learnt on training time alone."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from features.base.database_engine import open_engine
from features.base.errors import BadData
from features.config.canonical import category_name
from features.config.feeds_file import FeedsFile
from features.config.views_file import ViewsFile
from features.views.fitted import FittedView
from features.views.fitting import fit_views
from features.views.text_features import counts, lengths, topic_name, words_of
from tests.features.views.world import FEEDS, day, engine_with, snapshots

SIX = [f"c{number}" for number in range(6)]
KEYWORDS = """\
views:
  v: {from: events, text: {column: text, keywords: 3}, windows: [30d]}
fit: {until: 2026-01-05}
"""


def said(text: str | None, *customers: str, at: float = 1) -> list[dict[str, Any]]:
    return [{"customer_id": customer, "text": text, "event_time": day(at)} for customer in customers or SIX]


def learnt(views: str, rows: list[dict[str, Any]]) -> FittedView:
    file = ViewsFile.model_validate(yaml.safe_load(views))
    with engine_with(events=rows) as (engine, _):
        feeds = FeedsFile.model_validate(yaml.safe_load(FEEDS))
        return fit_views(engine, file.views, feeds, until=file.fit.until or day(4))["v"].fitted


def test_lengths_are_numbers_like_any_other() -> None:
    text = "views:\n  v: {from: events, text: {column: text}, windows: [30d],\n"
    text += "      aggregates: {text.words: [mean, max], text.characters: [sum]}}\n"
    rows = said("The line is slow!", "ann") + said("Größe: 2 m", "ann") + said("", "ann") + said(None, "ann")
    found = snapshots(text, [day(2)], events=rows)["ann", day(2)]
    assert found == {"v__text_words_mean_30d": 7 / 3, "v__text_words_max_30d": 4, "v__text_characters_sum_30d": 27}


@given(st.text())
def test_words_are_what_lies_between_what_is_neither_letter_mark_nor_digit(text: str) -> None:
    text = text.replace("\x00", " ")
    with open_engine(folders=[]) as engine:
        select = f"SELECT {words_of('t')} AS __words, t AS __text FROM (SELECT CAST($1 AS VARCHAR) AS t)"
        words, counted, characters = engine.execute(
            f"SELECT __words, {lengths('t')[1].sql}, {lengths('t')[0].sql} FROM ({select})", [text]
        ).fetchall()[0]
    assert counted == len(words.split(" ")) - words.split(" ").count("")
    assert characters == len(text)


def test_the_words_that_most_customers_use_are_counted_text_by_text() -> None:
    rows = said("slow slow line") + said("bill", at=2) + said("a bill", *SIX[:5], at=2) + said("Line?", "c0", at=3)
    rows += said("") * 10
    found = snapshots(KEYWORDS.replace("keywords: 3", "keywords: 2"), [day(4)], events=rows)
    assert found["c0", day(4)] == {"v__text_keyword_bill_sum_30d": 2, "v__text_keyword_line_sum_30d": 2}
    assert found["c1", day(4)] == {"v__text_keyword_bill_sum_30d": 2, "v__text_keyword_line_sum_30d": 1}


def test_no_word_of_a_few_customers_no_number_and_no_address_stands_as_a_column() -> None:
    rows = said("mine 12345 ab12 me@home.example", *SIX[:4]) + said("pin 12345 ab12 me@home.example")
    rows += said("") * 10
    assert learnt(KEYWORDS, rows).keywords == ("pin",)


def test_a_word_in_many_texts_is_grammar_and_has_no_column() -> None:
    assert learnt(KEYWORDS, said("the line") + said("the bill") + said("") * 7).keywords == ("bill", "line")


def test_of_words_that_stand_together_one_is_enough() -> None:
    rows = said("bill wrong") + said("bill") + said("red router") + said("red router", "c0") + said("") * 20
    assert learnt(KEYWORDS, rows).keywords == ("bill", "red", "wrong")


def test_later_texts_have_no_say_and_where_there_are_none_it_is_said() -> None:
    early = said("line") + said("bill") + said("") * 9
    assert learnt(KEYWORDS, early) == learnt(KEYWORDS, early + said("late late", at=9))
    with pytest.raises(BadData, match=r"view\.nothing_to_fit"):
        learnt(KEYWORDS, said("line", at=9))


WORDS = ("line", "lines", "slow", "größe", "лампа", "x1", "电")


@given(st.lists(st.sampled_from([*WORDS, ",", "- ", "me@line.org"]), max_size=12))
def test_words_and_topics_are_counted_as_a_reader_would(said_words: list[str]) -> None:
    fitted = FittedView("", keywords=("line", "größe"), topics=(("slow", "lines"), ("лампа",)))
    columns = [column.sql for column in counts("t", fitted)]
    with open_engine(folders=[]) as engine:
        select = f"SELECT {words_of('t')} AS __words FROM (SELECT CAST($1 AS VARCHAR) AS t)"
        (found,) = engine.execute(
            f"SELECT {', '.join(columns)} FROM ({select})", [" ".join(word.capitalize() for word in said_words)]
        ).fetchall()
    assert found == (
        int("line" in said_words),
        int("größe" in said_words),
        said_words.count("slow") + said_words.count("lines"),
        said_words.count("лампа"),
    )


TOPICS = KEYWORDS.replace("keywords: 3", "topics: 2")


def test_topics_part_the_words_and_each_is_counted() -> None:
    rows = [
        row
        for number in range(10)
        for row in said("router line slow", *SIX, at=number / 10) + said("invoice price payment", *SIX, at=number / 10)
    ]
    fitted = learnt(TOPICS, rows + said("") * 90)
    assert sorted(map(sorted, fitted.topics)) == [["invoice", "payment", "price"], ["line", "router", "slow"]]
    of_lines = next(topic_name(topic) for topic in fitted.topics if "slow" in topic)
    rows += said("") * 90
    rows += said("slow, slow line: what a price", "c0", at=4.5)
    found = snapshots(TOPICS, [day(4), day(5)], events=rows)
    name = f"v__text_topic_{of_lines}_sum_30d"
    assert found["c0", day(5)][name] - found["c0", day(4)][name] == 3


def test_words_of_any_script_have_a_name_of_their_own() -> None:
    names = [category_name(word) for word in ("line", "größe", "grosse", "лампа", "ламп", "電気")]
    assert len(set(names)) == len(names)
    assert all(name.isascii() and name.replace("_", "").isalnum() for name in names)
    rows = said("лампа") + said("größe") + said("line") + said("") * 20
    assert len(snapshots(KEYWORDS, [day(4)], events=rows)["c0", day(4)]) == 3
