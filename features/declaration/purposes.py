"""What customer data may be used for, and on which lawful basis, as declared."""

from __future__ import annotations

from typing import Literal

from features.base.config import Settings


class Purpose(Settings):
    """What customer data may be used for, and on which lawful basis (GDPR Art. 6)."""

    basis: Literal["consent", "contract", "legal_obligation", "vital_interests", "public_task", "legitimate_interest"]
