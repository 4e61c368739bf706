"""What people have judged: pairs of records that are one customer, and pairs that are not."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from features.base.errors import BadConfiguration, BadData
from features.config.identity_settings import Identity, Pairs

MATCH_WORDS = {"1": True, "true": True, "yes": True, "0": False, "false": False, "no": False}


@dataclass(frozen=True)
class Judgements:
    """Judged pairs; a record is named ``feed:key``.

    Parameters
    ----------
    always, never : pairs that are one customer, pairs that are not
    labels : pairs with whether they match, from which weights are learnt; they bind nobody
    """

    always: tuple[tuple[str, str], ...] = ()
    never: tuple[tuple[str, str], ...] = ()
    labels: tuple[tuple[str, str, bool], ...] = ()

    def but_never(self, pairs: Iterable[tuple[str, str]]) -> Judgements:
        """Return these judgements with further pairs that are not one customer, such as an undone merge's.

        Examples
        --------
        >>> Judgements(never=(("crm:1", "crm:2"),)).but_never([("crm:3", "web:4")]).never
        (('crm:1', 'crm:2'), ('crm:3', 'web:4'))
        """
        return Judgements(self.always, tuple(dict.fromkeys([*self.never, *pairs])), self.labels)


def read_judgements(identity: Identity, root: Path) -> Judgements:
    """Read the declared judgements, those in files too.

    Parameters
    ----------
    identity : the declaration
    root : the workspace's folder, from which files are named

    Raises
    ------
    BadConfiguration : a file is not there, or a pair is judged both ways
    BadData : a row of a file is no judgement
    """
    always, never = _pairs(identity.always, root, "always"), _pairs(identity.never, root, "never")
    both = {frozenset(pair) for pair in always} & {frozenset(pair) for pair in never}
    if both:
        raise BadConfiguration(
            "identity.contradiction",
            f"{len(both)} pairs stand under always and under never",
            where="features/feeds.yaml: identity",
            hint="keep each pair in one of the two",
        )
    labels = () if identity.labels is None else tuple(_labels(root / identity.labels, identity.labels))
    return Judgements(always, never, labels)


def _pairs(pairs: Pairs, root: Path, word: str) -> tuple[tuple[str, str], ...]:
    if not isinstance(pairs, str):
        return pairs
    return tuple((row["left"], row["right"]) for _, row in _rows(root / pairs, pairs, ("left", "right"), word))


def _labels(path: Path, name: str) -> Iterable[tuple[str, str, bool]]:
    for number, row in _rows(path, name, ("left", "right", "match"), "labels"):
        match = MATCH_WORDS.get(row["match"].strip().lower())
        if match is None:
            raise BadData(
                "identity.label",
                "a pair has an unknown judgement",
                where=f"{name}, row {number}, column match",
                hint="write 1 or 0",
            )
        yield row["left"], row["right"], match


def _rows(path: Path, name: str, columns: tuple[str, ...], word: str) -> Iterable[tuple[int, dict[str, str]]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            rows = list(csv.DictReader(file, strict=True))
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise BadConfiguration(
            "identity.judgements",
            f"the file of judged pairs cannot be read ({type(error).__name__})",
            where=f"features/feeds.yaml: identity.{word}",
            hint=f"{name} has to be a CSV file in UTF-8, its path relative to the workspace",
        ) from None
    for number, row in enumerate(rows, start=2):
        bad = next((column for column in columns if not row.get(column)), None)
        bad = bad or next((side for side in ("left", "right") if not all(row[side].partition(":")[::2])), None)
        if bad is not None:
            raise BadData(
                "identity.judgement",
                "a judged pair is not complete",
                where=f"{name}, row {number}, column {bad}",
                hint=f"columns {', '.join(columns)}; a record is named feed:key",
            )
        yield number, row
