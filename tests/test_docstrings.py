"""Examples in docstrings run, and there are enough of them where a user may call a function."""

from __future__ import annotations

import ast
import doctest
import importlib
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).resolve().parents[1]
PACKAGES = ("features", "training", "serving")
SHARE = 0.15
OPTIONS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE


def modules() -> list[str]:
    """Return the modules in which some docstring holds an example."""
    paths = [path for package in PACKAGES for path in sorted((REPOSITORY / package).rglob("*.py"))]
    return [
        ".".join(path.relative_to(REPOSITORY).with_suffix("").parts).removesuffix(".__init__")
        for path in paths
        if has_example(path.read_text(encoding="utf-8"))
    ]


def has_example(text: str) -> bool:
    """Return whether a text holds an example that is run."""
    return any(">>> " in line and "+SKIP" not in line for line in text.splitlines())


def public_functions(body: list[ast.stmt]) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    """Yield the public functions of a module and the public methods of its public classes."""
    for node in body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith("_"):
            yield node
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            yield from public_functions(node.body)


@pytest.mark.parametrize("name", modules())
def test_the_examples_of_a_module_run(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    result = doctest.testmod(module, optionflags=OPTIONS, extraglobs={"folder": tmp_path})
    assert result.attempted > 0
    assert result.failed == 0


def test_enough_public_functions_have_an_example() -> None:
    functions = [
        function
        for package in PACKAGES
        for path in (REPOSITORY / package).rglob("*.py")
        for function in public_functions(ast.parse(path.read_text(encoding="utf-8")).body)
    ]
    shown = [function for function in functions if has_example(ast.get_docstring(function) or "")]
    assert len(functions) > 300
    assert len(shown) / len(functions) >= SHARE
