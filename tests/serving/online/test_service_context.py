"""The service context: what one process of the online service holds."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing

import pytest

from features.base.errors import StorageFailure
from features.base.workspace import Workspace
from serving.online import service_context
from serving.online.api_keys import ensure_keys


def test_a_write_waits_for_another_process_no_longer_than_a_request_may_take(
    house: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(service_context, "DEADLINE_S", 0.2)
    ensure_keys(house)
    context = service_context.open_service_context(house)
    with closing(sqlite3.connect(house.ledger, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        began = time.monotonic()
        with pytest.raises(StorageFailure) as caught:
            context.decider.ledger.append([], actor_role="shop")
        assert caught.value.first.code == "ledger.busy"
        assert time.monotonic() - began < 10.0  # the ledger's own patience is 30 s
        other.execute("ROLLBACK")
    assert context.decider.ledger.append([], actor_role="shop") == 0
    context.decider.ledger.close()
