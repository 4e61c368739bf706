"""Counts are told whole: of one worker, and of several that share a folder with strangers."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

COUNT = """
from serving.online.metrics import Meters
meters = Meters()
meters.decision(purpose="marketing", result="offered")
meters.request(route="/v1/decide", status=200, role="shop", seconds=0.004)
"""
TELL = """
print(meters.text().decode())
"""
STRANGER = """
from prometheus_client import Counter, Gauge
Gauge("feast_something", "Of another library", multiprocess_mode="liveall").set(3)
Counter("feast_others", "Of another library").inc()
"""


def told(code: str, folder: Path | None = None) -> list[str]:
    """Run code in a process of its own, with a shared folder or none; return the lines it prints."""
    environment = {name: value for name, value in os.environ.items() if "MULTIPROC" not in name}
    if folder is not None:
        environment["PROMETHEUS_MULTIPROC_DIR"] = str(folder)
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120, check=True)
    return done.stdout.splitlines()


def test_one_worker_tells_its_own() -> None:
    lines = told(COUNT + TELL)
    assert 'nextbest_decisions_total{purpose="marketing",result="offered"} 1.0' in lines
    assert 'nextbest_request_seconds_count{route="/v1/decide"} 1.0' in lines


def test_each_of_several_workers_tells_those_of_all(tmp_path: Path) -> None:
    told(COUNT, tmp_path)
    assert 'nextbest_decisions_total{purpose="marketing",result="offered"} 2.0' in told(COUNT + TELL, tmp_path)


def test_what_another_library_counts_in_the_folder_is_not_told(tmp_path: Path) -> None:
    told(STRANGER, tmp_path)
    assert len(list(tmp_path.glob("*.db"))) == 2
    lines = told(COUNT + TELL, tmp_path)
    assert 'nextbest_decisions_total{purpose="marketing",result="offered"} 1.0' in lines
    assert not [line for line in lines if "feast" in line]


def test_a_file_that_another_worker_has_only_just_made_is_no_failure(tmp_path: Path) -> None:
    (tmp_path / "counter_1.db").touch()
    assert 'nextbest_decisions_total{purpose="marketing",result="offered"} 1.0' in told(COUNT + TELL, tmp_path)


def test_a_library_that_sets_the_variable_after_us_changes_nothing(tmp_path: Path) -> None:
    late = f"import os; os.environ['PROMETHEUS_MULTIPROC_DIR'] = {str(tmp_path)!r}\n"
    lines = told(COUNT + late + TELL)
    assert 'nextbest_decisions_total{purpose="marketing",result="offered"} 1.0' in lines
