"""Landscape: how the loss rises around a checkpoint, and how sharply it curves."""

from __future__ import annotations

import numpy as np
import xarray as xr

from renderers.catalog import Figure, Parameter, View
from renderers.curves import band, epoch_curves, last_label
from renderers.figure import (
    above,
    end_labels,
    layout,
    line,
    log_axis,
    message,
    time_figure,
)
from renderers.source import Scene, Source

_ROOM = {True: 40, False: 58}
_SPLITS = ("train", "test")
_INCREASE = ["increase", "increase_low", "increase_high", "negative", "loss"]


def _flatness(source: Source) -> xr.Dataset:
    return source.at_epoch("flatness")[_INCREASE].sel(split=list(_SPLITS))


def _scaled(data: xr.Dataset, scene: Scene) -> dict[str, xr.DataArray]:
    """Increase with its interval, absolute or relative to the loss at the checkpoint."""
    relative = scene.params["increase"] == "relative"
    return {name: data[name] / data["loss"] if relative else data[name] for name in _INCREASE[:3]}


_TITLES = {"absolute": "increase of the loss (nats)", "relative": "increase / loss at the checkpoint"}


def _draw_flatness(data: xr.Dataset, scene: Scene) -> Figure:
    found, radii = _scaled(data, scene), data["radius"].values
    means = {split: found["increase"].sel(split=split).values for split in _SPLITS}
    positive = np.concatenate([values[values > 0] for values in means.values()])
    if not positive.size:
        return message(scene, "The loss does not rise at any radius, or is not a number, at this epoch.")
    y = log_axis(scene, _TITLES[scene.params["increase"]], positive)
    floor = 10.0 ** y["range"][0]
    traces, labels = [], []
    for (split, values), colour in zip(means.items(), scene.theme.series, strict=False):
        if not np.isfinite(values).any():
            continue
        low, high = (found[f"increase_{end}"].sel(split=split).values for end in ("low", "high"))
        traces.append(band(radii, np.maximum(low, floor), np.maximum(high, floor), colour))
        traces.append(
            line(
                radii,
                np.where(values > 0, values, np.nan),
                name=split,
                colour=colour,
                hover=f"{split}<br>radius %{{x:g}} of the norm<br>increase %{{y:.3g}}"
                "<br>lower in %{customdata:.0%} of the directions",
                payload={},
                customdata=data["negative"].sel(split=split).values,
                markers=True,
            )
        )
        labels.append(last_label(np.where(values > 0, values, np.nan), split, colour))
    x = log_axis(scene, "distance (share of every tensor's norm)", radii)
    x |= {"tickvals": radii, "ticktext": [f"{radius:g}" for radius in radii]}
    built = layout(scene, x, y, right=_ROOM[scene.compact], top=14)
    built["annotations"] += end_labels(scene, labels, y)
    lower = float(data["negative"].sel(split="test").isel(radius=0))
    if lower > 0:
        text = f"at {radii[0]:g} the test loss falls in {lower:.0%} of the directions"
        built["annotations"].append(above(scene, text))
    return {"data": traces, "layout": built}


def _flatness_history(source: Source) -> xr.Dataset:
    data = source.artifact("flatness")[_INCREASE].sel(split=list(_SPLITS))
    return data.sel(radius=float(source.params["radius"]))


def _draw_flatness_history(data: xr.Dataset, scene: Scene) -> Figure:
    found, epochs = _scaled(data, scene), data["epoch"].values
    means = {split: found["increase"].sel(split=split).values for split in _SPLITS}
    positive = np.concatenate([values[values > 0] for values in means.values()])
    if not positive.size:
        return message(scene, "The loss does not rise at this radius, or is not a number, at any checkpoint.")
    y = log_axis(scene, _TITLES[scene.params["increase"]], positive)
    floor = 10.0 ** y["range"][0]
    shown = {split: np.where(values > 0, values, np.nan) for split, values in means.items()}
    traces, labels = epoch_curves(scene, epochs, shown, "increase %{y:.3g}")
    bands = []
    for split, colour in zip(_SPLITS, scene.theme.series, strict=False):
        low, high = (found[f"increase_{end}"].sel(split=split).values for end in ("low", "high"))
        bands.append(band(epochs, np.maximum(low, floor), np.maximum(high, floor), colour))
    return time_figure(scene, epochs, [*bands, *traces], y, labels, right=_ROOM[scene.compact])


_CURVATURES = {
    "of the loss": ("largest", "trace"),
    "as AdamW feels it": ("preconditioned", "threshold"),
}


def _sharpness(source: Source) -> xr.Dataset:
    return source.artifact("sharpness")[list(_CURVATURES[source.params["curvature"]])]


def _draw_sharpness(data: xr.Dataset, scene: Scene) -> Figure:
    preconditioned = "preconditioned" in data
    curves = {str(name): values.values for name, values in data.data_vars.items()}
    measured = curves["preconditioned" if preconditioned else "largest"]
    positive = np.concatenate([values[values > 0] for values in curves.values()])
    if not np.isfinite(measured).any() or not positive.size:
        if not preconditioned:
            return message(scene, "The Hessian is not a number at any checkpoint, or no split is known.")
        known = curves["threshold"][np.isfinite(curves["threshold"])]
        beside = f" The threshold would be {known[-1]:,.0f}." if len(known) else ""
        text = "No optimizer state was kept at these checkpoints,<br>so what AdamW feels is not known."
        return message(scene, text + beside)
    epochs = data["epoch"].values
    shown = {name: np.where(values > 0, values, np.nan) for name, values in curves.items()}
    traces, labels = epoch_curves(scene, epochs, shown, "%{y:.3g}")
    if preconditioned:
        traces[1]["line"]["dash"] = "dash"
    title = "eigenvalue (1 / learning rate)" if preconditioned else "curvature (nats / weight²)"
    y = log_axis(scene, title, positive)
    room = 84 if preconditioned else _ROOM[scene.compact]
    return time_figure(scene, epochs, traces, y, labels, right=room)


_RADIUS = Parameter("0.1", ("0.03", "0.1", "0.2"), "Distance")
_INCREASED = Parameter("absolute", tuple(_TITLES), "Increase")

VIEWS = (
    View(
        name="flatness",
        title="Flatness",
        group="landscape",
        order=30,
        blurb="How much the loss rises when every tensor is moved in a random direction by a share of its own"
        " norm, at this epoch: mean over seeded directions with a 95 % band. Points below zero are not drawn"
        " on the logarithmic axis; hover says in how many directions the loss falls.",
        data=_flatness,
        draw=_draw_flatness,
        needs=("flatness",),
        depends=("variant", "epoch"),
        parameters={"increase": _INCREASED},
    ),
    View(
        name="flatness_history",
        title="Flatness over time",
        group="landscape",
        order=35,
        blurb="The rise of the loss at one distance (a share of every tensor's norm) at each checkpoint,"
        " mean over the same seeded directions with a 95 % band. Relative values grow as the loss itself"
        " vanishes: look at both.",
        data=_flatness_history,
        draw=_draw_flatness_history,
        needs=("flatness",),
        optional=("turn",),
        marks=("epoch",),
        parameters={"radius": _RADIUS, "increase": _INCREASED},
    ),
    View(
        name="sharpness_history",
        title="Sharpness over time",
        group="landscape",
        order=40,
        blurb="Largest eigenvalue and trace of the training loss's Hessian at each checkpoint; or the largest"
        " eigenvalue in AdamW's own metric against the threshold above which its steps would grow. The two"
        " are in different units: only the second may be held against the threshold.",
        data=_sharpness,
        draw=_draw_sharpness,
        needs=("sharpness",),
        optional=("turn",),
        marks=("epoch",),
        parameters={"curvature": Parameter("of the loss", tuple(_CURVATURES), "Curvature")},
    ),
)
