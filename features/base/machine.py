"""How much memory and how many processors this process may use: of the machine, and of its control group."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

ROOT = Path("/")
_SIZES = {"B": 1, "KB": 10**3, "MB": 10**6, "GB": 10**9, "TB": 10**12, "KIB": 2**10, "MIB": 2**20, "GIB": 2**30}
_SIZES["TIB"] = 2**40
_SIZE = re.compile(r"\s*([0-9]{1,15}(?:\.[0-9]{1,3})?)\s*([KMGT]i?B|B)\s*", re.IGNORECASE)
_UNLIMITED = 2**60  # version 1 writes a larger number for "no limit"


def parse_size(value: object) -> int:
    """Return the bytes that a text such as ``4GB`` or ``512MiB`` means.

    Raises
    ------
    ValueError : the text is not a positive number followed by a unit

    Examples
    --------
    >>> parse_size("4GB"), parse_size("1.5 GiB")
    (4000000000, 1610612736)
    """
    match = _SIZE.fullmatch(str(value))
    size = int(float(match.group(1)) * _SIZES[match.group(2).upper()]) if match else 0
    if size <= 0:
        raise ValueError("write an amount of memory as a number and MB or GB, such as 4GB")
    return size


def format_size(size: int) -> str:
    """Return a number of bytes as a text that a person reads.

    Examples
    --------
    >>> format_size(4_000_000_000), format_size(1_610_612_736), format_size(20_000_000)
    ('4GB', '1.6GB', '20MB')
    """
    if size < 1_000_000:
        return f"{size}B"
    unit = "GB" if size >= 1_000_000_000 else "MB"
    return f"{size / _SIZES[unit]:.1f}".removesuffix(".0") + unit


def available_memory(root: Path = ROOT) -> int:
    """Return the bytes of memory that this process may use: the machine's, or its control group's where that is less.

    Parameters
    ----------
    root : where ``proc`` and ``sys`` lie; another folder in tests
    """
    limits = [_machine_memory(root)]
    for folder in _groups(root, "memory"):
        for name in ("memory.max", "memory.limit_in_bytes"):
            text = _text(folder / name)
            if text.isdigit() and 0 < int(text) < _UNLIMITED:
                limits.append(int(text))
    return min(limits)


def available_processors(root: Path = ROOT) -> int:
    """Return how many processors this process may use: of its affinity, or its control group's quota where less.

    Parameters
    ----------
    root : where ``sys`` and ``proc`` lie; another folder in tests
    """
    limits = [len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1]
    for folder in _groups(root, "cpu"):
        quota, _, period = _text(folder / "cpu.max").partition(" ")
        if not quota:
            quota, period = _text(folder / "cpu.cfs_quota_us"), _text(folder / "cpu.cfs_period_us")
        if quota.isdigit() and period.isdigit() and int(quota) > 0 and int(period) > 0:
            limits.append(math.ceil(int(quota) / int(period)))
    return max(1, min(limits))


def _machine_memory(root: Path) -> int:
    match = re.search(r"^MemTotal:\s+([0-9]+) kB$", _text(root / "proc/meminfo"), re.MULTILINE)
    return int(match.group(1)) * 1024 if match else os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _groups(root: Path, controller: str) -> Iterator[Path]:
    """Yield the folders of this process's control groups with this controller: its own, and all that contain it."""
    for line in _text(root / "proc/self/cgroup").splitlines():
        _, controllers, path = [*line.split(":", 2), "", ""][:3]
        if controllers and controller not in controllers.split(","):
            continue
        # Version 2 has no controllers in the line; in a container the path may be the host's, and only `/` is there.
        mounts = [controllers, controller] if controllers else [""]
        inside = PurePosixPath("/") / path
        for mount in dict.fromkeys(mounts):
            for group in (inside, *inside.parents):
                yield root / "sys/fs/cgroup" / mount / group.relative_to("/")


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8").strip()
    except (OSError, ValueError):
        return ""
