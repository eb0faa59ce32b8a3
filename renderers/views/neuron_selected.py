"""The selected neuron: its purity over time, its Fourier transform, its phases."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from renderers.catalog import Figure, Parameter, View
from renderers.distributions import null_band
from renderers.figure import (
    Label,
    above,
    axis,
    framed,
    heatmap,
    layout,
    line,
    message,
    swatch,
    time_figure,
)
from renderers.source import Scene, Source
from renderers.theme import frequency_colour

_KINDS = ("odd", "all")
_PHASES = {"phase_a": "from a", "phase_b": "from b", "phase_out": "to logits"}


def _purity(source: Source) -> xr.Dataset:
    data = source.artifact("neuron_frequencies")[["dominant_frequency", "dominant_fraction"]]
    own = source.select(data, "neuron", source.selection.neuron)
    harmonics = source.artifact("neuron_harmonics")
    shares = source.select(harmonics, "neuron", source.selection.neuron)[["share", "null_share"]]
    return xr.merge([own, shares], join="inner", compat="override", combine_attrs="drop")


def _draw_purity(data: xr.Dataset, scene: Scene) -> Figure:
    epochs, k = data["epoch"].values, data["dominant_frequency"].values
    share = data["dominant_fraction"].values
    if not np.isfinite(share).any() or not (k > 0).any():
        return message(scene, f"Neuron {scene.selection.neuron} is constant at every checkpoint.")
    traces = []
    labels = [Label(float(share[-1]), f"{swatch(frequency_colour(int(k[-1])))} k {k[-1]}", scene.theme.text)]
    for kind, dash in zip(_KINDS, ("dash", "dot"), strict=True):
        values = data["share"].sel(harmonics=kind).values
        traces.append(
            line(
                epochs,
                values,
                name=f"with {kind} harmonics",
                colour=scene.theme.faint,
                hover=f"with {kind} harmonics %{{y:.3f}}<br>epoch %{{x:,d}}",
                payload={"epoch": "x"},
                dash=dash,
            )
        )
    labels.append(Label(float(values[-1]), "harmonics", scene.theme.muted))
    named = np.where(k > 0, k, np.nan).astype(float)
    points = line(
        epochs,
        share,
        name="dominant frequency",
        colour=scene.theme.muted,
        width=1,
        hover="k = %{customdata}<br>share %{y:.3f}<br>epoch %{x:,d}",
        payload={"epoch": "x", "frequency": "customdata"},
        customdata=named,
        markers=True,
    )
    points["marker"] = {
        "size": 7 if scene.compact else 9,
        "color": [frequency_colour(int(each)) for each in k],
        "line": {"width": 0.5, "color": scene.theme.background},
    }
    y = axis(scene, "share of variance", range=[-0.03, 1.03])
    figure = time_figure(scene, epochs, [*traces, points], y, labels, right=52 if scene.compact else 70)
    null = float(data["null_share"].sel(harmonics="all").values.flat[-1])
    null_band(scene, figure, 0.0, null)
    return figure


def _block(source: Source) -> xr.Dataset:
    return source.on_demand("neuron_block", neuron=source.selection.neuron)


def _draw_block(data: xr.Dataset, scene: Scene) -> Figure:
    k = int(data["frequency"])
    share = data["block"].transpose("wave_a", "wave_b").values.astype(float)
    if not k or not np.isfinite(share).any():
        return message(scene, f"Neuron {scene.selection.neuron} is constant over the inputs at this epoch.")
    names = ["const", f"cos {k}", f"sin {k}"]
    places = np.arange(3)
    trace = heatmap(
        scene,
        places,
        places,
        share,
        unit="share of variance",
        hover="%{customdata}<br>share %{z:.4f}",
        payload={"frequency": {"value": k}},
        limits=(0.0, float(np.nanmax(share))),
        customdata=np.array([[f"{left}(a) · {right}(b)" for right in names] for left in names]),
    )
    ticks: dict[str, Any] = {"tickmode": "array", "tickvals": places, "ticktext": names, "ticks": ""}
    x = axis(scene, "wave of b", **ticks, constrain="domain")
    y = axis(scene, "wave of a", **ticks, range=[2.5, -0.5], scaleanchor="x", constrain="domain")
    built = layout(scene, framed(x, scene), framed(y, scene), right=48 if scene.compact else 62, top=14)
    high = np.nanmax(share)
    sign = data["sign"].transpose("wave_a", "wave_b").values
    for row, column in np.argwhere(np.isfinite(share)):
        strong = share[row, column] > 0.55 * high
        text = f"{'−' if sign[row, column] < 0 else '+'}{share[row, column]:.1%}"
        place: dict[str, Any] = {"xref": "x", "yref": "y", "x": int(column), "y": int(row)}
        built["annotations"].append(
            above(
                scene,
                text,
                **place,
                xanchor="center",
                yanchor="middle",
                yshift=0,
                font={
                    "size": 10 if scene.compact else 13,
                    "color": scene.theme.background if strong else scene.theme.text,
                },
            )
        )
    total = float(np.nansum(share))
    character = f"neuron {scene.selection.neuron} · {swatch(frequency_colour(k))} k = {k} · {total:.1%}"
    built["annotations"].append(above(scene, f"{character} in this block"))
    return {"data": [trace], "layout": built}


def _draw_spectrum(data: xr.Dataset, scene: Scene) -> Figure:
    k = int(data["frequency"])
    share = data["spectrum"].transpose("freq_a", "freq_b").values.astype(float)
    if not k or not np.isfinite(share).any():
        return message(scene, f"Neuron {scene.selection.neuron} is constant over the inputs at this epoch.")
    count = len(share) - 1
    floor = 1e-6
    logs = np.log10(np.maximum(share, floor))
    trace = heatmap(
        scene,
        np.arange(count + 1),
        np.arange(count + 1),
        logs,
        unit="log10 share of variance",
        hover="k of a = %{y}<br>k of b = %{x}<br>share %{customdata:.2e}",
        payload={"frequency": "y"},
        limits=(-6.0, 0.0),
        customdata=np.nan_to_num(share.astype(np.float32)),
    )
    trace["meta"] = {}
    ends = [-0.5, count + 0.5]
    x = axis(scene, "frequency of b (0: constant)", range=ends, constrain="domain", nticks=7)
    y = axis(scene, "frequency of a (0: constant)", range=ends, scaleanchor="x", constrain="domain", nticks=7)
    built = layout(scene, framed(x, scene), framed(y, scene), right=48 if scene.compact else 62, top=14)
    text = f"neuron {scene.selection.neuron} · {swatch(frequency_colour(k))} k = {k}"
    built["annotations"].append(above(scene, text))
    return {"data": [trace], "layout": built}


def _phases(source: Source) -> xr.Dataset:
    names = ["frequency", "misalignment", *_PHASES]
    data = source.artifact("neuron_phases")[names].sel(reference=source.params["reference"])
    return source.select(data, "neuron", source.selection.neuron)


def _draw_phases(data: xr.Dataset, scene: Scene) -> Figure:
    epochs, wrong = data["epoch"].values, data["misalignment"].values
    if not np.isfinite(wrong).any():
        return message(scene, f"Neuron {scene.selection.neuron} has no frequency to take phases at.")
    curves = [(text, data[name].values) for name, text in _PHASES.items()]
    traces, labels = [], []
    for (text, values), colour in zip(
        [*curves, ("misalignment", wrong)], [*scene.theme.series[:3], scene.theme.text], strict=True
    ):
        jumps = np.flatnonzero(np.abs(np.diff(values)) > np.pi) + 1  # across +-pi: no line
        traces.append(
            line(
                np.insert(epochs, jumps, epochs[jumps]),
                np.insert(values, jumps, np.nan),
                name=text,
                colour=colour,
                hover=f"{text} %{{y:.2f}} rad at k = %{{customdata}}<br>epoch %{{x:,d}}",
                payload={"epoch": "x"},
                customdata=np.insert(data["frequency"].values, jumps, 0),
                markers=True,
                dash="dot" if text == "misalignment" else "solid",
            )
        )
        labels.append(Label(float(values[-1]), f"{swatch(colour)} {text}", scene.theme.text))
    y = axis(
        scene,
        "phase (rad)",
        range=[-3.4, 3.4],
        tickmode="array",
        tickvals=[-np.pi, -np.pi / 2, 0, np.pi / 2, np.pi],
        ticktext=["−π", "−π/2", "0", "π/2", "π"],
    )
    return time_figure(scene, epochs, traces, y, labels, right=84 if scene.compact else 104)


VIEWS = (
    View(
        name="neuron_purity",
        title="Neuron purity over time",
        group="neurons",
        order=30,
        blurb="Share of the selected neuron's variance at its dominant frequency, coloured by that frequency:"
        " a change of colour is a switch. Broken lines add the odd, or all, harmonics; a perfect ReLU neuron"
        " reaches 0.962 without them, a square wave 0.811. Grey: independent random maps (95 %).",
        data=_purity,
        draw=_draw_purity,
        needs=("neuron_frequencies", "neuron_harmonics"),
        optional=("turn",),
        depends=("variant", "neuron"),
        marks=("epoch", "frequency"),
    ),
    View(
        name="neuron_block",
        title="Neuron Fourier block",
        group="neurons",
        order=32,
        blurb="How the selected neuron's variance at its frequency is shared among the products of {1, cos,"
        " sin} of a and of b, with their signs. The row and column of constants are functions of a or b"
        " alone; cos cos − sin sin is a wave of a + b.",
        data=_block,
        draw=_draw_block,
        needs=("neuron_block",),
        depends=("variant", "epoch", "neuron"),
        marks=("frequency",),
        shape="square",
    ),
    View(
        name="neuron_spectrum",
        title="Neuron 2-D spectrum",
        group="neurons",
        order=34,
        blurb="The selected neuron's variance over pairs of a frequency of a and one of b, on a logarithmic"
        " scale. The ReLU makes the lattice of harmonics of k around it, folded at the edges.",
        data=_block,
        draw=_draw_spectrum,
        needs=("neuron_block",),
        depends=("variant", "epoch", "neuron"),
        shape="square",
    ),
    View(
        name="neuron_phase_history",
        title="Neuron phases over time",
        group="neurons",
        order=36,
        blurb="Phases of the waves that the selected neuron reads from a and from b and writes to the"
        " logits, at its final frequency or at the dominant one of each checkpoint. Misalignment is the sum"
        " of the first two less the third; 0 favours the right answer most.",
        data=_phases,
        draw=_draw_phases,
        needs=("neuron_phases",),
        optional=("turn",),
        depends=("variant", "neuron"),
        marks=("epoch",),
        parameters={"reference": Parameter("final", ("final", "live"), "Frequency")},
    ),
)
