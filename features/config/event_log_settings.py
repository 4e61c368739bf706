"""Where streamed events are logged, as declared."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from features.base.workspace import is_reference
from features.config.loading import Settings


class EventLogSettings(Settings):
    """The log of streamed events."""

    log: Literal["sqlite", "redis"] = Field(
        default="sqlite", description="a file under state/streaming, or Redis Streams"
    )
    address: str | None = Field(default=None, description="redis only: ${env:NAME} or ${file:PATH}, a redis:// address")
    name: str = Field(default="nextbest", pattern=r"^[a-z][a-z0-9_-]*$", description="redis only: of the log's keys")

    @model_validator(mode="after")
    def _reached(self) -> EventLogSettings:
        if (self.log == "redis") != (self.address is not None):
            raise ValueError("address belongs to `log: redis`, which needs it")
        if self.address is not None and "@" in self.address and not is_reference(self.address):
            raise ValueError("a password is never written here: write ${env:NAME} or ${file:PATH}")
        return self
