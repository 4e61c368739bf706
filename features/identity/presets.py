"""What a preset compares, and what of it a workspace's feeds can fill."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from features.config.identity_settings import Identity, Kind

#: Kinds of which a value is one person's own, and how much it can add (bits) for two records of one home being one
#: person: an e-mail address is sometimes a couple's, a birth date that of twins. What is not here (family name,
#: address, telephone) a home shares.
PERSONAL: dict[Kind, float] = {"person": 99.0, "date": 5.0, "identifier": 99.0, "exact": 99.0, "email": 4.0}
_NAMES = ("first_name", "last_name", "full_name")
#: Words that DuckDB or Splink do not take for a column without quotes, and columns of the compared table itself.
_NOT_A_COLUMN = """
all analyse analyze and anti any array as asc asof asymmetric at authorization binary both by case cast check collate
collation column columns concurrently constraint create cross default deferrable desc describe distinct do else end
except false fetch for foreign freeze from full generated glob group having ilike in initially inner intersect into is
isnull join lambda lateral leading left like limit map natural not notnull null offset on only or order outer overlaps
pivot pivot_longer pivot_wider placing positional primary qualify references returning right select semi show similar
some struct summarize symmetric table tablesample then to trailing true try_cast tuple union unique unpack unpivot using
variadic verbose when where window with node given family suffix
"""
#: By preset and label: the kind, and the fields that may hold it, the first filled one counts.
PRESETS: dict[str, dict[str, tuple[Kind, tuple[str, ...]]]] = {
    "people": {
        "person": ("person", _NAMES),
        "birth_date": ("date", ("birth_date",)),
        "email": ("email", ("email",)),
        "phone": ("phone", ("phone",)),
        "street": ("street", ("street",)),
        "postcode": ("postcode", ("postcode",)),
        "city": ("place", ("city",)),
        "national_id": ("identifier", ("national_id",)),
    },
    "households": {
        "last_name": ("name", ("last_name",)),
        "phone": ("phone", ("phone",)),
        "street": ("street", ("street",)),
        "postcode": ("postcode", ("postcode",)),
        "city": ("place", ("city",)),
    },
    "businesses": {
        "company_name": ("company", ("company_name", "full_name")),
        "email": ("email", ("email",)),
        "phone": ("phone", ("phone",)),
        "street": ("street", ("street",)),
        "postcode": ("postcode", ("postcode",)),
        "city": ("place", ("city",)),
        "national_id": ("identifier", ("national_id",)),
    },
    "declared": {},
}


@dataclass(frozen=True)
class Compared:
    """One thing that is compared.

    Parameters
    ----------
    label : its name
    kind : what its values are
    of : the fields or ``feed.column``s that hold it
    """

    label: str
    kind: Kind
    of: tuple[str, ...]

    @property
    def column(self) -> str:
        """The column of the compared table: the label, with a prefix where that is a word of SQL or a column of ours.

        Examples
        --------
        >>> Compared("crm.segment", "exact", ("crm.segment",)).column, Compared("order", "exact", ("crm.id",)).column
        ('crm_segment', 'value_order')
        """
        name = self.label.replace(".", "_")
        return f"value_{name}" if name in _NOT_A_COLUMN.split() else name

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns of the compared table."""
        return ("given", "family") if self.kind == "person" else (self.column,)


def compared(identity: Identity, filled: Collection[str]) -> tuple[Compared, ...]:
    """Return what is compared: the preset with the declared changes, as far as some feed fills it.

    Parameters
    ----------
    identity : the declaration
    filled : the fields and ``feed.column``s that hold anything
    """
    chosen = {label: Compared(label, kind, of) for label, (kind, of) in PRESETS.get(identity.rules, {}).items()}
    for label, declared in identity.comparisons.items():
        of = declared.of or (_NAMES if declared.kind == "person" else (label,))
        chosen[label] = Compared(label, declared.kind, of)
    wanted = (
        Compared(each.label, each.kind, tuple(name for name in each.of if name in filled)) for each in chosen.values()
    )
    return tuple(each for each in wanted if each.kind != "none" and each.of)


def personal(identity: Identity, found: Sequence[Compared]) -> dict[str, float]:
    """Return the comparisons that distinguish people of one home, each with the most bits of evidence.

    Parameters
    ----------
    identity : the declaration
    found : what is compared
    """
    if identity.rules != "people" or not any(each.kind == "person" for each in found):
        return {}
    return {each.columns[0]: PERSONAL[each.kind] for each in found if each.kind in PERSONAL}
