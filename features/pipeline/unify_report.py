"""What the last unification did, for whoever shows it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from features.base.errors import BadData, StorageFailure
from features.base.storage import read_json
from features.base.workspace import Workspace
from features.config.workspace_files import load_feeds
from features.quality.check import Check
from features.quality.report import REPORT as QUALITY_REPORT
from features.quality.report import report_content, write_report
from features.snapshots.build_report import UNIFIED_REPORT


@dataclass(frozen=True)
class UnifyReport:
    """What unification did.

    Parameters
    ----------
    records : source records about customers
    customers : who they turned out to be
    quarantined : rows in quarantine: unusable, or about unknown customers
    withheld : customers who have not granted every purpose that rests on consent
    withheld_by : purpose → reason → customers who may not be processed for it now
    checks : the answers of the feed checks
    digest : equal digests mean equal tables
    feeds : of every feed, whether it was read or is ``already applied``, and how many of its files are
    """

    records: int
    customers: int
    quarantined: int
    withheld: int
    withheld_by: dict[str, dict[str, int]]
    checks: tuple[Check, ...]
    digest: str
    feeds: Mapping[str, str] = field(default_factory=dict, compare=False)

    @classmethod
    def from_json(cls, document: Mapping[str, Any]) -> UnifyReport:
        """Return the report that an earlier run wrote."""
        return cls(**{**document, "checks": tuple(Check(**check) for check in document["checks"])})


def load_report(generation: Path) -> UnifyReport:
    """Return the report of a generation of the canonical tables."""
    return UnifyReport.from_json(read_json(generation / UNIFIED_REPORT))


def last_report(workspace: Workspace) -> UnifyReport:
    """Return what the last unification that succeeded did.

    Raises
    ------
    BadData : there was none yet
    """
    generation = workspace.unified
    if not (generation / UNIFIED_REPORT).is_file():
        raise BadData("unify.missing", "nothing is unified yet", where="state/unified", hint="run `nextbest unify`")
    return load_report(generation)


def quality_report_digest(folder: Path) -> str | None:
    """Return the digest of the unification that the quality report in a folder is of; None where there is none."""
    try:
        return str(read_json(folder / QUALITY_REPORT)["digest"])
    except (StorageFailure, KeyError, TypeError):
        return None


def report_quality(workspace: Workspace, report: UnifyReport) -> Path:
    """Write the quality report of a unification, as a page and as JSON; return the page."""
    file, _ = load_feeds(workspace)
    counts = {name: getattr(report, name) for name in ("records", "customers", "quarantined", "withheld")}
    content = report_content(workspace, file, checks=report.checks, counts=counts, digest=report.digest)
    return write_report(content, workspace.published / "quality")
