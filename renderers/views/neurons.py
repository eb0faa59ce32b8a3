"""Neurons: which frequency each one computes, its activation map, and how that came about."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from renderers.catalog import Figure, Parameter, View
from renderers.figure import (
    above,
    axis,
    framed,
    frequency_axis,
    heatmap,
    history_heatmap,
    layout,
    message,
    note,
    swatch,
)
from renderers.source import Scene, Source
from renderers.theme import frequency_colour

_FRACTION = "share of variance"


def _clusters(source: Source) -> xr.Dataset:
    data = source.at_epoch("neuron_frequencies")[["fraction", "dominant_frequency", "dominant_fraction"]]
    if source.params["order"] == "index":
        return data
    dominant, fraction = data["dominant_frequency"].values, data["dominant_fraction"].values
    unknown = dominant == 0
    order = np.lexsort((data["neuron"].values, -np.nan_to_num(fraction), dominant, unknown))
    return data.isel(neuron=order)


def _draw_clusters(data: xr.Dataset, scene: Scene) -> Figure:
    fraction = data["fraction"].transpose("freq", "neuron").values
    if not np.isfinite(fraction).any():
        return message(scene, "No neuron varies over the inputs at this epoch, so none has a frequency.")
    neurons, freqs = data["neuron"].values, data["freq"].values
    places = np.arange(len(neurons))
    trace = heatmap(
        scene,
        places,
        freqs,
        fraction,
        unit=_FRACTION,
        hover=f"neuron %{{customdata}}<br>k = %{{y}}<br>{_FRACTION} %{{z:.3f}}",
        payload={"neuron": "customdata", "frequency": "y"},
        limits=(0.0, 1.0),
        customdata=np.broadcast_to(neurons, fraction.shape),
    )
    by_cluster = scene.params["order"] == "cluster"
    title = "neuron, by dominant frequency, then share" if by_cluster else "neuron"
    x = axis(scene, title, range=[-0.5, len(neurons) - 0.5], showticklabels=not by_cluster, nticks=8)
    if by_cluster:
        x["ticks"] = ""
    built = layout(
        scene,
        framed(x, scene),
        framed(frequency_axis(scene, len(freqs)), scene),
        right=48 if scene.compact else 62,
        top=14 if scene.compact else 16,
    )
    if by_cluster:
        _mark_clusters(scene, built, data["dominant_frequency"].values)
    return {"data": [trace], "layout": built}


def _mark_clusters(scene: Scene, built: dict, dominant: np.ndarray) -> None:
    """A rail above the cells in the colour of each block's frequency, wide blocks named."""
    ks, starts, sizes = np.unique(dominant, return_index=True, return_counts=True)
    for k, start, size in zip(ks.tolist(), starts.tolist(), sizes.tolist(), strict=True):
        colour = frequency_colour(k)
        built["shapes"].append(
            {
                "type": "rect",
                "xref": "x",
                "yref": "paper",
                "x0": start - 0.5,
                "x1": start + size - 0.5,
                "y0": 1.0,
                "y1": 1.02,
                "fillcolor": colour,
                "line": {"width": 0},
            }
        )
        if k and size >= (0.10 if scene.compact else 0.055) * len(dominant):
            text = f"{k}" if scene.compact else f"k {k} · {size}"
            middle = start + (size - 1) / 2
            place = {"xref": "x", "x": middle, "y": 1.02, "xanchor": "center", "yanchor": "bottom"}
            built["annotations"].append(note(scene, text, **place))


def _map(source: Source) -> xr.Dataset:
    resampled: dict[str, Any] = {}
    if source.params["resolution"] != "p":
        resampled = {"resolution": int(source.params["resolution"]), "method": source.params["method"]}
    data = source.on_demand("neuron_map", neuron=source.selection.neuron, **resampled)
    measured = source.if_stored("neuron_frequencies")
    if measured is None:
        return data[["activation"]]
    own = source.select(measured, "neuron", source.selection.neuron)
    return data[["activation"]].assign(
        {name: own[name].reset_coords(drop=True) for name in ("dominant_frequency", "dominant_fraction")}
    )


def _draw_map(data: xr.Dataset, scene: Scene) -> Figure:
    activation = data["activation"].transpose("a", "b").values
    high = float(np.nanmax(activation, initial=0.0))
    trace = heatmap(
        scene,
        data["b"].values,
        data["a"].values,
        activation,
        unit="activation",
        hover="a = %{y:.1~f}<br>b = %{x:.1~f}<br>activation %{z:.3f}",
        payload={"pair": {"a": "y", "b": "x", "p": scene.p}},
        limits=(0.0, high),
    )
    ends = [-0.5, scene.p - 0.5]
    x = axis(scene, "b (axis 1)", range=ends, constrain="domain", nticks=7)
    y = axis(scene, "a (axis 0)", range=ends[::-1], scaleanchor="x", constrain="domain", nticks=7)
    built = layout(scene, framed(x, scene), framed(y, scene), right=48 if scene.compact else 62, top=14)
    built["annotations"].append(above(scene, _character(data, scene, high)))
    return {"data": [trace], "layout": built}


def _character(data: xr.Dataset, scene: Scene, high: float) -> str:
    """What the neuron computes, in a few words."""
    name = f"neuron {scene.selection.neuron}"
    if high <= 0:
        return f"{name} · silent on every input at this epoch"
    if "dominant_frequency" not in data or int(data["dominant_frequency"]) == 0:
        return name
    k, fraction = int(data["dominant_frequency"]), float(data["dominant_fraction"])
    text = f"{name} · {swatch(frequency_colour(k))} k = {k} · {fraction:.0%} of its variance"
    cells = data.sizes["a"]
    if cells < scene.p and scene.params["method"] == "bilinear" and k > cells / 2:
        shown = min(k % cells, cells - k % cells)
        return (
            f"{swatch(frequency_colour(k))} k = {k}, aliased: looks like {shown}"
            if scene.compact
            else (f"{text} · aliased: looks like k = {shown}")
        )
    return text


def _history(source: Source) -> xr.Dataset:
    data = source.artifact("neuron_frequencies")[["fraction"]]
    return source.select(data, "neuron", source.selection.neuron)


def _draw_history(data: xr.Dataset, scene: Scene) -> Figure:
    values = data["fraction"].transpose("epoch", "freq").values
    if not np.isfinite(values).any():
        return message(scene, f"Neuron {scene.selection.neuron} is constant at every checkpoint.")
    return history_heatmap(scene, data["epoch"].values, values, unit=_FRACTION, limits=(0.0, 1.0))


VIEWS = (
    View(
        name="neuron_clusters",
        role="navigator",
        title="Neurons by frequency",
        group="neurons",
        order=1,
        blurb="Every neuron's activation variance split by frequency at this epoch. In a grokked network"
        " nearly every neuron stands on one frequency, so the columns gather into a few bars.",
        data=_clusters,
        draw=_draw_clusters,
        needs=("neuron_frequencies",),
        depends=("variant", "epoch"),
        marks=("neuron", "frequency"),
        parameters={"order": Parameter("cluster", ("cluster", "index"), "Order of neurons")},
    ),
    View(
        name="neuron_map",
        role="companion",
        title="Neuron map",
        group="neurons",
        order=2,
        blurb="The selected neuron's activation after the ReLU on every input (a, b). Stripes and diagonals"
        " are waves in a and b; their number per side is the frequency. Bilinear reduction aliases high"
        " frequencies into blobs that are not there; averaging areas damps them.",
        data=_map,
        draw=_draw_map,
        needs=("neuron_map",),
        optional=("neuron_frequencies",),
        depends=("variant", "epoch", "neuron"),
        marks=("pair",),
        shape="square",
        parameters={
            "resolution": Parameter("p", ("p", "56", "28"), "Cells per side"),
            "method": Parameter("bilinear", ("bilinear", "area"), "Reduced by"),
        },
    ),
    View(
        name="neuron_history",
        title="Neuron frequencies over time",
        group="neurons",
        order=3,
        blurb="How the selected neuron's variance was distributed over frequencies at each checkpoint: when"
        " it committed to a frequency, and what it tried before.",
        data=_history,
        draw=_draw_history,
        needs=("neuron_frequencies",),
        optional=("turn",),
        depends=("variant", "neuron"),
        marks=("epoch", "frequency"),
    ),
)
