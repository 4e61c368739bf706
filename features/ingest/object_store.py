"""Objects in a store (``s3://``, ``gs://``): listed and fetched through Arrow's file systems, by configuration."""

from __future__ import annotations

import fnmatch
import re
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.fs as pafs

from features.base.errors import BadConfiguration, Unreachable
from features.base.storage import atomic_file
from features.base.workspace import reveal
from features.config.feed import Feed, ObjectStore

SCHEMES = ("s3", "gs", "gcs")
_CHUNK = 8 << 20
_MAGIC = re.compile(r"[*?\[]")


def list_objects(name: str, feed: Feed, uri: str, root: Path) -> tuple[pafs.FileSystem, list[Any]]:
    """Return the store, and what matches the address: an object, all objects below a folder, or a pattern, by name.

    Raises
    ------
    BadConfiguration : a scheme that is not read, or a secret that is not there
    Unreachable : the store does not answer in the declared time
    """
    scheme, _, path = uri.partition("://")
    if scheme not in SCHEMES:
        raise BadConfiguration(
            "feed.source",
            f"{scheme}:// is not read",
            where=f"feed {name}",
            hint="name a path, s3:// or gs://, or a database: postgresql://, mysql://, sqlite:///",
        )
    try:
        store = _store(scheme, name, feed, root)
        fixed = path
        if (magic := _MAGIC.search(path)) is not None:
            fixed = path[: magic.start()].rpartition("/")[0]
        info = store.get_file_info(fixed)
        objects = [info]
        if info.type != pafs.FileType.File:
            objects = store.get_file_info(pafs.FileSelector(fixed, recursive=True, allow_not_found=True))
    except (OSError, pa.ArrowException) as error:
        raise _unreachable(name, error) from None
    if magic is not None:
        objects = [one for one in objects if fnmatch.fnmatchcase(one.path, path)]
    files = [one for one in objects if one.type == pafs.FileType.File and one.size]
    return store, sorted(files, key=lambda one: str(one.path))


def fetch(store: pafs.FileSystem, key: str, path: Path, *, feed: str) -> None:
    """Copy one object's bytes to `path`, atomically."""
    with atomic_file(path) as part:
        try:
            with store.open_input_stream(key) as stream, part.open("wb") as written:
                while chunk := stream.read(_CHUNK):
                    written.write(chunk)
        except (OSError, pa.ArrowException) as error:
            raise _unreachable(feed, error) from None


def _store(scheme: str, name: str, feed: Feed, root: Path) -> pafs.FileSystem:
    declared = feed.store or ObjectStore()
    where = f"feeds.{name}.store"
    said = {
        key: reveal(str(value), root=root, where=where) for key, value in declared.model_dump(exclude_none=True).items()
    }
    seconds = feed.timeout.total_seconds()
    endpoint = said.get("endpoint", "")
    address = {"endpoint_override": endpoint.partition("://")[2] or endpoint} if endpoint else {}
    if endpoint:
        address["scheme"] = endpoint.partition("://")[0] if "://" in endpoint else "https"
    if scheme == "s3":
        keys = {key: said[key] for key in ("access_key", "secret_key", "session_token", "region") if key in said}
        retries = pafs.AwsStandardS3RetryStrategy(max_attempts=2)
        return pafs.S3FileSystem(
            **keys, **address, connect_timeout=seconds, request_timeout=seconds, retry_strategy=retries
        )
    token = {"access_token": said["session_token"]} if "session_token" in said else {}
    return pafs.GcsFileSystem(anonymous=not token and bool(endpoint), **token, **address, retry_time_limit=feed.timeout)


def _unreachable(name: str, error: Exception) -> Unreachable:
    return Unreachable(
        "feed.unreachable",
        f"the object store does not give the object ({type(error).__name__})",
        where=f"feed {name}",
        hint="check the address, `store` (endpoint, keys, region) and the network; the last good state stands",
    )
