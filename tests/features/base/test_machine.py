"""What a process may use: of the machine, and of its control group in either version."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from features.base.machine import available_memory, available_processors, format_size, parse_size

MEMINFO = "MemTotal:       16000000 kB\nMemFree:        1 kB\n"
MACHINE = 16_000_000 * 1024


def machine(root: Path, **files: str) -> Path:
    """Return a folder that looks like the files of a machine: `files` by path."""
    for name, text in {"proc/meminfo": MEMINFO, **files}.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"{text}\n", encoding="utf-8")
    return root


def test_without_a_control_group_it_is_the_machine_itself(tmp_path: Path) -> None:
    root = machine(tmp_path)
    assert available_memory(root) == MACHINE
    assert available_processors(root) == len(os.sched_getaffinity(0))


def test_version_2_the_group_itself_or_one_that_contains_it(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "0::/pod/app",
        "sys/fs/cgroup/pod/memory.max": "2000000000",
        "sys/fs/cgroup/pod/app/memory.max": "max",
        "sys/fs/cgroup/pod/app/cpu.max": "50000 100000",
    }
    root = machine(tmp_path, **files)
    assert (available_memory(root), available_processors(root)) == (2_000_000_000, 1)


def test_version_2_in_a_container_whose_path_is_the_hosts(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/system.slice/docker-1", "sys/fs/cgroup/memory.max": "3000000000"}
    assert available_memory(machine(tmp_path, **files)) == 3_000_000_000


@pytest.mark.parametrize("mount", ["cpu,cpuacct", "cpu"])
def test_version_1(tmp_path: Path, mount: str) -> None:
    files = {
        "proc/self/cgroup": "5:memory:/docker/1\n3:cpu,cpuacct:/docker/1",
        "sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes": "1000000000",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
        f"sys/fs/cgroup/{mount}/docker/1/cpu.cfs_quota_us": "100000",
        f"sys/fs/cgroup/{mount}/docker/1/cpu.cfs_period_us": "100000",
    }
    root = machine(tmp_path, **files)
    assert (available_memory(root), available_processors(root)) == (1_000_000_000, 1)


def test_version_1_without_limits_and_files_that_make_no_sense(tmp_path: Path) -> None:
    files = {
        "proc/self/cgroup": "5:memory:/\n3:cpu:/\nnothing",
        "sys/fs/cgroup/memory/memory.limit_in_bytes": "9223372036854771712",
        "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1",
        "sys/fs/cgroup/cpu/cpu.cfs_period_us": "0",
        "sys/fs/cgroup/cpu/cpu.max": "much",
    }
    root = machine(tmp_path, **files)
    assert available_memory(root) == MACHINE
    assert available_processors(root) == len(os.sched_getaffinity(0))


def test_a_part_of_a_processor_is_one_and_a_wider_quota_changes_nothing(tmp_path: Path) -> None:
    files = {"proc/self/cgroup": "0::/", "sys/fs/cgroup/cpu.max": "10000 100000"}
    assert available_processors(machine(tmp_path, **files)) == 1
    (tmp_path / "sys/fs/cgroup/cpu.max").write_text("99900000 100000", encoding="utf-8")
    assert available_processors(tmp_path) == len(os.sched_getaffinity(0))


@pytest.mark.parametrize("text", ["", "4", "GB", "-1GB", "0MB", "4 apples", "1e3GB", None, True])
def test_what_is_no_amount_of_memory_is_refused(text: object) -> None:
    with pytest.raises(ValueError, match="such as 4GB"):
        parse_size(text)


@pytest.mark.parametrize(("text", "size"), [("4GB", 4 * 10**9), ("512 MiB", 2**29), ("1.5gb", 1_500_000_000)])
def test_amounts_of_memory(text: str, size: int) -> None:
    assert parse_size(text) == size
    assert parse_size(format_size(size)) == pytest.approx(size, rel=0.05)
