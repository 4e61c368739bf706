"""``nextbest features forget``: one customer out of the streamed events, the online store, what was served."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from features.base.generations import remove_earlier
from features.base.workspace import Workspace
from features.base.workspace_lock import workspace_lock
from features.config.workspace_files import load_feeds
from features.identity.customer_directory import records_of
from features.identity.past_holdings import past_holdings
from features.ingest.removed_versions import remove_versions
from features.store import feature_read_log
from features.store.online_reader import open_reader
from features.streaming.open_event_log import has_log, open_log
from features.streaming.removal import erase, without_stale_worker
from serving.cli.options import AsJson, Folder, workspace_of
from serving.cli.terminal import Terminal


def forget(
    customer: Annotated[str, typer.Argument(help="The customer's id.")],
    workspace: Folder = Path(),
    as_json: AsJson = False,
) -> None:
    """Forget one customer's history, streamed events and features; a build brings back what the feeds still hold."""
    terminal = Terminal(as_json=as_json)
    place = workspace_of(workspace)
    with terminal.progress() as progress, workspace_lock(place, "features forget"):
        progress.step("forgetting one customer")
        events, dead_letters = 0, 0
        if has_log(place):
            events, dead_letters, forgotten = _with_events(place, customer)
        else:
            forgotten = _online(place, customer)
        served = feature_read_log.forget(place.served, customer)
        versions = _with_versions(place, customer)
        for folder in (place.state / "unified", place.state / "snapshots"):
            remove_earlier(folder)
    terminal.answer(
        {
            "customer_id": customer,
            "forgotten": forgotten,
            "served": served,
            "events": events,
            "dead_letters": dead_letters,
            "versions": versions,
        }
    )
    if forgotten:
        terminal.say("the online store no longer holds this customer, and still holds all others")
    else:
        terminal.say("the online store does not hold this customer")
    terminal.say(f"{events} streamed events are gone, and {dead_letters} dead letters; sent again, they are ignored")
    terminal.say(f"{served} vectors of the log of served features are gone")
    terminal.say(f"{versions} earlier versions of their records are gone")
    terminal.say("a later build of the features brings back what the feeds still hold of this customer")
    terminal.next_step("nextbest unify" if versions else "nextbest features")


def _with_events(place: Workspace, customer: str) -> tuple[int, int, bool]:
    """Erase the events first: a worker that still held them would bring the features back."""
    log = open_log(place)
    try:
        erased = erase(place, log, customer)
        with without_stale_worker(place, log, pause=time.sleep):
            return erased.events, erased.dead_letters, _online(place, customer)
    finally:
        log.close()


def _with_versions(place: Workspace, customer: str) -> int:
    """Remove what the customer's records held in earlier loads; a source with versions of its own is left alone."""
    records = records_of(place, customer)
    if not records:
        return 0
    feeds = load_feeds(place)[0]
    records |= past_holdings(place, feeds, records)
    return sum(
        remove_versions(folder / name, records.get(name, []))
        for name, feed in feeds.feeds.items()
        if not feed.has_versions
        for folder in (place.staged, place.arriving)
    )


def _online(place: Workspace, customer: str) -> bool:
    reader = open_reader(place.root)
    try:
        return reader.delete(customer)
    finally:
        reader.close()
