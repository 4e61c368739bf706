"""What views learnt from the data of training time, stored so that later features mean the same."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from features.base.errors import StorageFailure
from features.base.storage import read_json, write_json

FITTED = "fitted.json"


@dataclass(frozen=True)
class FittedView:
    """What one view learnt: which categories, words and topics its columns are about.

    Parameters
    ----------
    declared : digest of the part of the view's declaration that it was learnt under
    until : the fitting moment, ISO 8601: later rows did not count; empty where every build learns again
    categories : of ``by``, in the order of the columns; of a view from holdings, the items
    keywords : words whose texts are counted
    topics : the words of each topic, the heaviest first; no word is in two
    """

    declared: str
    until: str = ""
    categories: tuple[str, ...] = ()
    keywords: tuple[str, ...] = ()
    topics: tuple[tuple[str, ...], ...] = ()


def read_fitted(folder: Path) -> dict[str, FittedView]:
    """Return what each view has learnt; nothing where nothing was learnt yet.

    Raises
    ------
    StorageFailure : the file is damaged; to learn again without being asked would change the meaning of columns
    """
    path = folder / FITTED
    if not path.is_file():
        return {}
    try:
        document: Mapping[str, Mapping[str, Any]] = read_json(path)
        return {
            view: FittedView(
                declared=str(kept["declared"]),
                until=str(kept["until"]),
                categories=tuple(kept["categories"]),
                keywords=tuple(kept["keywords"]),
                topics=tuple(tuple(topic) for topic in kept["topics"]),
            )
            for view, kept in document.items()
        }
    except (StorageFailure, AttributeError, KeyError, TypeError):
        raise StorageFailure(
            "features.fitted",
            "what the views learnt cannot be read",
            where=f"{folder.name}/{FITTED}",
            hint="restore it from a backup, or learn it again with `nextbest features --refit` and train again",
        ) from None


def write_fitted(folder: Path, fitted: Mapping[str, FittedView]) -> None:
    """Store what each view has learnt."""
    write_json(folder / FITTED, as_json(fitted))


def as_json(fitted: Mapping[str, FittedView]) -> dict[str, Any]:
    """Return what was learnt as a JSON document."""
    return {view: asdict(learnt) for view, learnt in fitted.items()}
