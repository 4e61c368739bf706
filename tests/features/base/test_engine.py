"""The engine touches the folders it is given, and nothing else."""

from __future__ import annotations

import ast
from pathlib import Path

import duckdb
import pytest

from features.base.database_engine import EngineResources, literal, open_engine, quoted
from features.base.errors import BadConfiguration, StorageFailure


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    for name in ("inside", "outside"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "a.csv").write_text("x\n1\n", encoding="utf-8")
    (tmp_path / "insider.csv").write_text("x\n1\n", encoding="utf-8")
    return tmp_path / "inside", tmp_path / "outside"


def test_it_reads_and_writes_the_folders_it_is_given(folders: tuple[Path, Path]) -> None:
    inside, _ = folders
    with open_engine(folders=[inside]) as engine:
        engine.execute(f"COPY (SELECT * FROM read_csv('{inside}/a.csv')) TO '{inside}/b.parquet' (FORMAT parquet)")
        assert engine.execute(f"SELECT * FROM read_parquet('{inside}/b.parquet')").fetchall() == [(1,)]


@pytest.mark.parametrize(
    "statement",
    [
        "SELECT * FROM read_csv('{outside}/a.csv')",
        "SELECT * FROM read_csv('{inside}/../outside/a.csv')",
        "SELECT * FROM read_csv('{inside}r.csv')",
        "SELECT * FROM read_text('/etc/hostname')",
        "SELECT * FROM glob('{outside}/*') LIMIT 1",
        "SELECT * FROM read_csv('https://example.org/a.csv')",
        "COPY (SELECT 1) TO '{outside}/b.csv'",
        "EXPORT DATABASE '{outside}/db'",
        "ATTACH '{outside}/x.db' AS other",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "SET allowed_directories = ['/']",
        "SET memory_limit = '64GB'",
        "RESET lock_configuration",
    ],
)
def test_it_cannot_reach_anything_else(folders: tuple[Path, Path], statement: str) -> None:
    inside, outside = folders
    with open_engine(folders=[inside]) as engine:
        failed: list[str] = []
        try:
            rows = engine.execute(statement.format(inside=inside, outside=outside)).fetchall()
        except duckdb.Error as error:
            failed.append(type(error).__name__)
        else:
            assert rows == []
            assert statement.startswith("SELECT * FROM glob")
    assert sorted(path.name for path in outside.iterdir()) == ["a.csv"]
    assert failed or statement.startswith("SELECT * FROM glob")


def test_a_variable_of_python_is_no_table() -> None:
    people = {"secret": [1]}
    with open_engine(folders=[]) as engine, pytest.raises(duckdb.CatalogException):
        engine.execute("SELECT * FROM people")
    assert people


def test_running_out_of_memory_names_the_limit_and_how_to_raise_it(tmp_path: Path) -> None:
    resources = EngineResources(memory=20_000_000, threads=1, spill=tmp_path)
    with pytest.raises(StorageFailure) as caught, open_engine(folders=[], resources=resources) as engine:
        engine.execute("SELECT list(uuid()) FROM range(3000000)").fetchall()  # one list cannot be spilled
    assert (caught.value.first.code, caught.value.exit_code) == ("engine.memory", 74)
    assert "20MB" in caught.value.first.message
    assert "engine: {memory: 40MB}" in caught.value.first.hint
    assert list(tmp_path.iterdir()) == []


def test_what_does_not_fit_into_memory_is_written_to_the_spill_folder(tmp_path: Path) -> None:
    resources = EngineResources(memory=64_000_000, threads=2, spill=tmp_path / "state" / "spill")
    with open_engine(folders=[], resources=resources) as engine:
        engine.execute("CREATE TABLE big AS SELECT uuid()::VARCHAR AS a, uuid()::VARCHAR AS b FROM range(1000000)")
        spilled = list((tmp_path / "state" / "spill").rglob("duckdb_temp*"))
        assert engine.execute("SELECT count(*) FROM (SELECT DISTINCT a, b FROM big)").fetchall() == [(1_000_000,)]
    assert spilled
    assert list((tmp_path / "state" / "spill").iterdir()) == []


def test_each_connection_spills_to_a_folder_of_its_own_and_removes_those_of_killed_processes(tmp_path: Path) -> None:
    (tmp_path / "engine-killed").mkdir()
    (tmp_path / "engine-killed" / "duckdb_temp_storage_DEFAULT-0.tmp").write_bytes(b"left")
    resources = EngineResources(spill=tmp_path)
    with open_engine(folders=[], resources=resources):
        (first,) = tmp_path.iterdir()
        with open_engine(folders=[], resources=resources):
            assert len(list(tmp_path.iterdir())) == 2
            assert first.is_dir()
        assert list(tmp_path.iterdir()) == [first]
    assert list(tmp_path.iterdir()) == []


def test_a_spill_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x", encoding="utf-8")
    with (
        pytest.raises(StorageFailure, match=r"features/feeds\.yaml") as caught,
        open_engine(folders=[], resources=EngineResources(spill=tmp_path / "file" / "spill")),
    ):
        pass
    assert caught.value.first.code == "engine.spill"


def test_every_engine_of_the_platform_is_given_the_resources_of_its_workspace() -> None:
    root = Path(__file__).resolve().parents[3]
    without = [
        f"{path.relative_to(root)}:{node.lineno}"
        for package in ("features", "training", "serving")
        for path in (root / package).rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.Call)
        and (
            (isinstance(node.func, ast.Name) and node.func.id == "open_engine" and len(node.keywords) < 2)
            or (ast.unparse(node.func) == "duckdb.connect" and path.name != "database_engine.py")
        )
    ]
    assert without == []


@pytest.mark.parametrize("name", ['a"b', "a b", "select", "a;--"])
def test_names_and_texts_cannot_break_out_of_their_quotes(name: str) -> None:
    with open_engine(folders=[]) as engine:
        assert engine.execute(f"SELECT 1 AS {quoted(name)}").description[0][0] == name
        assert engine.execute(f"SELECT {literal(name)}").fetchall() == [(name,)]


def test_a_nul_character_is_refused() -> None:
    for write in (quoted, literal):
        with pytest.raises(BadConfiguration):
            write("a\0b")
