"""How neurons came to their frequencies: who held what and when."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from analyzers.commitment import Commitment, commitment
from renderers.catalog import Figure, Parameter, View
from renderers.figure import (
    Label,
    axis,
    cell_range,
    end_labels,
    framed,
    heatmap,
    layout,
    line,
    mark_events,
    message,
    swatch,
    time_axis,
    time_figure,
)
from renderers.source import Scene, Source
from renderers.theme import frequency_colour

THRESHOLD = Parameter("0.5", ("0.3", "0.5", "0.85"), "Least share of variance")
_LABELLED = 8
_BANDS = ("low", "mid", "high")


def measured(source: Source) -> xr.Dataset:
    """Dominant frequency and its share, per neuron and epoch."""
    return source.artifact("neuron_frequencies")[["dominant_frequency", "dominant_fraction"]]


def found_at(data: xr.Dataset, scene: Scene) -> Commitment:
    """What neurons hold at the threshold that the person chose."""
    ordered = data.transpose("epoch", "neuron", ...)
    return commitment(
        ordered["dominant_frequency"].values.astype(np.int64),
        ordered["dominant_fraction"].values,
        data["epoch"].values,
        (scene.p - 1) // 2,
        float(scene.params["threshold"]),
    )


def _draw_history(data: xr.Dataset, scene: Scene) -> Figure:
    found, epochs = found_at(data, scene), data["epoch"].values
    if not (found.held > 0).any():
        return message(scene, "No neuron holds a frequency at any checkpoint.")
    order = _rows(found, scene.params["order"])
    count = (scene.p - 1) // 2
    held = found.held[:, order].T.astype(float)
    neurons = data["neuron"].values[order]
    stops: list[list[Any]] = []
    for k in range(count + 1):
        colour = frequency_colour(k) if k else scene.theme.grid
        stops += [[k / (count + 1), colour], [(k + 1) / (count + 1), colour]]
    trace = heatmap(
        scene,
        epochs,
        np.arange(len(order)),
        held,
        unit="k",
        hover="neuron %{customdata}<br>k = %{z}<br>epoch %{x:,d}",
        payload={"neuron": "customdata", "epoch": "x"},
        limits=(-0.5, count + 0.5),
        customdata=np.broadcast_to(neurons[:, None], held.shape),
        colorscale=stops,
        showscale=False,
    )
    titles = {"frequency": "neuron, by final frequency", "switches": "neuron, most switches first"}
    y = axis(
        scene,
        titles.get(scene.params["order"], "neuron"),
        range=[len(order) - 0.5, -0.5],
        showticklabels=scene.params["order"] == "index",
    )
    built = layout(
        scene,
        framed({**time_axis(scene, epochs), "range": cell_range(epochs)}, scene),
        framed(y, scene),
        right=_room(scene),
    )
    if scene.params["order"] == "frequency":
        labels = _row_labels(scene, found.final[order])
        built["annotations"] += end_labels(scene, labels, {"range": [-0.5, len(order) - 0.5]})
        for each in built["annotations"]:
            each["yshift"] = -each["yshift"]  # the axis points down
    mark_events(scene, built, rail=True)
    return {"data": [trace], "layout": built}


def _rows(found: Commitment, order: str) -> np.ndarray:
    """Neurons from top to bottom."""
    places = np.arange(len(found.final))
    if order == "index":
        return places
    if order == "switches":
        return np.lexsort((places, found.final, -found.switch_count))
    size = np.concatenate([[-1], found.final_count])[found.final]
    return np.lexsort((places, found.epoch, found.final, -size))


def _row_labels(scene: Scene, final: np.ndarray) -> list[Label]:
    labels = []
    for k in np.unique(final).tolist():
        rows = np.flatnonzero(final == k)
        if len(rows) >= 0.03 * len(final):
            text = f"{swatch(frequency_colour(k))} k {k}" if k else "none"
            if not scene.compact:
                text += f" · {len(rows)}"
            labels.append(Label(float(rows.mean()), text, scene.theme.text if k else scene.theme.muted))
    return labels


def _room(scene: Scene) -> int:
    return 42 if scene.compact else 68


def _draw_specialised(data: xr.Dataset, scene: Scene) -> Figure:
    found, epochs = found_at(data, scene), data["epoch"].values
    total = found.count.sum(axis=1)
    if not total.any():
        return message(scene, "No neuron reaches this share of variance at any checkpoint.")
    curves: list[tuple[str, str, np.ndarray, dict[str, Any]]] = []
    if scene.params["by"] == "frequency":
        rank = np.lexsort((-found.peak, -found.final_count))[:_LABELLED]
        for column in [int(each) for each in rank if found.peak[each]]:
            k = column + 1
            payload = {"epoch": "x", "frequency": {"value": k}}
            curves.append((f"k {k}", frequency_colour(k), found.count[:, column], payload))
    else:
        thirds = np.minimum(3 * np.arange(found.count.shape[1]) // found.count.shape[1], 2)
        for index, band in enumerate(_BANDS):
            values = found.count[:, thirds == index].sum(axis=1)
            curves.append((band, scene.theme.series[index], values, {"epoch": "x"}))
    curves.append(("all", scene.theme.text, total, {"epoch": "x"}))
    traces = [
        line(
            epochs,
            values.astype(float),
            name=name,
            colour=colour,
            hover=f"{name}<br>%{{y}} neurons<br>epoch %{{x:,d}}",
            payload=payload,
            markers=True,
            dash="dot" if name == "all" else "solid",
        )
        for name, colour, values, payload in curves
    ]
    labels = [
        Label(float(values[-1]), f"{swatch(colour)} {name}", scene.theme.text)
        for name, colour, values, _ in curves
        if values[-1] > 0
    ]
    y = axis(scene, "neurons", range=[-0.03 * total.max(), 1.05 * total.max()])
    return time_figure(scene, epochs, traces, y, labels, right=38 if scene.compact else 50)


VIEWS = (
    View(
        name="neuron_frequency_history",
        title="Dominant frequencies over time",
        group="neurons",
        order=20,
        blurb="Each row is a neuron, coloured by the frequency that explains at least the chosen share of"
        " its variance at each checkpoint (grey: none). Rows that change colour switched.",
        data=measured,
        draw=_draw_history,
        needs=("neuron_frequencies",),
        optional=("turn",),
        marks=("neuron", "epoch"),
        parameters={
            "threshold": THRESHOLD,
            "order": Parameter("frequency", ("frequency", "switches", "index"), "Order of neurons"),
        },
    ),
    View(
        name="neuron_specialisation",
        title="Specialised neurons",
        group="neurons",
        order=4,
        blurb="How many neurons have at least the chosen share of their variance at one frequency. Low, mid"
        " and high are thirds of k = 1..K and depend on the names of the tokens: x -> u x is the same task"
        " with other bands.",
        data=measured,
        draw=_draw_specialised,
        needs=("neuron_frequencies",),
        optional=("turn",),
        marks=("epoch", "frequency"),
        parameters={
            "threshold": THRESHOLD,
            "by": Parameter("frequency", ("frequency", "band"), "Count by"),
        },
    ),
)
