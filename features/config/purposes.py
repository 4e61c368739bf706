"""What customer data may be used for, and on which lawful basis, as declared."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from features.base.duration import PositiveDuration
from features.config.loading import Settings

Basis = Literal["consent", "contract", "legal_obligation", "vital_interests", "public_task", "legitimate_interest"]


class Purpose(Settings):
    """What customer data may be used for, and on which lawful basis (GDPR Art. 6)."""

    basis: Basis = Field(description="the lawful basis, GDPR Art. 6(1); `consent` needs a grant of the customer")
    expires: PositiveDuration | None = Field(
        default=None, description="consent only: how long a grant holds; for ever if left out"
    )

    @model_validator(mode="after")
    def _granted(self) -> Purpose:
        if self.expires is not None and self.basis != "consent":
            raise ValueError("expires belongs to purposes that rest on consent")
        return self
