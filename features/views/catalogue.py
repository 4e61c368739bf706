"""The features that the declared views define: names by rule, types, units, descriptions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from features.base.duration import format_duration
from features.config.canonical import category_name, snake_case
from features.config.purposes import Purpose
from features.config.views_file import CONSENT_VIEW, UNWINDOWED, Aggregate, View

FeatureType = Literal["int", "float", "string"]

#: Aggregates that are 0, not missing, when no row lies in the window.
ZERO_WHEN_EMPTY: tuple[Aggregate, ...] = ("count", "sum", "nunique")
#: Aggregates that give one of a column's own values, and have its type.
OF_VALUES: tuple[Aggregate, ...] = ("first", "last")
_INT: FeatureType = "int"
_STRING: FeatureType = "string"


@dataclass(frozen=True)
class Feature:
    """One feature.

    Parameters
    ----------
    name : column name by rule, ``view__column_aggregate_window[__category]``
    view : the view that it is computed with
    type : what its values are
    unit : of the values, or empty
    description : one sentence
    owner : the person or unit responsible
    purpose : what it may be used for; empty where any declared purpose will do
    sources : the columns of canonical tables that it reads, such as ``events.amount``
    origins : the feeds' columns behind them, as ``feed.column``
    personal : those of the origins that identify a person; most often none
    """

    name: str
    view: str
    type: FeatureType
    unit: str = ""
    description: str = ""
    owner: str = ""
    purpose: str = ""
    sources: tuple[str, ...] = ()
    origins: tuple[str, ...] = ()
    personal: tuple[str, ...] = ()


@dataclass(frozen=True)
class DerivedColumn:
    """A column that no table has: a number derived from a text.

    Parameters
    ----------
    unit, label : of the values
    column : the column that it is derived from
    counted : whether its sum is a count, and is described as one
    name : under which a view aggregates it, such as ``text.words``
    sql : of its value, null where there is no text; see `features.views.text_features`
    """

    unit: str
    label: str
    column: str
    counted: bool = False
    name: str = ""
    sql: str = ""


def aggregate_name(view: str, column: str, aggregate: Aggregate, window: str = "", category: str = "") -> str:
    """Return a feature's name by rule.

    Examples
    --------
    >>> aggregate_name("purchases", "amount", "sum", "30d"), aggregate_name("goods", "*", "count", "90d", "Gift Wrap")
    ('purchases__amount_sum_30d', 'goods__count_90d__gift_wrap')
    """
    parts = [*([] if column == "*" else [snake_case(column)]), aggregate, *([window] if window else [])]
    return "__".join([view, "_".join(parts), *([category_name(category)] if category else [])])


def feature_name(view: str, name: str, window: str = "") -> str:
    """Return the name of a feature that has a name of its own.

    Examples
    --------
    >>> feature_name("baskets", "spend_per_basket", "30d")
    'baskets__spend_per_basket_30d'
    """
    return f"{view}__{name}{f'_{window}' if window else ''}"


def attribute_feature(view: str, field: str) -> str:
    """Return the name of an attribute's feature.

    Examples
    --------
    >>> attribute_feature("profile", "crm_sales.segment")
    'profile__crm_sales_segment'
    """
    return f"{view}__{snake_case(field)}"


def windowed_features(
    name: str,
    view: View,
    categories: Sequence[str],
    currency: str,
    *,
    numeric: Collection[str] | None = None,
    derived: Mapping[str, DerivedColumn] | None = None,
) -> list[Feature]:
    """Return the features of a view with aggregates, in declared order.

    Parameters
    ----------
    name, view : the view and its name
    categories : categories of ``by``, empty when the view has none
    currency : the unit of amounts
    numeric : aggregated columns that hold numbers; all of them, when left out
    derived : aggregated columns that no table has, by name
    """
    features = []
    for category in categories or [""]:
        for column, aggregates in view.aggregates.items():
            for aggregate in aggregates:
                windows = [""] if aggregate in UNWINDOWED else [format_duration(window) for window in view.windows]
                text = numeric is not None and column != "*" and column not in numeric
                plain = DerivedColumn(currency if column == "amount" else "", column, column)
                source = (derived or {}).get(column, plain)
                features += [
                    _windowed(name, column, aggregate, window, category, text=text, source=source) for window in windows
                ]
    return features


def _windowed(
    view: str, column: str, aggregate: Aggregate, window: str, category: str, *, text: bool, source: DerivedColumn
) -> Feature:
    units = {"count": "rows", "nunique": "values", "recency": "days", "tenure": "days", "trend": "-1…1", "share": "0…1"}
    unit, label = units.get(aggregate, source.unit), source.label
    what = {
        "recency": "days since the last row",
        "tenure": "days since the first row",
        "count": "number of rows",
        "std": f"standard deviation of {label}",
        "nunique": f"distinct values of {label}",
        "first": f"first known {label}",
        "last": f"last known {label}",
        "trend": f"change of {'the number of rows' if column == '*' else f'the sum of {label}'}"
        " against the span before, over both",
        "share": f"part of {'the rows' if column == '*' else f'the sum of {label}'}",
    }.get(aggregate, label if source.counted else f"{aggregate} of {label}")
    of = f" of {category}" if category else ""
    span = f" in the last {window}" if window else ""
    return Feature(
        name=aggregate_name(view, column, aggregate, window, category),
        view=view,
        type="int" if aggregate in ("count", "nunique") else "string" if text and aggregate in OF_VALUES else "float",
        unit=unit,
        description=f"{what}{of}{span}",
        sources=("event_time",) if column == "*" else (source.column, "event_time"),
    )


def holding_features(name: str, items: Sequence[str], currency: str, *, ends: str | None = None) -> list[Feature]:
    """Return the features of a view from holdings: one flag an item, and how many, how long, how much, until when."""

    def of(what: str, type_: FeatureType, unit: str, description: str, *columns: str) -> Feature:
        sources = (*columns, "held_from", "held_to")
        return Feature(f"{name}__{category_name(what)}", name, type_, unit, description, sources=sources)

    until = [
        of("days_to_end", "float", "days", "days to the next end of a contract", ends or ""),
        of("past_end_count", "int", "items", "items held beyond the end of their contract", ends or ""),
    ]
    return [
        *(of(item, "int", "", f"holds {item}", "item") for item in items),
        of("count", "int", "items", "items held", "item"),
        of("tenure", "float", "days", "days since the oldest present holding began"),
        of("price_sum", "float", currency, "price of all present holdings", "price"),
        *(until if ends else []),
    ]


def attribute_features(name: str, fields: Sequence[str], numeric: Mapping[str, bool]) -> list[Feature]:
    """Return the features of a view that takes attributes as they were known."""
    return [
        Feature(
            attribute_feature(name, field),
            name,
            "float" if numeric[field] else "string",
            "",
            f"{field}, as known",
            sources=(field,),
        )
        for field in fields
    ]


def consent_features(purposes: Mapping[str, Purpose]) -> list[Feature]:
    """Return the features of the automatic view of consents: status and evidence for each purpose."""
    return [
        Feature(name, CONSENT_VIEW, type_, "", description, sources=("purpose", "status", "event_time"))
        for purpose in sorted(purposes)
        for name, type_, description in (
            (f"{CONSENT_VIEW}__{purpose}", _INT, f"{purpose}: 1 granted, 0 withdrawn"),
            (f"{CONSENT_VIEW}__{purpose}_record", _STRING, f"{purpose}: the record it rests on"),
        )
    ]
