"""Reports as one HTML page that works offline, with the same content as JSON beside it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from features.base.storage import atomic_folder, write_json


def render_page(template: Path, **values: object) -> str:
    """Return a page made from a template that extends ``report_base.html``; values are escaped.

    Parameters
    ----------
    template : the file
    values : by the names that the template uses; a name that is missing is an error
    """
    environment = Environment(
        loader=FileSystemLoader([template.parent, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template.name).render(**values)


def write_page(folder: Path, name: str, page: str, data: Any) -> Path:
    """Write ``NAME.html`` and ``NAME.json``, both or neither; return the page's path."""
    with atomic_folder(folder) as part:
        write_json(part / f"{name}.json", data)
        (part / f"{name}.html").write_text(page, encoding="utf-8")
    return folder / f"{name}.html"
