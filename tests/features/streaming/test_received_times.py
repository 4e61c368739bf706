"""A streamed event is known since it was accepted, also when a feed delivers it before the log is compacted."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from features.streaming.compaction import compact_all
from features.streaming.intake import open_intake
from tests.features.tiny import company, people, table, unified

FEEDS = """\
company: {currency: GBP, timezone: UTC}
feeds:
  crm: {source: crm.csv, kind: customers, key: id, fields: {email: mail}, updated_at: at, timezone: UTC}
"""
TILL = """\
  till:
    source: till.csv
    kind: events
    event: purchase
    key: no
    customer: crm.id = till.who
    event_time: day
    timezone: UTC
    fields: {amount: paid}
"""


@pytest.mark.parametrize("compacted", [False, True])
def test_a_delivery_does_not_move_when_a_streamed_event_was_known(tmp_path: Path, compacted: bool) -> None:
    came, delivered = datetime(2026, 3, 10, tzinfo=UTC), datetime(2026, 3, 13, tzinfo=UTC)
    crm = {"crm.csv": "id,mail,at\n1,a@x.example,2025-12-01\n"}
    workspace = company(tmp_path, feeds=FEEDS, files=crm, delivered=delivered)
    unified(workspace)
    (customer,) = people(workspace)
    event = {"feed": "till", "id": "t1", "customer_id": customer, "event": "purchase", "amount": 5.0}
    intake = open_intake(workspace)
    intake.accept([json.dumps(event | {"event_time": "2026-01-05T00:00:00Z"})], at=came)
    intake.log.close()
    if compacted:
        compact_all(workspace)
    till = {"till.csv": "no,who,day,paid\nt1,1,2026-01-05,5\nt2,1,2026-03-12,5\n"}
    unified(company(tmp_path, feeds=FEEDS + TILL, files=till, delivered=delivered))
    known = {row["record_id"]: row["known_at"] for row in table(workspace.unified / "events.parquet")}
    assert known == {"t1": came, "t2": datetime(2026, 3, 12, tzinfo=UTC)}
