"""A workspace whose names are all words of SQL: feeds, columns, comparisons, views, categories, purposes, owners."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest

from features.base.database_engine import open_engine
from features.base.progress import Silent
from features.base.workspace import Workspace
from features.config.workspace_files import load_feeds
from features.consent.customer_data import open_customer_data
from features.pipeline.build_features import build_features
from features.pipeline.unify import unify
from features.views.declaration_check import check
from tests.features.tiny import STORE, company, groups, lines, table
from training.labels.build import build
from training.labels.label_settings import ModelSettings

FEEDS = """
company: {currency: GBP, timezone: UTC, country: GB}
feeds:
  order:
    source: order.csv
    kind: customers
    owner: union
    key: select
    updated_at: end
    known_at: end
    timezone: UTC
    fields: {first_name: from, last_name: to, email: table, phone: check, birth_date: when, city: default}
  group:
    source: group.csv
    kind: customers
    owner: intersect
    key: [select, column]
    updated_at: end
    known_at: end
    timezone: UTC
    fields: {first_name: from, last_name: to, email: table, birth_date: when, city: '"default"'}
    where: '"order" > 0'
  select:
    source: select.csv
    kind: events
    event: all
    key: primary
    customer: order.select = select.user
    event_time: end
    known_at: end
    timezone: UTC
    fields: {amount: '"order" * 2', item: group, channel: case, quantity: order, text: desc}
  table:
    source: table.csv
    kind: holdings
    customer: order.select = table.user
    key: [user, in]
    fields: {item: in, held_from: from, held_to: to, price: order}
    timezone: UTC
  end:
    source: end.csv
    kind: items
    key: in
    fields: {item: in, group: group, name: as, price: order}
  all:
    source: all.csv
    kind: consents
    customer: order.select = all.user
    event_time: end
    known_at: end
    timezone: UTC
    key: [user, for]
    fields: {purpose: for, status: is}
  where:
    source: where.csv
    kind: context
    key: on
    event_time: end
    known_at: end
    timezone: UTC
    fields: {place: on}
  having:
    source: having.csv
    kind: interactions
    customer: order.select = having.user
    key: primary
    event_time: end
    known_at: end
    timezone: UTC
    fields: {offer: offset, channel: case, arm: limit, outcome: then, selection_prob: distinct}
identity:
  rules: declared
  comparisons:
    order: {kind: exact, of: [order.group, group.group]}
    group: {kind: identifier, of: [order.order, group.order]}
    select: {kind: email, of: [email]}
    table: {kind: date, of: [birth_date]}
    end: {kind: name, of: [last_name]}
  threshold: 0.5
  exclusive: [order.group, gender]
survivorship:
  default: last_updated
  fields: {order.group: {rule: most_frequent}, city: {rule: source_priority, order: [order, group]}}
  groups: {select: {rule: longest, fields: [first_name, last_name]}}
quality:
  complete: {order.select: 0.5, select.group: 0.1}
  ranges: {select.order: {min: 0, max: 1000}}
  units: {select.order: {unit: GBP, column: with}}
  unique: [order.select]
  freshness: {select: 900d}
  checks: {FQ007: {severity: warn}}
  repairs:
    - {rule: trim, field: order.order}
    - {rule: upper, field: city, feed: order, when: {order.order: "1"}}
    - {rule: placeholder, field: order.group, values: ["null"]}
    - {rule: clamp, field: amount, feed: select, max: 900}
    - {rule: convert, field: amount, feed: select, factor: 1.0, when: {select.with: GBP}}
purposes: {all: {basis: consent}, order: {basis: contract}, check: {basis: consent, expires: 900d}}
"""
VIEWS = """
snapshots: {every: 30d, since: 90d}
purpose: order
views:
  order:
    from: events
    where: '"select.order" >= 0'
    aggregates:
      {amount: [sum, mean, last, trend], "*": [count, recency], item: [nunique], select.order: [sum, first, std]}
    windows: [30d, 90d]
  group: {from: events, by: items.group, aggregates: {amount: [sum, share]}, windows: [90d]}
  select: {from: events, by: select.group, top: 2, aggregates: {"*": [count]}, windows: [90d], purpose: all}
  table: {from: holdings, ends: table.until}
  all: {from: customers, fields: [city, order.group, order.order]}
  where: {from: context, place: order.group, fields: [where.desc, where.order]}
  union: {from: interactions, by: having.limit, aggregates: {"*": [count]}, windows: [90d]}
  end: {from: events, of: company, aggregates: {amount: [max]}, windows: [90d], where: item is not null}
  desc:
    from: events
    text: {column: text, keywords: 2, customers: 5}
    aggregates: {text.words: [mean]}
    windows: [90d]
  case: {from: events, by: channel, categories: [end, select, "null"], aggregates: {"*": [count]}, windows: [90d]}
"""


def keyword_company(root: Path, *, feeds: str = FEEDS, views: str = VIEWS) -> Workspace:
    words = ("select", "group", "end", "order", "null", "table", "case")
    texts = ("select", "from", "order by", "group", "where all", "end union")
    files = {
        "order.csv": lines(
            "select,end,from,to,table,check,when,default,order,group",
            [
                f"{n},2026-01-01 00:00:00,Ann{n},Lee{n},ann{n}@example.org,0161496{n:04},199{n % 10}-01-0{n % 9 + 1},"
                f"york,{n},{words[n % 7]}"
                for n in range(1, 15)
            ],
        ),
        "group.csv": lines(
            "select,column,end,from,to,table,when,default,order,group",
            [
                f"{n},x,2026-01-02 00:00:00,Ann{n},Lee{n},ann{n}@example.org,199{n % 10}-01-0{n % 9 + 1},leeds,{n},"
                f"{words[n % 7]}"
                for n in range(1, 8)
            ],
        ),
        "select.csv": lines(
            "primary,user,end,order,group,case,with,desc",
            [
                f"{n},{n % 14 + 1},2026-0{n % 5 + 1}-05 10:00:00,{n},{words[n % 7]},{words[n % 5]},GBP,"
                f"{texts[n // 5 % 6]}"
                for n in range(1, 71)
            ],
        ),
        "table.csv": lines(
            "user,in,from,to,order,until",
            [f"{n},{words[n % 3]},2026-01-01,,9,2026-12-31" for n in range(1, 15)],
        ),
        "end.csv": lines(
            "in,group,as,order", [f"{word},{words[n % 3]},The {word},{n}" for n, word in enumerate(words)]
        ),
        "all.csv": lines(
            "user,end,for,is",
            [f"{n},2026-01-01 00:00:00,{purpose},granted" for n in range(1, 12) for purpose in ("all", "check")],
        ),
        "where.csv": lines(
            "on,end,desc,order", [f"{word},2026-01-01 00:00:00,{word},{n}" for n, word in enumerate(words)]
        ),
        "having.csv": lines(
            "primary,user,end,offset,case,limit,then,distinct",
            [f"{n},{n},2026-03-01 00:00:00,all,end,order,{words[n % 3]},0.5" for n in range(1, 15)],
        ),
    }
    workspace = company(root, feeds=feeds, views=views, files=files)
    (root / "features/feature_store.yaml").write_text(STORE, encoding="utf-8")
    return workspace


@pytest.fixture(scope="module")
def workspace(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    made = keyword_company(tmp_path_factory.mktemp("keywords"))
    assert check(made) == []
    assert unify(made, Silent()).customers == 14
    return made


def test_records_are_joined_by_comparisons_that_are_words_of_sql(workspace: Workspace) -> None:
    assert groups(workspace)[0] == ["group:1|x", "order:1"]


def test_views_columns_and_categories_that_are_words_of_sql_give_features(workspace: Workspace) -> None:
    built = build_features(workspace, Silent())
    assert {
        "order__amount_sum_30d",
        "order__select_order_sum_90d",
        "group__amount_sum_90d__select",
        "all__order_group",
        "table__select",
        "case__count_90d__end",
        "union__count_90d__order",
        "desc__text_keyword_select_sum_90d",
        "consent__all",
    } <= {feature.name for view in built.views for feature in view.features}
    rows = table(sorted((workspace.snapshots / "order").glob("*.parquet"))[-1])
    assert sum(row["order__amount_sum_90d"] for row in rows) > 0


@pytest.mark.parametrize(
    "label",
    [
        {"kind": "acquisition", "of": "select.group", "event": "all", "horizon": "30d"},
        {"kind": "acquisition", "of": "items.group", "event": "all", "horizon": "30d"},
        {"kind": "recorded", "field": "order.group", "positive": "select"},
        {"kind": "inactivity", "event": "all", "horizon": "30d"},
    ],
)
def test_labels_of_such_a_workspace_are_built(workspace: Workspace, label: dict[str, str]) -> None:
    feeds, _ = load_feeds(workspace)
    settings = ModelSettings.model_validate({"label": label, "cutoffs": {"warm_up": "0d"}})
    with open_engine(folders=[workspace.state]) as engine:
        open_customer_data(engine, workspace, feeds.purposes, purpose="order")
        cutoffs = [datetime(2026, month, 1, tzinfo=UTC) for month in (2, 3, 4, 5, 6)]
        assert len(build(engine, settings, cutoffs, feeds).rows) > 0
