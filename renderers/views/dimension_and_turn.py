"""Dimensions against the turn: when a band is crossed, and the path in the plane with the test loss."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from renderers.catalog import Figure, Parameter, View
from renderers.curves import value_axis
from renderers.figure import (
    Label,
    Trace,
    above,
    axis,
    colorbar,
    end_labels,
    framed,
    layout,
    line,
    log_axis,
    mark_events,
    message,
    time_axis,
)
from renderers.matrices import WHOLE, matrix_colour
from renderers.source import Event, Scene, Source

_CONVENTIONS = {"singular values": "participation_ratio_sv", "eigenvalues": "participation_ratio_ev"}
_CONVENTION = Parameter("singular values", tuple(_CONVENTIONS), "Computed on")


def _crossings(source: Source) -> xr.Dataset:
    found = source.artifact("dimensionality_crossing").sel(convention=source.params["convention"])
    epochs = source.artifact("singular_values")["epoch"]
    return found.assign(saved=("checkpoint", epochs.values))


def _draw_crossings(data: xr.Dataset, scene: Scene) -> Figure:
    names = [name for name in data["matrix"].values.tolist() if "." not in name]
    epochs, band = data["saved"].values, data["band"].values
    onset = next((event for event in scene.events if event.name == "onset"), None)
    colours = {"upper": scene.theme.series[0], "lower": scene.theme.series[1]}
    traces: list[Trace] = []
    for edge, level in zip(data["edge"].values.tolist(), band.tolist(), strict=True):
        own = data.sel(edge=edge, matrix=names)
        traces.append(
            _intervals(edge, level, names, own["lower"].values, own["upper"].values, colours[edge], onset)
        )
    y = axis(
        scene,
        "matrix",
        range=[len(names) - 0.4, -0.6],
        tickvals=list(range(len(names))),
        ticktext=names,
        showgrid=False,
    )
    built = layout(scene, time_axis(scene, epochs), framed(y, scene), top=13 if scene.compact else 16)
    if scene.compact:
        built["margin"]["l"] += 10
    mark_events(scene, built)
    text = "   ".join(
        f"<span style='color:{colours[edge]}'>━</span> below {level:g}"
        for edge, level in zip(data["edge"].values.tolist(), band.tolist(), strict=True)
    )
    lifted = 18 if scene.events else 2
    built["annotations"].append(above(scene, text, x=0.0, xanchor="left", yshift=lifted))
    return {"data": traces, "layout": built}


def _intervals(
    edge: str,
    level: float,
    names: list[str],
    lower: np.ndarray,
    upper: np.ndarray,
    colour: str,
    onset: Event | None,
) -> Trace:
    """One bar per matrix from the last checkpoint above the edge to the first below it; both ends mark."""
    x: list[float] = []
    y: list[float] = []
    texts: list[str] = []
    shift = -0.14 if edge == "upper" else 0.14
    for row, name in enumerate(names):
        low, high = float(lower[row]), float(upper[row])
        if not np.isfinite(high):
            continue
        start = low if np.isfinite(low) else high
        text = f"{name} falls below {level:g}<br>between {start:,.0f} and {high:,.0f}"
        if onset is not None:
            text += f"<br>{onset.low - high:+,.0f} to {onset.high - start:+,.0f} epochs before the onset"
        x += [start, high, np.nan]
        y += [row + shift, row + shift, np.nan]
        texts += [text, text, ""]
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": f"below {level:g}",
        "x": np.array(x),
        "y": np.array(y),
        "customdata": np.array(texts, dtype=object),
        "line": {"color": colour, "width": 4},
        "marker": {"size": 7, "color": colour, "symbol": "line-ns-open", "line": {"width": 2}},
        "hovertemplate": "%{customdata}<extra></extra>",
        "meta": {"payload": {"epoch": "x"}},
    }


def _phase(source: Source) -> xr.Dataset:
    name = _CONVENTIONS[source.params["convention"]]
    ratio = source.artifact("singular_values")[[name]].sel(matrix=list(WHOLE))
    loss = source.artifact("logits_summary")["loss"].sel(split="test", drop=True)
    return ratio.assign(loss=loss.reindex(epoch=ratio["epoch"]))


def _draw_phase(data: xr.Dataset, scene: Scene) -> Figure:
    ratio, loss = data[_CONVENTIONS[scene.params["convention"]]], data["loss"].values
    if not np.isfinite(ratio.values).any() or not (loss > 0).any():
        return message(scene, "There is no test loss to set the dimensions against.")
    epochs = data["epoch"].values
    traces: list[Trace] = []
    labels = []
    for index, matrix in enumerate(WHOLE):
        values, colour = ratio.sel(matrix=matrix).values.astype(float), matrix_colour(scene, matrix)
        marker: dict[str, Any] = {
            "size": 6 if scene.compact else 8,
            "color": epochs,
            "colorscale": scene.theme.scale("time"),
            "line": {"width": 1, "color": colour},
        }
        if index == 0:
            marker["colorbar"] = {**colorbar(scene, "epoch"), "tickformat": "~s"}
        traces.append(
            line(
                loss,
                values,
                name=matrix,
                colour=colour,
                hover=f"{matrix}<br>participation ratio %{{y:.1f}}<br>test loss %{{x:.3g}}"
                "<br>epoch %{customdata:,d}",
                payload={"epoch": "customdata"},
                customdata=epochs,
                markers=True,
                marker=marker,
            )
        )
        labels.append((float(values[-1]), matrix, colour))
    x = log_axis(scene, "test loss (nats)", loss)
    low, high = x["range"]
    x["range"] = [high, low - 0.14 * (high - low)]  # the loss falls to the right, and leaves room for names
    seen = ratio.values.astype(float)
    y = value_axis(scene, "participation ratio", seen, limits=(0.0, float(np.nanmax(seen))))
    built = layout(scene, x, y, right=44 if scene.compact else 58)
    texts = [Label(value, name, colour) for value, name, colour in labels]
    for text in end_labels(scene, texts, y):
        built["annotations"].append({**text, "xanchor": "right", "xshift": -2})
    return {"data": traces, "layout": built}


VIEWS = (
    View(
        name="dimensionality_crossing",
        title="Crossing of the 25–30 band",
        group="dimensionality",
        order=40,
        blurb="The interval between checkpoints in which each matrix's participation ratio falls below"
        " either end of the band for good, beside the intervals of the turn; hover for the lead over the"
        " onset. Weight decay lowers every ratio in time, so that a crossing near the turn proves nothing by"
        " itself.",
        data=_crossings,
        draw=_draw_crossings,
        needs=("dimensionality_crossing", "singular_values"),
        optional=("turn",),
        marks=("epoch",),
        parameters={"convention": _CONVENTION},
    ),
    View(
        name="dimension_and_loss",
        title="Dimensions against test loss",
        group="dimensionality",
        order=50,
        blurb="The run as a path in the plane of test loss and participation ratio, one line per matrix,"
        " later epochs darker. A vertical stretch is compression without a better test loss, a horizontal"
        " one the reverse.",
        data=_phase,
        draw=_draw_phase,
        needs=("singular_values", "logits_summary"),
        marks=("epoch",),
        parameters={"convention": _CONVENTION},
    ),
)
