"""Views as files: offline HTML, images, tables, figure JSON."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from data.errors import BadParameter, WorkbenchError
from data.files import replacing
from renderers.encode import encode

if TYPE_CHECKING:
    from renderers.service import BoundView


def export(bound: BoundView, path: Path) -> Path:
    """Write `bound` to `path` in the format that its ending names, and return `path`.

    .html opens without a network (plotly.js is inside); .svg and .png need the package kaleido and a Chrome;
    .csv is a long table of `bound.data()`, one row per combination of its coordinates; .json is the plotly
    figure. Raises BadParameter for another ending, WorkbenchError if kaleido
    or Chrome is missing.
    """
    writers: dict[str, Callable[[BoundView], bytes]] = {
        ".html": _html,
        ".svg": lambda view: _image(view, "svg"),
        ".png": lambda view: _image(view, "png"),
        ".csv": _csv,
        ".json": lambda view: json.dumps(encode(view.raw()), allow_nan=False).encode(),
    }
    if path.suffix.lower() not in writers:
        raise BadParameter(f"Cannot export to {path.name!r}: end the name in one of {', '.join(writers)}.")
    content = writers[path.suffix.lower()](bound)
    with replacing(path) as temporary:
        temporary.write_bytes(content)
    return path


def _html(bound: BoundView) -> bytes:
    config = {"displaylogo": False, "showSendToCloud": False, "responsive": True}
    figure = bound.figure().update_layout(
        title={"text": _caption(bound), "font": {"size": 14}}, margin={"t": 60}
    )
    text: str = figure.to_html(include_plotlyjs=True, full_html=True, config=config)
    return text.encode()


def _image(bound: BoundView, kind: str) -> bytes:
    width, height = (700, 640) if bound.view.shape == "square" else (900, 560)
    try:
        image: bytes = bound.figure().to_image(format=kind, width=width, height=height, scale=2)
    except (ValueError, RuntimeError, ImportError) as error:
        raise WorkbenchError(
            f"Cannot write {kind}: that needs the package kaleido (`pip install kaleido`) and Chrome"
            f" or Chromium ({str(error).strip().splitlines()[0]})."
            " Without them, export to .html, .csv or .json."
        ) from error
    return image


def _csv(bound: BoundView) -> bytes:
    text: str = bound.data().to_dataframe().reset_index().to_csv(index=False)
    return text.encode()


def _caption(bound: BoundView) -> str:
    selection = bound.source.selection
    parts = [f"{field} {getattr(selection, field)}" for field in bound.view.depends if field != "variant"]
    return " · ".join([bound.view.title, selection.variant, *parts])
