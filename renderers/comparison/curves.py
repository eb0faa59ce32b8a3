"""The curves of a time view, taken from its figure: what an overlay and a difference are made of.

A time view is one whose figure has curves over epochs, and that is found out from the figure itself: its x
axis is the epoch, and a trace drawn with lines carries the epoch at x. Bands of a null, intervals and event
marks are no curves: they carry no epoch, or a trace's pieces are told apart by nothing.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import xarray as xr

from renderers.catalog import Figure
from renderers.service import BoundView
from renderers.source import Scene

_AXIS = ("tickformat", "exponentformat", "tickvals", "ticktext", "tickmode")


@dataclass(frozen=True)
class Curve:
    """One quantity of one run over epochs. Arrays are shared: do not change them.

    epochs [n] ascending; values [n] float64, NaN where undefined
    title    of the view's y axis, with the unit; `log` whether that axis is logarithmic; `axis` its ticks
    hold     how the value goes from point to point: "linear", or plotly's "hv" and "vh"
    main     True for what the view draws first: with markers, or alone
    """

    name: str
    epochs: np.ndarray
    values: np.ndarray
    title: str
    log: bool = False
    hold: str = "linear"
    main: bool = False
    axis: Mapping[str, Any] = field(default_factory=dict)


def curves_of(bound: BoundView) -> tuple[Curve, ...]:
    """The curves of a view, each name once, in the order in which they are drawn; () if it is no time view.

    A curve that the figure thinned out is taken whole from the view's data where that holds the same values.
    Raises what reading the view raises (MissingArtifact, ...).
    """
    return from_figure(plain_figure(bound), bound.data())


def plain_figure(bound: BoundView) -> Figure:
    """The figure without the events of the run: reading those costs more than drawing it."""
    source = bound.source
    return bound.view.draw(bound.data(), Scene(source.p, source.selection, params=source.params))


def from_figure(figure: Figure, data: xr.Dataset | None = None) -> tuple[Curve, ...]:
    """The curves of a figure (see `curves_of`)."""
    layout = figure["layout"]
    x, y = layout.get("xaxis") or {}, layout.get("yaxis") or {}
    if _title(x) != "epoch":
        return ()
    found: dict[str, Curve] = {}
    for trace in figure["data"]:
        for name, epochs, values in _pieces(trace):
            known = np.isfinite(epochs)
            whole = _whole(epochs[known], values[known], data)
            curve = Curve(
                name=name,
                epochs=whole[0],
                values=whole[1],
                title=_title(y),
                log=y.get("type") == "log",
                hold=_hold(trace),
                main="markers" in trace["mode"],
                axis={key: y[key] for key in _AXIS if key in y and y.get("type") != "log"},
            )
            found.setdefault(name, curve)
    if found and not any(curve.main for curve in found.values()):
        return tuple(replace(curve, main=True) for curve in found.values())
    return tuple(found.values())


def main_curve(curves: Sequence[Curve]) -> Curve:
    """The one that a comparison shows first: of the test set, of the run itself, of all, else the first."""
    ranked = [curve for curve in curves if curve.main] or list(curves)
    for wanted in ("test", "run", "all"):
        for curve in curves:
            if curve.name == wanted:
                return curve
    return ranked[0]


def _title(axis: Mapping[str, Any]) -> str:
    return str((axis.get("title") or {}).get("text", ""))


def _hold(trace: Mapping[str, Any]) -> str:
    shape = (trace.get("line") or {}).get("shape", "linear")
    return shape if shape in ("hv", "vh") else "linear"


def _pieces(trace: Mapping[str, Any]) -> Iterator[tuple[str, np.ndarray, np.ndarray]]:
    """(name, epochs, values) of every curve of a trace: several where its x has gaps and its customdata says
    of which frequency each piece is."""
    payload = (trace.get("meta") or {}).get("payload") or {}
    if trace.get("type") != "scatter" or "lines" not in trace.get("mode", "") or payload.get("epoch") != "x":
        return
    x, y = np.asarray(trace["x"], dtype=np.float64), np.asarray(trace["y"], dtype=np.float64)
    gaps = np.flatnonzero(np.isnan(x))
    if not len(gaps):
        x = _breaks_apart(x, y)
        if bool(np.all(np.diff(x) > 0)):
            yield str(trace.get("name") or ""), x, y
        return
    if payload.get("frequency") != "customdata":
        return
    frequency = np.asarray(trace["customdata"])
    for start, end in zip([0, *(gaps + 1)], [*gaps, len(x)], strict=True):
        if end > start:
            yield f"k {int(frequency[start])}", x[start:end], y[start:end]


def _breaks_apart(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """`x` with every break that was put in at the epoch of the next point half-way to the point before."""
    breaks = np.flatnonzero(np.isnan(y[1:-1]) & (x[1:-1] == x[2:])) + 1
    moved = x.copy()
    moved[breaks] = (x[breaks - 1] + x[breaks + 1]) / 2
    return moved


def _whole(epochs: np.ndarray, values: np.ndarray, data: xr.Dataset | None) -> tuple[np.ndarray, np.ndarray]:
    """The curve with the points that the figure left out."""
    if data is None or "epoch" not in data.dims or data.sizes["epoch"] <= len(epochs) or not len(epochs):
        return epochs, values
    every = data["epoch"].values
    at = np.minimum(np.searchsorted(every, epochs), len(every) - 1)
    if not np.array_equal(every[at], epochs):
        return epochs, values
    for variable in data.data_vars.values():
        if variable.dims != ("epoch",) or variable.dtype.kind not in "iuf":
            continue
        column = variable.values.astype(np.float64)
        known = np.isfinite(column)
        if known.sum() > len(epochs) and np.array_equal(column[at], values):
            return every[known].astype(np.float64), column[known]
    return epochs, values
