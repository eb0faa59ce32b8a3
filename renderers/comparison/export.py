"""Comparisons as files: an offline page, numbers, figure JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import xarray as xr

from data.errors import BadParameter
from renderers.encode import encode

if TYPE_CHECKING:
    from renderers.comparison.service import BoundComparison

MIMETYPES = {"html": "text/html", "csv": "text/csv", "json": "application/json"}
_CONFIG = {"displaylogo": False, "showSendToCloud": False, "responsive": True}


def content(bound: BoundComparison, ending: str) -> bytes:
    """The comparison as html (offline, plotly.js inside), csv (its numbers) or json (the plotly figure).

    Raises BadParameter for another ending.
    """
    if ending == "json":
        return json.dumps(encode(bound.raw()), allow_nan=False).encode()
    if ending == "csv":
        return tables(bound.data()).encode()
    if ending == "html":
        return _html(bound).encode()
    raise BadParameter(f"Cannot export to .{ending}: choose one of {', '.join(MIMETYPES)}.")


def tables(dataset: xr.Dataset) -> str:
    """One long table per set of dimensions (a row for every combination), an empty line between them."""
    alike: dict[tuple[str, ...], list[str]] = {}
    for name, variable in dataset.data_vars.items():
        alike.setdefault(tuple(map(str, variable.dims)), []).append(str(name))
    parts = []
    for dims, names in alike.items():
        chosen = dataset[names].drop_vars(
            [name for name, coordinate in dataset.coords.items() if not set(coordinate.dims) <= set(dims)],
            errors="ignore",
        )
        if dims:
            parts.append(chosen.to_dataframe().reset_index().to_csv(index=False))
        else:
            rows = [f"{name},{chosen[name].item()}" for name in names]
            parts.append("\n".join(["quantity,value", *rows]) + "\n")
    return "\n".join(parts)


def _html(bound: BoundComparison) -> str:
    shown = bound.cohort.names if len(bound.cohort.names) <= 4 else (f"{len(bound.cohort.names)} variants",)
    aligned = [f"aligned by {bound.cohort.align}"] if bound.comparison.aligned else []
    caption = " · ".join([bound.comparison.title, *shown, *aligned])
    figure = bound.figure().update_layout(title={"text": caption, "font": {"size": 14}}, margin={"t": 60})
    text: str = figure.to_html(include_plotlyjs=True, full_html=True, config=_CONFIG)
    return text
