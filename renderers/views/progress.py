"""Progress measures: what the key frequencies do alone, what is left without them, and the phases they
show.
"""

from __future__ import annotations

import numpy as np
import xarray as xr

from renderers.catalog import Figure, Parameter, View
from renderers.curves import Curve, curves, frequency_curves
from renderers.figure import (
    above,
    frequency_axis,
    layout,
    log_axis,
    message,
    note,
)
from renderers.source import Scene, Source
from renderers.theme import frequency_colour

_PROTOCOLS = {"sum_directions": "sum directions", "block_2x2": "2 × 2 blocks", "block_3x3": "3 × 3 blocks"}
_PROTOCOL = Parameter("sum directions", tuple(_PROTOCOLS.values()), "Protocol")
_KEYS = {"last checkpoint": "", "each epoch": "_live"}
_LOSS = "cross-entropy (nats)"


def _measured(source: Source) -> xr.Dataset:
    """Losses of the model and the progress losses, at the checkpoints that have both."""
    losses, progress = xr.align(
        source.artifact("logits_summary")[["loss"]], source.artifact("progress_losses"), join="inner"
    )
    return xr.merge([losses, progress], compat="override")


def _losses(source: Source) -> xr.Dataset:
    data = _measured(source)
    ending = _KEYS[source.params["key"]]
    names = {value: name for name, value in _PROTOCOLS.items()}
    chosen = data[["loss", "key_used", f"restricted_loss{ending}", f"excluded_loss{ending}"]]
    return chosen.sel(protocol=names[source.params["protocol"]])


def _draw_losses(data: xr.Dataset, scene: Scene) -> Figure:
    ending = _KEYS[scene.params["key"]]
    parts = {
        "train": (data["loss"].sel(split="train"), "solid"),
        "test": (data["loss"].sel(split="test"), "solid"),
        "restricted": (data[f"restricted_loss{ending}"].sel(split="test"), "dash"),
        "excluded": (data[f"excluded_loss{ending}"].sel(split="train"), "dash"),
    }
    drawn = [
        Curve(name, values.values, colour, dash=dash)
        for (name, (values, dash)), colour in zip(parts.items(), scene.theme.series, strict=False)
    ]
    title = f"{_LOSS}, {scene.params['protocol']}"
    text = f"restricted: test inputs · excluded: training inputs · {_key_text(data, bool(ending))}"
    return curves(scene, data["epoch"].values, drawn, title=title, log=True, text=text)


def _keys(data: xr.Dataset) -> list[int]:
    """The frequencies that count as key at every epoch."""
    return [int(k) for k in data["freq"].values[data["key_used"].values[-1] > 0]]


def _key_text(data: xr.Dataset, live: bool) -> str:
    if live:
        return "key frequencies of each epoch"
    keys = _keys(data)
    return f"k = {', '.join(map(str, keys))} (last checkpoint)" if keys else "no key frequency"


def _excluded(source: Source) -> xr.Dataset:
    data = _measured(source)
    return data[["excluded_by_frequency", "key_used"]].assign(
        train_loss=data["loss"].sel(split="train").reset_coords(drop=True)
    )


def _draw_excluded_history(data: xr.Dataset, scene: Scene) -> Figure:
    train = Curve("train", data["train_loss"].values, scene.theme.split("train"), dash="dot")
    return frequency_curves(
        scene,
        data["epoch"].values,
        data["excluded_by_frequency"].transpose("epoch", "freq").values,
        _keys(data),
        title="excluded loss, train (nats)",
        unit="excluded loss",
        log=True,
        text=f"one frequency removed at a time, sum directions · {_key_text(data, False)}",
        others=[train],
    )


def _excluded_now(source: Source) -> xr.Dataset:
    losses = source.at_epoch("logits_summary")["loss"].sel(split="train").reset_coords(drop=True)
    progress = source.at_epoch("progress_losses")[["excluded_by_frequency", "key_used"]]
    return progress.reset_coords(drop=True).assign(train_loss=losses)


def _draw_excluded(data: xr.Dataset, scene: Scene) -> Figure:
    freqs, values = data["freq"].values, data["excluded_by_frequency"].values
    if not np.isfinite(values).any():
        return message(scene, "The excluded loss is not defined at this epoch.")
    keys, train = data["key_used"].values > 0, float(data["train_loss"])
    colours = [
        frequency_colour(int(k)) if key else scene.theme.faint for k, key in zip(freqs, keys, strict=True)
    ]
    bars = {
        "type": "bar",
        "name": "excluded loss",
        "x": freqs,
        "y": values,
        "marker": {"color": colours, "line": {"width": 0}},
        "hovertemplate": "without k = %{x}<br>training loss %{y:.3g}<extra></extra>",
        "meta": {"payload": {"frequency": "x"}},
    }
    ends = np.array([0.5, len(freqs) + 0.5])
    model = {
        "type": "scatter",
        "mode": "lines",
        "name": "train",
        "x": ends,
        "y": np.array([train, train]),
        "line": {"color": scene.theme.split("train"), "width": 1.2, "dash": "dot"},
        "hoverinfo": "skip",
    }
    y = log_axis(scene, "excluded loss, train (nats)", np.append(values, train))
    y["range"][1] += 0.06 * (y["range"][1] - y["range"][0])  # room for the names of the tallest bars
    built = layout(scene, frequency_axis(scene, len(freqs)), y, top=14, bargap=0.25)
    built["annotations"].append(above(scene, f"dotted: model {train:.3g} · sum directions"))
    for k, value in zip(freqs[keys].tolist(), values[keys].tolist(), strict=True):
        if np.isfinite(value):
            place = {"xref": "x", "yref": "y", "x": k, "y": float(np.log10(value)), "yanchor": "bottom"}
            font = {"size": built["font"]["size"], "color": scene.theme.text}
            built["annotations"].append(note(scene, str(k), **place, font=font))
    return {"data": [bars, model], "layout": built}


VIEWS = (
    View(
        name="progress_losses",
        role="navigator",
        title="Restricted and excluded loss",
        group="progress",
        order=10,
        blurb="Restricted: the loss when the logits keep only the key frequencies. Excluded: the loss when"
        " they lose them. Circuits form while excluded rises and restricted falls, long before the test"
        " loss does. The protocol decides which directions count as a frequency: compare one protocol only.",
        data=_losses,
        draw=_draw_losses,
        needs=("progress_losses", "logits_summary"),
        optional=("turn",),
        marks=("epoch",),
        parameters={
            "protocol": _PROTOCOL,
            "key": Parameter("last checkpoint", tuple(_KEYS), "Key frequencies of"),
        },
    ),
    View(
        name="excluded_by_frequency",
        role="companion",
        title="Excluded loss by frequency",
        group="progress",
        order=12,
        blurb="Training loss at this epoch when the waves cos and sin k(a + b) of one frequency are taken"
        " out of the logits. A bar above the dotted line is a frequency that the model relies on; which k"
        " it is, is a label of the tokens.",
        data=_excluded_now,
        draw=_draw_excluded,
        needs=("progress_losses", "logits_summary"),
        depends=("variant", "epoch"),
        marks=("frequency",),
    ),
    View(
        name="excluded_history",
        title="Excluded loss over time",
        group="progress",
        order=14,
        blurb="Training loss without one frequency, for every frequency and checkpoint. The key frequencies"
        " of the last checkpoint are coloured; a grey line that leaves the others was used for a while. The"
        " dotted line is the model.",
        data=_excluded,
        draw=_draw_excluded_history,
        needs=("progress_losses", "logits_summary"),
        optional=("turn",),
        marks=("epoch", "frequency"),
    ),
)
