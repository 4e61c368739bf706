"""Conversion between Feast's messages and the values of online records."""

from __future__ import annotations

from typing import Any

from feast import FeatureView
from feast.infra.key_encoding_utils import serialize_entity_key
from feast.protos.feast.types.EntityKey_pb2 import EntityKey
from feast.protos.feast.types.Value_pb2 import Value
from feast.types import Bool, Float32, Float64, Int32, Int64, String, UnixTimestamp

from features.base.errors import BadConfiguration
from features.store.definitions import CUSTOMER, ColumnType
from features.store.online_records import Block, Layout, Plain

KEY_VERSION = 3
_TYPES: dict[object, ColumnType] = {
    Int32: "int",
    Int64: "int",
    Float32: "float",
    Float64: "float",
    String: "string",
    Bool: "bool",
    UnixTimestamp: "timestamp",
}
_SLOTS = {
    "int": "int64_val",
    "float": "double_val",
    "string": "string_val",
    "bool": "bool_val",
    "timestamp": "unix_timestamp_val",
}


def layout_of(table: FeatureView) -> Layout:
    """Return the layout that rows of this view are written with.

    Raises
    ------
    BadConfiguration : when a feature's type cannot be served online
    """
    for column in table.features:
        if column.dtype not in _TYPES:
            raise BadConfiguration(
                "store.online_type",
                f"the type {column.dtype} of {column.name!r} cannot be served online",
                where=table.name,
                hint="use int, float, string, bool or timestamp",
            )
    return tuple((column.name, _TYPES[column.dtype]) for column in table.features)


def messages_of(block: Block, layout: Layout, wanted: frozenset[str] | None) -> dict[str, Value]:
    """Return the wanted values of a block as Feast's messages (an empty one where missing)."""
    return {
        name: _message(kind, value)
        for (name, kind), value in zip(layout, block.values, strict=True)
        if wanted is None or name in wanted
    }


def _message(kind: str, value: Any) -> Value:
    return Value() if value is None else Value(**{_SLOTS[kind]: value})


def plain(value: Value | None) -> Plain:
    """Return what a message of Feast holds; NaN and an empty message are missing."""
    slot = None if value is None else value.WhichOneof("val")
    held: Plain = None if slot is None else getattr(value, slot)
    return None if held != held else held


def key_of(entity: EntityKey) -> str:
    """Return the stored key of an entity: a customer's id; of anything else, Feast's own key in hexadecimal digits."""
    if list(entity.join_keys) == [CUSTOMER] and entity.entity_values[0].string_val:
        return str(entity.entity_values[0].string_val)
    return bytes(serialize_entity_key(entity, entity_key_serialization_version=KEY_VERSION)).hex()
