"""The last accepted load of every feed, remembered; written only when a whole run has succeeded."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from features.base.errors import StorageFailure
from features.base.storage import read_json, write_json
from features.quality.check import Check
from features.quality.load_profile import Profile

#: Loads whose volume is remembered.
LOADS = 60
#: The checks that compare a load with the one before.
COMPARED = ("FQ017", "FQ018", "FQ019")


@dataclass(frozen=True)
class Accepted:
    """The last accepted load of a feed, and the volumes of those before.

    Parameters
    ----------
    profile : of the last accepted load
    loads : ``{digest, rows, newest}`` of accepted loads, the oldest first
    checks : how it compared with the load before it; a later run over the same load gives the same answers
    """

    profile: Profile
    loads: tuple[Mapping[str, Any], ...]
    checks: tuple[Check, ...]


def accepted(folder: Path, feed: str) -> Accepted | None:
    """Return what is remembered of a feed; None when no load was accepted yet, or the memory is damaged."""
    try:
        document = read_json(_path(folder, feed))
        checks = tuple(Check(**check) for check in document["checks"])
        return Accepted(Profile.from_json(document["profile"]), tuple(document["loads"]), checks)
    except (StorageFailure, KeyError, TypeError):
        return None


def remembered(folder: Path, feed: str, digest: str) -> bool:
    """Return whether the load with this digest is the last accepted one."""
    known = accepted(folder, feed)
    return known is not None and known.profile.digest == digest


def remember(folder: Path, profiles: Mapping[str, Profile], checks: Sequence[Check]) -> None:
    """Write the accepted loads, with how each compared; one that is remembered already is left alone."""
    for name, profile in profiles.items():
        if remembered(folder, name, profile.digest):
            continue
        known = accepted(folder, name)
        loads = known.loads if known is not None else ()
        load = {"digest": profile.digest[:12], "rows": profile.rows, "newest": profile.newest}
        compared = [asdict(check) for check in checks if check.feed == name and check.code in COMPARED]
        document = {"profile": profile.as_dict(), "loads": [*loads, load][-LOADS:], "checks": compared}
        write_json(_path(folder, name), document)


def _path(folder: Path, feed: str) -> Path:
    return folder / "accepted" / f"{feed}.json"
