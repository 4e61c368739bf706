"""Pipelines as lists of stages: one runner decides what is skipped, writes the new generation and publishes it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, TypeVar, cast, get_type_hints

from features.base.errors import StorageFailure
from features.base.generations import current_generation, new_generation, remove_earlier
from features.base.manifest import MANIFEST, Manifest
from features.base.progress import Progress
from features.base.storage import digest_of, write_json

Report = TypeVar("Report")
T = TypeVar("T")
OnDemand = Mapping[type, Callable[[], AbstractContextManager[object]]]


@dataclass(frozen=True)
class PipelineStage:
    """One step of a pipeline: a function from artefacts to an artefact.

    An artefact is named by its type: the types of the function's parameters are what it reads, its return type is what
    it makes. It is given no workspace, and decides nothing about whether it has to run.

    Parameters
    ----------
    function : the work; it may return nothing
    title : what a person sees meanwhile; nothing where it is short
    version : raised when the function makes something else of the same artefacts
    """

    function: Callable[..., Any]
    title: str = ""
    version: int = 1


@dataclass(frozen=True)
class NewGeneration:
    """The folder that a run writes, and the published one before it, which may not exist.

    Parameters
    ----------
    folder, before : the two folders
    manifest : the files of the generation before, as they were written
    """

    folder: Path
    before: Path
    manifest: Manifest = field(default_factory=Manifest)


@dataclass(frozen=True)
class ContentDigest:
    """Digest of all that a generation is made of; equal digests mean equal tables."""

    value: str


@dataclass(frozen=True)
class Pipeline(Generic[Report]):
    """What a run does.

    Parameters
    ----------
    read : stages of every run, whose artefacts the inputs are digests of
    build : stages that make a generation; they are skipped where the published one is of the same inputs
    commit : stages that change what outlives generations, such as a ledger; run when nothing can be refused any more
    after : stages that follow the publication of a new generation; they may be repeated
    sync : stages at the end of every run, skipped or not, which bring what lies outside of generations, such as an
        online store, in line with the published one; they may complete the report
    report : the type of the artefact that is the run's result, made by the last stage of `commit`
    file : where a generation holds its report
    write, load : the report as JSON, and from JSON
    """

    read: Sequence[PipelineStage]
    build: Sequence[PipelineStage]
    commit: Sequence[PipelineStage]
    report: type[Report]
    file: str
    write: Callable[[Report], Any]
    load: Callable[[Path], Report]
    after: Sequence[PipelineStage] = ()
    sync: Sequence[PipelineStage] = ()

    @property
    def versions(self) -> list[tuple[str, int]]:
        """The stages that make a generation, with their versions."""
        return [(stage.function.__name__, stage.version) for stage in (*self.build, *self.commit)]


class Artefacts:
    """What stages read and make, by type.

    Examples
    --------
    >>> artefacts = Artefacts({int: 3})
    >>> def double(number: int) -> str:
    ...     return str(2 * number)
    >>> artefacts.run(PipelineStage(double))
    >>> artefacts.get(str)
    '6'
    """

    def __init__(
        self, given: Mapping[type, object], on_demand: OnDemand | None = None, stack: ExitStack | None = None
    ) -> None:
        self._found, self._on_demand = dict(given), dict(on_demand or {})
        self._stack = stack or ExitStack()

    def get(self, kind: type[T]) -> T:
        """Return the artefact of a type; what is opened on demand is opened now, and closed by `open_artefacts`."""
        if kind not in self._found and kind in self._on_demand:
            self._found[kind] = self._stack.enter_context(self._on_demand[kind]())
        return cast(T, self._found[kind])

    def put(self, kind: type[T], artefact: T) -> None:
        """Let an artefact be found by its type."""
        self._found[kind] = artefact

    def close(self) -> None:
        """Close what was opened on demand; a later stage that needs it opens it again."""
        self._found = {kind: artefact for kind, artefact in self._found.items() if kind not in self._on_demand}
        self._stack.close()

    def run(self, stage: PipelineStage, progress: Progress | None = None) -> None:
        """Run one stage."""
        if progress is not None and stage.title:
            progress.step(stage.title)
        kinds = get_type_hints(stage.function)
        made = kinds.pop("return")
        artefact = stage.function(**{name: self.get(kind) for name, kind in kinds.items()})
        if made is not type(None):
            self.put(made, artefact)


@contextmanager
def open_artefacts(given: Mapping[type, object], *, on_demand: OnDemand) -> Iterator[Artefacts]:
    """Yield what stages are given; resources, such as an engine, are opened when a stage needs them, and closed here.

    A failure inside is passed to each of them, so that it can report what ran out.
    """
    with ExitStack() as stack:
        artefacts = Artefacts(given, on_demand, stack)
        yield artefacts


def run_pipeline(
    pipeline: Pipeline[Report],
    folder: Path,
    artefacts: Artefacts,
    *,
    inputs: Callable[[Artefacts], Sequence[object]],
    upkeep: Callable[[Artefacts], Sequence[object]] = lambda _: (),
    progress: Progress,
    again: bool = False,
) -> Report:
    """Run a pipeline, and return its report: that of the published generation where nothing has changed.

    The caller holds the workspace lock. A run that is killed leaves the last generation published; the next run begins
    where it began.

    Parameters
    ----------
    folder : of the generations
    artefacts : what the stages are given
    inputs : digests of all that a generation is made of: settings, what was read, and ledgers as they are now
    upkeep : digests of what a finished run leaves outside its generation; when it is lost, the run is repeated
    again : build though nothing has changed
    """
    for stage in pipeline.read:
        artefacts.run(stage, progress)
    unchanged = None if again else _unchanged(pipeline, folder, inputs(artefacts), upkeep(artefacts))
    report = unchanged or _build(pipeline, folder, artefacts, inputs=inputs, upkeep=upkeep, progress=progress)
    artefacts.put(pipeline.report, report)
    for stage in pipeline.sync:
        artefacts.run(stage, progress)
    complete = artefacts.get(pipeline.report)
    if complete != report:
        write_json(current_generation(folder) / pipeline.file, pipeline.write(complete))
    if unchanged:
        remove_earlier(folder)
    return complete


def _unchanged(
    pipeline: Pipeline[Report],
    folder: Path,
    inputs: Sequence[object],
    upkeep: Sequence[object],
) -> Report | None:
    """Return the report of the published generation; None where that is of other inputs, or damaged."""
    published = current_generation(folder)
    manifest = Manifest.read(published)
    if manifest.state == digest_of([_digest(pipeline, inputs), upkeep]) and manifest.intact_in(published):
        with suppress(StorageFailure, KeyError, TypeError, ValueError):  # a damaged report is made again
            return pipeline.load(published)
    return None


def _build(
    pipeline: Pipeline[Report],
    folder: Path,
    artefacts: Artefacts,
    *,
    inputs: Callable[[Artefacts], Sequence[object]],
    upkeep: Callable[[Artefacts], Sequence[object]],
    progress: Progress,
) -> Report:
    published = current_generation(folder)
    manifest = Manifest.read(published)
    with new_generation(folder) as part:
        artefacts.put(NewGeneration, NewGeneration(part, published, manifest))
        for stage in (*pipeline.build, *pipeline.commit[:-1]):
            artefacts.run(stage, progress)
        digest = _digest(pipeline, inputs(artefacts))
        artefacts.put(ContentDigest, ContentDigest(digest))
        artefacts.run(pipeline.commit[-1], progress)
        artefacts.close()  # what follows opens what it needs: two engines at once would take the memory of both
        report = artefacts.get(pipeline.report)
        write_json(part / pipeline.file, pipeline.write(report))
        made = Manifest.of(part, published, manifest, besides=(pipeline.file,))
        write_json(part / MANIFEST, made.as_json())
    for stage in pipeline.after:
        artefacts.run(stage, progress)
    state = digest_of([digest, upkeep(artefacts)])
    write_json(current_generation(folder) / MANIFEST, made.complete(state).as_json())
    return report


def _digest(pipeline: Pipeline[Report], inputs: Sequence[object]) -> str:
    return digest_of([pipeline.versions, *inputs])
