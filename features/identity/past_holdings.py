"""Holdings of which an earlier load held something else, by the records of whom they belong to."""

from __future__ import annotations

from collections.abc import Mapping

from features.base.database_engine import literal, open_engine
from features.base.workspace import Workspace
from features.config.engine_settings import engine_resources
from features.config.feeds_file import FeedsFile
from features.identity.customer_tables import link_sides
from features.ingest.row_history import ROWS, VERSIONS


def past_holdings(workspace: Workspace, feeds: FeedsFile, records: Mapping[str, list[str]]) -> dict[str, list[str]]:
    """Return the keys of holdings with earlier versions that name some of these records of customers, by feed."""
    staged, found = workspace.staged, dict[str, list[str]]()
    with open_engine(folders=[staged], resources=engine_resources(workspace)) as engine:
        for name, feed in feeds.feeds.items():
            link, versions = feed.link(name), staged / name / VERSIONS
            if feed.kind != "holdings" or link is None or not versions.is_file():
                continue
            theirs, ours = link_sides(name, feeds)
            there = [path for file in (ROWS, VERSIONS) if (path := staged / link[0] / file).is_file()]
            owners = " UNION ALL BY NAME ".join(f"FROM read_parquet({literal(str(path))})" for path in there)
            rows = engine.execute(
                f"""
                SELECT DISTINCT s.record_id FROM read_parquet({literal(str(versions))}) s
                WHERE {ours} IN (SELECT {theirs} FROM ({owners}) o WHERE list_contains(?, o.record_id))
                """,
                [records.get(link[0], [])],
            ).fetchall()
            found[name] = [row[0] for row in rows]
    return found
