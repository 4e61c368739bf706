"""A bundle comes back bit for bit, and nothing that was touched comes back at all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from features.base.errors import BadData, StorageFailure
from training.models import classifier, golden_rows, ranker
from training.models.booster import BoosterSettings
from training.models.scorers import Classifier, Ranker
from training.registry import bundle
from training.registry.bundle import About, Bundle

QUICK = BoosterSettings(learning_rate=0.2, max_rounds=15, patience=5, folds=2, num_threads=1, min_positives=10)
ABOUT = About(model="churn", label="no purchase in 90 days", cutoffs=("2026-01-01T00:00:00Z",), libraries={"x": "1"})


def frame(rows: int) -> pd.DataFrame:
    rng = np.random.default_rng(1)
    return pd.DataFrame(
        {
            "age": np.where(rng.random(rows) < 0.1, np.nan, rng.uniform(18, 90, rows)),
            "city": rng.choice(["Köln", "york", "bath"], rows),
            "n__wine": rng.poisson(1.0, rows).astype(float),
            "n__toys": rng.poisson(0.5, rows).astype(float),
        }
    )


ROWS = frame(300)


def made(kind: str) -> Bundle:
    rng = np.random.default_rng(2)
    scorer: Classifier | Ranker
    if kind == "binary":
        target = (ROWS["n__wine"].to_numpy() + rng.normal(size=300) > 1).astype(float)
        scorer = classifier.fit(ROWS, target, settings=QUICK, seed=1)
    else:
        taken = (rng.random((300, 2)) < 0.2 + 0.2 * (ROWS[["n__wine", "n__toys"]].to_numpy() > 0)).astype(float)
        scorer = ranker.fit(ROWS, taken, candidates=("wine", "toys"), settings=QUICK, seed=1)
    rows = golden_rows.synthetic_rows(scorer.encoding, scorer.encoding.matrix(ROWS))
    return Bundle.of(scorer, about=ABOUT, rows=rows)


@pytest.fixture(scope="module", params=["binary", "ranking"])
def model(request: pytest.FixtureRequest) -> Bundle:
    return made(request.param)


@pytest.fixture
def folder(model: Bundle, tmp_path: Path) -> Path:
    bundle.write(model, tmp_path / "bundle")
    return tmp_path / "bundle"


def refusal(folder: Path, **asked: str) -> str:
    with pytest.raises(StorageFailure) as error:
        bundle.load(folder, **asked)
    assert error.value.first.where == folder.name
    assert error.value.first.hint
    return error.value.first.code


def test_what_comes_back_is_equal_and_scores_bit_for_bit(model: Bundle, folder: Path) -> None:
    again = bundle.load(folder)
    assert (again.scorer, again.about, again.kind) == (model.scorer, model.about, model.kind)
    assert (again.score(ROWS) == model.score(ROWS)).all()
    assert again.score({name: ROWS[name].tolist() for name in again.features}).tolist() == model.score(ROWS).tolist()


def test_the_same_model_gives_the_same_digest_and_the_digest_is_checked(model: Bundle, tmp_path: Path) -> None:
    first, second = bundle.write(model, tmp_path / "a"), bundle.write(model, tmp_path / "b")
    assert first == second == bundle.write(made(model.kind), tmp_path / "c")
    assert bundle.load(tmp_path / "a", expected_digest=first).about == ABOUT
    assert refusal(tmp_path / "a", expected_digest="0" * 64) == "bundle.digest"
    other = Bundle(ABOUT.model_copy(update={"label": "another"}), model.scorer, model.golden)
    assert bundle.write(other, tmp_path / "d") != first


def test_another_process_gives_the_same_scores_without_the_training_libraries(model: Bundle, folder: Path) -> None:
    program = (
        "import sys, json, pathlib\nfrom training.registry import bundle\n"
        "heavy = {'mlflow', 'feast', 'duckdb', 'sqlalchemy'} & set(sys.modules)\n"
        "direct = {'training.baselines.classifiers', 'training.baselines.bgnbd'} & set(sys.modules)\n"
        "b = bundle.load(pathlib.Path(sys.argv[1]))\n"
        "print(json.dumps([sorted(heavy | direct), b.score(json.loads(sys.argv[2])).tolist()]))"
    )
    columns = {
        name: ROWS[name].head(20).astype(object).where(ROWS[name].head(20).notna(), None).tolist()
        for name in model.features
    }
    command = [sys.executable, "-c", program, str(folder), json.dumps(columns)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [[], model.score(ROWS.head(20)).tolist()]


def test_one_changed_byte_anywhere_is_refused(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        for at in {0, 1, len(whole) // 3, len(whole) // 2, len(whole) - 2, len(whole) - 1}:
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            assert refusal(folder) in {"bundle.digest", "bundle.manifest"}
        path.write_bytes(whole)
    assert bundle.load(folder).about == ABOUT


def test_a_file_cut_short_or_grown_is_refused(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        for changed in (b"", whole[:-1], whole + b"\n"):
            path.write_bytes(changed)
            assert refusal(folder) in {"bundle.size", "bundle.manifest"}
        path.write_bytes(whole)


def test_a_missing_an_extra_and_a_linked_file_are_refused(folder: Path) -> None:
    for path in sorted(folder.iterdir()):
        whole = path.read_bytes()
        path.unlink()
        assert refusal(folder) == "bundle.files"
        path.write_bytes(whole)
    (folder / "extra.py").write_text("")
    assert refusal(folder) == "bundle.files"
    (folder / "extra.py").unlink()
    (folder / "extra").mkdir()
    assert refusal(folder) == "bundle.files"
    (folder / "extra").rmdir()
    real = folder.parent / "elsewhere.txt"
    (folder / "model.txt").rename(real)
    (folder / "model.txt").symlink_to(real)
    assert refusal(folder) == "bundle.files"


def test_no_folder_is_no_bundle(tmp_path: Path) -> None:
    assert refusal(tmp_path / "nowhere") == "bundle.unreadable"


def reseal(folder: Path, name: str, data: bytes) -> None:
    """Rewrite one file consistently, as somebody who knows the format would."""
    (folder / name).write_bytes(data)
    manifest = bundle.read_manifest(folder)
    entry = bundle.FileEntry(bytes=len(data), sha256=bundle._sha256(data))
    sealed = manifest.model_copy(update={"files": {**manifest.files, name: entry}}).sealed
    (folder / "manifest.json").write_bytes(bundle._canonical(sealed.model_dump(mode="json")))


def test_a_bundle_rewritten_consistently_is_refused_by_the_registered_digest(folder: Path) -> None:
    registered = bundle.read_manifest(folder).digest
    table = json.loads((folder / "calibration.json").read_bytes())
    reseal(folder, "calibration.json", bundle._canonical({**table, "calibrated": [v - 1 for v in table["calibrated"]]}))
    assert refusal(folder, expected_digest=registered) == "bundle.digest"
    assert refusal(folder) == "bundle.golden"


@pytest.mark.parametrize("name", ["encoding.json", "calibration.json", "golden.json"])
@pytest.mark.parametrize("data", [b"{}", b"[]", b"[1]", b"null", b"{", b"\xff"])
def test_contents_that_describe_no_model_are_refused(folder: Path, name: str, data: bytes) -> None:
    reseal(folder, name, data)
    assert refusal(folder) in {"bundle.content", "bundle.golden"}


def test_a_newer_format_is_refused_by_number(folder: Path) -> None:
    newer = bundle.read_manifest(folder).model_copy(update={"format": bundle.FORMAT + 1}).sealed
    (folder / "manifest.json").write_bytes(bundle._canonical(newer.model_dump(mode="json")))
    assert refusal(folder) == "bundle.format"


def test_a_bundle_of_an_earlier_version_without_a_recipe_is_read(folder: Path) -> None:
    manifest = json.loads((folder / "manifest.json").read_bytes())
    del manifest["about"]["recipe"]
    manifest["digest"] = bundle._seal(manifest)
    (folder / "manifest.json").write_bytes(bundle._canonical(manifest))
    assert bundle.load(folder, expected_digest=manifest["digest"]).about == ABOUT


def test_a_kind_that_this_version_does_not_have_is_refused_by_name(folder: Path) -> None:
    other = bundle.read_manifest(folder).model_copy(update={"kind": "oracle"}).sealed
    (folder / "manifest.json").write_bytes(bundle._canonical(other.model_dump(mode="json")))
    assert refusal(folder) == "bundle.kind"


def test_a_full_folder_is_not_written_into(model: Bundle, folder: Path) -> None:
    with pytest.raises(StorageFailure, match=r"bundle\.not_empty"):
        bundle.write(model, folder)


def test_a_file_in_the_way_is_said_to_be(model: Bundle, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(StorageFailure, match=r"bundle\.unwritable"):
        bundle.write(model, tmp_path / "file")


def test_golden_rows_are_nobodys(model: Bundle) -> None:
    rows = model.golden.rows.columns
    real = {tuple(row) for row in ROWS[list(model.features)].astype(str).to_numpy().tolist()}
    assert not real & {tuple(str(v) for v in row) for row in zip(*rows.values(), strict=True)}
    exact = set(ROWS["age"].dropna())
    assert not exact & {value for value in rows["age"] if value is not None}
    assert all(values[-1] is None for values in rows.values())
    assert len(np.unique(model.golden.scores.round(6), axis=0)) > 3


def test_reasons_name_features_of_the_model() -> None:
    binary, ranked = made("binary"), made("ranking")
    first = binary.reasons(ROWS.head(2), top=2)
    assert len(first) == 2
    assert first[0][0].feature in binary.features
    told = ranked.reasons(ROWS.head(2), top=3, candidates=["wine", "toys"])
    assert len(told) == 2
    assert {reason.feature for reason in told[0]} <= {
        "candidate",
        "candidate_popularity",
        "n",
        "n__share",
        "age",
        "city",
    }
    with pytest.raises(BadData, match=r"candidates\.required"):
        ranked.reasons(ROWS.head(2))
    with pytest.raises(BadData, match=r"candidates\.required"):
        ranked.reasons(ROWS.head(2), candidates=["wine", "hats"])
    with pytest.raises(BadData, match=r"candidates\.required"):
        binary.reasons(ROWS.head(2), candidates=["wine", "toys"])
