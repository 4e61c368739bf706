"""The engine touches the folders it is given, and nothing else."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from features.base.engine import literal, open_engine, quoted
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


def test_running_out_of_memory_is_a_failure_of_storage() -> None:
    with pytest.raises(StorageFailure) as caught, open_engine(folders=[], memory_limit="20MB") as engine:
        engine.execute("CREATE TABLE big AS SELECT random() AS x, uuid() AS y FROM range(3000000)")
    assert (caught.value.first.code, caught.value.exit_code) == ("engine.resources", 74)


@pytest.mark.parametrize("name", ['a"b', "a b", "select", "a;--"])
def test_names_and_texts_cannot_break_out_of_their_quotes(name: str) -> None:
    with open_engine(folders=[]) as engine:
        assert engine.execute(f"SELECT 1 AS {quoted(name)}").description[0][0] == name
        assert engine.execute(f"SELECT {literal(name)}").fetchall() == [(name,)]


def test_a_nul_character_is_refused() -> None:
    for write in (quoted, literal):
        with pytest.raises(BadConfiguration):
            write("a\0b")
