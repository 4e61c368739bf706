"""The latest word that was known counts; when in doubt the customer is left alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from features.base.database_engine import one_row
from features.config.consent_words import GRANTED, NO, UNDECIDED, WITHDRAWN, YES
from features.config.purposes import Purpose
from features.consent.customer_data import find_status
from features.consent.status import odd_select
from tests.features.tiny import company, lines, unified
from tests.features.views.world import FEEDS, day, engine_with, snapshots

DECLARED = FEEDS + "purposes: {marketing: {basis: consent}, service: {basis: contract}}\n"
VIEWS = "views:\n  p: {from: customers, fields: [city]}\n"
ANN = {"customer_id": "ann", "event_time": day(0), "known_at": day(0)}


def word(status: str, at: float, known: float | None = None, **more: Any) -> dict[str, Any]:
    known_at = day(at if known is None else known)
    return {
        "customer_id": "ann",
        "purpose": "marketing",
        "status": status,
        "event_time": day(at),
        "known_at": known_at,
        **more,
    }


def standing(words: list[dict[str, Any]], *at: float) -> list[tuple[Any, Any]]:
    found = snapshots(VIEWS, [day(n) for n in at], feeds=DECLARED, customers=[ANN], consents=words)
    rows = [found["ann", day(n)] for n in at]
    return [(row["consent__marketing"], row["consent__marketing_record"]) for row in rows]


def test_nobody_who_said_nothing_stands_anywhere() -> None:
    assert standing([word("granted", 5)], 1) == [(None, None)]


def test_the_latest_word_counts_with_the_record_it_rests_on() -> None:
    words = [word("granted", 1), word("withdrawn", 3), word("granted", 5)]
    assert standing(words, 1, 2, 3, 6) == [(1, "crm:0"), (1, "crm:0"), (0, "crm:1"), (1, "crm:2")]
    assert [value for value, _ in standing(words[::-1], 1, 2, 3, 6)] == [1, 1, 0, 1]


def test_a_withdrawal_that_became_known_late_is_not_seen_before() -> None:
    assert [v for v, _ in standing([word("granted", 1), word("withdrawn", 2, known=6)], 3, 5.99, 6)] == [1, 1, 0]


def test_a_word_dated_in_the_future_is_not_seen_before() -> None:
    assert [value for value, _ in standing([word("granted", 5, known=1)], 2, 5)] == [None, 1]


def test_at_equal_times_the_withdrawal_wins() -> None:
    for words in ([word("granted", 1), word("withdrawn", 1)], [word("withdrawn", 1), word("granted", 1)]):
        assert [value for value, _ in standing(words, 2)] == [0]


def test_words_are_known_in_any_case() -> None:
    meant = dict.fromkeys((*GRANTED, *YES), 1) | {word.upper(): 0 for word in (*WITHDRAWN, *NO)}
    meant |= {"Opted-In": 1, " Opted out ": 0, "do-not contact": 0, "Bestätigt": 1, "REFUSÉ": 0, "Y": 1, "n": 0}
    said = [word(status, 1, customer_id=status) for status in meant]
    people = [{**ANN, "customer_id": status} for status in meant]
    found = snapshots(VIEWS, [day(2)], feeds=DECLARED, customers=people, consents=said)
    assert {status: found[status, day(2)]["consent__marketing"] for status in meant} == meant


@pytest.mark.parametrize("said", ["perhaps", "", None, "unknown", "x", *sorted(UNDECIDED)[:2]])
def test_a_later_word_that_is_not_understood_blocks_until_one_that_is(said: Any) -> None:
    words = [word("granted", 1), word(said, 2), word("granted", 4)]
    assert [value for value, _ in standing(words, 1, 3, 4)] == [1, 0, 1]
    at_once = [word("granted", 1), word(said, 1)]
    assert [value for value, _ in standing(at_once, 1)] == [0]


def test_purposes_are_compared_without_letter_case_and_blanks_and_a_refusal_of_none_is_one_of_all() -> None:
    grant = word("granted", 1, purpose=" Marketing ")
    assert [value for value, _ in standing([grant, word("no", 2, purpose="MARKETING")], 1, 2)] == [1, 0]
    assert [value for value, _ in standing([grant, word("no", 2, purpose=" ")], 2)] == [0]
    assert [value for value, _ in standing([word("granted", 1, purpose=None)], 2)] == [None]


def test_a_word_on_one_purpose_says_nothing_on_another() -> None:
    other = word("granted", 1, purpose="service")
    found = snapshots(VIEWS, [day(2)], feeds=DECLARED, customers=[ANN], consents=[other])["ann", day(2)]
    assert (found["consent__service"], found["consent__marketing"]) == (1, None)


def test_without_a_feed_of_consents_there_is_no_view_of_them() -> None:
    assert snapshots(VIEWS, [day(1)], feeds=DECLARED, customers=[ANN])["ann", day(1)] == {"p__city": None}


def test_unknown_words_and_undeclared_purposes_are_counted() -> None:
    words = [word("granted", 1), word("perhaps", 1), word("granted", 1, purpose="selling"), word("no", 1, purpose=None)]
    with engine_with(consents=words) as (engine, _):
        assert one_row(engine, odd_select(["Marketing"])) == (1, 2)
        assert one_row(engine, odd_select([])) == (1, 3)


def test_customers_without_every_consent_are_counted_as_withheld(tmp_path: Path) -> None:
    feeds = """\
feeds:
  crm: {source: crm.csv, kind: customers, key: id}
  said:
    {source: said.csv, kind: consents, customer: crm.id = said.who, event_time: at, timezone: UTC,
     fields: {purpose: what, status: word}}
purposes: {marketing: {basis: consent}, service: {basis: contract}}
"""
    said = ["1,marketing,Granted,2026-01-01", "2,marketing,granted,2026-01-01", "2,marketing,opt_out,2026-01-02"]
    files = {"crm.csv": lines("id", ["1", "2", "3"]), "said.csv": lines("who,what,word,at", said)}
    assert unified(company(tmp_path, feeds=feeds, files=files)).withheld == 2


PURPOSES = {"marketing": Purpose(basis="consent"), "profiling": Purpose(basis="legitimate_interest")}


@pytest.mark.parametrize(
    ("statement", "purpose", "reason"),
    [
        ("marketing,unsubscribed", "marketing", "withdrawn"),
        ("marketing,revoked", "marketing", "withdrawn"),
        ("marketing,opted out", "marketing", "withdrawn"),
        ("marketing,N", "marketing", "withdrawn"),
        ("Marketing,withdrawn", "marketing", "withdrawn"),
        (",withdrawn", "marketing", "withdrawn"),
        ("marketing,gone fishing", "marketing", "unknown"),
        ("marketing,", "marketing", "unknown"),
        ("marketing,pending", "marketing", "no_consent"),
        ("profiling,unsubscribed", "profiling", "objected"),
        ("profiling,gone fishing", "profiling", "unknown"),
        ("profiling,pending", "profiling", None),
    ],
)
def test_whatever_is_said_after_a_grant_and_is_none_itself_withholds(
    statement: str, purpose: str, reason: str | None
) -> None:
    about, _, status = statement.partition(",")
    said = [word("granted", 1, purpose=purpose), word(status, 2, purpose=about)]
    with engine_with(customers=[ANN], consents=said) as (engine, _):
        find_status(engine, PURPOSES, "customers", as_of=day(3), consents="consents")
        asked = f"SELECT reason FROM consent_status WHERE purpose = '{purpose}'"
        assert one_row(engine, asked) == (reason,)
