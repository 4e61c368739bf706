"""The configuration reference: each key of each workspace file, with type, default and meaning, from the models."""

from __future__ import annotations

import types
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from typing import Annotated, Any, Literal, Union, get_args, get_origin

import annotated_types
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from features.base.duration import format_duration, format_wait
from features.base.expressions.expression import ALLOWED_FUNCTIONS, describe_dialect
from features.config.engine_settings import MemorySize
from features.config.feeds_file import FeedsFile
from features.config.views_file import ViewsFile
from features.store.store_settings import FeatureStoreSettings
from serving.decisioning.offer_settings import OffersSettings
from serving.online.role_settings import RolesFile
from training.labels.label_settings import LabelsFile
from training.registry.mlflow_settings import MlflowFile

PAGE = "serving/cli/CONFIGURATION.md"
FILES: Mapping[str, tuple[type[BaseModel], str]] = {
    "features/feeds.yaml": (FeedsFile, "Feeds and their mapping, identity, survivorship, quality, purposes, engine."),
    "features/views.yaml": (ViewsFile, "Declared features, and the moments for which they are computed."),
    "features/feature_store.yaml": (FeatureStoreSettings, "Feast's own file: its registry and its stores."),
    "training/labels.yaml": (LabelsFile, "Label contracts, and the models that are learnt from them."),
    "serving/offers.yaml": (OffersSettings, "The offer catalogue and its policy."),
    "serving/roles.yaml": (RolesFile, "Who may see and do what, and for which purpose."),
    "mlflow.yaml": (MlflowFile, "Experiment tracking, the model registry and the promotion gates."),
}
_TYPES: Mapping[Any, str] = {
    str: "text",
    int: "whole number",
    float: "number",
    bool: "true or false",
    date: "date",
    datetime: "time",
    timedelta: "length of time",
    Any: "anything",
}
_MEMORY_MARK = get_args(MemorySize)[1]
_HEAD = f"""# Configuration reference

Every key of every workspace file. Generated from the typed models by `nextbest config reference` (which prints this
page); do not edit it: change the model and run `nextbest config reference > {PAGE}`.

NAME is a name that you choose, `[]` for each entry of a list. A length of time is a whole number and a unit,
such as `30d`, `12h`, `15m`, `30s` or `2w`; a short wait is written in `ms` or `s`. An amount of memory is a number and
`MB` or `GB`. A secret is written as `${{env:NAME}}` or `${{file:PATH}}`, never as itself. An unknown key is refused."""


@dataclass(frozen=True)
class Key:
    """One key of a workspace file.

    Parameters
    ----------
    key : its name
    type : what may be written, in words
    required : whether it has to be there
    default : what holds when it is left out, as it would be written; empty where nothing does
    meaning : one sentence
    """

    key: str
    type: str
    required: bool
    default: str
    meaning: str


@dataclass(frozen=True)
class Section:
    """Keys that are written together.

    Parameters
    ----------
    places : where they are written, such as ``feeds.NAME``; empty for the top of the file
    meaning : what they are about
    keys : in the order of the model
    """

    places: tuple[str, ...]
    meaning: str
    keys: tuple[Key, ...]


def config_reference() -> dict[str, tuple[Section, ...]]:
    """Return the sections of every workspace file, by its name.

    Examples
    --------
    >>> top, *_ = config_reference()["mlflow.yaml"]
    >>> [key.key for key in top.keys]
    ['tracking_uri', 'artifacts', 'experiment', 'gates']
    """
    return {name: sections_of(model) for name, (model, _) in FILES.items()}


def sections_of(model: type[BaseModel]) -> tuple[Section, ...]:
    """Return the sections of one model and of all models inside it, each once.

    Examples
    --------
    >>> top, *inner = sections_of(ViewsFile)
    >>> top.keys[0].key, [section.places for section in inner][:2]
    ('views', [('views.NAME',), ('views.NAME.text',)])
    """
    places: dict[type[BaseModel], list[str]] = {}
    _collect(model, "", places)
    return tuple(Section(tuple(where), _first_line(each), _keys(each)) for each, where in places.items())


def as_markdown() -> str:
    """Return the whole reference as a page in Markdown.

    Examples
    --------
    >>> as_markdown().splitlines()[0]
    '# Configuration reference'
    """
    parts = [_HEAD]
    for name, sections in config_reference().items():
        parts += [f"## {name}", FILES[name][1]]
        for section in sections:
            if any(section.places):
                parts.append("### " + ", ".join(f"`{place}`" for place in section.places))
                parts.append(section.meaning)
            parts.append(_table(section.keys))
    parts += ["## Expressions", "What may be written wherever an expression is expected.", describe_dialect()]
    return "\n\n".join(parts) + "\n"


def as_json() -> dict[str, Any]:
    """Return the whole reference as JSON: ``{files: {NAME: {meaning, sections: [...]}}, functions: {…}}``.

    Examples
    --------
    >>> sorted(as_json())
    ['files', 'functions']
    """
    files = {
        name: {"meaning": FILES[name][1], "sections": [asdict(section) for section in sections]}
        for name, sections in config_reference().items()
    }
    return {"files": files, "functions": dict(ALLOWED_FUNCTIONS)}


def _collect(model: type[BaseModel], place: str, places: dict[type[BaseModel], list[str]]) -> None:
    known = model in places
    places.setdefault(model, []).append(place)
    if known:  # its keys are listed where the model first appears
        return
    for name, field in model.model_fields.items():
        here = ".".join(filter(None, [place, field.alias or name]))
        found = list(_models(field.annotation))
        for inner, suffix in found:
            _collect(inner, here + suffix + (_variant(inner) if len(found) > 1 else ""), places)


def _models(annotation: Any) -> Iterator[tuple[type[BaseModel], str]]:
    """Yield the models inside a type, each with what its place adds to the key's."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        if not _is_written_as_text(annotation):
            yield annotation, ""
        return
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin in (list, tuple):
        yield from ((model, f"[]{more}") for model, more in _models(arguments[0]))
    elif origin is dict:
        yield from ((model, f".NAME{more}") for model, more in _models(arguments[1]))
    elif origin is not Literal:
        for argument in arguments:
            yield from _models(argument)


def _variant(model: type[BaseModel]) -> str:
    """Return which of several models that may stand in one place this is, such as `` (kind: recorded)``."""
    for name, field in model.model_fields.items():
        choices = get_args(field.annotation) if get_origin(field.annotation) is Literal else ()
        if len(choices) == 1:
            return f" ({name}: {choices[0]})"
    return ""


def _is_written_as_text(model: type[BaseModel]) -> bool:
    return "__str__" in vars(model)


def _keys(model: type[BaseModel]) -> tuple[Key, ...]:
    return tuple(
        Key(
            key=field.alias or name,
            type=_type(field.annotation, field.metadata),
            required=field.is_required(),
            default="" if field.is_required() else _default(field),
            meaning=field.description or "",
        )
        for name, field in model.model_fields.items()
    )


def _type(annotation: Any, metadata: Sequence[Any] = ()) -> str:
    origin, arguments = get_origin(annotation), get_args(annotation)
    if _MEMORY_MARK in metadata:
        return "amount of memory"
    if origin is Annotated:
        return _type(arguments[0], arguments[1:])
    if origin is Literal:
        text = ", ".join(f"`{_scalar(argument)}`" for argument in arguments)
    elif origin in (Union, types.UnionType):
        text = " or ".join(dict.fromkeys(_type(argument) for argument in arguments if argument is not types.NoneType))
    elif origin is list or (origin is tuple and arguments[-1] is Ellipsis):
        text = f"list of {_type(arguments[0])}"
    elif origin is tuple:
        text = f"pair of {_type(arguments[0])}"
    elif origin is dict:
        text = f"mapping of name to {_type(arguments[1])}"
    elif isinstance(annotation, type) and issubclass(annotation, BaseModel):
        text = "text" if _is_written_as_text(annotation) else "section"
    else:
        text = _TYPES[annotation]
    return text + "".join(_limits(metadata))


def _limits(metadata: Sequence[Any]) -> Iterator[str]:
    for limit in metadata:
        if isinstance(limit, FieldInfo):
            yield from _limits(limit.metadata)
        for name, words in (
            ("ge", "at least"),
            ("gt", "more than"),
            ("le", "at most"),
            ("lt", "less than"),
        ):
            if getattr(limit, name, None) is not None:
                yield f", {words} {_scalar(getattr(limit, name))}"
        if isinstance(limit, annotated_types.MinLen) and limit.min_length:
            yield ", not empty" if limit.min_length == 1 else f", at least {limit.min_length}"
        pattern = getattr(limit, "pattern", None)
        if pattern is not None:
            yield f", matching `{pattern}`"


def _default(field: FieldInfo) -> str:
    value = field.get_default(call_default_factory=True, validated_data={})
    if value is None:
        return ""
    if isinstance(value, BaseModel):
        written = value.model_dump(exclude_defaults=True)
        return f"{{{', '.join(f'{name}: {_scalar(each)}' for name, each in written.items())}}}" if written else ""
    if isinstance(value, tuple | list | dict):
        listed = ", ".join(_scalar(each) for each in value)
        return f"{{{listed}}}" if isinstance(value, dict) else f"[{listed}]"
    return _scalar(value)


def _scalar(value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, timedelta):
        return format_wait(value) if value % timedelta(seconds=1) else format_duration(value)
    return str(value) or '""'


def _first_line(model: type[BaseModel]) -> str:
    return (model.__doc__ or "").strip().split("\n\n")[0].replace("\n    ", " ")


def _table(keys: Sequence[Key]) -> str:
    rows = ["| key | type | default | meaning |", "|---|---|---|---|"]
    for key in keys:
        default = "required" if key.required else f"`{key.default}`" if key.default else ""
        cells = (f"`{key.key}`", key.type, default, key.meaning)
        rows.append("| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |")
    return "\n".join(rows)
