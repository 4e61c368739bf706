"""Columns made of a feed's own: as keys, links, times and numbers, and what is refused about them."""

from __future__ import annotations

from pathlib import Path

import pytest

from features.base.errors import BadConfiguration
from features.base.progress import Silent
from features.base.workspace import Workspace
from features.config.workspace_files import load_feeds
from features.consent.table_counts import count_tables
from features.pipeline.unify import unify

FEEDS = """
feeds:
  crm:
    source: crm.csv
    kind: customers
    key: number
    columns: {number: "regexp_extract(\\"No\\", '^0*(.*)$', 1)"}
    fields: {email: mail}
  deals:
    source: deals.csv
    kind: events
    customer: crm.number = deals.person
    event: deal
    columns:
      person: "regexp_extract(people, '^ *0*([^;]*)', 1)"
      at: "day || ' ' || clock"
    event_time: strptime(at, '%d.%m.%Y %H:%M')
    timezone: UTC
    fields: {amount: worth}
"""


def workspace(folder: Path, feeds: str = FEEDS) -> Workspace:
    (folder / "features").mkdir()
    (folder / "features/feeds.yaml").write_text(feeds, encoding="utf-8")
    (folder / "crm.csv").write_text("No,mail\n0001,a@x.org\n0002,b@x.org\n", encoding="utf-8")
    rows = "1;2,01.02.2026,10:30,5\n2,02.02.2026,11:30,7\n0001,03.02.2026,12:30,9\n"
    (folder / "deals.csv").write_text("people,day,clock,worth\n" + rows, encoding="utf-8")
    return Workspace(folder)


def test_columns_made_of_others_are_keys_links_and_times(tmp_path: Path) -> None:
    place = workspace(tmp_path)
    report = unify(place, Silent())
    assert report.customers == 2
    counts = count_tables(place, load_feeds(place)[0].purposes)["events"]
    assert (counts["rows"], counts["customers"], counts["amount"]) == (3, 2, 21)
    assert counts["first"].startswith("2026-02-01T10:30")


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("{number:", '{mail: "upper(mail)", number:', "the files have a column 'mail' already"),
        ("regexp_extract(people, ", "regexp_extract(folk, ", "the files have no column 'folk'"),
        ("= deals.person", "= deals.persons", "the files have no column 'persons'"),
    ],
)
def test_a_column_that_cannot_be_made_is_named(tmp_path: Path, old: str, new: str, message: str) -> None:
    with pytest.raises(BadConfiguration, match=message):
        unify(workspace(tmp_path, FEEDS.replace(old, new)), Silent())
