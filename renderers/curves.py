"""Several quantities over epochs in one figure: named curves, bands around them, one curve per frequency."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from renderers.catalog import Figure
from renderers.figure import Label, Trace, above, axis, line, log_axis, message, swatch, time_figure
from renderers.source import Scene
from renderers.theme import frequency_colour


@dataclass(frozen=True)
class Curve:
    """One quantity over epochs. `label`: what stands at its end (its name, if nothing else is given)."""

    name: str
    values: np.ndarray
    colour: str
    dash: str = "solid"
    label: str | None = None


@dataclass(frozen=True)
class Band:
    """A range over epochs, such as that of a null."""

    low: np.ndarray
    high: np.ndarray
    colour: str


def curves(
    scene: Scene,
    epochs: np.ndarray,
    drawn: Sequence[Curve],
    *,
    title: str,
    digits: str = ".3g",
    log: bool = False,
    limits: tuple[float, float] | None = None,
    bands: Sequence[Band] = (),
    text: str = "",
    nothing: str = "No value is defined at any checkpoint.",
) -> Figure:
    """Curves over epochs, each named at its end; a click on one marks its epoch.

    title   of the y axis, with its unit; digits: d3 format of the values in the hover text
    limits  of the y axis, if the data shall not decide
    text    above the plot of a large panel
    """
    shown = [curve for curve in drawn if np.isfinite(curve.values).any()]
    if not shown:
        return message(scene, nothing)
    traces = [_band(epochs, band) for band in bands if np.isfinite(band.high).any()]
    traces += [
        line(
            epochs,
            curve.values,
            name=curve.name,
            colour=curve.colour,
            hover=f"{curve.name} %{{y:{digits}}}",
            payload={"epoch": "x"},
            dash=curve.dash,
            markers=True,
        )
        for curve in shown
    ]
    seen = [*(curve.values for curve in shown), *(part for band in bands for part in (band.low, band.high))]
    y = value_axis(scene, title, np.concatenate(seen).astype(float), log=log, limits=limits)
    labels = [
        Label(_last(curve.values), curve.name if curve.label is None else curve.label, curve.colour)
        for curve in shown
    ]
    return titled(scene, epochs, traces, y, labels, text, hovermode="x")


def frequency_curves(
    scene: Scene,
    epochs: np.ndarray,
    values: np.ndarray,
    named: Collection[int],
    *,
    title: str,
    unit: str,
    digits: str = ".3g",
    log: bool = False,
    text: str = "",
    others: Sequence[Curve] = (),
) -> Figure:
    """One curve per frequency of `values` [epoch, freq]: those in `named` (1-based) coloured, the others
    grey.

    `others` are drawn beside them and mark no frequency.
    """
    if not np.isfinite(values).any():
        return message(scene, "No value is defined at any checkpoint.")
    count = values.shape[1]
    rest = [k for k in range(1, count + 1) if k not in named]
    traces = [_grey(scene, epochs, values, rest, unit, digits)] if rest else []
    labels = []
    for k in sorted(named, key=lambda k: -np.nan_to_num(_last(values[:, k - 1]))):
        colour = frequency_colour(k)
        traces.append(
            line(
                epochs,
                values[:, k - 1],
                name=f"k {k}",
                colour=colour,
                hover=f"k = {k}<br>{unit} %{{y:{digits}}}<br>epoch %{{x:,d}}",
                payload={"epoch": "x", "frequency": {"value": k}},
                markers=True,
            )
        )
        labels.append(Label(_last(values[:, k - 1]), f"{swatch(colour)} k {k}", scene.theme.text))
    for curve in others:
        hover = f"{curve.name} %{{y:{digits}}}<br>epoch %{{x:,d}}"
        traces.append(
            line(
                epochs,
                curve.values,
                name=curve.name,
                colour=curve.colour,
                hover=hover,
                payload={"epoch": "x"},
                dash=curve.dash,
            )
        )
        labels.append(Label(_last(curve.values), curve.label or curve.name, curve.colour))
    seen = np.concatenate([values.ravel(), *(curve.values for curve in others)]).astype(float)
    return titled(scene, epochs, traces, value_axis(scene, title, seen, log=log), labels, text)


def value_axis(
    scene: Scene,
    title: str,
    seen: np.ndarray,
    *,
    log: bool = False,
    limits: tuple[float, float] | None = None,
) -> dict[str, Any]:
    """An axis over the finite values that are seen, logarithmic or not."""
    if log:
        return log_axis(scene, title, seen)
    seen = seen[np.isfinite(seen)]
    low, high = limits or ((float(seen.min()), float(seen.max())) if seen.size else (0.0, 1.0))
    pad = 0.04 * (high - low) or 1.0
    return axis(scene, title, range=[low - pad, high + pad])


def titled(
    scene: Scene,
    epochs: np.ndarray,
    traces: Sequence[Trace],
    y: dict[str, Any],
    labels: Sequence[Label],
    text: str,
    **more: Any,
) -> Figure:
    """`time_figure` with room for its labels, and with a text above the plot of a large panel."""
    written = text and not scene.compact
    letters = max(
        (len(label.text.split("> ")[-1]) + 2 * ("<span" in label.text) for label in labels), default=0
    )
    right = int(letters * (6.2 if scene.compact else 7.0)) + 4
    figure = time_figure(scene, epochs, traces, y, labels, right=right, top=16 if written else 0, **more)
    if written:
        note = above(scene, text, x=0.0, xanchor="left", yshift=18 if scene.events else 2)
        figure["layout"]["annotations"].append(note)
    return figure


def _grey(
    scene: Scene, epochs: np.ndarray, values: np.ndarray, rest: Sequence[int], unit: str, digits: str
) -> Trace:
    """One trace with a thin grey curve for each frequency of `rest`."""
    columns = np.array(rest) - 1
    gap = np.full((1, len(rest)), np.nan)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "other frequencies",
        "x": np.tile(np.append(epochs.astype(float), np.nan), len(rest)),
        "y": np.concatenate([values[:, columns], gap]).T.ravel(),
        "customdata": np.repeat(rest, len(epochs) + 1),
        "line": {"color": scene.theme.faint, "width": 1},
        "hovertemplate": f"k = %{{customdata}}<br>{unit} %{{y:{digits}}}<br>epoch %{{x:,d}}<extra></extra>",
        "meta": {"payload": {"epoch": "x", "frequency": "customdata"}},
    }


def _band(epochs: np.ndarray, band: Band) -> Trace:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "null",
        "x": np.concatenate([epochs, epochs[::-1]]),
        "y": np.concatenate([band.high, band.low[::-1]]),
        "fill": "toself",
        "fillcolor": band.colour,
        "opacity": 0.18,
        "line": {"width": 0},
        "hoverinfo": "skip",
    }


def _last(values: np.ndarray) -> float:
    """The last finite value."""
    finite = values[np.isfinite(values)]
    return float(finite[-1]) if len(finite) else float("nan")


def epoch_curves(
    scene: Scene,
    epochs: np.ndarray,
    curves: Mapping[str, np.ndarray],
    hover: str,
    colours: Sequence[str] | None = None,
) -> tuple[list[Trace], list[Label]]:
    """One curve over epochs per name, in the given colours or else those of the theme, and their labels."""
    traces, labels = [], []
    for (name, values), colour in zip(curves.items(), colours or scene.theme.series, strict=False):
        traces.append(
            line(
                epochs,
                values,
                name=name,
                colour=colour,
                hover=f"{name}<br>{hover}<br>epoch %{{x:,d}}",
                payload={"epoch": "x"},
                markers=True,
            )
        )
        labels.append(last_label(values, name, colour))
    return traces, labels


def last_label(values: np.ndarray, text: str, colour: str) -> Label:
    """A label beside the last value that is a number."""
    known = values[np.isfinite(values)]
    return Label(float(known[-1]) if len(known) else np.nan, text, colour)


def band(x: np.ndarray, low: np.ndarray, high: np.ndarray, colour: str) -> Trace:
    """The area between two curves, where both are numbers."""
    known = np.isfinite(low) & np.isfinite(high)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "band",
        "x": np.concatenate([x[known], x[known][::-1]]),
        "y": np.concatenate([high[known], low[known][::-1]]),
        "fill": "toself",
        "fillcolor": colour,
        "opacity": 0.18,
        "line": {"width": 0},
        "hoverinfo": "skip",
    }
