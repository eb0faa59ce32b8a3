"""The parameters' path over time and over time lags, beside random paths."""

from __future__ import annotations

import numpy as np
import xarray as xr

from renderers.catalog import Figure, Parameter, View
from renderers.figure import (
    Label,
    above,
    axis,
    end_labels,
    font_size,
    heatmap,
    layout,
    line,
    log_axis,
    message,
    time_axis,
    time_figure,
)
from renderers.path_bands import GROUP, UNMOVED, bands, of_group
from renderers.source import Scene, Source

_CURVES = {
    "acceleration": ("acceleration_cosine", "cos(step before, step after)"),
    "curvature": ("curvature", "curvature (1 / parameter unit)"),
    "direction": ("direction_to_final", "cos(next step, way to the end)"),
}


def _curve(source: Source) -> xr.Dataset:
    name, _ = _CURVES[source.params.get("quantity", "direction")]
    return xr.Dataset(
        {
            "run": of_group(source, "path_geometry")[name],
            "band": of_group(source, "path_nulls")[f"{name}_band"],
        }
    )


def _draw_curve(data: xr.Dataset, scene: Scene) -> Figure:
    name, title = _CURVES[scene.params.get("quantity", "direction")]
    epochs, values = data["epoch"].values, data["run"].values.astype(float)
    known = np.isfinite(values)
    if not known.any():
        return message(scene, UNMOVED)
    traces, labels = bands(
        scene, epochs, data["band"].transpose("null", "level", "epoch"), "", {"epoch": "x"}
    )
    traces.append(
        line(
            epochs[known],
            values[known],
            name="run",
            colour=scene.theme.series[0],
            hover="epoch %{x:,d}<br>run %{y:.3g}",
            payload={"epoch": "x"},
            markers=True,
        )
    )
    labels.append(Label(float(values[known][-1]), "run", scene.theme.series[0]))
    if name == "curvature":
        y = log_axis(scene, title, np.concatenate([values, data["band"].values.ravel()]))
        if y["range"][1] - y["range"][0] < 2:
            y["dtick"] = "D2"
    else:
        y = axis(scene, title, range=[-1.05, 1.05])
    return time_figure(scene, epochs, traces, y, labels, right=48 if scene.compact else 92)


def _recurrence(source: Source) -> xr.Dataset:
    data = source.artifact("parameter_pca")[["distance"]]
    return source.select(data, "group", source.params["group"])


def _draw_recurrence(data: xr.Dataset, scene: Scene) -> Figure:
    distance = data["distance"].transpose("epoch", "other_epoch").values
    if not np.nanmax(distance, initial=0.0) > 0:
        return message(scene, UNMOVED)
    epochs = data["epoch"].values
    by_epoch = scene.params["axis"] == "epoch"
    index = np.arange(len(epochs))
    trace = heatmap(
        scene,
        epochs if by_epoch else index,
        epochs if by_epoch else index,
        distance,
        unit="distance",
        hover="epochs %{customdata:,d} and %{text}<br>distance %{z:.3g}",
        payload={"epoch": "customdata"},
        limits=(0.0, float(np.nanmax(distance))),
        customdata=np.tile(epochs, (len(epochs), 1)),
        text=np.tile([f"{epoch:,}" for epoch in epochs.tolist()], (len(epochs), 1)).T,
    )
    if by_epoch:
        x, y = time_axis(scene, epochs), time_axis(scene, epochs)
        y["title"] = {**x["title"], "text": "other epoch"}
    else:
        shown = index[:: max(1, len(index) // (5 if scene.compact else 8))]
        ticks = {
            "tickvals": shown,
            "ticktext": [
                f"{epoch / 1000:.3g}k" if epoch >= 1000 else str(epoch) for epoch in epochs[shown].tolist()
            ],
            "range": [-0.5, len(index) - 0.5],
            "showgrid": False,
        }
        x = axis(scene, "checkpoint (epoch)", **ticks)
        y = axis(scene, "other checkpoint (epoch)", **ticks)
    fitted = {"constrain": "domain"}
    built = layout(
        scene, {**x, **fitted}, {**y, **fitted, "scaleanchor": "x"}, right=48 if scene.compact else 62
    )
    return {"data": [trace], "layout": built}


def _lag(source: Source) -> xr.Dataset:
    geometry, nulls = of_group(source, "path_geometry"), of_group(source, "path_nulls")
    return xr.Dataset(
        {
            "run": geometry["displacement"],
            "exponent": geometry["diffusion_exponent"],
            "band": nulls["displacement_band"],
        }
    )


def _draw_lag(data: xr.Dataset, scene: Scene) -> Figure:
    lag, values = data["lag"].values.astype(float), data["run"].values.astype(float)
    known = np.isfinite(values) & (values > 0)
    if known.sum() < 2:
        return message(scene, UNMOVED)
    band = data["band"].transpose("null", "level", "lag")
    traces, labels = bands(scene, lag, band, "", {})
    traces.append(
        line(
            lag[known],
            values[known],
            name="run",
            colour=scene.theme.series[0],
            hover="%{x:,.0f} epochs apart<br>mean squared distance %{y:.3g}",
            payload={},
            markers=True,
        )
    )
    labels.append(Label(float(values[known][-1]), "run", scene.theme.series[0]))
    x = log_axis(scene, "epochs between checkpoints", lag)
    y = log_axis(scene, "mean squared distance", np.concatenate([values, band.values.astype(float).ravel()]))
    built = layout(scene, x, y, right=48 if scene.compact else 92, top=font_size(scene) + 6)
    built["annotations"] += end_labels(scene, labels, y)
    exponent = float(data["exponent"])
    if np.isfinite(exponent):
        built["annotations"].append(
            above(scene, f"∝ epochs<sup>{exponent:.2f}</sup> · walk 1, straight 2", x=0, xanchor="left")
        )
    return {"data": traces, "layout": built}


VIEWS = (
    View(
        name="path_turning",
        title="Acceleration and curvature",
        group="trajectory",
        order=30,
        blurb="How sharply the path turns at each checkpoint: the cosine between the steps before and after"
        " it (1 goes straight on, 0 a right angle, as in a random walk), or the curvature of the circle"
        " through it and its neighbours. Bands: the middle 95 % of random paths.",
        data=_curve,
        draw=_draw_curve,
        needs=("path_geometry", "path_nulls"),
        optional=("turn",),
        marks=("epoch",),
        parameters={
            "group": GROUP,
            "quantity": Parameter("acceleration", ("acceleration", "curvature"), "Quantity"),
        },
    ),
    View(
        name="direction_to_final",
        title="Direction to the final weights",
        group="trajectory",
        order=35,
        blurb="Cosine between each step and the way from there to the last checkpoint: 1 heads for it,"
        " negative moves away. Random paths have positive values too, which rise towards the end: read the"
        " run beside the bands.",
        data=_curve,
        draw=_draw_curve,
        needs=("path_geometry", "path_nulls"),
        optional=("turn",),
        marks=("epoch",),
        parameters={"group": GROUP},
    ),
    View(
        name="path_recurrence",
        title="Recurrence of parameters",
        group="trajectory",
        order=40,
        blurb="Distance between every two checkpoints in the whole space of the parameters: a pale cell off"
        " the diagonal is a return. By checkpoint, every checkpoint is as wide as another; by epoch, time"
        " is true to scale.",
        data=_recurrence,
        draw=_draw_recurrence,
        needs=("parameter_pca",),
        marks=("epoch",),
        shape="square",
        parameters={"group": GROUP, "axis": Parameter("checkpoint", ("checkpoint", "epoch"), "Axes")},
    ),
    View(
        name="path_lag",
        title="Displacement by time lag",
        group="trajectory",
        order=45,
        blurb="Mean squared distance of checkpoints against the epochs between them, both logarithmic: a"
        " random walk grows with slope 1, straight motion with slope 2, and a flat end means that the path"
        " stays in a region.",
        data=_lag,
        draw=_draw_lag,
        needs=("path_geometry", "path_nulls"),
        parameters={"group": GROUP},
    ),
)
