"""Replace a folder by another in one step, where the system can."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from pathlib import Path

_AT_FDCWD = -100
_EXCHANGE = 2  # RENAME_EXCHANGE on Linux, RENAME_SWAP on macOS


def swap(new: Path, path: Path) -> None:
    """Let the folder `new` take the place of `path`, and remove what stood there.

    On Linux and macOS the two change places in one system call: whoever is killed, and whoever reads meanwhile,
    finds the old folder or the new one. Where the system cannot (some network drives), there is a moment without
    either; the old one is put back when the second half fails.

    Raises
    ------
    OSError : when the folder cannot be written
    """
    if not path.exists():
        new.rename(path)
    elif _exchanged(new, path):
        shutil.rmtree(new, ignore_errors=True)
    else:
        old = path.with_name(f"{new.name}.old")
        path.rename(old)
        try:
            new.rename(path)
        except OSError:
            old.rename(path)
            raise
        shutil.rmtree(old, ignore_errors=True)


def _exchanged(one: Path, other: Path) -> bool:
    """Exchange two folders in one system call; return whether that was possible."""
    library = ctypes.CDLL(None, use_errno=True)
    first, second = os.fsencode(one), os.fsencode(other)
    if sys.platform == "darwin":
        return hasattr(library, "renamex_np") and library.renamex_np(first, second, _EXCHANGE) == 0
    if not hasattr(library, "renameat2"):
        return False
    return bool(library.renameat2(_AT_FDCWD, first, _AT_FDCWD, second, ctypes.c_uint(_EXCHANGE)) == 0)
