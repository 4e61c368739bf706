"""Thirty days of a company whose records come, change and leave: what its ids do, from the feeds to the ledger."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from features.base.workspace import Workspace
from features.identity.ledger_files import read_ledger
from tests.features.identity.ledgers import day
from tests.features.tiny import company, lines, table, unified

FEEDS = """\
feeds:
  crm: {source: crm.csv, kind: customers, key: id, updated_at: at, timezone: UTC,
    fields: {email: mail, phone: tel, first_name: name}, drop: [mail, tel, name]}
  web: {source: web.csv, kind: customers, key: id, updated_at: at, timezone: UTC,
    fields: {email: mail, phone: tel, first_name: name}, drop: [mail, tel, name]}
identity: {rules: exact}
"""
DAYS = 30


@dataclass
class World:
    """People and what two systems write down about them; every day some come, change their contacts, and leave."""

    chance: random.Random
    people: int = 0
    feeds: dict[str, dict[int, tuple[str, str, str, int]]] = field(default_factory=lambda: {"crm": {}, "web": {}})
    numbers: dict[str, int] = field(default_factory=lambda: {"crm": 0, "web": 0})

    def arrive(self, today: int, count: int) -> None:
        for _ in range(count):
            self.people += 1
            mail, tel = f"p{self.people}@x.org", f"07700{self.people:06d}"
            for feed in self.chance.choice((["crm"], ["web"], ["crm", "web"])):
                # A record with only one of both contact points may be tied to the other one later, or never.
                shown = self.chance.choice(((mail, tel), (mail, ""), ("", tel)))
                self._write(feed, (*shown, f"N{self.people}", today))

    def _write(self, feed: str, row: tuple[str, str, str, int]) -> None:
        self.numbers[feed] += 1
        self.feeds[feed][self.numbers[feed]] = row

    def change(self, today: int, count: int) -> None:
        for _ in range(count):
            rows = self.feeds[self.chance.choice(("crm", "web"))]
            key = self.chance.choice(list(rows))
            person = int(rows[key][2].removeprefix("N"))
            # Sometimes somebody else's address is written down: customers merge, and come apart when it is mended.
            mail = self.chance.choice((person, person, self.chance.randint(1, self.people)))
            rows[key] = (f"p{mail}@x.org", f"07700{person:06d}", f"N{person}", today)

    def leave(self, count: int) -> None:
        for _ in range(count):
            rows = self.feeds[self.chance.choice(("crm", "web"))]
            rows.pop(self.chance.choice(list(rows)))

    def deliver(self, root: Path) -> Workspace:
        files = {
            f"{feed}.csv": lines(
                "id,mail,tel,name,at",
                [f"{n},{mail},{tel},{name},{day(at):%Y-%m-%d}" for n, (mail, tel, name, at) in sorted(rows.items())],
            )
            for feed, rows in self.feeds.items()
        }
        return company(root, feeds=FEEDS, files=files)


@pytest.mark.slow
def test_over_thirty_days_no_id_is_reused_every_past_id_resolves_and_ids_change_only_through_events(
    tmp_path: Path,
) -> None:
    world, before, ever, entered = World(random.Random(1)), dict[tuple[str, str], str](), set[str](), 0
    world.arrive(0, 200)
    kinds: list[str] = []
    for today in range(1, DAYS + 1):
        world.arrive(today, 8)
        world.change(today, 12)
        world.leave(6)
        workspace = world.deliver(tmp_path)
        unified(workspace)
        now = {(r["feed"], r["record_id"]): r["customer_id"] for r in table(workspace.personal / "records.parquet")}
        past = {(row["past_id"], row["place"]): row["customer_id"] for row in table(workspace.unified / "ids.parquet")}
        ledger = read_ledger(workspace.identity).ledger
        events = ledger.events.slice(entered).to_pylist()
        entered = ledger.events.num_rows
        kinds += [event["kind"] for event in events]
        born = [event["customer_id"] for event in events if event["kind"] == "created"]
        came_back = {event["customer_id"] for event in events if event["kind"] == "returned"}
        assert not ever & set(born)
        assert len(set(born)) == len(born)
        ever |= set(born)
        assert set(now.values()) - set(before.values()) == set(born) | came_back
        went = {(event["customer_id"], event["into"]) for event in events if event["into"]}
        assert all(
            now[record] == name or (name, now[record]) in went for record, name in before.items() if record in now
        )
        assert {past_id for past_id, _ in past} == ever
        assert all(past[name, 0] == name for name in set(now.values()))
        before = now
    assert {"created", "merged", "split", "retired"} <= set(kinds)
    assert min(kinds.count(kind) for kind in ("merged", "split", "retired")) >= 15
    moments = {event["at"] for event in ledger.events.to_pylist()}
    assert len(moments) == DAYS
