"""Distributions of what neurons are like: harmonics, symmetry, sum and difference content, concentration."""

from __future__ import annotations

import numpy as np
import xarray as xr

from renderers.catalog import Figure, Parameter, View
from renderers.distributions import (
    frequency_key,
    neuron_points,
    null_band,
    null_label,
    quantile_band,
    quantiles,
)
from renderers.figure import Label, axis, layout, message, note, time_figure
from renderers.source import Scene, Source

_CONTENT = ("sum", "difference", "linear")
_RELU = {"linear": 0.745, "sum": 0.109, "difference": 0.109}


def _harmonics(source: Source) -> xr.Dataset:
    kind = source.params["harmonics"]
    own = source.at_epoch("neuron_frequencies")[["dominant_frequency", "dominant_fraction"]]
    other = source.at_epoch("neuron_harmonics").sel(harmonics=kind)[["share", "frequency", "null_share"]]
    return xr.merge([own, other], join="inner", compat="override", combine_attrs="drop")


def _draw_harmonics(data: xr.Dataset, scene: Scene) -> Figure:
    x, y_values = (data[name].values.astype(float) for name in ("dominant_fraction", "share"))
    k = data["frequency"].values
    known = np.isfinite(x) & np.isfinite(y_values) & (k > 0)
    if not known.any():
        return message(scene, "No neuron varies over the inputs at this epoch.")
    trace = neuron_points(
        scene,
        x[known],
        y_values[known],
        data["neuron"].values[known],
        k[known],
        "k = %{customdata[1]}<br>fundamental %{x:.3f}<br>with harmonics %{y:.3f}",
    )
    axis_x = axis(scene, "share at one frequency", range=[-0.02, 1.02])
    axis_y = axis(scene, "share with harmonics", range=[-0.02, 1.04])
    built = layout(scene, axis_x, axis_y, top=14 if scene.compact else 18)
    style = {"width": 1, "color": scene.theme.muted, "dash": "dot"}
    ends = {"x0": 0, "y0": 0, "x1": 1, "y1": 1}
    built["shapes"].append(
        {"type": "line", "xref": "x", "yref": "y", "layer": "below", "line": style, **ends}
    )
    odd = scene.params["harmonics"] == "odd"
    for at_x, at_y, text, shift in (
        (0.962, 0.964 if odd else 0.997, "ReLU wave", {"yanchor": "bottom", "yshift": 4, "xshift": 8}),
        (0.811, 0.960, "square wave", {"yanchor": "middle", "xshift": -7}),
    ):
        place = {"xref": "x", "yref": "y", "x": at_x, "y": at_y}
        built["annotations"].append(note(scene, "✕", **place))
        built["annotations"].append(note(scene, text, **place, xanchor="right", **shift))
    built["annotations"].append(frequency_key(scene, k[known]))
    figure = {"data": [trace], "layout": built}
    null_band(scene, figure, 0.0, float(data["null_share"]))
    return figure


def _content(source: Source) -> xr.Dataset:
    data = source.artifact("neuron_structure")
    measure = source.params["measure"]
    values = data["commutativity"] if measure == "commutative" else data["content"].sel(component=measure)
    return values.rename("value").reset_coords(drop=True).to_dataset()


def _draw_content(data: xr.Dataset, scene: Scene) -> Figure:
    measure = scene.params["measure"]
    titles = {"commutative": "share with N(a, b) = N(b, a)", "linear": "share linear in waves of a, of b"}
    title = titles.get(measure, f"share in waves of a {'+' if measure == 'sum' else '−'} b")
    chance, text = (0.5, "noise") if measure == "commutative" else (_RELU[measure], "ReLU wave")
    return _over_time(data, scene, title, (chance, chance), text)


def _ipr(source: Source) -> xr.Dataset:
    data = source.artifact("neuron_structure")["ipr"].sel(part=source.params["part"])
    return data.rename("value").reset_coords(drop=True).to_dataset()


def _draw_ipr(data: xr.Dataset, scene: Scene) -> Figure:
    chance = 4 / (scene.p + 1)  # 2 / (K + 1): energies of Gaussian coefficients
    return _over_time(data, scene, "inverse participation ratio", (chance, chance), "chance")


def _over_time(data: xr.Dataset, scene: Scene, title: str, chance: tuple[float, float], text: str) -> Figure:
    epochs = data["epoch"].values
    values = data["value"].transpose("epoch", "neuron").values.astype(float)
    if not np.isfinite(values).any():
        return message(scene, "No neuron varies over the inputs at any checkpoint.")
    traces = quantile_band(epochs, values, name=title, colour=scene.theme.series[0])
    labels = [null_label(scene, *chance, text)]
    last = float(quantiles(values[-1:], (0.5,))[0, 0])
    labels.append(Label(last, "median", scene.theme.text))
    y = axis(scene, title, range=[-0.03, 1.03])
    figure = time_figure(scene, epochs, traces, y, labels, right=54 if scene.compact else 66)
    null_band(scene, figure, *chance)
    return figure


VIEWS = (
    View(
        name="neuron_harmonics",
        title="Fundamental and harmonics",
        group="neurons",
        order=50,
        blurb="Each neuron's share of variance at one frequency, and with its harmonics. Points above the"
        " dotted diagonal are waves of another shape than a sine; ideal ReLU and square waves are marked,"
        " and independent random maps stay in the grey band.",
        data=_harmonics,
        draw=_draw_harmonics,
        needs=("neuron_frequencies", "neuron_harmonics"),
        depends=("variant", "epoch"),
        marks=("neuron", "frequency"),
        shape="square",
        parameters={"harmonics": Parameter("odd", ("odd", "all"), "Harmonics")},
    ),
    View(
        name="neuron_content",
        title="Sum and difference content",
        group="neurons",
        order=52,
        blurb="How much of the neurons' variance lies in waves of a + b, of a − b, or of one token alone"
        " (at the dominant frequency), or is symmetric in a and b: median, middle half and 90 %. The grey"
        " line is ReLU(cos ka + cos kb), or noise for symmetry; random weights are symmetric before"
        " anything is learned.",
        data=_content,
        draw=_draw_content,
        needs=("neuron_structure",),
        optional=("turn",),
        marks=("epoch",),
        parameters={"measure": Parameter("sum", (*_CONTENT, "commutative"), "Share")},
    ),
    View(
        name="neuron_ipr",
        title="Inverse participation ratio",
        group="neurons",
        order=54,
        blurb="Inverse participation ratio over frequencies of what neurons read and write: 1 for a single"
        " wave, 1/K for all alike; the grey line is chance. Median, middle half and middle 90 %.",
        data=_ipr,
        draw=_draw_ipr,
        needs=("neuron_structure",),
        optional=("turn",),
        marks=("epoch",),
        parameters={"part": Parameter("mean", ("mean", "a", "b", "output"), "Weights")},
    ),
)
