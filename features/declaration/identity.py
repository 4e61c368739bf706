"""Which records are one customer, as declared."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from features.base.config import Settings


class Identity(Settings):
    """Which records are one customer."""

    rules: Literal["keys", "exact"] = Field(
        default="keys", description="keys: declared links only; exact: also equal normalised contact points"
    )
    match: tuple[Literal["email", "phone"], ...] = Field(
        default=("email", "phone"), description="contact points that `exact` compares"
    )
    shared_by_at_most: int = Field(
        default=6, ge=2, description="a contact point that more records share identifies nobody and is not used"
    )
