"""Between the clock and the pizza: coordinates of a model and its way through them."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from renderers.catalog import Figure, Parameter, View
from renderers.curves import Curve, curves
from renderers.figure import Trace, axis, layout, message, note
from renderers.plane import path_trace
from renderers.source import Scene, Source

_LOGITS = {"right class": "right", "best wrong class": "best_wrong"}
_LOGIT = Parameter("right class", tuple(_LOGITS), "Irrelevance of the logit of")

# symmetricity, irrelevance: published means over trained models by attention rate, p = 59
_PUBLISHED = {
    "published pizza": (0.994, 0.224),
    "published between": (0.886, 0.527),
    "published clock": (0.446, 0.828),
}


def _coordinates(source: Source) -> xr.Dataset:
    data = source.artifact("clock_pizza")[["symmetricity", "irrelevance"]]
    return data.sel(logit=_LOGITS[source.params["logit"]])


def _draw_plane(data: xr.Dataset, scene: Scene) -> Figure:
    epochs, theme = data["epoch"].values, scene.theme
    x, y = (data[name].values.astype(float) for name in ("symmetricity", "irrelevance"))
    measured = np.isfinite(x) & np.isfinite(y)
    if not measured.any():
        return message(scene, "The coordinates are not defined at any checkpoint.")
    epochs, x, y = epochs[measured], x[measured], y[measured]
    hover = "symmetricity %{x:.3f}<br>irrelevance %{y:.3f}"
    path = path_trace(scene, "model", epochs, x, y, hover)
    ranges = [[min(float(values.min()), 0.0) - 0.08, 1.08] for values in (x, y)]
    horizontal = axis(scene, "gradient symmetricity", range=ranges[0], nticks=6)
    name = f"distance irrelevance, {scene.params['logit']}" if not scene.compact else "distance irrelevance"
    vertical = axis(scene, name, range=ranges[1], nticks=6)
    built = layout(scene, horizontal, vertical, right=44 if scene.compact else 58)
    traces = [path]
    if scene.params["logit"] == "right class":
        traces.insert(0, _references(scene))
        built["annotations"] += [
            _name(scene, text, *at, theme.muted, below=True) for text, at in _PUBLISHED.items()
        ]
    built["annotations"] += [
        _name(scene, f"epoch {int(epochs[i]):,}", x[i], y[i], theme.text, below=False)
        for i in sorted({0, len(epochs) - 1})
    ]
    return {"data": traces, "layout": built}


def _references(scene: Scene) -> Trace:
    x, y = zip(*_PUBLISHED.values(), strict=True)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "published",
        "x": np.array(x),
        "y": np.array(y),
        "text": list(_PUBLISHED),
        "marker": {
            "size": 10 if scene.compact else 13,
            "symbol": "x-thin",
            "line": {"width": 2, "color": scene.theme.muted},
        },
        "hovertemplate": "%{text}, p = 59<br>symmetricity %{x}<br>irrelevance %{y}<extra></extra>",
    }


def _name(scene: Scene, text: str, x: float, y: float, colour: str, *, below: bool) -> dict[str, Any]:
    """A name below or above a point, to its left at the right edge of the plane."""
    place = {"xref": "x", "yref": "y", "x": float(x), "y": float(y)}
    place |= {"xanchor": "right" if x > 0.8 else "center", "yanchor": "top" if below else "bottom"}
    font = {"size": 10 if scene.compact else 12, "color": colour}
    return note(scene, text, **place, yshift=-7 if below else 7, font=font)


def _history(source: Source) -> xr.Dataset:
    data = source.artifact("clock_pizza").sel(logit=_LOGITS[source.params["logit"]])
    return data.sel(centring="double_centred")[["symmetricity", "irrelevance", "fve_clock", "fve_pizza"]]


def _draw_history(data: xr.Dataset, scene: Scene) -> Figure:
    names = {
        "symmetricity": ("symmetricity", "dash"),
        "irrelevance": ("irrelevance", "dash"),
        "fit as clock": ("fve_clock", "solid"),
        "fit as pizza": ("fve_pizza", "solid"),
    }
    drawn = [
        Curve(name, data[variable].values, colour, dash=dash)
        for (name, (variable, dash)), colour in zip(names.items(), scene.theme.series, strict=False)
    ]
    text = f"irrelevance: logit of the {scene.params['logit']}; fits: share of the centred logits' variance"
    title = "coordinate" if scene.compact else "coordinate (no unit)"
    return curves(scene, data["epoch"].values, drawn, title=title, limits=(0.0, 1.0), text=text, digits=".3f")


VIEWS = (
    View(
        name="clock_pizza",
        title="Clock and pizza plane",
        group="progress",
        order=70,
        blurb="Where the model lies between a pizza (gradients of both tokens agree, the right logit"
        " depends on a − b) and a clock (neither), checkpoint by checkpoint. Crosses are published means of"
        " trained models of p = 59, for orientation: these are coordinates, not classes, and an untrained"
        " model can lie anywhere.",
        data=_coordinates,
        draw=_draw_plane,
        needs=("clock_pizza",),
        marks=("epoch",),
        shape="square",
        parameters={"logit": _LOGIT},
    ),
    View(
        name="clock_pizza_history",
        title="Clock and pizza over time",
        group="progress",
        order=72,
        blurb="Gradient symmetricity, distance irrelevance and how well a clock and a pizza fit the logits"
        " at each checkpoint. A model can pass by the pizza and end as a clock. Coordinates, not classes.",
        data=_history,
        draw=_draw_history,
        needs=("clock_pizza",),
        optional=("turn",),
        marks=("epoch",),
        parameters={"logit": _LOGIT},
    ),
)
