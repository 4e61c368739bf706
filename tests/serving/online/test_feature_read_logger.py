"""The service notes a sample of what it reads; whatever becomes of that, the answer is the same."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

from features.base.clock import to_microseconds
from features.base.workspace import Workspace
from features.store.feature_read_log import FeatureReadLog, read_vectors
from features.store.online_reader import open_reader
from serving.online.feature_read_logger import FeatureReadLogger, log_reads
from serving.online.role_settings import FeatureReadSampling
from serving.online.service_context import open_service_context
from tests.serving.house import NOW, customer
from tests.serving.online.client import Client
from tests.serving.online.conftest import Running, key_of

ASK = {"customer_id": customer(0), "purpose": "marketing", "channel": "email", "context": {}}


def note(folder: Path) -> FeatureReadLog:
    return FeatureReadLog(folder, definition="d", sample=1.0, keep=timedelta(days=1), rng=lambda: 0.0)


def test_a_decision_is_noted_with_what_was_read_for_it(
    make: Callable[..., Running], keyed: Workspace, tmp_path: Path
) -> None:
    log = note(tmp_path)
    running = make(reads=FeatureReadLogger(open_reader(keyed.root), log))
    plain = Client(make().guarded, key_of(keyed, "everything")).post("/v1/decide", ASK).json()
    answer = Client(running.guarded, key_of(keyed, "everything")).post("/v1/decide", ASK).json()
    log.close()
    assert answer["items"] == plain["items"]
    (vector,) = read_vectors(tmp_path, newest=10).vectors
    assert (vector.customer, vector.at_us) == (customer(0), to_microseconds(NOW))
    assert set(vector.values) >= set(running.context.decider.features)
    (row,) = open_reader(keyed.root).read([customer(0)], list(vector.values), as_of=NOW)
    assert dict(row.values) == dict(vector.values)


def test_a_log_that_cannot_be_written_changes_no_answer(
    make: Callable[..., Running], keyed: Workspace, tmp_path: Path
) -> None:
    (tmp_path / "served").write_text("a file where the folder should be")
    log = note(tmp_path / "served")
    client = Client(make(reads=FeatureReadLogger(open_reader(keyed.root), log)).guarded, key_of(keyed, "everything"))
    assert [client.post("/v1/decide", ASK).status_code for _ in range(3)] == [200, 200, 200]
    log.close()
    assert log.dropped == 3


def test_nothing_is_noted_unless_it_is_asked_for(keyed: Workspace) -> None:
    reader = open_reader(keyed.root)
    assert log_reads(reader, keyed, FeatureReadSampling()) is reader


def test_the_desk_notes_what_roles_yaml_asks_for(keyed: Workspace, tmp_path: Path) -> None:
    workspace = Workspace(shutil.copytree(keyed.root, tmp_path / "own"))
    with workspace.file("serving/roles.yaml").open("a", encoding="utf-8") as roles:
        roles.write("served: {sample: 1.0, keep: 1d}\n")
    context = open_service_context(workspace)
    (role,) = (role for role in context.roles if role.name == "everything")
    assert isinstance(context.reader, FeatureReadLogger)
    context.read([customer(1)], role=role, as_of=NOW)
    context.reader.log.close()
    assert [vector.customer for vector in read_vectors(workspace.served, newest=10).vectors] == [customer(1)]
