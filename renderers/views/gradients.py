"""Gradients: at which frequencies the loss pulls, and whether training and all inputs agree."""

from __future__ import annotations

import numpy as np
import xarray as xr

from renderers.catalog import Figure, Parameter, View
from renderers.curves import epoch_curves
from renderers.figure import (
    axis,
    history_heatmap,
    message,
    time_figure,
)
from renderers.matrices import matrix_colour
from renderers.source import Scene, Source

_ROOM = {True: 40, False: 58}
_SITES = ("W_E", "W_U", "W_L", "neurons")


def _energy(source: Source) -> xr.Dataset:
    data = source.artifact("gradient_energy")[["energy"]]
    return data.sel(site=source.params["site"], gradient=source.params["loss"])


def _draw_energy(data: xr.Dataset, scene: Scene) -> Figure:
    values = data["energy"].transpose("epoch", "freq").values
    if not np.isfinite(values).any():
        return message(scene, "This gradient is not known: no split, or weights that are not numbers.")
    limits = (0.0, float(np.nanmax(values)))
    return history_heatmap(scene, data["epoch"].values, values, unit="share of energy", limits=limits)


def _alignment(source: Source) -> xr.Dataset:
    return source.artifact("gradient_energy")[["cosine"]]


def _draw_alignment(data: xr.Dataset, scene: Scene) -> Figure:
    curves = {site: data["cosine"].sel(site=site).values for site in _SITES}
    if not any(np.isfinite(values).any() for values in curves.values()):
        return message(scene, "Without a known split there is no train gradient to compare.")
    epochs = data["epoch"].values
    colours = [*(matrix_colour(scene, site) for site in _SITES[:3]), scene.theme.series[2]]
    traces, labels = epoch_curves(scene, epochs, curves, "cosine %{y:.2f}", colours)
    y = axis(scene, "cosine of train and grid gradient", range=[-1.05, 1.05], zeroline=True)
    return time_figure(scene, epochs, traces, y, labels, right=_ROOM[scene.compact])


_SITE = Parameter("W_E", _SITES, "Site")

VIEWS = (
    View(
        name="gradient_energy_history",
        title="Gradient energy by frequency",
        group="landscape",
        order=10,
        blurb="Where in the Fourier basis the loss pulls: share of the gradient's energy at each"
        " frequency and"
        " checkpoint. A gradient without structure has 2/p at each (neurons: 8/p²). Compare the training"
        " loss's gradient with that of the loss on all inputs. Labels of k depend on the tokens' names.",
        data=_energy,
        draw=_draw_energy,
        needs=("gradient_energy",),
        optional=("turn",),
        marks=("epoch", "frequency"),
        parameters={"site": _SITE, "loss": Parameter("train", ("train", "grid"), "Loss of")},
    ),
    View(
        name="gradient_alignment",
        title="Gradient alignment",
        group="landscape",
        order=20,
        blurb="Cosine between the gradient of the training loss and that of the loss on all inputs, per"
        " site. Near 1 training also improves the test inputs; below 0 it makes them worse.",
        data=_alignment,
        draw=_draw_alignment,
        needs=("gradient_energy",),
        optional=("turn",),
        marks=("epoch",),
    ),
)
