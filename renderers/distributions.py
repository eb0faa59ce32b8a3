"""Distributions over neurons: quantile bands over epochs, null bands, and points coloured by frequency."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from renderers.catalog import Figure
from renderers.figure import Label, Trace, line, note, swatch
from renderers.payload import Where
from renderers.source import Scene
from renderers.theme import frequency_colour, translucent

LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)


def quantiles(values: np.ndarray, levels: Sequence[float] = LEVELS) -> np.ndarray:
    """Quantiles [level, epoch] over the finite entries of each row of values [epoch, n]; NaN without any."""
    found = np.full((len(levels), len(values)), np.nan)
    for row, entries in enumerate(values):
        finite = entries[np.isfinite(entries)]
        if len(finite):
            found[:, row] = np.quantile(finite, levels)
    return found


def quantile_band(
    epochs: np.ndarray, values: np.ndarray, *, name: str, colour: str, form: str = ".3f"
) -> list[Trace]:
    """Median, middle half and middle 90 % of values [epoch, n] at each epoch; clicks select the epoch."""
    found = quantiles(values)
    traces: list[Trace] = []
    for low, high, opacity in ((0, 4, 0.12), (1, 3, 0.25)):
        for level in (low, high):
            text = f"epoch %{{x:,d}}<br>{LEVELS[level]:.0%} of neurons below %{{y:{form}}}"
            more: dict[str, Any] = {"mode": "lines"}
            if level == high:
                more |= {"fill": "tonexty", "fillcolor": translucent(colour, opacity)}
            traces.append(
                line(
                    epochs,
                    found[level],
                    name=f"{name} {LEVELS[level]:.0%}",
                    colour=translucent(colour, 0.3),
                    width=0.5,
                    hover=text,
                    payload={"epoch": "x"},
                    **more,
                )
            )
    hover = f"epoch %{{x:,d}}<br>median {name} %{{y:{form}}}"
    return [
        *traces,
        line(
            epochs,
            found[2],
            name=f"median {name}",
            colour=colour,
            width=2,
            hover=hover,
            payload={"epoch": "x"},
            markers=True,
        ),
    ]


def null_band(scene: Scene, figure: Figure, low: float, high: float) -> None:
    """A grey band [low, high] across the plot, for what chance gives; a line where both are equal."""
    if not np.isfinite([low, high]).all():
        return
    figure["layout"]["shapes"].append(
        {
            "type": "rect",
            "xref": "paper",
            "yref": "y",
            "x0": 0,
            "x1": 1,
            "y0": low,
            "y1": high,
            "layer": "below",
            "fillcolor": translucent(scene.theme.muted, 0.16),
            "line": {"width": 1, "color": translucent(scene.theme.muted, 0.45), "dash": "dot"},
        }
    )


def null_label(scene: Scene, low: float, high: float, text: str = "chance") -> Label:
    """The direct label of a null band."""
    return Label((low + high) / 2, text, scene.theme.muted)


def neuron_points(
    scene: Scene,
    x: np.ndarray,
    y: np.ndarray,
    neurons: np.ndarray,
    frequency: np.ndarray,
    hover: str,
    payload: dict[str, Where] | None = None,
    extra: np.ndarray | None = None,
) -> Trace:
    """One point per neuron in the colour of its frequency (0: grey); a click selects neuron and frequency.

    The custom data of a point are the neuron, its frequency (NaN for 0) and `extra` [n], for `payload` and
    `hover`.
    """
    k = np.asarray(frequency)
    named = np.where(k > 0, k, np.nan).astype(float)
    columns = [
        np.asarray(neurons, dtype=float),
        named,
        *([] if extra is None else [np.asarray(extra, float)]),
    ]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": "neurons",
        "x": np.asarray(x, dtype=float),
        "y": np.asarray(y, dtype=float),
        "customdata": np.stack(columns, axis=1),
        "marker": {
            "size": 5 if scene.compact else 7,
            "color": [frequency_colour(int(each)) for each in k],
            "opacity": 0.75,
            "line": {"width": 0.5, "color": scene.theme.background},
        },
        "hovertemplate": f"neuron %{{customdata[0]}}<br>{hover}<extra></extra>",
        "meta": {"payload": payload or {"neuron": "customdata[0]", "frequency": "customdata[1]"}},
    }


def frequency_key(scene: Scene, frequency: np.ndarray) -> dict[str, Any]:
    """A line above the plot naming the colours of the most frequent k, with the number of their neurons."""
    ks, counts = np.unique(np.asarray(frequency)[np.asarray(frequency) > 0], return_counts=True)
    most = np.argsort(-counts, kind="stable")[: 5 if scene.compact else 8]
    named = [f"{swatch(frequency_colour(int(ks[i])))} {ks[i]}" for i in sorted(most)]
    text = "k: " + "  ".join(named) if named else ""
    place = {"x": 0.0, "y": 1.0, "xanchor": "left", "yanchor": "bottom", "yshift": 2}
    return note(scene, text, **place)


def spaced(values: np.ndarray, width: float) -> np.ndarray:
    """Fixed offsets in [-width, width] for points that would lie on each other (golden ratio)."""
    golden = (np.sqrt(5) - 1) / 2
    return (np.mod(np.arange(len(values)) * golden, 1.0) - 0.5) * 2 * width
