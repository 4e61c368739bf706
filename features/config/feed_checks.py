"""The named checks of feeds: a code and, in one line, what each looks at."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Severity = Literal["warn", "refuse"]


@dataclass(frozen=True)
class FeedCheck:
    """A check: its code, in one line what it looks at, and what a failure does unless a workspace says otherwise."""

    code: str
    title: str
    severity: Severity = "warn"


RULES: dict[str, FeedCheck] = {
    rule.code: rule
    for rule in (
        FeedCheck("FQ001", "every row of the feed can be used"),
        FeedCheck("FQ002", "no key stands on more than one row"),
        FeedCheck("FQ003", "every row names its customer"),
        FeedCheck("FQ004", "every customer that is named is known", "refuse"),
        FeedCheck("FQ005", "no contact point is shared by too many records"),
        FeedCheck("FQ006", "every consent carries a known word and a declared purpose"),
        FeedCheck("FQ007", "every mapped field is filled as far as it should be"),
        FeedCheck("FQ008", "every e-mail address is written as one"),
        FeedCheck("FQ009", "every telephone number can be one of its country"),
        FeedCheck("FQ010", "every birth date can be one"),
        FeedCheck("FQ011", "every postcode has the pattern of its country"),
        FeedCheck("FQ012", "every number lies in its range"),
        FeedCheck("FQ013", "every amount is in the declared unit"),
        FeedCheck("FQ014", "no value that should be unique stands on more than one row"),
        FeedCheck("FQ015", "a customer's records agree on what cannot differ, such as the birth date"),
        FeedCheck("FQ016", "the newest row is as fresh as declared"),
        FeedCheck("FQ017", "the load has about as many rows as the last accepted one", "refuse"),
        FeedCheck("FQ018", "no column has turned constant or empty since the last accepted load", "refuse"),
        FeedCheck("FQ019", "values are spread as in the last accepted load", "refuse"),
        FeedCheck("FQ020", "every column that looks personal is declared as such"),
        FeedCheck("FQ021", "no customer is joined from more records than a person has"),
    )
}
