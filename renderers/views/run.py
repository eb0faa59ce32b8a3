"""The run as a whole: losses, learning rate and weight decay, accuracy, margins."""

from __future__ import annotations

import numpy as np
import xarray as xr

from renderers.catalog import Figure, Parameter, View
from renderers.figure import (
    Label,
    Trace,
    above,
    axis,
    end_labels,
    layout,
    line,
    log_axis,
    mark_events,
    message,
    time_axis,
    time_figure,
)
from renderers.source import Scene, Source

_LABEL_ROOM = {True: 34, False: 48}


def _losses(source: Source) -> xr.Dataset:
    history = source.history
    return history[[name for name in ("train_loss", "test_loss") if name in history]]


def _draw_losses(data: xr.Dataset, scene: Scene) -> Figure:
    curves = {split: data[f"{split}_loss"].values for split in ("train", "test") if f"{split}_loss" in data}
    measured = {split: np.isfinite(values) for split, values in curves.items()}
    if not any(mask.any() for mask in measured.values()):
        return message(scene, "No loss history was recorded for this run.")
    epochs = data["epoch"].values
    traces, labels = [], []
    for index, (split, values) in enumerate(curves.items()):
        kept, colour = measured[split], scene.theme.series[index]
        traces.append(
            line(
                epochs[kept],
                values[kept],
                name=split,
                colour=colour,
                hover=f"{split} loss %{{y:.3g}}",
                payload={"epoch": "x"},
            )
        )
        if kept.any():
            labels.append(Label(float(values[kept][-1]), split, colour))
    title = "cross-entropy (nats)"
    seen = np.concatenate([values[measured[split]] for split, values in curves.items()])
    if scene.params["scale"] == "log":
        y = log_axis(scene, title, seen)
    else:
        y = axis(scene, title, range=[0.0, 1.04 * float(seen.max())])
    return time_figure(scene, epochs, traces, y, labels, right=_LABEL_ROOM[scene.compact], hovermode="x")


_RATES = {
    "learning rate": ("lr", "learning rate (per update)"),
    "weight decay": ("weight_decay", "weight decay (multiple of the learning rate)"),
}


def _rates(source: Source) -> xr.Dataset:
    column, _ = _RATES[source.params["rate"]]
    history = source.history
    return history[[column] if column in history else []]


def _draw_rates(data: xr.Dataset, scene: Scene) -> Figure:
    name = scene.params["rate"]
    column, title = _RATES[name]
    measured = np.isfinite(data[column].values) if column in data else np.zeros(0, bool)
    if not measured.any():
        return message(scene, f"No {name} was recorded for this run.")
    epochs, values = data["epoch"].values[measured], data[column].values[measured]
    trace = line(
        epochs,
        values,
        name=name,
        colour=scene.theme.series[0],
        hover=f"{name} %{{y:.3g}}",
        payload={"epoch": "x"},
    )
    trace["line"]["shape"] = "hv"  # a rate holds from its epoch to the next
    top = float(values.max())
    y = axis(scene, title, range=[0.0, 1.08 * top if top > 0 else 1.0])
    y.update(tickformat="~g", exponentformat="power")
    built = layout(scene, time_axis(scene, data["epoch"].values), y, hovermode="x")
    built["margin"]["l"] += 16  # ticks such as 0.0002 are wide
    mark_events(scene, built)
    return {"data": [trace], "layout": built}


def _accuracy(source: Source) -> xr.Dataset:
    return source.artifact("logits_summary")[["accuracy"]]


def _draw_accuracy(data: xr.Dataset, scene: Scene) -> Figure:
    epochs = data["epoch"].values
    if not len(epochs):
        return message(scene, "No checkpoint has been analysed yet.")
    traces, labels = [], []
    for index, split in enumerate(("train", "test")):
        values, colour = data["accuracy"].sel(split=split).values, scene.theme.series[index]
        traces.append(
            line(
                epochs,
                values,
                name=split,
                colour=colour,
                hover=f"{split} accuracy %{{y:.2%}}",
                payload={"epoch": "x"},
                markers=True,
            )
        )
        labels.append(Label(float(values[-1]), split, colour))
    y = axis(scene, "accuracy (share of inputs)", range=[-0.03, 1.03], tickformat=".1f")
    return time_figure(scene, epochs, traces, y, labels, right=_LABEL_ROOM[scene.compact], hovermode="x")


def _margins(source: Source) -> xr.Dataset:
    names = ["margin_mean", "margin_min", "margin_quantile"]
    return source.artifact("logits_summary")[names].sel(split=source.params["split"])


def _draw_margins(data: xr.Dataset, scene: Scene) -> Figure:
    epochs = data["epoch"].values
    if not len(epochs):
        return message(scene, "No checkpoint has been analysed yet.")
    colour = scene.theme.split(scene.params["split"])
    quantiles = data["margin_quantile"].transpose("epoch", "quantile")
    shares = quantiles["quantile"].values
    low, high = quantiles.values[:, int(shares.argmin())], quantiles.values[:, int(shares.argmax())]
    band: Trace = {
        "type": "scatter",
        "mode": "lines",
        "name": "band",
        "x": np.concatenate([epochs, epochs[::-1]]),
        "y": np.concatenate([high, low[::-1]]),
        "fill": "toself",
        "fillcolor": colour,
        "opacity": 0.16,
        "line": {"width": 0},
        "hoverinfo": "skip",
    }
    curves = {"mean": (data["margin_mean"].values, "solid"), "minimum": (data["margin_min"].values, "dot")}
    traces = [
        line(
            epochs,
            values,
            name=name,
            colour=colour,
            hover=f"{name} margin %{{y:.2f}}",
            payload={"epoch": "x"},
            markers=True,
            dash=dash,
        )
        for name, (values, dash) in curves.items()
    ]
    seen = np.concatenate([low, high, *(values for values, _ in curves.values())])
    seen = seen[np.isfinite(seen)]
    if not seen.size:
        return message(scene, f"No margin is defined on the {scene.params['split']} inputs.")
    pad = 0.05 * float(np.ptp(seen)) or 1.0
    title = "right logit − best other (nats)"
    y = axis(scene, title, range=[float(seen.min()) - pad, float(seen.max()) + pad], zeroline=True)
    built = layout(scene, time_axis(scene, epochs), y, right=54 if scene.compact else 66, hovermode="x")
    labels = [Label(float(values[-1]), name, colour) for name, (values, _) in curves.items()]
    built["annotations"] += end_labels(scene, labels, y)
    if not scene.compact:
        built["margin"]["t"] += 16
        text = f"{scene.params['split']} inputs; band: quantiles {shares.min():g} to {shares.max():g}"
        built["annotations"].append(above(scene, text, yshift=18 if scene.events else 2))
    mark_events(scene, built)
    return {"data": [band, *traces], "layout": built}


VIEWS = (
    View(
        name="loss_curves",
        title="Loss",
        group="run",
        order=1,
        blurb="Cross-entropy on the inputs that were trained on and on those held out, at every recorded"
        " epoch. Grokking is the late fall of the test loss; shaded intervals mark when each event"
        " happened.",
        data=_losses,
        draw=_draw_losses,
        formula="loss = mean over the inputs of -log softmax(logits)[right class] at =, in float64",
        source="recorded while training; both losses at epoch e are of the weights after e updates",
        optional=("turn",),
        marks=("epoch",),
        parameters={"scale": Parameter("log", ("log", "linear"), "Loss axis")},
    ),
    View(
        name="learning_rate",
        title="Learning rate",
        group="run",
        order=7,
        blurb="The learning rate (or the weight decay) of every update: a horizontal line, unless the run"
        " follows a schedule. Compare with the loss above it.",
        data=_rates,
        draw=_draw_rates,
        formula="AdamW: w <- (1 - lr weight_decay) w - lr m / (sqrt(v) + eps), m and v bias-corrected",
        source="recorded at every epoch while training; the entry at epoch e is of the update that follows",
        optional=("turn",),
        marks=("epoch",),
        parameters={"rate": Parameter("learning rate", tuple(_RATES), "Rate")},
    ),
    View(
        name="accuracy",
        title="Accuracy",
        group="run",
        order=2,
        blurb="Share of inputs whose largest logit is the right class, at each checkpoint, on the train and"
        " test split.",
        data=_accuracy,
        draw=_draw_accuracy,
        needs=("logits_summary",),
        optional=("turn",),
        marks=("epoch",),
    ),
    View(
        name="margins",
        title="Logit margin",
        group="run",
        order=5,
        blurb="How far the right class's logit is ahead of the best wrong one: mean, worst input, and the"
        " spread over inputs. Below zero the answer is wrong.",
        data=_margins,
        draw=_draw_margins,
        needs=("logits_summary",),
        optional=("turn",),
        marks=("epoch",),
        parameters={"split": Parameter("test", ("train", "test", "all"), "Inputs")},
    ),
)
