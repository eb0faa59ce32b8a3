"""Inputs: what is answered to which pair, now and over time."""

from __future__ import annotations

import numpy as np
import xarray as xr

from analyzers.instruments.graduation import NEVER
from analyzers.instruments.input_outcomes import CONFIDENCE_STEPS, MARGIN_STEPS
from renderers.catalog import Figure, Parameter, View
from renderers.figure import (
    above,
    axis,
    line,
    message,
    time_figure,
)
from renderers.pairs import SPLIT_CODES, SPLIT_NAMES, pair_map, square
from renderers.source import Scene, Source

_KINDS = ("wrong, test", "right, test", "wrong, train", "right, train")


def _grid(source: Source) -> xr.Dataset:
    split = source.artifact("graduation")["in_train"]
    return source.at_epoch("input_outcomes").assign(in_train=split)


def _draw_grid(data: xr.Dataset, scene: Scene) -> Figure:
    error, split = (data[name].transpose("a", "b").values for name in ("error", "in_train"))
    quantity, shown = scene.params["quantity"], scene.params["inputs"]
    if not (error >= 0).any():
        return message(scene, "No input has an answer at this epoch: the logits are not numbers.")
    kept = (error >= 0) & np.isin(split, SPLIT_CODES[shown])
    if quantity == "answer":
        values = 2.0 * (split == 1) + (error == 0)
        look = {"limits": (-0.5, 3.5), "unit": "", "format": ""}
    elif quantity == "confidence":
        values = data["confidence"].transpose("a", "b").values / CONFIDENCE_STEPS
        look = {"limits": (0.0, 1.0), "unit": "probability of the right class", "format": ".3f"}
    else:
        values = data["margin"].transpose("a", "b").values / MARGIN_STEPS
        extent = float(np.abs(values[kept]).max(initial=0.0))
        look = {"limits": (-extent, extent), "unit": "margin (logits)", "format": ".1f"}
    trace = pair_map(scene, np.where(kept, values, np.nan), look, _describe(error, split))
    if quantity == "answer":
        trace["colorscale"] = _steps(_answer_colours(scene))
        trace["colorbar"] |= {"tickvals": [0, 1, 2, 3], "ticktext": list(_KINDS)}
    right = 92 if quantity == "answer" else 48 if scene.compact else 62
    built = square(scene, right)
    own = error[kept]
    if own.size:
        text = f"{shown} inputs · {np.mean(own == 0):.1%} right"
        built["annotations"].append(above(scene, text))
    return {"data": [trace], "layout": built}


def _describe(error: np.ndarray, split: np.ndarray) -> np.ndarray:
    """What the hover says of every input beside its value."""
    names = np.array([SPLIT_NAMES[code] for code in (-1, 0, 1)], dtype=object)[split.astype(int) + 1]
    answers = np.array(["no answer", "right", *(f"off by {e}" for e in range(1, len(error)))], dtype=object)
    return names + " · " + answers[error.astype(int) + 1]


def _answer_colours(scene: Scene) -> list[str]:
    series, faint = scene.theme.series, scene.theme.grid
    return [faint, series[1], scene.theme.faint, series[0]]


def _steps(colours: list[str]) -> list[list]:
    """A colour scale of equal steps."""
    count = len(colours)
    return [[edge / count, colour] for index, colour in enumerate(colours) for edge in (index, index + 1)]


_QUANTITIES = {
    "margin": ("margin (logits)", MARGIN_STEPS),
    "confidence": ("probability of the right class", CONFIDENCE_STEPS),
}


def _pair(source: Source) -> xr.Dataset:
    data = source.artifact("input_outcomes")[["error", "margin", "confidence"]]
    graduation = source.artifact("graduation")[["in_train", "graduated"]]
    p, pair = data.sizes["a"], source.selection.pair
    pair = min(pair, p * p - 1)
    place = {"a": pair // p, "b": pair % p}
    return data.isel(place).assign({str(name): graduation[name].isel(place) for name in graduation.data_vars})


def _draw_pair(data: xr.Dataset, scene: Scene) -> Figure:
    epochs, right = data["epoch"].values, data["error"].values == 0
    title, steps = _QUANTITIES[scene.params["quantity"]]
    values = np.where(data["error"].values < 0, np.nan, data[scene.params["quantity"]].values / steps)
    if not np.isfinite(values).any():
        return message(scene, "This input has no answer at any checkpoint: the logits are not numbers.")
    colour = scene.theme.split(SPLIT_NAMES[int(data["in_train"])])
    trace = line(
        epochs,
        values,
        name="input",
        colour=colour,
        hover="%{y:.2f}<br>%{customdata}<br>epoch %{x:,d}",
        payload={"epoch": "x"},
        customdata=np.where(right, "right", "wrong"),
        markers=True,
    )
    trace["marker"] = {
        "size": 6,
        "color": [colour if yes else scene.theme.background for yes in right],
        "line": {"width": 1.4, "color": colour},
    }
    low, high = (0.0, 1.0) if scene.params["quantity"] == "confidence" else _extent(values)
    pad = 0.05 * (high - low) or 1.0
    y = axis(scene, title, range=[low - pad, high + pad], zeroline=True)
    figure = time_figure(scene, epochs, [trace], y, [], top=14)
    a, b = int(data["a"]), int(data["b"])
    since = int(data["graduated"])
    learned = "never right for good" if since == NEVER else f"right for good from {since:,}"
    text = f"({a}, {b}) · {SPLIT_NAMES[int(data['in_train'])]} · {learned}"
    raised = 16 if scene.events else 2
    figure["layout"]["annotations"].append(above(scene, text, yshift=raised))
    return figure


def _extent(values: np.ndarray) -> tuple[float, float]:
    known = values[np.isfinite(values)]
    return min(float(known.min()), 0.0), max(float(known.max()), 0.0)


_INPUTS = Parameter("all", ("all", "train", "test"), "Inputs")

VIEWS = (
    View(
        name="input_grid",
        role="navigator",
        title="Input grid",
        group="inputs",
        order=10,
        blurb="Every input (a, b) at this epoch: whether it is answered rightly and whether it was trained"
        " on, the probability of the right class, or its margin over the best other.",
        data=_grid,
        draw=_draw_grid,
        needs=("input_outcomes", "graduation"),
        depends=("variant", "epoch"),
        marks=("pair",),
        shape="square",
        parameters={
            "quantity": Parameter("answer", ("answer", "confidence", "margin"), "Show"),
            "inputs": _INPUTS,
        },
    ),
    View(
        name="pair_history",
        role="companion",
        title="Selected input over time",
        group="inputs",
        order=20,
        blurb="Margin or confidence of the selected input (a, b) at each checkpoint; filled points are"
        " right answers, open ones wrong. Below a margin of zero the answer is wrong.",
        data=_pair,
        draw=_draw_pair,
        needs=("input_outcomes", "graduation"),
        optional=("turn",),
        depends=("variant", "pair"),
        marks=("epoch",),
        parameters={"quantity": Parameter("margin", tuple(_QUANTITIES), "Show")},
    ),
)
