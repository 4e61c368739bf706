"""History of accepted loads of every feed; written only when a whole run has succeeded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from features.base.errors import StorageFailure
from features.base.storage import read_json, write_json
from features.quality.check import Check
from features.quality.load_profile import LoadProfile

#: Loads whose volume is stored.
LOADS = 60
#: The checks that compare a load with the one before.
COMPARED = ("FQ017", "FQ018", "FQ019")


@dataclass(frozen=True)
class AcceptedLoad:
    """The last accepted load of a feed, and the volumes of those before.

    Parameters
    ----------
    profile : of the last accepted load
    loads : ``{digest, rows, newest}`` of accepted loads, the oldest first
    checks : comparison with the load before it, reused by later runs over the same load
    """

    profile: LoadProfile
    loads: tuple[Mapping[str, Any], ...]
    checks: tuple[Check, ...]


def last_accepted(folder: Path, feed: str) -> AcceptedLoad | None:
    """Return the last accepted load of a feed; None when there is none, or its file is damaged."""
    try:
        document = read_json(_path(folder, feed))
        checks = tuple(Check(**check) for check in document["checks"])
        return AcceptedLoad(LoadProfile.from_json(document["profile"]), tuple(document["loads"]), checks)
    except (StorageFailure, KeyError, TypeError):
        return None


def is_accepted(folder: Path, feed: str, digest: str) -> bool:
    """Return whether the load with this digest is the last accepted one."""
    known = last_accepted(folder, feed)
    return known is not None and known.profile.digest == digest


def record_accepted(folder: Path, profiles: Mapping[str, LoadProfile], checks: Sequence[Check]) -> None:
    """Write the accepted loads and their comparisons; one that is recorded already is left unchanged."""
    for name, profile in profiles.items():
        if is_accepted(folder, name, profile.digest):
            continue
        known = last_accepted(folder, name)
        loads = known.loads if known is not None else ()
        load = {"digest": profile.digest[:12], "rows": profile.rows, "newest": profile.newest}
        compared = [asdict(check) for check in checks if check.feed == name and check.code in COMPARED]
        document = {"profile": profile.as_dict(), "loads": [*loads, load][-LOADS:], "checks": compared}
        write_json(_path(folder, name), document)


def _path(folder: Path, feed: str) -> Path:
    return folder / "accepted" / f"{feed}.json"
