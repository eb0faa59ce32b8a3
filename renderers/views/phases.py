"""Phases of training, and which frequencies count as key while it goes on."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr

from renderers.catalog import Figure, Parameter, View
from renderers.curves import Curve, curves
from renderers.figure import above, framed, history_heatmap, message, note
from renderers.source import Scene, Source

_PHASES = {
    "memorisation": ("", "memorised"),
    "circuit formation": ("circuit_formation", "cleanup"),
    "cleanup": ("cleanup", "cleaned"),
}


def _phases(source: Source) -> xr.Dataset:
    found = source.artifact("phases")
    return source.artifact("logits_summary")[["loss"]].assign(
        {name: found[name] for name in ("lower", "upper")} | {"reasons": found.attrs.get("reasons", "{}")}
    )


def _draw_phases(data: xr.Dataset, scene: Scene) -> Figure:
    drawn = [
        Curve(split, data["loss"].sel(split=split).values, colour)
        for split, colour in zip(("train", "test"), scene.theme.series, strict=False)
    ]
    figure = curves(scene, data["epoch"].values, drawn, title="cross-entropy (nats)", log=True)
    if not figure["data"]:
        return figure
    built, height = figure["layout"], 13 if scene.compact else 17
    room = height * len(_PHASES) + 4
    built["margin"]["t"] += room
    pixels = (scene.size or ((400, 290) if scene.compact else (840, 520)))[1] - built["margin"]["t"]
    pixels = max(pixels - built["margin"]["b"], 60)
    for row, name in enumerate(_PHASES):
        _bar(scene, built, data, name, 1 + (room - (row + 1) * height) / pixels, (height - 3) / pixels)
    return figure


def _bar(scene: Scene, built: dict, data: xr.Dataset, name: str, bottom: float, height: float) -> None:
    """One phase as a bar above the plot, paler where its ends are not known more exactly, with its name."""
    first, last = (float(data["epoch"].values[end]) for end in (0, -1))
    reasons = json.loads(str(data["reasons"].item()))
    begins, ends = _PHASES[name]
    early, late = _bounds(data, begins, first) if begins else (first, first)
    colour = scene.theme.series[2 + list(_PHASES).index(name)]
    reached = np.isfinite(late)
    until, surely = _bounds(data, ends, first)
    over = np.isfinite(surely)
    until, surely = (until, surely) if over else (last, last)
    text = name if reached and over else f"{name}, not finished" if reached else f"{name}: not reached"
    spans = [(early, surely, 0.35), (late, until, 0.9)] if reached else []
    for low, high, opacity in spans:
        if high > low:
            built["shapes"].append(
                {
                    "type": "rect",
                    "xref": "x",
                    "yref": "paper",
                    "x0": low,
                    "x1": high,
                    "y0": bottom,
                    "y1": bottom + height,
                    "fillcolor": colour,
                    "opacity": opacity,
                    "line": {"width": 0},
                }
            )
    end = surely if reached else first
    beside = end < first + 0.55 * (last - first)
    place = {"xref": "x", "x": end if beside else (early if reached else first), "y": bottom + height / 2}
    place |= {"xanchor": "left" if beside else "right", "yanchor": "middle", "xshift": 4 if beside else -4}
    why = [reasons.get(part, "") for part in (begins, ends) if part]
    built["annotations"].append(note(scene, text, **place, hovertext="<br>".join(why)))


def _bounds(data: xr.Dataset, boundary: str, first: float) -> tuple[float, float]:
    """(lower, upper] of a boundary; an open lower end is the first epoch."""
    lower, upper = (float(data[bound].sel(boundary=boundary)) for bound in ("lower", "upper"))
    return (lower if np.isfinite(lower) else first), upper


_RULES = {
    "neuron blocks": "neuron_blocks",
    "embedding norm": "embedding_norm",
    "neuron-logit map": "neuron_logit_map",
}
_THRESHOLDS = {
    "neuron blocks": "share of the assigned neurons; key from 0.1 on",
    "embedding norm": "norm in W_E over the largest; key above 0.25",
    "neuron-logit map": "norm in W_L over the largest; key above 0.25",
}


def _rules(source: Source) -> xr.Dataset:
    data = source.artifact("key_frequencies")
    return data.sel(rule=_RULES[source.params["rule"]])


def _draw_rules(data: xr.Dataset, scene: Scene) -> Figure:
    strength = data["strength"].transpose("epoch", "freq").values
    if not np.isfinite(strength).any():
        return message(scene, "By this rule no frequency has a strength at any checkpoint.")
    epochs, key = data["epoch"].values, data["is_key"].transpose("epoch", "freq").values > 0
    figure = history_heatmap(scene, epochs, strength, unit="strength", limits=(0.0, 1.0))
    rows, columns = np.nonzero(key)
    marks = {
        "type": "scatter",
        "mode": "markers",
        "name": "key",
        "x": epochs[rows],
        "y": data["freq"].values[columns],
        "marker": {"size": 3, "color": scene.theme.series[1]},
        "hoverinfo": "skip",
        "meta": {"payload": {"epoch": "x", "frequency": "y"}},
    }
    if len(rows):
        figure["data"].append(marks)
    built = figure["layout"]
    if not scene.compact:
        built["margin"]["t"] += 16
        text = f"{_THRESHOLDS[scene.params['rule']]}; dots: key"
        built["annotations"].append(
            above(scene, text, x=0.0, xanchor="left", yshift=24 if scene.events else 4)
        )
    built["yaxis"] = framed(built["yaxis"], scene)
    return figure


VIEWS = (
    View(
        name="phases",
        title="Phases of training",
        group="progress",
        order=16,
        blurb="Memorisation, until the training loss is below 0.01; circuit formation, from where the"
        " excluded loss leaves the training loss until the test loss has halved; cleanup, until the test"
        " loss is below 0.01. Pale ends lie between two evaluations. Point at a name to read why.",
        data=_phases,
        draw=_draw_phases,
        needs=("phases", "logits_summary"),
        marks=("epoch",),
    ),
    View(
        name="key_frequencies",
        title="Key frequencies by rule",
        group="progress",
        order=18,
        blurb="Which frequencies count as key at each checkpoint, by three published rules, and how close"
        " the others come. Before the turn the rules disagree. k is a label: x → u x renames it.",
        data=_rules,
        draw=_draw_rules,
        needs=("key_frequencies",),
        optional=("turn",),
        marks=("epoch", "frequency"),
        parameters={"rule": Parameter("neuron blocks", tuple(_RULES), "Rule")},
    ),
)
