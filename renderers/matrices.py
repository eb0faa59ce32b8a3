"""One curve over epochs for each weight matrix, in colours that stay the same from view to view."""

from __future__ import annotations

import numpy as np
import xarray as xr

from renderers.catalog import Figure
from renderers.curves import titled, value_axis
from renderers.figure import Label, line, message
from renderers.payload import Where
from renderers.source import Scene

KINDS = ("W_E", "W_Q", "W_K", "W_V", "W_O", "W_in", "W_out", "W_U")
_SERIES = ("W_E", "W_U", "W_in", "W_out", "W_Q", "W_K", "W_V", "W_O")
PER_HEAD = ("W_Q", "W_K", "W_V", "W_O")
WHOLE = ("W_E", "W_in", "W_out", "W_U")


def matrix_colour(scene: Scene, matrix: str) -> str:
    """The colour of a matrix, the same in every view and for all of its heads.

    W_L = W_out W_U, which is no matrix of the model, has the colour of the text, W_pos that of notes.
    """
    theme, kind = scene.theme, matrix.partition(".")[0]
    return {"W_L": theme.text, "W_pos": theme.muted}.get(kind) or theme.series[_SERIES.index(kind)]


def set_colour(scene: Scene, parameters: str) -> str:
    """The colour of a set of parameters: that of its matrix, or of the first of its matrices."""
    if parameters == "all":
        return scene.theme.text
    first = {"embedding": "W_E", "attention": "W_Q", "mlp": "W_in"}
    return matrix_colour(scene, first.get(parameters, parameters))


def readable(matrix: str) -> str:
    """ "W_Q of head 3" for W_Q.3."""
    kind, _, head = matrix.partition(".")
    return f"{kind} of head {head}" if head else kind


def matrix_curves(
    scene: Scene,
    data: xr.DataArray,
    *,
    title: str,
    hover: str,
    extra: xr.DataArray | None = None,
    log: bool = False,
    top: float = 0.0,
    text: str = "",
) -> Figure:
    """One curve per matrix of `data` [epoch, matrix], thin and dotted for a single head.

    extra   [epoch, matrix], shown in the hover text as %{customdata}; top: what the axis reaches at least
    """
    epochs = data["epoch"].values
    if not np.isfinite(data.values).any():
        return message(scene, "No value is defined at any checkpoint.")
    traces, labels = [], []
    for matrix in data["matrix"].values.tolist():
        kind, _, head = matrix.partition(".")
        colour, values = matrix_colour(scene, matrix), data.sel(matrix=matrix).values
        payload: dict[str, Where] = {"epoch": "x", **({"head": {"value": int(head)}} if head else {})}
        traces.append(
            line(
                epochs,
                values,
                name=matrix,
                colour=colour,
                hover=f"{readable(matrix)}<br>{hover}<br>epoch %{{x:,d}}",
                payload=payload,
                customdata=None if extra is None else extra.sel(matrix=matrix).values,
                width=1.0 if head else 1.8,
                dash="dot" if head else "solid",
            )
        )
        if not head:
            labels.append(Label(float(values[-1]), kind, colour))
    for kind in PER_HEAD:
        own = [matrix for matrix in data["matrix"].values.tolist() if matrix.startswith(f"{kind}.")]
        if own:
            last = float(data.sel(matrix=own).isel(epoch=-1).mean())
            labels.append(Label(last, f"{kind} heads", matrix_colour(scene, kind)))
    seen = data.values.astype(float)
    limits = None if log else (0.0, max(float(np.nanmax(seen)), top))
    return titled(scene, epochs, traces, value_axis(scene, title, seen, log=log, limits=limits), labels, text)
