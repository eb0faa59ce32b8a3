"""Phases of all neurons: alignment of input and output, uniformity, and the lottery at initialisation."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from analyzers.waves import resultant_null, wrapped
from renderers.catalog import Figure, Parameter, View
from renderers.distributions import frequency_key, neuron_points, null_band, null_label, quantile_band
from renderers.figure import Label, above, axis, framed, layout, line, message, swatch, time_figure
from renderers.source import Scene, Source
from renderers.theme import frequency_colour

_TURN: dict[str, Any] = {
    "tickmode": "array",
    "tickvals": [-np.pi, -np.pi / 2, 0, np.pi / 2, np.pi],
    "ticktext": ["−π", "−π/2", "0", "π/2", "π"],
}
_LARGEST = 6


def _alignment(source: Source) -> xr.Dataset:
    data = source.at_epoch("neuron_phases").sel(reference=source.params["reference"])
    return data[["frequency", "phase_a", "phase_b", "phase_out", "misalignment", "amplitude_out"]]


def _draw_alignment(data: xr.Dataset, scene: Scene) -> Figure:
    total = wrapped(data["phase_a"].values.astype(float) + data["phase_b"].values)
    out, k = data["phase_out"].values.astype(float), data["frequency"].values
    known = np.isfinite(total) & np.isfinite(out)
    if not known.any():
        return message(scene, "No neuron has a frequency at this epoch, so none has phases.")
    trace = neuron_points(
        scene,
        total[known],
        out[known],
        data["neuron"].values[known],
        k[known],
        "k = %{customdata[1]}<br>φa + φb = %{x:.2f}<br>ψ = %{y:.2f}<br>misalignment %{customdata[2]:.2f} rad",
        extra=data["misalignment"].values[known],
    )
    ends = [-np.pi - 0.2, np.pi + 0.2]
    x = axis(scene, "φa + φb, read (rad)", **_TURN, range=ends)
    y = axis(scene, "ψ, written (rad)", **_TURN, range=ends)
    built = layout(scene, framed(x, scene), framed(y, scene), top=14 if scene.compact else 18)
    for shift in (-2 * np.pi, 0.0, 2 * np.pi):  # psi = phi_a + phi_b on the circle
        low, high = max(ends[0], ends[0] - shift), min(ends[1], ends[1] - shift)
        built["shapes"].append(
            {
                "type": "line",
                "xref": "x",
                "yref": "y",
                "x0": low,
                "y0": low + shift,
                "x1": high,
                "y1": high + shift,
                "layer": "below",
                "line": {"width": 1, "color": scene.theme.muted, "dash": "dot"},
            }
        )
    middle = float(np.median(np.abs(data["misalignment"].values[known])))
    built["annotations"].append(frequency_key(scene, k[known]))
    built["annotations"].append(above(scene, f"median |D| {middle:.2f} (chance 1.57)"))
    return {"data": [trace], "layout": built}


def _misalignment(source: Source) -> xr.Dataset:
    return source.artifact("neuron_phases")[["misalignment"]].sel(reference=source.params["reference"])


def _draw_misalignment(data: xr.Dataset, scene: Scene) -> Figure:
    epochs = data["epoch"].values
    values = np.abs(data["misalignment"].transpose("epoch", "neuron").values.astype(float))
    if not np.isfinite(values).any():
        return message(scene, "No neuron has a frequency at any checkpoint.")
    traces = quantile_band(epochs, values, name="|D|", colour=scene.theme.series[0])
    y = axis(
        scene,
        "|misalignment| (rad)",
        range=[-0.08, np.pi + 0.08],
        tickmode="array",
        tickvals=[0, np.pi / 4, np.pi / 2, 3 * np.pi / 4, np.pi],
        ticktext=["0", "π/4", "π/2", "3π/4", "π"],
    )
    labels = [null_label(scene, np.pi / 4, 3 * np.pi / 4)]
    if np.isfinite(values[-1]).any():
        labels.append(Label(float(np.nanmedian(values[-1])), "median", scene.theme.text))
    figure = time_figure(scene, epochs, traces, y, labels, right=44 if scene.compact else 54)
    null_band(scene, figure, np.pi / 4, 3 * np.pi / 4)
    return figure


def _uniformity(source: Source) -> xr.Dataset:
    return source.artifact("neuron_phases")[["members", "resultant"]].sel(moment=int(source.params["moment"]))


def _draw_uniformity(data: xr.Dataset, scene: Scene) -> Figure:
    epochs, freqs = data["epoch"].values, data["freq"].values
    members = data["members"].transpose("epoch", "freq").values
    values = data["resultant"].transpose("epoch", "freq").values.astype(float)
    shown = np.where(members >= 5, values, np.nan)
    rank = [int(column) for column in np.argsort(-members[-1], kind="stable")[:_LARGEST]]
    rank = [column for column in rank if members[-1, column] >= 5 and np.isfinite(shown[:, column]).any()]
    if not rank:
        return message(scene, "No frequency is held by five neurons or more at the last checkpoint.")
    traces, labels = [], []
    for column in rank:
        k = int(freqs[column])
        colour = frequency_colour(k)
        bound = resultant_null(np.maximum(members[:, column], 1))
        traces.append(
            line(
                epochs,
                shown[:, column],
                name=f"k {k}",
                colour=colour,
                hover=f"k = {k}, %{{customdata[0]}} neurons<br>resultant %{{y:.3f}}"
                "<br>95 % of uniform phases below %{customdata[1]:.3f}<br>epoch %{x:,d}",
                payload={"epoch": "x", "frequency": {"value": k}},
                customdata=np.stack([members[:, column], bound], axis=1),
                markers=True,
            )
        )
        labels.append(Label(float(shown[-1, column]), f"{swatch(colour)} k {k}", scene.theme.text))
    smallest = resultant_null(members[-1, rank])
    labels.append(Label(float(smallest.mean()), "chance", scene.theme.muted))
    y = axis(scene, "resultant |mean exp(i n φ)|", range=[-0.02, 1.02])
    figure = time_figure(scene, epochs, traces, y, labels, right=46 if scene.compact else 56)
    null_band(scene, figure, 0.0, float(smallest.mean()))
    return figure


def _lottery(source: Source) -> xr.Dataset:
    return source.artifact("neuron_lottery").sel(rule=source.params["rule"])


def _draw_lottery(data: xr.Dataset, scene: Scene) -> Figure:
    final = data["final_frequency"].values
    x = np.abs(data["initial_misalignment"].values.astype(float))
    y_values = data["initial_size"].values.astype(float)
    known = (final > 0) & np.isfinite(x) & np.isfinite(y_values)
    if not known.any():
        return message(scene, "No neuron holds a frequency at the end, so there is nothing to predict.")
    guess = data["predicted"].sel(candidates="all").values[known]
    trace = neuron_points(
        scene,
        x[known],
        y_values[known],
        data["neuron"].values[known],
        final[known],
        "ended on k = %{customdata[1]}, predicted %{customdata[2]}<br>|misalignment| at the start %{x:.2f}"
        " rad<br>size at the start %{y:.2f} of the mean",
        extra=guess,
    )
    axis_x = axis(
        scene,
        "|misalignment| of the final k at the start (rad)",
        range=[-0.1, np.pi + 0.1],
        tickmode="array",
        tickvals=[0, np.pi / 2, np.pi],
        ticktext=["0", "π/2", "π"],
    )
    axis_y = axis(scene, "size of the final k over the mean", rangemode="tozero")
    built = layout(scene, axis_x, axis_y, top=28 if scene.compact else 34)
    built["shapes"].append(
        {
            "type": "line",
            "xref": "paper",
            "yref": "y",
            "x0": 0,
            "x1": 1,
            "y0": 1,
            "y1": 1,
            "line": {"width": 1, "color": scene.theme.muted, "dash": "dot"},
        }
    )
    built["annotations"].append(frequency_key(scene, final[known]))
    built["annotations"].append(above(scene, _verdict(data, scene), x=0.0, xanchor="left", yshift=16))
    return {"data": [trace], "layout": built}


def _verdict(data: xr.Dataset, scene: Scene) -> str:
    parts = []
    for candidates, words in (("all", "of all k"), ("learned", "of those learned")):
        own = data.sel(candidates=candidates)
        accuracy, chance, p_value = (float(own[name]) for name in ("accuracy", "chance", "p_value"))
        if scene.compact:
            parts.append(f"{words} {accuracy:.0%} (chance {chance:.0%})")
        else:
            parts.append(f"{words}: {accuracy:.1%} right, chance {chance:.1%}, p = {p_value:.2g}")
    return " · ".join(parts)


_REFERENCE = Parameter("live", ("live", "final"), "Frequency")

VIEWS = (
    View(
        name="phase_alignment",
        title="Phase alignment",
        group="neurons",
        order=40,
        blurb="The phase that each neuron writes to the logits against the sum of the two that it reads, at"
        " its frequency; on the dotted diagonal (ψ = 2φ for equal inputs) it favours the right answer most."
        " Random weights scatter over the square.",
        data=_alignment,
        draw=_draw_alignment,
        needs=("neuron_phases",),
        depends=("variant", "epoch"),
        marks=("neuron", "frequency"),
        shape="square",
        parameters={"reference": _REFERENCE},
    ),
    View(
        name="phase_misalignment",
        title="Phase misalignment over time",
        group="neurons",
        order=42,
        blurb="Median, middle half and middle 90 % of |φa + φb − ψ| over the neurons, at the final"
        " frequency or at the dominant one of each checkpoint. The grey band holds the middle half of"
        " uniform phases.",
        data=_misalignment,
        draw=_draw_misalignment,
        needs=("neuron_phases",),
        optional=("turn",),
        marks=("epoch",),
        parameters={"reference": Parameter("final", ("final", "live"), "Frequency")},
    ),
    View(
        name="phase_uniformity",
        title="Phase uniformity over time",
        group="neurons",
        order=44,
        blurb="Are the phases of the neurons of one frequency spread evenly over the circle? The resultant"
        " of order n is 0 if they are, 1 if all agree; unwanted terms cancel in the logits where it is"
        " small. Independent uniform phases stay in the grey band with 95 %.",
        data=_uniformity,
        draw=_draw_uniformity,
        needs=("neuron_phases",),
        optional=("turn",),
        marks=("epoch", "frequency"),
        parameters={"moment": Parameter("1", ("1", "2", "3", "4"), "Order n")},
    ),
    View(
        name="neuron_lottery",
        title="Lottery at initialisation",
        group="neurons",
        order=46,
        blurb="Was each neuron's final frequency favoured at the first checkpoint? Its misalignment there"
        " and the size of its waves over the mean of all k; the winner of a lottery stands at the upper"
        " left. Above: how often the chosen rule predicts it, and how often permuted predictions do.",
        data=_lottery,
        draw=_draw_lottery,
        needs=("neuron_lottery",),
        marks=("neuron", "frequency"),
        parameters={
            "rule": Parameter("alignment", ("alignment", "misalignment", "amplitude"), "Prediction by")
        },
    ),
)
