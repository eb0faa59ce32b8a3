"""Effective dimension of the weight matrices."""

from __future__ import annotations

import xarray as xr

from renderers.catalog import Figure, Parameter, View
from renderers.figure import above, axis, layout, line, log_axis, message, note
from renderers.matrices import KINDS, PER_HEAD, matrix_curves, readable
from renderers.source import Scene, Source

_CONVENTIONS = {"singular values": "sv", "eigenvalues": "ev"}
_BAND = (25.0, 30.0)


def _ratio(source: Source) -> xr.Dataset:
    name = f"participation_ratio_{_CONVENTIONS[source.params['convention']]}"
    return source.artifact("singular_values")[[name]]


def _draw_ratio(data: xr.Dataset, scene: Scene) -> Figure:
    convention = _CONVENTIONS[scene.params["convention"]]
    formula = "(Σs)² / Σs²" if convention == "sv" else "(Σs²)² / Σs⁴"
    figure = matrix_curves(
        scene,
        data[f"participation_ratio_{convention}"],
        title=f"participation ratio {formula}",
        hover="participation ratio %{y:.1f}",
        top=_BAND[1] if convention == "sv" else 0.0,
    )
    if convention == "sv" and figure["data"]:
        _mark_band(scene, figure["layout"])
    return figure


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


def _spectrum(source: Source) -> xr.Dataset:
    kind = source.params["matrix"]
    matrix = f"{kind}.{source.selection.head}" if kind in PER_HEAD else kind
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
    matrix = readable(str(data["matrix"].item()))
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
        parameters={"matrix": Parameter("W_E", KINDS, "Matrix")},
    ),
)
