"""Every feature knows where it comes from, whose it is, what for, and from whose personal column it derives."""

from __future__ import annotations

from dataclasses import asdict

import yaml

from features.config.canonical import Kind
from features.config.feeds_file import FeedsFile
from features.config.loading import Lines
from features.config.views_file import ViewsFile
from features.views.catalogue import Feature
from features.views.fitted import FittedView
from features.views.plan import plan_views
from tests.features.views.test_in_python import MINE

FEEDS = """\
company: {currency: EUR}
feeds:
  crm:
    {source: a.csv, kind: customers, key: id, updated_at: changed, pii: [address],
     fields: {email: mail, region: "substr(address, 1, 2)", city: town}}
  till:
    {source: b.csv, kind: events, event: buy, customer: crm.id = till.who, event_time: at,
     fields: {amount: qty * price, item: sku, text: said}}
  goods: {source: c.csv, kind: items, key: sku, fields: {group: kind}}
  deals: {source: d.csv, kind: holdings, customer: crm.id = deals.who, fields: {item: what, held_from: since}}
  open: {source: e.csv, kind: context, fields: {place: area}}
  sent: {source: f.csv, kind: interactions, customer: crm.id = sent.who, event_time: at}
purposes: {service: {basis: contract}}
"""
COLUMNS: dict[Kind, dict[str, bool]] = {
    "customers": {"email": False, "region": False, "city": False, "crm.tier": False},
    "events": {"event": False, "amount": True, "item": False, "text": False, "till.shop": False},
    "items": {"item": False, "group": False},
    "holdings": {"item": False, "held_from": False, "held_to": False, "price": True, "deals.ends": False},
    "context": {"place": False, "open.income": True},
    "interactions": {"channel": False, "outcome": False, "outcome_time": False},
}
VIEWS = """\
purpose: service
python: features/mine.py
views:
  a: {from: events, where: till.shop = 'x', by: items.group, aggregates: {amount: [sum]}, windows: [7d], owner: sales}
  p: {from: customers, fields: [region, crm.tier]}
  h: {from: holdings, items: [tv], ends: deals.ends}
  c: {from: context, place: region, fields: [open.income]}
  t: {from: events, text: {column: text, keywords: 1}, windows: [7d]}
  y: {from: events, python: [spend_per_basket], windows: [7d]}
"""


def features() -> dict[str, Feature]:
    file = ViewsFile.model_validate(yaml.safe_load(VIEWS))
    feeds = FeedsFile.model_validate(yaml.safe_load(FEEDS))
    fitted = {"a": FittedView("", categories=("toys",)), "t": FittedView("", keywords=("line",))}
    planned = plan_views(file, Lines("views.yaml"), feeds, columns=COLUMNS, fitted=fitted, python=MINE)
    return {one.name: one for view in planned for one in view.features}


def test_a_feature_knows_all_of_itself() -> None:
    assert asdict(features()["a__amount_sum_7d__toys"]) == {
        "name": "a__amount_sum_7d__toys",
        "view": "a",
        "type": "float",
        "unit": "EUR",
        "description": "sum of amount of toys in the last 7d",
        "owner": "sales",
        "purpose": "service",
        "sources": ("events.amount", "events.event_time", "events.till.shop", "items.group"),
        "origins": ("goods.kind", "till.at", "till.price", "till.qty", "till.shop"),
        "personal": (),
    }


def test_what_derives_from_a_personal_column_says_so() -> None:
    found = {name: one.personal for name, one in features().items() if one.personal}
    assert found == {"p__region": ("crm.address",), "c__open_income": ("crm.address",)}


def test_holdings_words_and_python_say_what_they_read() -> None:
    found = features()
    assert found["h__days_to_end"].sources == ("holdings.deals.ends", "holdings.held_from", "holdings.held_to")
    assert found["h__tv"].origins == ("deals.since", "deals.what")
    assert found["t__text_keyword_line_sum_7d"].sources == ("events.event_time", "events.text")
    assert (
        found["t__text_keyword_line_sum_7d"].description
        == "number of texts with the word 'line' in text in the last 7d"
    )
    python = found["y__spend_per_basket_7d"]
    assert (python.sources, python.unit, python.description) == (
        ("events.amount", "events.event_time", "events.text"),
        "GBP",
        "money a basket, in the last 7d",
    )
