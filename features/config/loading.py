"""Strict loading of a workspace's YAML files: typed, with file and line in every complaint."""

from __future__ import annotations

import difflib
import re
import types
import typing
from collections.abc import Hashable, Sequence
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from pydantic import BaseModel, ConfigDict, ValidationError

from features.base.errors import BadConfiguration, Problem

Model = TypeVar("Model", bound=BaseModel)
Location = tuple[str | int, ...]
MAX_DEPTH = 40
MAX_NODES = 50_000


class Settings(BaseModel):
    """Base of every typed settings model: frozen, and an unknown key is an error."""

    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class _Loader(yaml.SafeLoader):
    """YAML 1.2 booleans only (``on``, ``yes`` and ``no`` stay text); duplicate keys are refused."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver("tag:yaml.org,2002:bool", re.compile(r"^(?:true|True|false|False)$"), list("tTfF"))


class Faults(ValueError):
    """Several faults that a settings model finds in itself, each with its place below that model."""

    def __init__(self, faults: Sequence[tuple[Location, str]]) -> None:
        self.faults = tuple(faults)
        super().__init__("; ".join(message for _, message in faults))


class Lines:
    """Where each key of a YAML document stands."""

    def __init__(self, name: str) -> None:
        self.name = name
        self._lines: dict[Location, int] = {}

    @property
    def known(self) -> int:
        """How many places are noted."""
        return len(self._lines)

    def note(self, path: Location, line: int) -> None:
        self._lines[path] = line

    def where(self, path: Sequence[str | int]) -> str:
        """Return ``file:line`` of the deepest part of `path` that stands in the file."""
        return f"{self.name}:{self._lines.get(self.written(path), 1)}"

    def written(self, path: Sequence[str | int]) -> Location:
        """Return the part of `path` that stands in the file; what pydantic adds for a union's choice falls away."""
        known: Location = ()
        for part in path:
            step = part if isinstance(part, int) else str(part)
            if (*known, step) in self._lines:
                known = (*known, step)
        return known


def load(path: Path, model: type[Model], *, name: str) -> tuple[Model, Lines]:
    """Read one YAML file into a typed model.

    Parameters
    ----------
    path : the file
    model : the pydantic model it must fit
    name : the file's name as the user knows it (relative to the workspace), for messages

    Raises
    ------
    BadConfiguration : with every fault of the file, each with its line and, where a key is
        unknown, the nearest known one
    """
    lines = Lines(name)
    document = _read(path, lines)
    try:
        return model.model_validate(document), lines
    except ValidationError as error:
        found = error.errors(include_url=False, include_input=False)
        problems = [problem for item in found for problem in _explain(item, model, lines, document)]
        raise BadConfiguration.of(list(dict.fromkeys(problems))) from None


def read_document(path: Path, *, name: str) -> tuple[Any, Lines]:
    """Return what a YAML file says, held against no model, and where; see `load`."""
    lines = Lines(name)
    return _read(path, lines), lines


def _read(path: Path, lines: Lines) -> object:
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise BadConfiguration(
            "config.missing",
            "the file is not there",
            where=lines.name,
            hint="copy it from the repository and edit it, or name a workspace with --workspace",
        ) from None
    except UnicodeDecodeError:
        raise BadConfiguration(
            "config.encoding", "the file is not UTF-8", where=lines.name, hint="save it as UTF-8"
        ) from None
    except OSError as error:
        raise BadConfiguration(
            "config.unreadable",
            f"the file cannot be read ({error.strerror or type(error).__name__})",
            where=lines.name,
            hint="check that it is a file and that you may read it",
        ) from None
    try:
        loader = _Loader(text)
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise BadConfiguration(
            "config.yaml", "a character that YAML does not allow", where=f"{lines.name}:{line}", hint="remove it"
        ) from None
    try:
        node = loader.get_single_node()
        if node is None:
            return {}
        _walk(node, (), lines)
        return loader.construct_document(node)
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else 1
        raise BadConfiguration(
            "config.yaml", str(error.problem), where=f"{lines.name}:{line}", hint="check the indentation and the quotes"
        ) from None
    except RecursionError:
        raise BadConfiguration(
            "config.yaml", "it is nested too deeply", where=lines.name, hint="write it flatter"
        ) from None
    except ValueError as error:  # such as 2026-02-30, which YAML takes for a date
        raise BadConfiguration(
            "config.yaml",
            f"invalid date or number ({error})",
            where=lines.name,
            hint="write a valid one, or quote it if it is a text",
        ) from None
    finally:
        loader.dispose()


def _walk(node: yaml.Node, path: Location, lines: Lines) -> None:
    lines.note(path, node.start_mark.line + 1)
    if len(path) > MAX_DEPTH or lines.known > MAX_NODES:  # aliases can make a small file endless
        raise BadConfiguration(
            "config.yaml",
            "it is nested too deeply, or its aliases make it too large",
            where=f"{lines.name}:{node.start_mark.line + 1}",
            hint="write it without aliases (&name, *name)",
        )
    if isinstance(node, yaml.MappingNode):
        seen: set[Hashable] = set()
        for key, value in node.value:
            if not isinstance(key, yaml.ScalarNode):
                raise BadConfiguration(
                    "config.yaml",
                    "a key is a list or a mapping",
                    where=f"{lines.name}:{key.start_mark.line + 1}",
                    hint="write a plain word; braces and brackets inside a text need quotes",
                )
            if key.value in seen:
                raise BadConfiguration(
                    "config.duplicate_key",
                    f"the key {key.value!r} stands twice",
                    where=f"{lines.name}:{key.start_mark.line + 1}",
                    hint="keep one of them",
                )
            seen.add(key.value)
            _walk(value, (*path, str(key.value)), lines)
            lines.note((*path, str(key.value)), key.start_mark.line + 1)
    elif isinstance(node, yaml.SequenceNode):
        for index, value in enumerate(node.value):
            _walk(value, (*path, index), lines)


def _explain(item: Any, model: type[BaseModel], lines: Lines, document: object) -> list[Problem]:
    path: Location = tuple(item["loc"])
    where = lines.where(path)
    if item["type"] == "extra_forbidden":
        known = sorted(_keys_at(model, path[:-1]))
        message = f"unknown key {_dotted(lines.written(path))!r}"
        return [Problem("config.unknown_key", message, where, did_you_mean(path[-1], known))]
    if item["type"] == "missing":
        dotted = _dotted((*lines.written(path[:-1]), path[-1]))
        return [Problem("config.missing_key", f"{dotted!r} is missing", where, "add it")]
    if item["type"] == "literal_error":
        choices = re.findall(r"'([^']*)'", item["ctx"]["expected"])
        value = _value_at(document, lines.written(path))
        message = f"{_dotted(lines.written(path))}: {value!r} is not one of its choices"
        return [Problem("config.value", message, where, did_you_mean(value, choices))]
    cause = item.get("ctx", {}).get("error")
    faults = cause.faults if isinstance(cause, Faults) else (((), item["msg"].removeprefix("Value error, ")),)
    hint = "`nextbest config reference` lists what each key may hold"
    return [
        Problem(
            "config.value",
            f"{_dotted(lines.written((*path, *inner))) or 'the file'}: {message}",
            lines.where((*path, *inner)),
            hint,
        )
        for inner, message in faults
    ]


def _value_at(document: Any, path: Location) -> object:
    """Return what the file says at a place."""
    for part in path:
        inside = isinstance(document, dict) or (isinstance(document, list) and isinstance(part, int))
        document = document[part] if inside else None
    return document


def _dotted(path: Sequence[str | int]) -> str:
    return ".".join(str(part) for part in path)


def did_you_mean(word: object, known: Sequence[str]) -> str:
    """Return a hint that names the nearest known word, or all of them when none is near.

    Examples
    --------
    >>> did_you_mean("feds", ["feeds", "views"])
    "did you mean 'feeds'?"
    """
    near = difflib.get_close_matches(str(word), known, n=1, cutoff=0.6)
    if near:
        return f"did you mean {near[0]!r}?"
    return f"known here: {', '.join(known)}" if known else "remove it"


def _keys_at(model: type[BaseModel], path: Location) -> set[str]:
    """Return the keys that the (possibly nested) model allows at `path`."""
    here: list[Any] = [model]
    for part in path:
        here = [inner for annotation in here for inner in _step(annotation, part)]
    return {
        field.alias or name
        for annotation in here
        for name, field in (annotation.model_fields.items() if _is_model(annotation) else ())
    }


def _is_model(annotation: Any) -> bool:
    return isinstance(annotation, type) and issubclass(annotation, BaseModel)


def _step(annotation: Any, part: str | int) -> list[Any]:
    if _is_model(annotation):
        for name, field in annotation.model_fields.items():
            if part in (name, field.alias):
                return _flatten(field.annotation)
        tags = {tag for field in annotation.model_fields.values() for tag in typing.get_args(field.annotation)}
        return [annotation] if part == annotation.__name__ or part in tags else []  # which of a union it is
    arguments = typing.get_args(annotation)
    if typing.get_origin(annotation) is dict:
        return _flatten(arguments[1])
    if typing.get_origin(annotation) in (list, tuple):
        return _flatten(arguments[0])
    return []


def _flatten(annotation: Any) -> list[Any]:
    origin = typing.get_origin(annotation)
    if origin in (typing.Union, types.UnionType):
        return [inner for part in typing.get_args(annotation) for inner in _flatten(part)]
    if origin is typing.Annotated:
        return _flatten(typing.get_args(annotation)[0])
    if origin is Literal:
        return []
    return [annotation]
