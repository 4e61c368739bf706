"""Customers' tables are read through one filter, with a purpose; no module goes around it."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
#: Who makes the tables, checks them, or is the filter. Everybody else has to ask it.
MAKERS = (
    "features/identity",
    "features/quality",
    "features/consent",
    "features/pipeline/unify",
    "features/pipeline/trial_run",  # counts the rows of a temporary workspace, before any purpose is declared
    "features/base",
)
#: What stands in a unified folder and is about nobody in particular.
REPORTS = {"UNIFY_REPORT", "UNIFIED_REPORT", "REPORT", "FOLDER"}


def modules() -> list[Path]:
    found = [path for package in ("features", "training", "serving") for path in (ROOT / package).rglob("*.py")]
    return [path for path in sorted(found) if not str(path.relative_to(ROOT)).startswith(MAKERS)]


def ways_around(source: str) -> list[str]:
    """Return what a module does that only the makers may: name the folders' tables, or register them itself."""
    tree = ast.parse(source)
    reports = {
        id(node.left)
        for node in ast.walk(tree)
        if isinstance(node, ast.BinOp) and isinstance(node.right, ast.Name) and node.right.id in REPORTS
    } | {id(node.left) for node in ast.walk(tree) if isinstance(node, ast.BinOp) and "FOLDER" in ast.dump(node.right)}
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and node.attr in ("unified", "personal") and id(node) not in reports:
            owner = ast.unparse(node.value)
            if owner.split(".")[-1] in ("workspace", "place", "task.workspace"):
                found.append(f"{node.lineno}: {owner}.{node.attr}")
        if isinstance(node, ast.ImportFrom) and node.module == "features.identity.customer_tables":
            found += [f"{node.lineno}: imports {name.name}" for name in node.names if name.name == "register"]
    return found


@pytest.mark.parametrize("path", modules(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_reads_customers_tables_but_through_the_filter(path: Path) -> None:
    allowed = {"serving/cli/why_command.py": "owners(place.unified"}
    found = ways_around(path.read_text(encoding="utf-8"))
    lines = path.read_text(encoding="utf-8").splitlines()
    told = allowed.get(str(path.relative_to(ROOT)))
    assert [way for way in found if told is None or "place.unified" not in lines[int(way.split(":")[0]) - 1]] == []


@pytest.mark.parametrize(
    "source",
    [
        "read_parquet(workspace.unified / 'events.parquet')",
        "pq.read_table(task.workspace.personal / name)",
        "from features.identity.customer_tables import register",
    ],
)
def test_a_way_around_would_be_found(source: str) -> None:
    assert ways_around(source)


def test_whoever_asks_the_filter_says_what_for() -> None:
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Name)):
                continue
            if node.func.id in ("open_customer_data", "rows_of", "allowed_customers"):
                assert "purpose" in {keyword.arg for keyword in node.keywords}, f"{path}: {node.lineno}"
