"""A view as a file to download: what the address says, written by renderers/export.py."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dashboard.figures import FigureService, Question
from data.errors import BadParameter
from renderers.selection import FIELDS

MIMETYPES = {"html": "text/html", "csv": "text/csv", "json": "application/json"}


@dataclass(frozen=True)
class Made:
    """A file: its name, content and type."""

    name: str
    content: bytes
    mimetype: str


def file_of(figures: FigureService, view: str, ending: str, query: Mapping[str, str]) -> Made:
    """The view as .html, .csv or .json, with the selection and the parameters that `query` holds.

    `query` is that of the page's address: selection fields by name, parameters as `<view>.<name>`, and the
    theme. Images are made by the browser, which shows what is on the screen. BadParameter says what is wrong.
    """
    if ending not in MIMETYPES:
        raise BadParameter(f"Cannot export to .{ending}: choose one of {', '.join(MIMETYPES)}.")
    own = f"{view}."
    question = Question.parse(
        {
            "view": view,
            "variant": query.get("variant", ""),
            "selection": {field: query[field] for field in FIELDS if field != "variant" and field in query},
            "params": {key.removeprefix(own): value for key, value in query.items() if key.startswith(own)},
            "theme": query.get("theme", "light"),
            "density": "full",
        }
    )
    bound = figures.bound(question)
    used = [
        f"{field}{question.selection[field]}" for field in bound.view.depends if field in question.selection
    ]
    name = "_".join([question.variant, view, *used]) + f".{ending}"
    with tempfile.TemporaryDirectory() as folder:
        return Made(name, bound.export(Path(folder) / name).read_bytes(), MIMETYPES[ending])
