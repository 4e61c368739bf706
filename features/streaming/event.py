"""One event: its shape as it is received, strictly checked, and as it is stored in a log."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import (
    AfterValidator,
    AwareDatetime,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    ValidationError,
    model_validator,
)
from pydantic_core import ErrorDetails

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LARGEST = 1e10  # far beyond any bill; aggregates add such numbers exactly
_MOMENT = re.compile(r"^\d{4}-\d{2}-\d{2}[T ]\d{2}:\d{2}")
_RECORD = r"^[a-z][a-z0-9_]*:.+$"


def _stored(text: str) -> str:
    text.encode("utf-8")  # a lone surrogate is half a character, which no database stores
    if "\x00" in text:
        raise ValueError("holds a NUL character")
    return text


def _a_moment(value: object) -> object:
    if not isinstance(value, datetime) and (not isinstance(value, str) or _MOMENT.match(value) is None):
        raise ValueError("is not a moment, such as 2026-06-30T12:00:00Z")
    return value


def _in_utc(moment: datetime) -> datetime:
    try:
        return moment.astimezone(UTC)
    except OverflowError:
        raise ValueError("lies outside of all calendars") from None


Short = Annotated[str, StringConstraints(min_length=1, max_length=200), AfterValidator(_stored)]
Number = Annotated[float, Field(ge=-LARGEST, le=LARGEST, allow_inf_nan=False)]


class StreamedEvent(BaseModel):
    """An event that a source sends about one customer, in canonical terms; no unknown key, no conversion of types."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    feed: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]*$", max_length=60)] = Field(
        description="the source that sends it"
    )
    id: Short = Field(description="the source's own key of the event; the same one again is the same event")
    customer_id: Short | None = Field(default=None, description="the customer; a past id leads to today's")
    record: Annotated[str, StringConstraints(pattern=_RECORD, max_length=300), AfterValidator(_stored)] | None = Field(
        default=None, description="instead of customer_id: a record of theirs, as FEED:KEY"
    )
    event: Short = Field(description="what happened, such as purchase")
    event_time: Annotated[AwareDatetime, BeforeValidator(_a_moment), AfterValidator(_in_utc)] = Field(
        strict=False, description="when it happened, ISO 8601 with its zone"
    )
    amount: Number | None = None
    quantity: Number | None = None
    item: Short | None = None
    channel: Short | None = None
    text: Annotated[str, StringConstraints(max_length=10_000), AfterValidator(_stored)] | None = None

    @model_validator(mode="after")
    def _about_one(self) -> StreamedEvent:
        if (self.customer_id is None) == (self.record is None):
            raise ValueError("exactly one of customer_id and record names the customer")
        return self


@dataclass(frozen=True)
class AcceptedEvent:
    """An event about a known customer, as a log stores it.

    Parameters
    ----------
    customer_id : the customer, as known at acceptance
    record : FEED:KEY, where that was how the source named the customer
    event_us : when it happened, microseconds since 1970
    """

    feed: str
    id: str
    customer_id: str
    record: str | None
    event: str
    event_us: int
    amount: float | None = None
    quantity: float | None = None
    item: str | None = None
    channel: str | None = None
    text: str | None = None

    def to_json(self) -> str:
        """Return the event as a log stores it.

        Examples
        --------
        >>> AcceptedEvent("shop", "o-1", "c1", None, "purchase", event_us=0).to_json()[:40]
        '{"feed":"shop","id":"o-1","customer_id":'
        """
        return json.dumps(asdict(self), ensure_ascii=False, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> AcceptedEvent:
        """Return the event that `to_json` wrote.

        Examples
        --------
        >>> event = AcceptedEvent("shop", "o-1", "c1", None, "purchase", event_us=0)
        >>> AcceptedEvent.from_json(event.to_json()) == event
        True
        """
        return cls(**json.loads(text))


def parse_event(text: str | bytes) -> StreamedEvent | str:
    """Return the event of a JSON object, or the reason why it is none; the reason holds no value of it.

    Examples
    --------
    >>> parse_event("not JSON")
    'json: json_invalid'
    """
    try:
        return StreamedEvent.model_validate_json(text)
    except ValidationError as error:
        return _why(error.errors(include_url=False, include_context=False, include_input=False))
    except ValueError:
        return "json: not UTF-8"


def _why(errors: Sequence[ErrorDetails]) -> str:
    known = StreamedEvent.model_fields
    places = []
    for error in errors:
        location, kind = error["loc"], error["type"]
        name = location[0] if location and location[0] in known else "json" if kind == "json_invalid" else "event"
        places.append(f"{name}: {kind}")
    return ", ".join(dict.fromkeys(places))


def to_us(moment: datetime) -> int:
    """Return microseconds since 1970.

    Examples
    --------
    >>> from datetime import UTC
    >>> to_us(datetime(1970, 1, 1, 0, 0, 2, tzinfo=UTC))
    2000000
    """
    return (moment - EPOCH) // timedelta(microseconds=1)


def from_us(microseconds: int) -> datetime:
    """Return the moment so many microseconds after 1970 began.

    Examples
    --------
    >>> from_us(2_000_000).isoformat()
    '1970-01-01T00:00:02+00:00'
    """
    return EPOCH + timedelta(microseconds=microseconds)
