"""Building blocks of figures as plain dicts: axes, layout, lines, heatmaps, event markers, direct labels.

Plain dicts with numpy arrays cost almost nothing to build; validation happens in the tests.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from renderers.catalog import Figure
from renderers.decimate import decimate
from renderers.payload import Where
from renderers.source import Scene
from renderers.theme import FONT, translucent

Trace = dict[str, Any]


@dataclass(frozen=True)
class Label:
    """A direct label: `text` beside the value `y` (data units), in `colour` (4.5:1 on the background)."""

    y: float
    text: str
    colour: str


def font_size(scene: Scene) -> int:
    """Size of tick labels in pixels."""
    return 10 if scene.compact else 12


def figure_size(scene: Scene) -> tuple[int, int]:
    """Width and height in pixels of the panel, the usual ones if they are not known."""
    return scene.size or ((400, 290) if scene.compact else (840, 520))


def plot_size(scene: Scene, right: int = 0) -> tuple[int, int]:
    """Width and height in pixels of the plotting area, `right` being the room kept beside it.

    Only keeps labels apart, so a panel of unknown size may be taken to have the usual one.
    """
    width, height = figure_size(scene)
    least = _margin(scene)
    return (
        max(width - least["l"] - least["r"] - right, 60),
        max(height - least["t"] - least["b"], 60),
    )


def _margin(scene: Scene) -> dict[str, int]:
    return {"l": 46, "r": 10, "t": 10, "b": 36} if scene.compact else {"l": 66, "r": 16, "t": 14, "b": 50}


def axis(scene: Scene, title: str, **more: Any) -> dict[str, Any]:
    """An axis with a title (give the unit in it)."""
    style = {
        "title": {
            "text": title,
            "standoff": 4 if scene.compact else 8,
            "font": {"size": font_size(scene) + 1},
        },
        "gridcolor": scene.theme.grid,
        "linecolor": scene.theme.line,
        "tickcolor": scene.theme.line,
        "showline": True,
        "zeroline": False,
        "zerolinecolor": scene.theme.line,
        "ticks": "outside",
        "ticklabeloverflow": "allow",  # hiding them costs plotly a measurement of every label at every draw
        "ticklen": 3,
        "nticks": 6 if scene.compact else 10,
    }
    return {**style, **more}


def log_axis(scene: Scene, title: str, values: np.ndarray) -> dict[str, Any]:
    """A logarithmic axis over the positive `values`, decades as 10^n."""
    positive = values[np.isfinite(values) & (values > 0)]
    low, high = (np.log10(positive.min()), np.log10(positive.max())) if positive.size else (0.0, 1.0)
    pad = max(0.04 * (high - low), 0.02)
    style: dict[str, Any] = {"type": "log", "range": [low - pad, high + pad], "exponentformat": "power"}
    if high - low > 2:
        style["dtick"] = max(1, int(np.ceil((high - low) / (5 if scene.compact else 8))))
        style["tickfont"] = {"size": 0.8 * font_size(scene)}  # plotly enlarges powers by a quarter
    else:
        style.update(tickformat="~g", **({"dtick": "D2"} if high - low > 0.6 else {"nticks": 5}))
    return axis(scene, title, **style)


def time_axis(scene: Scene, epochs: np.ndarray) -> dict[str, Any]:
    """The epoch axis over `epochs`, at their true positions."""
    low, high = (float(epochs.min()), float(epochs.max())) if len(epochs) else (0.0, 1.0)
    pad = 0.01 * (high - low) or 1.0
    return axis(
        scene, "epoch", range=[low - pad, high + pad], tickformat="~s" if scene.compact else ",d", nticks=6
    )


def frequency_axis(scene: Scene, count: int, **more: Any) -> dict[str, Any]:
    """An axis of frequencies k = 1..count."""
    step = next(
        step for step in (1, 2, 5, 10, 20, 50, 100, 500) if count / step <= (6 if scene.compact else 12)
    )
    style = {"range": [0.5, count + 0.5], "tick0": 0, "dtick": step, "showgrid": False}
    return axis(scene, "frequency k", **{**style, **more})


def layout(
    scene: Scene, x: Mapping[str, Any], y: Mapping[str, Any], *, right: int = 0, top: int = 0, **more: Any
) -> dict[str, Any]:
    """Layout with both axes, the theme's fonts and colours, and margins.

    `right` and `top` are pixels beyond the least margin; `more` goes into the layout as it is.
    """
    theme, size = scene.theme, font_size(scene)
    margin = _margin(scene)
    if y.get("type") == "log":
        margin["l"] += 8
    margin = {**margin, "r": margin["r"] + right, "t": margin["t"] + top, "pad": 0}
    return {
        "xaxis": dict(x),
        "yaxis": dict(y),
        "margin": margin,
        "paper_bgcolor": theme.background,
        "plot_bgcolor": theme.background,
        "font": {"family": FONT, "size": size, "color": theme.muted},
        "hoverlabel": {
            "font": {"family": FONT, "size": size + 1, "color": theme.text},
            "bgcolor": theme.background,
            "bordercolor": theme.line,
            "align": "left",
        },
        "hovermode": "closest",
        "showlegend": False,
        "dragmode": "zoom",
        "shapes": [],
        "annotations": [],
        **more,
    }


def message(scene: Scene, text: str) -> Figure:
    """A figure that has nothing to draw and says why."""
    hidden = {"visible": False, "title": {"text": ""}}
    plain = layout(scene, hidden, hidden)
    plain["annotations"] = [note(scene, text, x=0.5, y=0.5, xanchor="center", yanchor="middle")]
    return {"data": [], "layout": plain}


def swatch(colour: str) -> str:
    """A small square of `colour` for use inside a text, whose own colour stays readable."""
    return f"<span style='color:{colour}'>■</span>"


def note(scene: Scene, text: str, **place: Any) -> dict[str, Any]:
    """A small text; `place` gives x, y in fractions of the plotting area unless it says otherwise."""
    style = {
        "text": text,
        "showarrow": False,
        "xref": "paper",
        "yref": "paper",
        "font": {"size": font_size(scene), "color": scene.theme.muted},
    }
    return {**style, **place}


def above(scene: Scene, text: str, x: float = 1.0, xanchor: str = "right", **more: Any) -> dict[str, Any]:
    """A small text above the plotting area (leave room with `layout(top=...)`)."""
    place = {"x": x, "y": 1.0, "xanchor": xanchor, "yanchor": "bottom", "yshift": 2}
    return note(scene, text, **{**place, **more})


def line(
    x: np.ndarray,
    y: np.ndarray,
    *,
    name: str,
    colour: str,
    hover: str,
    payload: Mapping[str, Where],
    customdata: np.ndarray | None = None,
    markers: bool = False,
    dash: str = "solid",
    width: float = 1.6,
    **more: Any,
) -> Trace:
    """A curve, decimated if it is long. `hover` is plotly's template of one point."""
    kept = decimate(np.asarray(y, dtype=float))
    trace: Trace = {
        "type": "scatter",
        "mode": "lines+markers" if markers else "lines",
        "name": name,
        "x": np.asarray(x)[kept],
        "y": np.asarray(y)[kept],
        "line": {"color": colour, "width": width, "dash": dash},
        "marker": {"size": 4, "color": colour},
        "hovertemplate": f"{hover}<extra></extra>",
        "meta": {"payload": dict(payload)},
    }
    if customdata is not None:
        trace["customdata"] = np.asarray(customdata)[kept]
    return {**trace, **more}


def heatmap(
    scene: Scene,
    x: np.ndarray,
    y: np.ndarray,
    z: np.ndarray,
    *,
    unit: str,
    hover: str,
    payload: Mapping[str, Where],
    limits: tuple[float, float],
    kind: str = "sequential",
    **more: Any,
) -> Trace:
    """Cells z [len(y), len(x)] centred at x and y, with a colour bar; unequal spacing gives unequal cells."""
    low, high = limits
    return {
        "type": "heatmap",
        "x": np.asarray(x),
        "y": np.asarray(y),
        "z": np.asarray(z, dtype="float32"),
        "zmin": low,
        "zmax": high if high > low else low + 1.0,
        "colorscale": scene.theme.scale(kind),
        "colorbar": colorbar(scene, unit),
        "hovertemplate": f"{hover}<extra></extra>",
        "meta": {"payload": dict(payload)},
        **more,
    }


def colorbar(scene: Scene, unit: str) -> dict[str, Any]:
    """A narrow colour bar; `unit` says what the colours measure."""
    size = font_size(scene)
    return {
        "title": {"text": unit, "side": "right", "font": {"size": size}},
        "thickness": 7 if scene.compact else 10,
        "nticks": 4 if scene.compact else 6,
        "tickfont": {"size": size - 1},
        "ticklabeloverflow": "allow",
        "outlinewidth": 0,
        "xpad": 6,
        "ypad": 0,
        "exponentformat": "power",
    }


def framed(axis_: Mapping[str, Any], scene: Scene) -> dict[str, Any]:
    """The axis drawn on both sides, for heatmaps whose low cells have the colour of the background."""
    return {**axis_, "mirror": True, "showgrid": False, "linecolor": scene.theme.line}


def end_labels(scene: Scene, labels: Sequence[Label], y_axis: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Labels at the right edge beside the last values, pushed apart vertically where they would overlap.

    `y_axis` must have a `range` (in decades for a logarithmic axis).
    """
    low, high = y_axis["range"]
    logarithmic = y_axis.get("type") == "log"
    height, gap = plot_size(scene)[1], font_size(scene) * 1.2
    usable = [label for label in labels if np.isfinite(label.y) and (label.y > 0 or not logarithmic)]
    if not usable:
        return []
    usable = sorted(usable, key=lambda label: label.y, reverse=True)[::-1]  # ties: the first one on top
    values = [float(np.log10(label.y)) if logarithmic else float(label.y) for label in usable]
    wanted = np.array([(value - low) / ((high - low) or 1) * height for value in values])
    placed = spread(wanted, np.full(len(wanted), gap), 0.0, height)
    return [
        {
            "text": label.text,
            "showarrow": False,
            "xref": "paper",
            "yref": "y",
            "x": 1.0,
            "y": value,
            "xanchor": "left",
            "yanchor": "middle",
            "xshift": 4,
            "yshift": float(place - want),
            "font": {"size": font_size(scene), "color": label.colour},
        }
        for label, value, want, place in zip(usable, values, wanted, placed, strict=True)
    ]


def spread(wanted: np.ndarray, sizes: np.ndarray, low: float, high: float) -> np.ndarray:
    """Centres [n] of labels of `sizes` [n] that do not overlap, near to the ascending `wanted`.

    Least squares: with the room that the labels before each one need taken off, the centres only have to be
    in order, which is isotonic regression (pooling neighbours). They stay within [low, high] while that has
    room, and grow beyond `high` if it has not.
    """
    needed = np.concatenate([[0.0], np.cumsum((sizes[:-1] + sizes[1:]) / 2)])
    pools: list[tuple[float, int]] = []  # (mean, count)
    for place in wanted - needed:
        pools.append((float(place), 1))
        while len(pools) > 1 and pools[-1][0] < pools[-2][0]:
            (first, first_count), (second, second_count) = pools[-2:]
            total = first_count + second_count
            pools[-2:] = [((first * first_count + second * second_count) / total, total)]
    fitted = np.concatenate([np.full(count, mean) for mean, count in pools])
    return np.clip(fitted, low, max(high - needed[-1], low)) + needed


def mark_events(scene: Scene, figure_layout: dict[str, Any], *, rail: bool = False) -> None:
    """Draw the scene's events into a layout with a time axis: intervals, and their names above the plot.

    With `rail` the intervals lie on the upper edge, so that they cover no cell of a heatmap. Names that would
    overlap are moved apart, and take two lines where one has no room for all of them.
    """
    low, high = figure_layout["xaxis"]["range"]
    shown = [event for event in scene.events if event.high >= low and event.low <= high]
    for event in shown:
        figure_layout["shapes"].append(
            {
                "type": "rect",
                "xref": "x",
                "yref": "paper",
                "x0": event.low,
                "x1": event.high,
                "y0": 1.0 if rail else 0.0,
                "y1": 1.018 if rail else 1.0,
                "fillcolor": translucent(scene.theme.event, 0.8 if rail else 0.10),
                "line": {"width": 1, "color": translucent(scene.theme.event, 0.8 if rail else 0.35)},
                "layer": "above" if rail else "below",
            }
        )
    if not shown:
        return
    margin, line_height = figure_layout["margin"], font_size(scene) + 1
    least = _margin(scene)
    width = plot_size(scene, right=margin["r"] + margin["l"] - least["r"] - least["l"])[0]
    centres = np.array([(event.low + event.high) / 2 for event in shown])
    wanted = (centres - low) / ((high - low) or 1) * width
    sizes = np.array([0.6 * (font_size(scene) - 1) * len(event.label) + 9 for event in shown])
    lines = 1 if sizes.sum() <= width else 2
    margin["t"] += (8 if scene.compact else 10) + (lines - 1) * line_height
    lowest = 1 if not rail else 4 if scene.compact else 8
    for first in range(lines):
        own = slice(first, None, lines)
        placed = spread(wanted[own], sizes[own], sizes[own][0] / 2, width - sizes[own][-1] / 2)
        for event, centre, shift in zip(shown[own], centres[own], placed - wanted[own], strict=True):
            place = {"xref": "x", "x": float(centre), "y": 1.0, "xanchor": "center", "yanchor": "bottom"}
            raised = lowest + first * line_height
            font = {"size": font_size(scene) - 1, "color": scene.theme.event}
            figure_layout["annotations"].append(
                note(scene, event.label, **place, xshift=float(shift), yshift=raised, font=font)
            )


def time_figure(
    scene: Scene,
    epochs: np.ndarray,
    traces: Sequence[Trace],
    y: Mapping[str, Any],
    labels: Sequence[Label],
    **more: Any,
) -> Figure:
    """Curves over epochs with their direct labels and the run's events; `more` goes to `layout`."""
    built = layout(scene, time_axis(scene, epochs), y, **more)
    built["annotations"] += end_labels(scene, labels, y)
    mark_events(scene, built)
    return {"data": list(traces), "layout": built}


def history_heatmap(
    scene: Scene,
    epochs: np.ndarray,
    values: np.ndarray,
    *,
    unit: str,
    limits: tuple[float, float],
    kind: str = "sequential",
) -> Figure:
    """Frequency (rows k = 1..K) by epoch: `values` [epoch, freq], in the theme's scale of that `kind`."""
    count = values.shape[1]
    trace = heatmap(
        scene,
        epochs,
        np.arange(1, count + 1),
        values.T,
        unit=unit,
        hover=f"epoch %{{x:,d}}<br>k = %{{y}}<br>{unit} %{{z:.3f}}",
        payload={"epoch": "x", "frequency": "y"},
        limits=limits,
        kind=kind,
    )
    x = framed({**time_axis(scene, epochs), "range": cell_range(epochs)}, scene)
    built = layout(scene, x, framed(frequency_axis(scene, count), scene), right=48 if scene.compact else 62)
    mark_events(scene, built, rail=True)
    return {"data": [trace], "layout": built}


def cell_range(epochs: np.ndarray) -> list[float]:
    """From the left edge of the first cell to the right edge of the last."""
    if len(epochs) < 2:
        centre = float(epochs[0])
        return [centre - 0.5, centre + 0.5]
    first, last = float(epochs[1] - epochs[0]) / 2, float(epochs[-1] - epochs[-2]) / 2
    return [float(epochs[0]) - first, float(epochs[-1]) + last]
