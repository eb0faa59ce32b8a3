"""Errors: which answers lag, how far off wrong ones are, and where the loss rounds to zero."""

from __future__ import annotations

import numpy as np
import xarray as xr

from renderers.catalog import Figure, Parameter, View
from renderers.curves import epoch_curves
from renderers.figure import (
    above,
    axis,
    cell_range,
    font_size,
    framed,
    frequency_axis,
    heatmap,
    layout,
    mark_events,
    message,
    note,
    time_axis,
    time_figure,
)
from renderers.source import Scene, Source
from renderers.theme import frequency_colour

_ROOM = {True: 34, False: 48}
_NAMED = 5  # bars of the spectrum that are coloured and named


def _residues(source: Source) -> xr.Dataset:
    data = source.artifact("residue_classes")[[source.params["quantity"]]]
    return data.sel(split=source.params["split"])


def _draw_residues(data: xr.Dataset, scene: Scene) -> Figure:
    quantity = scene.params["quantity"]
    values = data[quantity].transpose("residue", "epoch").values.astype(float)
    if not np.isfinite(values).any():
        return message(scene, "These inputs are not known, or their logits are not numbers.")
    unit, limits = "accuracy", (0.0, 1.0)
    if quantity == "loss":
        unit = "log10 loss (nats)"
        with np.errstate(divide="ignore"):
            values = np.log10(np.maximum(values, 1e-30))
        limits = (float(np.nanmin(values)), float(np.nanmax(values)))
    epochs, classes = data["epoch"].values, data["residue"].values
    trace = heatmap(
        scene,
        epochs,
        classes,
        values,
        unit=unit,
        hover=f"class %{{y}}<br>{unit} %{{z:.3f}}<br>epoch %{{x:,d}}",
        payload={"epoch": "x"},
        limits=limits,
    )
    x = framed({**time_axis(scene, epochs), "range": cell_range(epochs)}, scene)
    y = framed(axis(scene, "right answer (class)", range=[-0.5, len(classes) - 0.5]), scene)
    built = layout(scene, x, y, right=48 if scene.compact else 62)
    mark_events(scene, built, rail=True)
    return {"data": [trace], "layout": built}


def _errors(source: Source) -> xr.Dataset:
    return source.at_epoch("error_structure").sel(split=source.params["split"])


def _draw_errors(data: xr.Dataset, scene: Scene) -> Figure:
    counts, wrong = data["count"].values.astype(float), int(data["wrong"])
    total = counts.sum()
    if not total:
        return message(scene, "These inputs are not known, or have no answers at this epoch.")
    if not wrong:
        return message(scene, f"Every {scene.params['split']} input is answered rightly at this epoch.")
    p = len(counts)
    error = (np.arange(p) + p // 2) % p - p // 2  # the same residues, nearest to 0
    order = np.argsort(error)
    order = order[error[order] != 0]
    trace = {
        "type": "bar",
        "name": "errors",
        "x": error[order],
        "y": counts[order],
        "marker": {"color": scene.theme.split(scene.params["split"]), "line": {"width": 0}},
        "hovertemplate": "answer − right class ≡ %{x}<br>%{y} inputs<extra></extra>",
        "meta": {"payload": {}},
    }
    expected = wrong / (p - 1)
    x = axis(scene, "answer − right class (mod p)", range=[-p / 2, p / 2], showgrid=False)
    y = axis(scene, "inputs", range=[0.0, 1.1 * max(float(counts[1:].max()), expected)])
    built = layout(scene, x, y, top=14, bargap=0.15)
    built["shapes"].append(_level(scene, expected))
    text = f"{wrong:,} of {int(total):,} wrong · line: evenly spread"
    built["annotations"].append(above(scene, text))
    return {"data": [trace], "layout": built}


def _level(scene: Scene, value: float) -> dict:
    """A broken horizontal line at a reference value."""
    return {
        "type": "line",
        "xref": "paper",
        "x0": 0.0,
        "x1": 1.0,
        "y0": value,
        "y1": value,
        "line": {"color": scene.theme.muted, "width": 1.2, "dash": "dash"},
    }


def _draw_error_spectrum(data: xr.Dataset, scene: Scene) -> Figure:
    values, freqs = data["spectrum"].values, data["freq"].values
    if not np.isfinite(values).any():
        return message(scene, f"No {scene.params['split']} input is answered wrongly at this epoch.")
    null = float(data["spectrum_null"])
    named = set(np.argsort(-np.nan_to_num(values))[:_NAMED].tolist())
    colours = [
        frequency_colour(int(k)) if index in named and values[index] > null else scene.theme.faint
        for index, k in enumerate(freqs)
    ]
    trace = {
        "type": "bar",
        "name": "errors",
        "x": freqs,
        "y": values,
        "marker": {"color": colours, "line": {"width": 0}},
        "hovertemplate": "k = %{x}<br>concentration %{y:.3f}<extra></extra>",
        "meta": {"payload": {"frequency": "x"}},
    }
    y = axis(scene, "concentration of the errors", range=[0.0, 1.1 * max(float(np.nanmax(values)), null)])
    built = layout(scene, frequency_axis(scene, len(freqs)), y, top=14, bargap=0.2)
    built["shapes"].append(_level(scene, null))
    built["annotations"] += [
        note(
            scene,
            str(int(k)),
            xref="x",
            yref="y",
            x=int(k),
            y=float(value),
            yanchor="bottom",
            font={"size": font_size(scene), "color": scene.theme.text},
        )
        for k, value, colour in zip(freqs, values, colours, strict=True)
        if colour != scene.theme.faint
    ]
    mirrored, expected = float(data["mirrored"]), float(data["mirrored_null"])
    text = "line: 95 % of random errors stay below"
    if np.isfinite(mirrored) and not scene.compact:
        text += f" · (b, a) wrong too: {mirrored:.0%}, by chance {expected:.0%}"
    built["annotations"].append(above(scene, text))
    return {"data": [trace], "layout": built}


def _collapse(source: Source) -> xr.Dataset:
    return source.artifact("softmax_collapse")[["collapsed"]].sel(precision=source.params["precision"])


def _draw_collapse(data: xr.Dataset, scene: Scene) -> Figure:
    epochs = data["epoch"].values
    curves = {split: data["collapsed"].sel(split=split).values for split in ("train", "test")}
    if not any(np.isfinite(values).any() for values in curves.values()):
        return message(scene, "The split of this run is not known, or its logits are not numbers.")
    traces, labels = epoch_curves(scene, epochs, curves, "collapsed %{y:.1%}")
    y = axis(
        scene, f"share with loss 0 in {scene.params['precision']}", range=[-0.03, 1.03], tickformat=".1f"
    )
    return time_figure(scene, epochs, traces, y, labels, right=_ROOM[scene.compact])


_SPLIT = Parameter("test", ("train", "test", "all"), "Inputs")

VIEWS = (
    View(
        name="residue_classes",
        title="Residue classes over time",
        group="inputs",
        order=50,
        blurb="Accuracy or loss of all inputs with the same right answer, at each checkpoint: rows that lag"
        " behind are classes learned late. A class has about p/3 training inputs, so single cells are noisy.",
        data=_residues,
        draw=_draw_residues,
        needs=("residue_classes",),
        optional=("turn",),
        marks=("epoch",),
        parameters={
            "quantity": Parameter("accuracy", ("accuracy", "loss"), "Show"),
            "split": Parameter("test", ("train", "test"), "Inputs"),
        },
    ),
    View(
        name="error_histogram",
        title="Error histogram",
        group="inputs",
        order=60,
        blurb="How far wrong answers lie from the right one at this epoch, counted around the circle mod p."
        " The broken line is what errors without structure would give.",
        data=_errors,
        draw=_draw_errors,
        needs=("error_structure",),
        depends=("variant", "epoch"),
        parameters={"split": _SPLIT},
    ),
    View(
        name="error_spectrum",
        title="Error spectrum",
        group="inputs",
        order=65,
        blurb="Whether the errors at this epoch lie at steps of one frequency: 1 would be all errors alike."
        " Bars above the broken line are rarer than 1 in 20 for random errors; with 50 bars some always are."
        " Labels of k depend on the tokens' names.",
        data=_errors,
        draw=_draw_error_spectrum,
        needs=("error_structure",),
        depends=("variant", "epoch"),
        marks=("frequency",),
        parameters={"split": _SPLIT},
    ),
    View(
        name="softmax_collapse",
        title="Softmax collapse",
        group="inputs",
        order=70,
        blurb="Share of inputs whose cross-entropy is exactly zero in a floating-point type, so that they no"
        " longer give a gradient in it. This workbench trains with a float64 cross-entropy.",
        data=_collapse,
        draw=_draw_collapse,
        needs=("softmax_collapse",),
        optional=("turn",),
        marks=("epoch",),
        parameters={"precision": Parameter("float32", ("float16", "float32", "float64"), "Type")},
    ),
)
