"""A benchmark's workspace is the same in every run."""

from __future__ import annotations

from pathlib import Path

from features.base.workspace import Workspace
from features.identity.id_key import load_key, new_ids
from tests.benchmarks._run import copy_workspace


def test_the_customers_of_a_benchmark_have_the_same_ids_in_every_run(tmp_path: Path) -> None:
    copies = [Workspace(copy_workspace("telco", tmp_path / run)) for run in ("first", "second")]
    first, second = (new_ids(load_key(copy.identity_key), ["customers:1", "customers:2"], 0) for copy in copies)
    assert first == second
