"""A model as a folder of text files: every byte is verified before it is loaded.

Loading needs numpy and LightGBM only. Nothing in a bundle is code, and it holds no time of creation: the
same model gives the same bytes, hence the same digest.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from features.base.errors import BadData, StorageFailure
from features.base.expressions.expression import Expression, parse
from training.models.explanation import FeatureContribution, reasons
from training.models.fitted_model import FittedModel
from training.models.golden_rows import SyntheticRows
from training.models.scorers import FITTED_MODELS

if TYPE_CHECKING:
    import pandas as pd

Array = NDArray[np.float64]
Columns: TypeAlias = "Mapping[str, Sequence[Any]] | pd.DataFrame"
FORMAT = 2
MANIFEST, GOLDEN = "manifest.json", "golden.json"
LARGEST = 512 * 2**20  # bytes of one file
TOLERANCE = 1e-9


class About(BaseModel):
    """The description of a bundle's model."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    model: str
    label: str
    """The label in words, as the label contract describes it."""
    cutoffs: tuple[str, ...] = ()
    """ISO 8601, UTC: the cutoffs of the training rows."""
    libraries: dict[str, str] = {}
    """Versions of what trained it."""
    population: str | None = None
    """The declared condition over features for whom the model holds; everybody where there is none."""
    recipe: dict[str, Any] | None = None
    """How it was learnt, see `training.registry.recipe`; none in bundles of earlier versions."""


class FileEntry(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    bytes: int
    sha256: str


class BundleManifest(BaseModel):
    """The table of contents; ``digest`` covers all the rest of it, and so every byte of the bundle."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)

    format: int
    kind: str
    about: About
    features: tuple[str, ...]
    files: dict[str, FileEntry]
    digest: str = ""

    @property
    def sealed(self) -> BundleManifest:
        return self.model_copy(update={"digest": _seal(self.model_dump(mode="json"))})


@dataclass(frozen=True)
class Golden:
    """Made-up rows (see `training.models.golden_rows`) and what the model gave them when it was new."""

    rows: SyntheticRows
    scores: Array


@dataclass(frozen=True)
class Bundle:
    """A model that can score and explain, with its description and golden rows."""

    about: About
    scorer: FittedModel
    golden: Golden

    @classmethod
    def of(cls, scorer: FittedModel, *, about: About, rows: SyntheticRows) -> Bundle:
        """Return the bundle of a fresh model; ``rows`` from `training.models.golden_rows.synthetic_rows`."""
        scores = scorer.score(scorer.encoding.matrix(rows.columns))
        return cls(about, scorer, Golden(rows, scores))

    @property
    def kind(self) -> str:
        """Return the kind of the model, ``binary`` or ``ranking``."""
        return self.scorer.kind

    @property
    def features(self) -> tuple[str, ...]:
        """Return the columns that `score` needs."""
        return self.scorer.encoding.names

    @cached_property
    def population(self) -> Expression | None:
        """Return the condition for whom the model holds; None if for everybody."""
        where = self.about.population
        return None if where is None else parse(where, where="population.where").require_evaluable()

    @property
    def columns(self) -> tuple[str, ...]:
        """Return the columns that `score` and `population` need."""
        where = self.population
        return tuple(dict.fromkeys([*self.features, *(sorted(where.columns) if where else ())]))

    @property
    def candidates(self) -> tuple[str, ...]:
        """Return what a ranking model ranks, in the order of its scores' columns; () for a binary model."""
        return self.scorer.candidates

    def score(self, columns: Columns, *, threads: int = 1) -> Array:
        """Return calibrated probabilities.

        Parameters
        ----------
        columns : feature name → values, or a DataFrame; see `Encoding.matrix`

        Returns
        -------
        array of shape (rows,) of a binary model, (rows, candidates) of a ranking model
        """
        return self.scorer.score(self.scorer.encoding.matrix(columns), threads=threads)

    def reasons(
        self, columns: Columns, *, top: int = 3, candidates: Sequence[str] | None = None
    ) -> tuple[tuple[FeatureContribution, ...], ...]:
        """Return the ``top`` reasons of each row's score.

        Parameters
        ----------
        candidates : of a ranking model, the candidate to explain in each row

        Raises
        ------
        BadData : ``candidates.required`` if a ranking model is given no candidates, or a binary model is given some
        """
        found = self.scorer.contributions(self.scorer.encoding.matrix(columns), candidates=candidates or ())
        return reasons(found.values, found.matrix, found.encoding, top=top)


def write(bundle: Bundle, folder: Path) -> str:
    """Write the bundle into an empty or new folder and return its digest.

    Raises
    ------
    StorageFailure : ``bundle.not_empty``, ``bundle.unwritable``
    """
    contents = _contents(bundle)
    manifest = BundleManifest(
        format=FORMAT,
        kind=bundle.kind,
        about=bundle.about,
        features=bundle.features,
        files={name: FileEntry(bytes=len(data), sha256=_sha256(data)) for name, data in sorted(contents.items())},
    ).sealed
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if any(folder.iterdir()):
            raise StorageFailure("bundle.not_empty", "a bundle is written into an empty folder", where=folder.name)
        for name, data in contents.items():
            (folder / name).write_bytes(data)
        (folder / MANIFEST).write_bytes(_canonical(manifest.model_dump(mode="json")))  # last: no manifest, no bundle
    except OSError as error:
        raise StorageFailure("bundle.unwritable", f"cannot write: {error.strerror}", where=folder.name) from error
    return manifest.digest


def load(folder: Path, *, expected_digest: str | None = None) -> Bundle:
    """Verify every byte, then load, then score the golden rows again.

    Parameters
    ----------
    expected_digest : what `write` returned, kept elsewhere (the registry). Without it damage is found, but
        not a bundle that somebody rewrote consistently.

    Raises
    ------
    StorageFailure : ``bundle.unreadable``, ``bundle.files``, ``bundle.size``, ``bundle.digest``,
        ``bundle.manifest``, ``bundle.format``, ``bundle.content``, ``bundle.golden``
    """
    manifest = read_manifest(folder)
    if expected_digest is not None and manifest.digest != expected_digest:
        raise _refused("digest", "this is not the bundle that was registered", folder, "restore it from the registry")
    contents = {name: _read(folder / name, entry) for name, entry in manifest.files.items()}
    try:
        bundle = _assemble(manifest, contents)
    except (BadData, ValidationError, ValueError, KeyError, TypeError, AttributeError, IndexError) as error:
        raise _refused("content", "the files do not describe a model", folder) from error
    try:
        again = bundle.score(bundle.golden.rows.columns)
    except BadData as error:
        raise _refused("golden", "the golden rows cannot be scored", folder) from error
    if again.shape != bundle.golden.scores.shape or not np.allclose(
        again, bundle.golden.scores, rtol=0, atol=TOLERANCE
    ):
        raise _refused(
            "golden", "the golden rows score differently here", folder, "use the library versions in its manifest"
        )
    return bundle


def read_manifest(folder: Path) -> BundleManifest:
    """Return the manifest after checking its own digest and that the folder holds its files and no other."""
    try:
        names = {entry.name for entry in folder.iterdir()}
        linked = sorted(entry.name for entry in folder.iterdir() if entry.is_symlink() or not entry.is_file())
    except OSError as error:
        raise _refused("unreadable", f"cannot be read: {error.strerror}", folder) from error
    if MANIFEST not in names:
        raise _refused("files", f"{MANIFEST} is missing", folder)
    if linked:
        raise _refused("files", f"not a plain file: {', '.join(linked)}", folder)
    data = _bounded(folder / MANIFEST, 2**24)
    try:
        manifest, document = BundleManifest.model_validate_json(data), json.loads(data)
    except ValidationError as error:
        raise _refused("manifest", "the manifest is damaged", folder) from error
    if data != _canonical(document) or manifest.digest != _seal(document):
        raise _refused("manifest", "the manifest does not match its own digest", folder)
    if manifest.format != FORMAT:
        raise _refused("format", f"format {manifest.format}, this version reads {FORMAT}", folder, "train it again")
    if manifest.kind not in FITTED_MODELS:
        known = ", ".join(FITTED_MODELS)
        raise _refused("kind", f"a model of kind {manifest.kind!r}, this version reads {known}", folder)
    wanted = {GOLDEN, *FITTED_MODELS[manifest.kind].files}
    if set(manifest.files) != wanted or names != wanted | {MANIFEST}:
        odd = sorted((names ^ (wanted | {MANIFEST})) | (set(manifest.files) ^ wanted))
        raise _refused("files", f"missing or not expected: {', '.join(odd)}", folder)
    return manifest


def _contents(bundle: Bundle) -> dict[str, bytes]:
    golden = {"rows": bundle.golden.rows.columns, "scores": bundle.golden.scores.tolist()}
    documents = {**bundle.scorer.documents(), GOLDEN: golden}
    return {
        name: document.encode() if isinstance(document, str) else _canonical(document)
        for name, document in documents.items()
    }


def _assemble(manifest: BundleManifest, contents: Mapping[str, bytes]) -> Bundle:
    documents: dict[str, Any] = {
        name: json.loads(data) if name.endswith(".json") else data.decode() for name, data in contents.items()
    }
    scorer = FITTED_MODELS[manifest.kind].from_documents(documents)
    if scorer.encoding.names != manifest.features:
        raise ValueError("encoding and manifest disagree about the features")
    golden = documents[GOLDEN]
    return Bundle(
        manifest.about, scorer, Golden(SyntheticRows(golden["rows"]), np.array(golden["scores"], dtype=np.float64))
    )


def _read(path: Path, entry: FileEntry) -> bytes:
    data = _bounded(path, LARGEST)
    if len(data) != entry.bytes:
        raise _refused("size", f"{path.name} has {len(data)} bytes, not {entry.bytes}", path.parent)
    if _sha256(data) != entry.sha256:
        raise _refused("digest", f"{path.name} is not what was written", path.parent)
    return data


def _bounded(path: Path, most: int) -> bytes:
    try:
        if path.stat().st_size > most:
            raise _refused("size", f"{path.name} is larger than {most} bytes", path.parent)
        return path.read_bytes()
    except OSError as error:
        raise _refused("unreadable", f"{path.name} cannot be read: {error.strerror}", path.parent) from error


def _refused(
    code: str, message: str, folder: Path, hint: str = "restore it or train the model again"
) -> StorageFailure:
    return StorageFailure(f"bundle.{code}", message, where=folder.name, hint=hint)


def _canonical(document: Any) -> bytes:
    text = json.dumps(document, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return (text + "\n").encode()


def _seal(document: Mapping[str, Any]) -> str:
    """Return the digest of a manifest: of all that it holds beside the digest itself."""
    return _sha256(_canonical({name: value for name, value in document.items() if name != "digest"}))


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
