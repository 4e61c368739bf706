"""What holds for the whole company: its currency, and where its days begin."""

from __future__ import annotations

from typing import Annotated
from zoneinfo import ZoneInfo, available_timezones

from pydantic import AfterValidator, Field

from features.config.loading import Settings


def _known_zone(name: str) -> str:
    if name not in available_timezones():
        raise ValueError("not a known time zone; write one such as Europe/London or UTC")
    return ZoneInfo(name).key


TimeZone = Annotated[str, AfterValidator(_known_zone)]


CurrencyCode = Annotated[str, Field(pattern=r"^[A-Z]{3}$")]


class Company(Settings):
    """What holds for the whole company."""

    currency: CurrencyCode = Field(default="EUR", description="ISO 4217 code of all amounts")
    rates: dict[CurrencyCode, Annotated[float, Field(gt=0)]] = Field(
        default_factory=dict, description="currency: what one unit of it is worth in the company's currency"
    )
    timezone: TimeZone = Field(default="UTC", description="where the company's days begin")
    country: str | None = Field(
        default=None, pattern=r"^[A-Z]{2}$", description="ISO 3166 code: of national telephone numbers and postcodes"
    )
