"""Memory, threads and spill folder of the database engine, as a workspace declares them in ``features/feeds.yaml``."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator, ConfigDict, Field, PlainSerializer, WithJsonSchema

from features.base.database_engine import EngineResources, default_memory
from features.base.machine import available_processors, format_size, parse_size
from features.base.workspace import Workspace
from features.config.loading import Settings, load

FEEDS = "features/feeds.yaml"
_SPILL = "state/.scratch"


def _least(value: object) -> int:
    size = value if type(value) is int else parse_size(value)
    if size < 64_000_000:
        raise ValueError("the engine needs 64MB at least")
    return size


MemorySize = Annotated[
    int, BeforeValidator(_least), PlainSerializer(format_size), WithJsonSchema({"type": "string", "examples": ["4GB"]})
]


class EngineSettings(Settings):
    """What the database engine may use of the machine; whatever does not fit into its memory is written to disk."""

    memory: MemorySize | None = Field(
        default=None,
        description="the most memory of one engine, such as `4GB`; half of what the machine or its container allows "
        "if left out",
    )
    threads: int | None = Field(
        default=None, ge=1, le=1024, description="its worker threads; all processors that are available if left out"
    )
    spill: str = Field(
        default=_SPILL,
        min_length=1,
        description="the folder for what does not fit into memory, relative to the workspace or absolute",
    )


class _EngineSection(Settings):
    """The one section of ``features/feeds.yaml`` that is read here; the others are checked by those who use them."""

    model_config = ConfigDict(extra="ignore")

    engine: EngineSettings = Field(default_factory=EngineSettings)


def engine_resources(workspace: Workspace) -> EngineResources:
    """Return what an engine may use in this workspace: as declared, and the machine's defaults for the rest.

    Raises
    ------
    BadConfiguration : the section ``engine`` of ``features/feeds.yaml`` is not valid
    """
    settings = _declared(workspace.file(FEEDS))
    return EngineResources(
        memory=settings.memory or default_memory(),
        threads=settings.threads or available_processors(),
        spill=workspace.root / settings.spill,
    )


def _declared(path: Path) -> EngineSettings:
    try:
        status = path.stat()
    except OSError:  # a workspace without feeds: whoever needs them reports it
        return EngineSettings()
    return _read(path, status.st_mtime_ns, status.st_size)


@lru_cache(maxsize=16)
def _read(path: Path, _changed: int, _size: int) -> EngineSettings:
    return load(path, _EngineSection, name=FEEDS)[0].engine
