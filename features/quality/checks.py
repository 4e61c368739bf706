"""Checks on the counts of mapping and joining: each passes, fails, is repaired or is not applicable."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from features.config.feed import Feed
from features.config.feed_checks import RULES as RULES
from features.config.feeds_file import FeedsFile
from features.identity.customer_tables import Attached
from features.identity.resolve import Resolution
from features.ingest.staging import StagedFeed
from features.quality.check import Check as Check
from features.quality.check import Outcome

#: A customer with more different records is one that somebody should look at.
LARGE_CUSTOMER = 100


def check_all(
    file: FeedsFile,
    staged: Mapping[str, StagedFeed],
    attached: Sequence[Attached],
    resolution: Resolution,
    *,
    odd_consents: tuple[int, int, int] | None,
) -> list[Check]:
    """Return the outcomes of FQ001, FQ002, FQ003, FQ005, FQ006 and FQ021, which judge what was counted on the way.

    Parameters
    ----------
    file : the declaration, for its limits
    staged, attached, resolution : what was counted on the way
    odd_consents : consents with an unknown status, an undeclared purpose, and no time; None without a feed of consents
    """
    checks = [check for feed in staged.values() for check in (_usable(feed), _unique(feed, file.feeds[feed.feed]))]
    checks += [check for feed in attached for check in (_about_somebody(feed),)]
    if not attached:
        checks.append(Check("FQ003", "", "not_applicable", "no feed is about customers"))
    checks += [_shared(file, resolution), _matched(resolution)]
    checks.append(_consents(odd_consents))
    return sorted(checks, key=lambda check: (check.code, check.feed))


def check_personal_columns(file: FeedsFile, found: Sequence[str]) -> list[Check]:
    """Return for every feed whether undeclared columns look personal (FQ020); these are treated as personal.

    Parameters
    ----------
    file : the declaration
    found : such columns, as ``feed.column``
    """
    checks = []
    for feed in sorted(file.feeds):
        columns = [name.partition(".")[2] for name in sorted(found) if name.partition(".")[0] == feed]
        if columns:
            detail = f"treated as personal though not declared under pii: {', '.join(columns)}"
            checks.append(Check("FQ020", feed, "repaired", detail))
        else:
            checks.append(Check("FQ020", feed, "passed", ""))
    return checks


def _usable(feed: StagedFeed) -> Check:
    unusable = feed.unusable
    left_out = [f"{count} left out as no data ({kind})" for kind, count in sorted(feed.skipped.items())]
    shape = "".join(f"; {note}" for note in [*left_out, *feed.notes])
    if not unusable:
        return Check("FQ001", feed.feed, "repaired" if left_out else "passed", f"{feed.rows} rows{shape}")
    reasons = ", ".join(f"{reason}: {count}" for reason, count in sorted(feed.rejected.items()))
    return Check("FQ001", feed.feed, "repaired", f"{unusable} of {feed.rows_read} rows quarantined ({reasons}){shape}")


def _unique(feed: StagedFeed, declared: Feed) -> Check:
    if not declared.keys and declared.duplicates != "drop_identical":
        return Check("FQ002", feed.feed, "not_applicable", "the feed declares no key")
    if feed.versions:
        return Check("FQ002", feed.feed, "passed", f"{feed.versions} rows tell what records held before")
    if not feed.duplicates:
        return Check("FQ002", feed.feed, "passed", "")
    return Check("FQ002", feed.feed, "repaired", f"{feed.duplicates} rows dropped, as declared")


def _about_somebody(feed: Attached) -> Check:
    detail = f"{feed.anonymous} rows without a customer left out" if feed.anonymous else ""
    if feed.ambiguous:
        more = f"{feed.ambiguous} rows quarantined: what they name a customer by stands on several customers"
        return Check("FQ003", feed.feed, "failed", "; ".join(filter(None, (more, detail))))
    return Check("FQ003", feed.feed, "repaired" if detail else "passed", detail)


def check_unknown_customers(feed: Attached, file: FeedsFile) -> Check:
    """Return whether the customers that a feed refers to are known (FQ004).

    Parameters
    ----------
    feed : counts of its rows
    file : the declaration, for ``quality.unknown_customers_above``
    """
    if not feed.unknown:
        return Check("FQ004", feed.feed, "passed", "")
    share = feed.unknown / (feed.rows + feed.unknown)
    if file.feeds[feed.feed].kind == "consents":
        waiting = f"{feed.unknown} statements ({share:.1%}) about unknown customers wait in the ledger for them"
        return Check("FQ004", feed.feed, "passed" if feed.rows else "failed", waiting, refuses=False)
    limit = file.quality.unknown_customers_above
    outcome: Outcome = "failed" if share > limit else "repaired"
    return Check("FQ004", feed.feed, outcome, f"{feed.unknown} rows ({share:.1%}) about unknown customers quarantined")


def _shared(file: FeedsFile, resolution: Resolution) -> Check:
    if file.identity.rules == "keys":
        return Check("FQ005", "", "not_applicable", "contact points are not compared")
    if file.identity.rules not in ("exact", "people"):
        return Check("FQ005", "", "not_applicable", "customers are no persons: contact points may be shared")
    if not resolution.shared:
        return Check("FQ005", "", "passed", "")
    limit = file.identity.shared_by_at_most
    return Check(
        "FQ005", "", "repaired", f"{resolution.shared} contact points on more than {limit} records link nobody"
    )


def _matched(resolution: Resolution) -> Check:
    """Return whether records were matched as they should be (FQ021)."""
    detail = []
    if resolution.largest > LARGE_CUSTOMER:
        detail.append(f"one customer has {resolution.largest} different records")
    if resolution.review.num_rows:
        detail.append(f"{resolution.review.num_rows} pairs are kept apart and wait for review")
    if resolution.matcher is not None and resolution.matcher.usual:
        detail.append("too few different records to learn weights from: usual ones are taken")
    if resolution.left_out:
        detail.append(f"{resolution.left_out} values that many records share are not used to find pairs")
    outcome: Outcome = "failed" if resolution.largest > LARGE_CUSTOMER else "passed"
    return Check("FQ021", "", outcome, "; ".join(detail))


def _consents(odd: tuple[int, int, int] | None) -> Check:
    if odd is None:
        return Check("FQ006", "", "not_applicable", "no feed of consents")
    unknown, undeclared, untimed = odd
    said = [f"{unknown} consents with an unknown status count against their purpose"] if unknown else []
    said += [f"{undeclared} consents with a purpose that is not declared count for nothing"] if undeclared else []
    outcome: Outcome = "failed" if said else "passed"
    said += [f"{untimed} consents without a time count from the load that first held them"] if untimed else []
    return Check("FQ006", "", outcome, "; ".join(said))
