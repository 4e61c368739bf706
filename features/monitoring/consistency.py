"""Consistency: features as they were served, compared with the same computed offline for the same moments."""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import timedelta
from typing import Any, Literal

from features.base.clock import to_microseconds
from features.base.errors import BadData
from features.base.workspace import Workspace
from features.monitoring.recompute_served import Recomputed, RecomputeRequest, recompute
from features.snapshots.build_report import read_report
from features.store.definitions import view_of
from features.store.feature_read_log import FeatureRead, read_vectors
from features.store.online_records import Plain
from features.streaming.compaction import compact_all
from features.views.catalogue import FeatureType
from features.views.declarations import definition_of

TOLERANCE = 1e-9  # relative, of numbers with a fraction; whole numbers and text are equal or they are not
NEWEST = 10_000
LAG = timedelta(seconds=5)  # how long after its acceptance an streamed event may be on its way into the online store
Outcome = Literal["equal", "mismatch", "behind", "missing", "gone", "nobody"]


@dataclass(frozen=True)
class FeatureConsistency:
    """How one feature was served.

    Parameters
    ----------
    served : times it was requested
    compared : times it was served, and the customer can still be computed
    mismatched : of those, times it was another value than the one computed offline
    behind : of those, times it was the value of a moment ago, before an event that was on its way
    missing : times nothing was served, though the customer had a row offline
    stale : times it was served past its view's ttl
    """

    feature: str
    served: int
    compared: int
    mismatched: int
    behind: int
    missing: int
    stale: int

    @property
    def mismatch_rate(self) -> float:
        """Mismatched of those compared."""
        return self.mismatched / self.compared if self.compared else 0.0

    @property
    def missing_rate(self) -> float:
        """Missing of those served."""
        return self.missing / self.served if self.served else 0.0

    @property
    def stale_rate(self) -> float:
        """Stale of those served."""
        return self.stale / self.served if self.served else 0.0

    def as_dict(self) -> dict[str, Any]:
        rates = {"mismatch_rate": self.mismatch_rate, "missing_rate": self.missing_rate, "stale_rate": self.stale_rate}
        return asdict(self) | rates


@dataclass(frozen=True)
class ConsistencyReport:
    """How the logged feature vectors compare with those computed again.

    Parameters
    ----------
    vectors : how many were compared
    redefined : others, served under feeds or views that are declared differently now
    gone : vectors of customers who cannot be computed any more (withheld, merged or erased since)
    dropped : sampled reads that could not be logged
    features : by name, those that differ most first
    """

    vectors: int
    redefined: int
    gone: int
    dropped: int
    features: tuple[FeatureConsistency, ...]


def prove(workspace: Workspace, *, newest: int = NEWEST) -> ConsistencyReport:
    """Compute what was served again, as of the same moments, by the views as they are compiled for the snapshots.

    Only rows that were known when a vector was read count. Customers without a basis for a view's purpose are left out.

    Parameters
    ----------
    newest : how many of the newest logged vectors are compared

    Raises
    ------
    BadData : nothing was logged that could be compared, or nothing is built
    """
    report = read_report(workspace)
    kept = read_vectors(workspace.served, newest=newest)
    definition = definition_of(workspace)
    vectors = [vector for vector in kept.vectors if vector.definition == definition]
    cutoffs = [to_microseconds(cutoff) for cutoff in report.cutoffs]
    requests: defaultdict[str, set[RecomputeRequest]] = defaultdict(set)
    for vector in vectors:
        for view in vector.moments:
            request = _request(vector, view, cutoffs)
            if request is not None:
                requests[view].add(request)
    compact_all(workspace)
    found = recompute(workspace, requests)
    types = {feature.name: feature.type for view in report.views for feature in view.features}
    counts: defaultdict[str, Counter[str]] = defaultdict(Counter)
    gone = 0
    outcomes_by_vector = [
        {feature: _outcome(vector, feature, types.get(feature), found, cutoffs) for feature in vector.values}
        for vector in vectors
    ]
    _mark_late(workspace, vectors, outcomes_by_vector, types)
    for vector, outcomes in zip(vectors, outcomes_by_vector, strict=True):
        gone += "gone" in outcomes.values()
        for feature, outcome in outcomes.items():
            counts[feature].update([outcome, "served", *(["stale"] if feature in vector.stale else [])])
    if not any(count["equal"] + count["behind"] + count["mismatch"] + count["missing"] for count in counts.values()):
        raise BadData(
            "consistency.nothing_to_compare",
            f"of {len(kept.vectors)} logged vectors none can be compared",
            hint="they were served under other feeds or views, or the customers are gone; let the service log anew",
        )
    features = [
        FeatureConsistency(
            feature=feature,
            served=count["served"],
            compared=count["equal"] + count["behind"] + count["mismatch"],
            mismatched=count["mismatch"],
            behind=count["behind"],
            missing=count["missing"],
            stale=count["stale"],
        )
        for feature, count in counts.items()
    ]
    return ConsistencyReport(
        vectors=len(vectors),
        redefined=len(kept.vectors) - len(vectors),
        gone=gone,
        dropped=kept.dropped,
        features=tuple(sorted(features, key=lambda f: (-f.mismatch_rate, -f.missing_rate, -f.stale_rate, f.feature))),
    )


def _request(vector: FeatureRead, view: str, cutoffs: Sequence[int]) -> RecomputeRequest | None:
    """Return what to compute: as of the moment that was served; where nothing was, as of the last cutoff before."""
    served = vector.moments.get(view)
    if served is not None:
        return RecomputeRequest(served, vector.at_us, vector.customer)
    place = bisect_right(cutoffs, vector.at_us)
    return RecomputeRequest(cutoffs[place - 1], vector.at_us, vector.customer) if place else None


def _outcome(
    vector: FeatureRead, feature: str, kind: FeatureType | None, found: Recomputed, cutoffs: Sequence[int]
) -> Outcome:
    view = view_of(feature)
    request = _request(vector, view, cutoffs)
    row = found.get(view, {}).get(request) if request is not None else None
    if vector.moments.get(view) is None:
        return "nobody" if row is None else "missing"
    if row is None or feature not in row:
        return "gone"
    return "equal" if _equal(vector.values[feature], row[feature], kind) else "mismatch"


def _mark_late(
    workspace: Workspace,
    vectors: Sequence[FeatureRead],
    outcomes_by_vector: Sequence[dict[str, Outcome]],
    types: Mapping[str, FeatureType],
) -> None:
    """Turn ``mismatch`` into ``behind`` where the vector holds what was known `LAG` before it was read."""
    requests: defaultdict[str, set[RecomputeRequest]] = defaultdict(set)
    late: list[tuple[FeatureRead, dict[str, Outcome], str, RecomputeRequest]] = []
    for vector, outcomes in zip(vectors, outcomes_by_vector, strict=True):
        for feature in [name for name, outcome in outcomes.items() if outcome == "mismatch"]:
            moment = vector.moments[view_of(feature)]
            before = RecomputeRequest(moment or 0, vector.at_us - LAG // timedelta(microseconds=1), vector.customer)
            requests[view_of(feature)].add(before)
            late.append((vector, outcomes, feature, before))
    found = recompute(workspace, requests) if late else {}
    for vector, outcomes, feature, before in late:
        row = found.get(view_of(feature), {}).get(before)
        if row is not None and _equal(vector.values[feature], row[feature], types.get(feature)):
            outcomes[feature] = "behind"


def _equal(served: Plain, computed: Plain, kind: FeatureType | None) -> bool:
    if served is None or computed is None or isinstance(served, str) or isinstance(computed, str):
        return served == computed
    return math.isclose(served, computed, rel_tol=TOLERANCE) if kind == "float" else served == computed
