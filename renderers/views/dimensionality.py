"""Effective dimension of the weight matrices."""

from __future__ import annotations

import numpy as np
import xarray as xr

from renderers.catalog import Figure, Parameter, View
from renderers.figure import (
    Label,
    above,
    axis,
    end_labels,
    layout,
    line,
    log_axis,
    mark_events,
    message,
    note,
    time_axis,
)
from renderers.payload import Where
from renderers.source import Scene, Source

_KINDS = ("W_E", "W_Q", "W_K", "W_V", "W_O", "W_in", "W_out", "W_U")
_PER_HEAD = ("W_Q", "W_K", "W_V", "W_O")
_CONVENTIONS = {"singular values": "sv", "eigenvalues": "ev"}
_BAND = (25.0, 30.0)


def _ratio(source: Source) -> xr.Dataset:
    name = f"participation_ratio_{_CONVENTIONS[source.params['convention']]}"
    return source.artifact("singular_values")[[name]]


def _draw_ratio(data: xr.Dataset, scene: Scene) -> Figure:
    convention = _CONVENTIONS[scene.params["convention"]]
    ratios = data[f"participation_ratio_{convention}"]
    epochs = data["epoch"].values
    if not np.isfinite(ratios.values).any():
        return message(scene, "No checkpoint has been analysed yet.")
    traces, labels = [], []
    for matrix in data["matrix"].values.tolist():
        kind, _, head = matrix.partition(".")
        colour, values = scene.theme.series[_KINDS.index(kind)], ratios.sel(matrix=matrix).values
        payload: dict[str, Where] = {"epoch": "x", **({"head": {"value": int(head)}} if head else {})}
        traces.append(
            line(
                epochs,
                values,
                name=matrix,
                colour=colour,
                hover=f"{_readable(matrix)}<br>participation ratio %{{y:.1f}}<br>epoch %{{x:,d}}",
                payload=payload,
                width=1.0 if head else 1.8,
                dash="dot" if head else "solid",
            )
        )
        if not head:
            labels.append(Label(float(values[-1]), kind, colour))
    for kind in _PER_HEAD:
        own = [matrix for matrix in data["matrix"].values.tolist() if matrix.startswith(f"{kind}.")]
        if own:
            last = float(ratios.sel(matrix=own).isel(epoch=-1).mean())
            labels.append(Label(last, f"{kind} heads", scene.theme.series[_KINDS.index(kind)]))
    formula = "(Σs)² / Σs²" if convention == "sv" else "(Σs²)² / Σs⁴"
    top = max(float(np.nanmax(ratios.values)), _BAND[1] if convention == "sv" else 0.0)
    y = axis(scene, f"participation ratio {formula}", range=[0.0, 1.05 * top])
    built = layout(scene, time_axis(scene, epochs), y, right=66 if scene.compact else 82)
    built["annotations"] += end_labels(scene, labels, y)
    if convention == "sv":
        _mark_band(scene, built)
    mark_events(scene, built)
    return {"data": traces, "layout": built}


def _mark_band(scene: Scene, built: dict) -> None:
    """The band of 25 to 30 dimensions, which is defined for the singular-value convention only."""
    built["shapes"].append(
        {
            "type": "rect",
            "xref": "paper",
            "yref": "y",
            "x0": 0,
            "x1": 1,
            "y0": _BAND[0],
            "y1": _BAND[1],
            "fillcolor": scene.theme.muted,
            "opacity": 0.15,
            "line": {"width": 0},
            "layer": "below",
        }
    )
    place = {"yref": "y", "x": 0.0, "y": _BAND[1], "xanchor": "left", "yanchor": "bottom", "xshift": 3}
    built["annotations"].append(note(scene, "25–30", **place))


def _readable(matrix: str) -> str:
    kind, _, head = matrix.partition(".")
    return f"{kind} of head {head}" if head else kind


def _spectrum(source: Source) -> xr.Dataset:
    kind = source.params["matrix"]
    matrix = f"{kind}.{source.selection.head}" if kind in _PER_HEAD else kind
    data = source.artifact("singular_values")[["singular_value"]]
    own = source.select(data, "matrix", matrix)
    source.at_epoch("singular_values")
    epochs = own["epoch"].values
    chosen = sorted({int(epochs[0]), source.selection.epoch, int(epochs[-1])})
    return own.sel(epoch=chosen).dropna("component", how="all")


def _draw_spectrum(data: xr.Dataset, scene: Scene) -> Figure:
    values = data["singular_value"].transpose("epoch", "component")
    if not (values.values > 0).any():
        return message(scene, "All singular values are zero at these epochs.")
    traces, texts = [], []
    for epoch in data["epoch"].values.tolist():
        now = epoch == scene.selection.epoch
        colour = scene.theme.series[0] if now else scene.theme.muted
        dash = "solid" if now else "dot" if epoch < scene.selection.epoch else "dash"
        traces.append(
            line(
                data["component"].values,
                values.sel(epoch=epoch).values,
                name=f"epoch {epoch:,}",
                colour=colour,
                hover=f"epoch {epoch:,}<br>s<sub>%{{x}}</sub> = %{{y:.3g}}",
                payload={"epoch": {"value": epoch}},
                markers=now,
                dash=dash,
                width=1.8 if now else 1.2,
            )
        )
        stroke = {"solid": "━", "dot": "┈", "dash": "╌"}[dash]
        texts.append(f"<span style='color:{colour}'>{stroke}</span> {epoch:,}")
    matrix = _readable(str(data["matrix"].item()))
    y = log_axis(scene, f"singular value of {matrix}", values.values)
    built = layout(scene, axis(scene, "index i, largest first"), y, top=12 if scene.compact else 14)
    built["annotations"].append(above(scene, "epoch " + "  ".join(texts)))
    return {"data": traces, "layout": built}


VIEWS = (
    View(
        name="participation_ratio",
        title="Participation ratio",
        group="dimensionality",
        order=1,
        blurb="Effective number of dimensions of each weight matrix. The two conventions differ: on"
        " singular values a noisy tail counts for more than on eigenvalues, and the band 25–30 is"
        " defined for the former only.",
        data=_ratio,
        draw=_draw_ratio,
        needs=("singular_values",),
        optional=("turn",),
        marks=("epoch", "head"),
        parameters={"convention": Parameter("singular values", tuple(_CONVENTIONS), "Computed on")},
    ),
    View(
        name="singular_values",
        title="Singular values",
        group="dimensionality",
        order=2,
        blurb="Singular values of one weight matrix at this epoch, beside the first and the last"
        " checkpoint. For the attention matrices it is that of the selected head.",
        data=_spectrum,
        draw=_draw_spectrum,
        needs=("singular_values",),
        depends=("variant", "epoch", "head"),
        marks=("epoch",),
        parameters={"matrix": Parameter("W_E", _KINDS, "Matrix")},
    ),
)
