"""A trial run accepts what `unify` accepts: it reads the settings alike, and needs no judgements of pairs."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.base.progress import Silent
from features.pipeline.trial_run import try_feeds
from tests.features.tiny import company, lines, unified

CRM = "crm: {source: crm.csv, kind: customers, key: id, fields: {email: mail}}"


@pytest.mark.parametrize(
    "feeds",
    [
        f"company: {{currency: NOK, country: NO}}\nfeeds:\n  {CRM}\n",
        f"feeds:\n  {CRM.replace('key: id', 'key: no')}\n",
        f"feeds:\n  {CRM.replace('key: id', 'key: id, column_names: [id, on, mail]')}\n",
        f"feeds:\n  {CRM}\nidentity: {{rules: exact, never: pairs.csv}}\n",
    ],
)
def test_what_unify_accepts_is_tried(tmp_path: Path, feeds: str) -> None:
    rows = ["1,1,ann@x.example", "2,2,bob@x.example"]
    header = "id,no,mail" if "column_names" not in feeds else rows.pop(0)
    files = {"crm.csv": lines(header, rows), "pairs.csv": lines("left,right", ["crm:1,crm:2"])}
    unified(company(tmp_path, feeds=feeds, files=files))
    assert [trial.rows for trial in try_feeds(tmp_path, feeds, Silent())] == [2]


def test_rows_about_customers_beyond_the_first_are_tried(tmp_path: Path) -> None:
    """Of a large file of customers the first rows are read, and orders are about all of them."""
    feeds = """\
company: {currency: GBP}
feeds:
  crm: {source: crm.csv, kind: customers, key: id, fields: {email: mail}}
  till: {source: till.csv, kind: events, event: buy, key: no, customer: crm.id = till.who, event_time: at,
    timezone: UTC, fields: {amount: price}}
"""
    people = 9_000
    crm = [f"{at},p{at}@x.example,{'x' * 240}" for at in range(people)]
    till = [f"{at},{at},2026-01-01,1.50" for at in range(0, people, 3)]
    files = {"crm.csv": lines("id,mail,note", crm), "till.csv": lines("no,who,at,price", till)}
    company(tmp_path, feeds=feeds, files=files)
    customers, orders = try_feeds(tmp_path, feeds, Silent())
    assert customers.sampled
    assert customers.rows < people
    assert (orders.rows, orders.people, orders.amount, orders.problems) == (3_000, 3_000, 4_500.0, [])
    whole = try_feeds(tmp_path, feeds, Silent(), whole=True)
    assert [(one.rows, one.sampled) for one in whole] == [(people, False), (3_000, False)]
