"""A small world of people who allow and forbid: two sources of customers, words, withdrawals by e-mail."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from features.base.workspace import Workspace
from tests.features.tiny import company, lines, people

FEEDS = """\
feeds:
  crm:
    {source: crm.csv, kind: customers, key: id, updated_at: changed, timezone: UTC,
     fields: {email: mail, last_name: name}, drop: [mail, name]}
  said:
    {source: said.csv, kind: consents, customer: crm.id = said.who, event_time: at, timezone: UTC,
     fields: {purpose: what, status: word, notice: version}}
  optouts:
    {source: optouts.csv, kind: consents, customer: crm.mail = optouts.address, event_time: at, timezone: UTC,
     fields: {purpose: what, status: word}}
  till:
    {source: till.csv, kind: events, event: buy, key: no, customer: crm.id = till.who, event_time: at, timezone: UTC,
     fields: {amount: amount}}
identity: {rules: exact, match: [email]}
quality: {unknown_customers_above: 1.0}
purposes: {marketing: {basis: consent, expires: 365d}, service: {basis: contract}, care: {basis: legitimate_interest}}
"""
CRM = ["A1,2026-01-01,ann@x.org,Archer", "B1,2026-01-01,bob@x.org,Baker", "C1,2026-01-01,cleo@x.org,Carter"]
#: A file without rows is refused; these say nothing that a test asks for.
SAID = "C1,service,granted,2026-01-01,2026-01-01"
OPTOUT = "nobody@x.org,service,objected,2026-01-01"
TILL = ["1,A1,2026-01-05,10", "2,B1,2026-01-06,20", "3,C1,2026-01-07,30"]


def world(
    root: Path,
    said: Sequence[str] = (),
    optouts: Sequence[str] = (),
    *,
    crm: Sequence[str] = CRM,
    feeds: str = FEEDS,
    views: str = "",
) -> Workspace:
    """Write the world; words are ``who,what,word,version,at`` and ``address,what,word,at``."""
    files = {
        "crm.csv": lines("id,changed,mail,name", crm),
        "said.csv": lines("who,what,word,version,at", [SAID, *said]),
        "optouts.csv": lines("address,what,word,at", [OPTOUT, *optouts]),
        "till.csv": lines("no,who,at,amount", TILL),
    }
    return company(root, feeds=feeds, views=views, files=files)


def who(workspace: Workspace, record: str) -> str:
    """Return the customer that a record of the customers' feed is part of today."""
    return next(customer for customer, records in people(workspace).items() if f"crm:{record}" in records)
