"""Checks, limits and repairs of feeds, as declared."""

from __future__ import annotations

from pydantic import Field

from features.base.config import Settings


class Quality(Settings):
    """Limits of the feed checks."""

    unknown_customers_above: float = Field(
        default=0.05, ge=0, le=1, description="share of a feed's rows about unknown customers that fails FQ004"
    )
