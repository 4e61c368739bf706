"""A company of two feeds, written by the test: who the customers are, and what they bought."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from features.base.workspace import Workspace
from features.pipeline.unify_report import UnifyReport
from tests.features.tiny import company, lines, unified

FEEDS = """\
company: {{currency: GBP, timezone: UTC, country: GB}}
feeds:
  crm:
    source: crm.csv
    kind: customers
    key: id
    updated_at: at
    timezone: UTC
    fields: {{email: mail, phone: tel, birth_date: born, postcode: zip, country: land}}
  till:
    source: till.csv
    kind: events
    event: purchase
    key: no
    customer: crm.id = till.who
    event_time: at
    timezone: UTC
    fields: {{amount: price, channel: by}}
{more}
"""
PEOPLE = [
    "1,ann@larkmoor.co.uk,01632 960001,1980-02-03,YO1 7HH,GB,2026-01-01",
    "2,bob@larkmoor.co.uk,+44 20 7946 0018,1975-05-06,LS1 4AP,GB,2026-01-02",
]
SALES = ["1,1,2026-01-03,5.5,web,GBP", "2,2,2026-01-04,6.5,shop,GBP", "3,1,2026-01-05,7.5,shop,GBP"]


def write(root: Path, *, people: Sequence[str] = PEOPLE, sales: Sequence[str] = SALES, more: str = "") -> Workspace:
    """Write the company; `more` is appended to its feeds.yaml."""
    files = {
        "crm.csv": lines("id,mail,tel,born,zip,land,at", people),
        "till.csv": lines("no,who,at,price,by,unit", sales),
    }
    return company(root, feeds=FEEDS.format(more=more), files=files)


def many(rows: int, *, price: str = "{n}", by: str = "web") -> list[str]:
    """Return sales of the two customers: `price` and `by` may say ``{n}``, the row's number from 1."""
    return [
        f"{n},{n % 2 + 1},2026-01-{n % 28 + 1:02d},{price.format(n=n % 97 + 1)},{by.format(n=n % 3)},GBP"
        for n in range(1, rows + 1)
    ]


def answer(report: UnifyReport, code: str, feed: str = "") -> tuple[str, str]:
    """Return what one check answered about one feed: outcome and detail."""
    (found,) = [check for check in report.checks if (check.code, check.feed) == (code, feed)]
    return found.outcome, found.detail


def outcome(workspace: Workspace, code: str, feed: str = "") -> str:
    return answer(unified(workspace), code, feed)[0]
