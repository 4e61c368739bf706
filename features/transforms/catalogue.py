"""Which features the declared views define: names by rule, types, units, descriptions."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from features.base.duration import format_duration
from features.declaration.canonical import snake_case
from features.declaration.purposes import Purpose
from features.transforms.settings import OF_ROWS, UNWINDOWED, Aggregate, View

FeatureType = Literal["int", "float", "string"]

#: Aggregates that are 0, not missing, when no row lies in the window.
ZERO_WHEN_EMPTY: tuple[Aggregate, ...] = ("count", "sum", "nunique")
#: Aggregates that give one of a column's own values, and have its type.
OF_VALUES: tuple[Aggregate, ...] = ("first", "last")
CONSENT_VIEW = "consent"


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
    """

    name: str
    view: str
    type: FeatureType
    unit: str = ""
    description: str = ""


def aggregate_name(view: str, column: str, aggregate: Aggregate, window: str = "", category: str = "") -> str:
    """Return a feature's name by rule, such as ``purchases__amount_sum_30d``."""
    parts = [*([] if column == "*" else [snake_case(column)]), aggregate, *([window] if window else [])]
    return "__".join([view, "_".join(parts), *([snake_case(category)] if category else [])])


def attribute_feature(view: str, field: str) -> str:
    """Return the name of an attribute's feature: ``profile__city``, ``profile__crm_sales_segment``."""
    return f"{view}__{snake_case(field)}"


def windowed_features(
    name: str, view: View, categories: Sequence[str], currency: str, *, numeric: Collection[str] | None = None
) -> list[Feature]:
    """Return the features of a view with aggregates, in declared order.

    Parameters
    ----------
    name, view : the view and its name
    categories : categories of ``by``, empty when the view has none
    currency : the unit of amounts
    numeric : aggregated columns that hold numbers; all of them, when left out
    """
    features = []
    for category in categories or [""]:
        for column, aggregates in view.aggregates.items():
            for aggregate in aggregates:
                windows = [""] if aggregate in UNWINDOWED else [format_duration(window) for window in view.windows]
                text = numeric is not None and column != "*" and column not in numeric
                features += [_windowed(name, column, aggregate, window, category, currency, text) for window in windows]
    return features


def _windowed(
    view: str, column: str, aggregate: Aggregate, window: str, category: str, currency: str, text: bool
) -> Feature:
    units = {"count": "rows", "nunique": "values", "recency": "days", "tenure": "days", "trend": "-1…1", "share": "0…1"}
    unit = units.get(aggregate, currency if column == "amount" else "")
    what = {
        "recency": "days since the last row",
        "tenure": "days since the first row",
        "count": "number of rows",
        "std": f"standard deviation of {column}",
        "nunique": f"distinct values of {column}",
        "first": f"first known {column}",
        "last": f"last known {column}",
        "trend": f"change of {'the number of rows' if column == '*' else f'the sum of {column}'}"
        " against the span before, over both",
        "share": f"part of {'the rows' if column == '*' else f'the sum of {column}'}",
    }.get(aggregate, f"{aggregate} of {column}")
    of = f" of {category}" if category else ""
    span = f" in the last {window}" if window else ""
    return Feature(
        name=aggregate_name(view, column, aggregate, window, category),
        view=view,
        type="int" if aggregate in ("count", "nunique") else "string" if text and aggregate in OF_VALUES else "float",
        unit=unit,
        description=f"{what}{of}{span}",
    )


def holding_features(name: str, items: Sequence[str], currency: str) -> list[Feature]:
    """Return the features of a view from holdings: one flag an item, and how many, how long, how much."""
    flags = [Feature(f"{name}__{snake_case(item)}", name, "int", "", f"holds {item}") for item in items]
    return [
        *flags,
        Feature(f"{name}__count", name, "int", "items", "items held"),
        Feature(f"{name}__tenure", name, "float", "days", "days since the oldest present holding began"),
        Feature(f"{name}__price_sum", name, "float", currency, "price of all present holdings"),
    ]


def attribute_features(name: str, fields: Sequence[str], numeric: Mapping[str, bool]) -> list[Feature]:
    """Return the features of a view that takes attributes as they were known."""
    return [
        Feature(attribute_feature(name, field), name, "float" if numeric[field] else "string", "", f"{field}, as known")
        for field in fields
    ]


def consent_features(purposes: Mapping[str, Purpose]) -> list[Feature]:
    """Return the features of the automatic view of consents: status and evidence for each purpose."""
    return [
        feature
        for purpose in sorted(purposes)
        for feature in (
            Feature(f"{CONSENT_VIEW}__{purpose}", CONSENT_VIEW, "int", "", f"{purpose}: 1 granted, 0 withdrawn"),
            Feature(
                f"{CONSENT_VIEW}__{purpose}_record", CONSENT_VIEW, "string", "", f"{purpose}: the record it rests on"
            ),
        )
    ]


def is_of_rows(aggregate: Aggregate) -> bool:
    """Say whether an aggregate counts rows rather than looking at a column's values."""
    return aggregate in OF_ROWS
