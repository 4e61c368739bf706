"""What a run of matching leaves for the next one, in files: weights, hashes and weighed edges."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from features.base.errors import StorageFailure
from features.base.parquet import read_parquet, write_parquet
from features.base.storage import read_json, write_json
from features.identity.matcher import MODEL, TERMS, Matcher

VERSION = 5
MANIFEST, HASHES, EDGES_FILE = "resolved.json", "hashes.parquet", "edges.parquet"
MEMORY_FILES = (MANIFEST, HASHES, EDGES_FILE, MODEL, TERMS)
MATCHES = pa.schema([("left", pa.uint64()), ("right", pa.uint64()), ("weight", pa.float64())])


@dataclass(frozen=True)
class Memory:
    """What a run leaves for the next: which records it weighed, by which weights, and what it found.

    Parameters
    ----------
    declared : digest of the declaration and the engine's version; another one makes the rest useless
    fitted_on : how many records the weights were learnt from
    matcher : the weights
    hashes : ``feed``, ``record_id``, ``digest``, ``same`` (equal for records that are compared as one) and ``h0``,
        ``h1``, …: a keyed hash of each blocking key's value
    matches : the weighed edges: ``left`` and ``right`` (as ``same``; equal for a record and its copies), ``weight``
    """

    declared: str
    fitted_on: int
    matcher: Matcher
    hashes: pa.Table
    matches: pa.Table

    def save(self, folder: Path) -> None:
        """Write it into a folder."""
        self.matcher.save(folder)
        write_parquet(self.hashes, folder / HASHES)
        write_parquet(self.matches, folder / EDGES_FILE)
        write_json(folder / MANIFEST, {"version": VERSION, "declared": self.declared, "fitted_on": self.fitted_on})

    @classmethod
    def load(cls, folder: Path) -> Memory | None:
        """Read what the last run left; nothing when there is none, or it is damaged: it can be made again."""
        try:
            manifest = read_json(folder / MANIFEST)
            hashes, matches = read_parquet(folder / HASHES), read_parquet(folder / EDGES_FILE).cast(MATCHES)
            matcher = Matcher.load(folder)
            if manifest["version"] != VERSION:
                return None
            return cls(str(manifest["declared"]), int(manifest["fitted_on"]), matcher, hashes, matches)
        except (StorageFailure, KeyError, TypeError, pa.ArrowException):
            return None
