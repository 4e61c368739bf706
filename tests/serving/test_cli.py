"""The command line: what it promises about options, exit codes, JSON and next steps, called in process."""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from typer.core import TyperCommand

from features.base.errors import BadData, NextbestError, StorageFailure, Unreachable
from features.base.workspace import Workspace
from serving.cli.feature_commands import FEATURES
from serving.cli.lazy_commands import LazyCommand
from serving.cli.main import COMMANDS as ROOT
from serving.cli.main import _run, commands
from serving.cli.terminal import DEFECT, Terminal, exit_code
from tests.tiny import REPOSITORY, write_tiny

COMMANDS = commands()
NAMES_ALWAYS = {"--workspace", "--json", "--help"}
SECRET = "ann.smith@example.com"

Json = Callable[[list[str]], tuple[int, dict[str, Any]]]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    """Return the README's shop with its data, and without any state."""
    return write_tiny(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def as_json(capsys: pytest.CaptureFixture[str]) -> Json:
    """Return a function that runs a command with --json: its exit code, and the only thing on standard output."""

    def call(arguments: list[str]) -> tuple[int, dict[str, Any]]:
        capsys.readouterr()
        code = _run([*arguments, "--json"])
        said = capsys.readouterr().out
        assert said.count("\n") == 1, f"not exactly one line: {said!r}"
        document: dict[str, Any] = json.loads(said)
        return code, document

    return call


def readme_options() -> dict[str, set[str]]:
    page = (REPOSITORY / "README.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `nextbest ([a-z]+(?: [a-z-]+)?)[^`]*` \|([^|]*)\|", page, re.MULTILINE)
    return {name: set(re.findall(r"`(--[\w-]+)`", options)) for name, options in rows}


def test_the_readme_lists_exactly_the_commands_that_there_are() -> None:
    assert sorted(readme_options()) == COMMANDS


@pytest.mark.parametrize("command", COMMANDS)
def test_help_and_the_readme_list_the_same_options(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert _run([*command.split(), "--help"]) == 0
    shown = set(re.findall(r"(?<![\w-])(--[a-z][\w-]*)", capsys.readouterr().out.partition("Options:")[2]))
    always = NAMES_ALWAYS - {"--json"} if command == "serve" else NAMES_ALWAYS
    assert shown == readme_options()[command] | always


def test_help_imports_none_of_the_heavy_libraries() -> None:
    heavy = ("feast", "mlflow", "bentoml", "lightgbm", "sklearn", "pandas", "pyarrow", "duckdb")
    script = f"""
import sys
from serving.cli.main import _run
_run(["--help"])
sys.exit(", ".join(name for name in {heavy!r} if name in sys.modules) or 0)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize(("name", "command"), [*ROOT.items(), *FEATURES.items()])
def test_the_table_of_commands_has_the_help_of_each_command(name: str, command: LazyCommand) -> None:
    built = command.build(name)
    assert built.name == name
    assert " ".join(built.help.split()).startswith(command.help)
    assert built.get_short_help_str(60) == TyperCommand(name, help=command.help).get_short_help_str(60)


def test_only_one_module_of_the_command_line_imports_lazily() -> None:
    inside = [
        f"{file.name}:{node.lineno}"
        for file in sorted((REPOSITORY / "serving").rglob("*.py"))
        for function in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(function, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(function)
        if isinstance(node, ast.Import | ast.ImportFrom)
    ]
    assert inside == []


def test_without_a_command_the_help_is_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run([]) == 64
    assert "Commands:" in capsys.readouterr().err


@pytest.mark.parametrize(
    "arguments",
    [
        ["nosuch"],
        ["run", "--nosuch"],
        ["promote"],
        ["serve", "--port", "99999"],
        ["run", "--as-of", "yesterday"],
        ["features", "--as-of", "9999-12-31"],
        ["features", "--as-of", "0001-01-01T00:00:00+10:00"],
        ["run", "--workspace", "/nowhere/at/all"],
    ],
)
def test_a_wrong_call_is_64_and_says_how_to_go_on(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(arguments) == 64
    said = capsys.readouterr()
    assert said.out == ""
    assert "→ " in said.err


def test_a_wrong_call_with_json_answers_with_one_error_object(as_json: Json) -> None:
    code, document = as_json(["nosuch"])
    assert code == 64
    assert set(document) == {"error"}
    assert set(document["error"]) == {"code", "message", "where", "hint"}


def test_an_unknown_model_is_64_and_the_known_ones_are_named(shop: Workspace, as_json: Json) -> None:
    code, document = as_json(["train", "chrun", "-w", str(shop.root)])
    assert (code, document["error"]["code"]) == (64, "train.unknown_model")
    assert "churn" in document["error"]["hint"]


def test_bad_configuration_is_78_and_everything_wrong_is_told_at_once(tmp_path: Path, as_json: Json) -> None:
    workspace = write_tiny(tmp_path / "shop", customers=20)
    (workspace.file("features/views.yaml")).write_text("views:\n  orders: {form: events}\n", encoding="utf-8")
    (workspace.file("mlflow.yaml")).write_text("experimnet: shop\n", encoding="utf-8")
    code, document = as_json(["check", "-w", str(workspace.root)])
    error = document["error"]
    places = [error["where"], *(more["where"] for more in error["more"])]
    assert code == 78
    assert any(place.startswith("features/views.yaml:2") for place in places)
    assert any(place.startswith("mlflow.yaml:1") for place in places)


def test_bad_data_is_65(tmp_path: Path, as_json: Json) -> None:
    workspace = write_tiny(tmp_path / "shop", customers=20)
    orders = workspace.file("data/orders.csv")
    header, *rows = orders.read_text(encoding="utf-8").splitlines()
    orders.write_text("\n".join([header, *(row.rpartition(",")[0] + ",many" for row in rows)]), encoding="utf-8")
    code, document = as_json(["unify", "-w", str(workspace.root)])
    assert code == 65
    assert "orders" in document["error"]["where"] + document["error"]["message"]


def test_steps_asked_for_too_early_are_65_and_name_the_step_before(shop: Workspace, as_json: Json) -> None:
    code, document = as_json(["decide", "-w", str(shop.root)])
    assert code == 65
    assert "nextbest features" in document["error"]["hint"]


def test_a_command_ends_with_the_next_step(shop: Workspace, capsys: pytest.CaptureFixture[str]) -> None:
    for command, following in (("check", "nextbest run"), ("unify", "nextbest features")):
        assert _run([command, "-w", str(shop.root)]) == 0
        assert capsys.readouterr().out.splitlines()[-1] == f"next: {following}"


def test_with_json_standard_output_holds_the_answer_and_standard_error_the_progress(
    shop: Workspace, capsys: pytest.CaptureFixture[str]
) -> None:
    assert _run(["unify", "--json", "-w", str(shop.root)]) == 0
    said = capsys.readouterr()
    answer = json.loads(said.out)
    assert set(answer) == {"records", "customers", "quarantined", "withheld", "withheld_by", "checks", "feeds"}
    assert answer["customers"] == answer["records"] > 0
    assert "· reading feeds" in said.err


@pytest.mark.parametrize("kind", [BadData, Unreachable, StorageFailure])
def test_each_kind_of_failure_has_its_exit_code(kind: type[NextbestError], capsys: pytest.CaptureFixture[str]) -> None:
    assert (
        exit_code(kind("some.code", "what", where="file:1", hint="do this"), Terminal(as_json=False)) == kind.exit_code
    )
    said = capsys.readouterr()
    assert said.out == ""
    assert "file:1" in said.err
    assert "what" in said.err
    assert "some.code" in said.err
    assert "do this" in said.err


@pytest.mark.parametrize("text", ["Price [/kg]", "Amount [EUR]", r"a\[b", "[bold]x[/bold]", "[/]"])
def test_text_with_brackets_is_shown_as_it_is(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    terminal = Terminal(as_json=False)
    terminal.say(text)
    terminal.next_step(text)
    with terminal.progress() as bar:
        bar.step(text)
    terminal.fail(BadData("some.code", text, where=text, hint=text).problems)
    said = capsys.readouterr()
    assert said.out == f"{text}\nnext: {text}\n"
    assert said.err == f"· {text}\n✗ {text}: {text} (some.code)\n  → {text}\n"


def test_a_full_disk_is_74_and_no_defect(capsys: pytest.CaptureFixture[str]) -> None:
    assert exit_code(OSError(28, "No space left on device", f"/data/{SECRET}"), Terminal(as_json=False)) == 74
    said = capsys.readouterr().err
    assert "No space left on device" in said
    assert SECRET not in said


@pytest.mark.parametrize("json_asked", [True, False])
def test_a_defect_is_1_and_its_message_which_may_hold_somebodys_data_is_not_shown(
    json_asked: bool, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(ValueError, match=re.escape(SECRET)) as caught:
        int(SECRET)
    assert exit_code(caught.value, Terminal(as_json=json_asked)) == DEFECT == 1
    said = capsys.readouterr()
    assert SECRET not in said.out + said.err
    assert "ValueError" in (said.out if json_asked else said.err)
    assert "test_cli.py" in (said.out if json_asked else said.err)
