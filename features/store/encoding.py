"""How a customer's values lie in the online store: one JSON list a row, and the layout that names its places."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

from feast import FeatureView
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Bool, Float64, Int64, String, UnixTimestamp

from features.base.errors import BadConfiguration
from features.store.definitions import CUSTOMER

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
KEY_VERSION = 3
_SLOTS = {
    Int64: "int64_val",
    Float64: "double_val",
    String: "string_val",
    Bool: "bool_val",
    UnixTimestamp: "unix_timestamp_val",
}

Layout = tuple[tuple[str, str], ...]
"""The features of a row in order, each with the slot of Feast's ``Value`` message that holds it."""

Plain = int | float | str | bool | None
"""A stored value; times are whole seconds since 1970, as in Feast."""


def layout_of(table: FeatureView) -> Layout:
    """Return the layout that rows of this view are written with.

    Raises
    ------
    BadConfiguration : when a feature's type cannot be served online
    """
    for column in table.features:
        if column.dtype not in _SLOTS:
            raise BadConfiguration(
                "store.online_type",
                f"the type {column.dtype} of {column.name!r} cannot be served online",
                where=table.name,
                hint="use int, float, string, bool or timestamp",
            )
    return tuple((column.name, _SLOTS[column.dtype]) for column in table.features)


def layout_text(layout: Layout) -> tuple[str, str]:
    """Return a layout's identity (the digest of its text) and its text."""
    text = json.dumps(layout)
    return hashlib.sha256(text.encode()).hexdigest()[:16], text


def layout_from(text: str) -> Layout:
    """Return the layout that `layout_text` wrote."""
    return tuple((name, slot) for name, slot in json.loads(text))


def payload(values: Sequence[Plain]) -> str:
    """Return a row's values as they are stored."""
    return json.dumps(values, ensure_ascii=False, separators=(",", ":"))


def values_of(text: str, layout: Layout, wanted: frozenset[str] | None) -> dict[str, Value]:
    """Return the wanted values of a stored row as Feast's messages (an empty one where missing)."""
    return {
        name: Value() if value is None else Value(**{slot: value})
        for (name, slot), value in zip(layout, json.loads(text), strict=True)
        if wanted is None or name in wanted
    }


def plain(value: Value | None) -> Plain:
    """Return what a message of Feast holds; NaN and an empty message are missing."""
    slot = None if value is None else value.WhichOneof("val")
    held: Plain = None if slot is None else getattr(value, slot)
    return None if held != held else held


def key_of(entity: EntityKey) -> bytes:
    """Return the stored key of an entity."""
    return bytes(serialize_entity_key(entity, entity_key_serialization_version=KEY_VERSION))


def customer_key(customer: str) -> bytes:
    """Return the stored key of one customer."""
    return key_of(EntityKey(join_keys=[CUSTOMER], entity_values=[Value(string_val=customer)]))


def to_microseconds(moment: datetime) -> int:
    """Return microseconds since 1970; a time without a zone is UTC (as Feast hands it over)."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return (aware - EPOCH) // timedelta(microseconds=1)
