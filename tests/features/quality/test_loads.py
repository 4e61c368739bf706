"""A load against the last accepted one: FQ016 to FQ019; a suspicious one is refused whole, the last good one stands."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from features.base.errors import BadData, UsageError
from features.base.progress import Silent
from features.base.workspace import Workspace
from features.pipeline.unify import unify
from tests.features.quality.world import answer, many, outcome, write
from tests.features.tiny import unified


def bytes_of(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and not path.name.startswith(".")
    }


def standing(workspace: Workspace) -> list[dict[str, str]]:
    """Return the bytes of what stands: staged, unified, and the memory of accepted loads."""
    return [bytes_of(folder) for folder in (workspace.staged, workspace.unified, workspace.quality)]


def test_fq016_a_feed_that_fell_behind_the_others_is_named(tmp_path: Path) -> None:
    assert outcome(write(tmp_path), "FQ016", "crm") == "not_applicable"
    assert outcome(write(tmp_path, more="quality: {freshness: {crm: 30d}}"), "FQ016", "crm") == "passed"
    assert answer(unified(write(tmp_path, more="quality: {freshness: {crm: 2d}}")), "FQ016", "crm") == (
        "failed",
        "the newest row lies 3 days behind the newest of all feeds, more than 2d",
    )


CATALOGUE = """\
  catalogue:
    source: catalogue.csv
    kind: items
    key: sku
    fields: {name: title}
quality: {freshness: {crm: 30d, catalogue: 30d}}"""


def test_the_time_stamp_of_a_file_is_no_time_of_the_data(tmp_path: Path) -> None:
    (tmp_path / "catalogue.csv").write_text("sku,title\nlamp,A lamp\n", encoding="utf-8")  # written today
    workspace = write(tmp_path, more=CATALOGUE)
    report = unified(workspace)
    told = json.loads((workspace.published / "quality" / "report.json").read_text("utf-8"))
    assert told["as_of"] == "2026-01-05T00:00:00Z", "the newest row of the till"
    assert [load["newest"] for load in told["feeds"]["catalogue"]["loads"]] == [""]
    assert answer(report, "FQ016", "crm") == ("passed", "the newest row lies 3 days behind the newest of all feeds")
    assert answer(report, "FQ016", "catalogue") == ("not_applicable", "no row of the feed carries a time")
    assert "Data up to 2026-01-05." in (workspace.published / "quality" / "report.html").read_text("utf-8")


def test_fq017_a_load_that_lost_nine_rows_in_ten_is_refused_whole(tmp_path: Path) -> None:
    workspace = write(tmp_path, sales=many(100))
    assert outcome(workspace, "FQ017", "till") == "not_applicable"
    before = standing(workspace)
    write(tmp_path, sales=many(10))
    for _ in range(2):  # asked again, it is refused again
        with pytest.raises(BadData) as refused:
            unified(workspace)
        assert refused.value.exit_code == 65
        assert refused.value.first.code == "quality.volume"
        assert refused.value.first.where == "feed till"
        assert "10 rows, 100 in the last accepted load: -90%" in refused.value.first.message
        assert "nextbest unify --accept till" in refused.value.first.hint
        assert standing(workspace) == before
    write(tmp_path, sales=many(90))
    assert outcome(workspace, "FQ017", "till") == "passed"


def test_fq017_a_load_that_is_meant_is_accepted_knowingly_and_is_the_next_ones_measure(tmp_path: Path) -> None:
    workspace = write(tmp_path, sales=many(100))
    unified(workspace)
    write(tmp_path, sales=many(10))
    report = unify(workspace, Silent(), accept=["till"])
    assert answer(report, "FQ017", "till")[0] == "failed"
    assert unified(workspace) == report
    write(tmp_path, sales=many(11))
    assert outcome(workspace, "FQ017", "till") == "passed"


def test_fq017_growth_is_refused_where_a_limit_is_declared(tmp_path: Path) -> None:
    more = "quality: {volume: {growth_above: 3}}"
    unified(write(tmp_path, sales=many(20), more=more))
    with pytest.raises(BadData, match=r"5\.0 times as many"):
        unified(write(tmp_path, sales=many(100), more=more))


def test_fq017_another_where_in_the_declaration_is_no_loss_of_rows(tmp_path: Path) -> None:
    workspace = write(tmp_path, sales=many(100))
    unified(workspace)
    path = workspace.file("features/feeds.yaml")
    text = path.read_text(encoding="utf-8").replace("    key: no\n", "    key: no\n    where: price < 6\n")
    path.write_text(text, encoding="utf-8")
    report = unified(workspace)
    assert answer(report, "FQ017", "till")[0] == "passed"
    assert answer(report, "FQ018", "till")[0] == "not_applicable"


@pytest.mark.parametrize(("price", "said"), [("7", "amount is the same on every row"), ("", "amount is empty")])
def test_fq018_a_column_that_turned_constant_or_empty_is_refused_whole(tmp_path: Path, price: str, said: str) -> None:
    workspace = write(tmp_path, sales=many(100))
    assert outcome(workspace, "FQ018", "till") == "not_applicable"
    before = standing(workspace)
    write(tmp_path, sales=many(100, price=price))
    with pytest.raises(BadData, match=said) as refused:
        unified(workspace)
    assert refused.value.first.code == "quality.columns"
    assert standing(workspace) == before


def test_fq018_a_column_that_is_gone_is_refused_whole(tmp_path: Path) -> None:
    workspace = write(tmp_path, sales=many(100))
    unified(workspace)
    path = workspace.root / "till.csv"
    path.write_text(path.read_text(encoding="utf-8").replace(",unit\n", ",units\n", 1), encoding="utf-8")
    with pytest.raises(BadData, match=r"'unit' of the last load is not there any more(.|\n)*did you mean 'units'"):
        unified(workspace)


def test_fq018_a_few_rows_that_are_alike_by_chance_pass(tmp_path: Path) -> None:
    workspace = write(tmp_path, sales=many(12, by="{n}"))
    unified(workspace)
    write(tmp_path, sales=many(4, by="web"))
    assert outcome(workspace, "FQ018", "till") == "passed"


def test_fq019_values_that_are_spread_quite_otherwise_are_refused_and_a_lesser_shift_is_told(tmp_path: Path) -> None:
    workspace = write(tmp_path, sales=many(600))
    assert outcome(workspace, "FQ019", "till") == "not_applicable"
    before = standing(workspace)
    write(tmp_path, sales=many(600, price="{n}00"))  # pence instead of pounds
    with pytest.raises(BadData, match="of amount") as refused:
        unified(workspace)
    assert refused.value.first.code == "quality.spread"
    assert standing(workspace) == before
    write(tmp_path, sales=[*many(600)[:450], *many(600, price="{n}00")[450:]])
    found, detail = answer(unified(workspace), "FQ019", "till")
    assert found == "failed"
    assert "largest shift (PSI)" in detail


def test_fq019_more_of_the_same_passes(tmp_path: Path) -> None:
    workspace = write(tmp_path, sales=many(600))
    unified(workspace)
    write(tmp_path, sales=many(700))
    assert outcome(workspace, "FQ019", "till") == "passed"


def test_one_suspicious_feed_keeps_the_others_out_too_until_it_is_mended(tmp_path: Path) -> None:
    workspace = write(tmp_path, sales=many(100))
    unified(workspace)
    before = standing(workspace)
    people = ["1,a@b.com,01632 960001,1980-02-03,YO1 7HH,GB,2026-01-01"] * 1 + [
        f"{n},p{n}@larkmoor.co.uk,01632 960001,1980-02-03,YO1 7HH,GB,2026-01-01" for n in (2, 3)
    ]
    write(tmp_path, people=people, sales=many(10))
    with pytest.raises(BadData):
        unified(workspace)
    assert standing(workspace) == before
    write(tmp_path, people=people, sales=many(99))
    assert unified(workspace).records == 3


def test_a_feed_that_is_not_declared_cannot_be_accepted(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="did you mean 'till'"):
        unify(write(tmp_path), Silent(), accept=["tll"])
