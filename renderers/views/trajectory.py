"""The path of the parameters through training."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from renderers.catalog import Figure, Parameter, View
from renderers.figure import (
    Label,
    Trace,
    axis,
    colorbar,
    end_labels,
    font_size,
    layout,
    line,
    log_axis,
    message,
    plot_size,
    time_figure,
)
from renderers.source import Event, Scene, Source

_GROUPS = ("all", "embedding", "attention", "mlp", "W_U")
_GROUP = Parameter("all", _GROUPS, "Parameters")


def _path(source: Source) -> xr.Dataset:
    data = source.artifact("parameter_pca")[["projection", "explained_variance_ratio"]]
    return source.select(data, "group", source.params["group"])


def _draw_path(data: xr.Dataset, scene: Scene) -> Figure:
    first, second = (int(number) for number in scene.params["axes"].split("-"))
    epochs = data["epoch"].values
    known = data["component"].values.tolist()
    if len(epochs) < 2 or second not in known:
        return message(scene, "A trajectory needs more checkpoints than the axes asked for.")
    x, y = (data["projection"].sel(component=number).values.astype(float) for number in (first, second))
    if not (np.isfinite(x).all() and np.isfinite(y).all()):
        return message(scene, "These parameters did not move, so there is no trajectory.")
    ratio = {
        number: float(data["explained_variance_ratio"].sel(component=number)) for number in (first, second)
    }
    theme = scene.theme
    trace: Trace = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "trajectory",
        "x": x,
        "y": y,
        "customdata": epochs,
        "line": {"color": theme.line, "width": 1.2},
        "marker": {
            "size": 6 if scene.compact else 8,
            "color": epochs,
            "colorscale": theme.scale("time"),
            "colorbar": {**colorbar(scene, "epoch"), "tickformat": "~s"},
            "line": {"width": 0.5, "color": theme.background},
        },
        "hovertemplate": "epoch %{customdata:,d}"
        f"<br>PC{first} %{{x:.3f}}<br>PC{second} %{{y:.3f}}<extra></extra>",
        "meta": {"payload": {"epoch": "customdata"}},
    }
    ends: Trace = {
        "type": "scatter",
        "mode": "markers",
        "name": "start and end",
        "x": x[[0, -1]],
        "y": y[[0, -1]],
        "customdata": epochs[[0, -1]],
        "marker": {
            "size": 12 if scene.compact else 15,
            "symbol": ["circle-open", "square-open"],
            "color": theme.text,
            "line": {"width": 1.6},
        },
        "hovertemplate": "epoch %{customdata:,d}<extra></extra>",
        "meta": {"payload": {"epoch": "customdata"}},
    }
    unit = "" if scene.compact else " (parameter units)"
    titles = {number: f"PC{number}{unit} · {share:.1%} of total variance" for number, share in ratio.items()}
    room = 0.25  # for the names; without a range plotly would zoom out to fit them
    ranges = [
        [values.min() - room * np.ptp(values), values.max() + room * np.ptp(values)] for values in (x, y)
    ]
    horizontal = axis(scene, titles[first], range=ranges[0])
    vertical = axis(scene, titles[second], range=ranges[1], scaleanchor="x", scaleratio=1)
    built = layout(scene, horizontal, vertical, right=44 if scene.compact else 58)
    built["annotations"] = _landmarks(scene, epochs, x, y)
    return {"data": [trace, ends], "layout": built}


def _landmarks(scene: Scene, epochs: np.ndarray, x: np.ndarray, y: np.ndarray) -> list[dict[str, Any]]:
    """Names at the first and last point and at the checkpoint where each event had happened."""
    named: dict[int, list[str]] = {0: [f"epoch {int(epochs[0]):,}"]}
    named.setdefault(len(epochs) - 1, []).append(f"epoch {int(epochs[-1]):,}")
    for event in scene.events:
        named.setdefault(_checkpoint_after(event, epochs), []).append(event.label)
    extent = max(float(np.nanmax(x) - np.nanmin(x)), float(np.nanmax(y) - np.nanmin(y))) or 1.0
    merged: list[tuple[int, list[str]]] = []
    for index in sorted(named):
        near = [
            entry
            for entry in merged
            if np.hypot(x[entry[0]] - x[index], y[entry[0]] - y[index]) < 0.07 * extent
        ]
        if near:
            near[0][1].extend(named[index])
        else:
            merged.append((index, list(named[index])))
    notes = []
    for index, texts in merged:
        letters = max(len(text) for text in texts)
        length = 0.6 * font_size(scene) * letters / min(plot_size(scene)) * 1.5 * extent
        across, up = _outward(x, y, index, extent, length)
        ends = index in (0, len(epochs) - 1)
        notes.append(
            {
                "text": "<br>".join(texts),
                "x": float(x[index]),
                "y": float(y[index]),
                "showarrow": True,
                "arrowhead": 0,
                "arrowwidth": 0.8,
                "arrowcolor": scene.theme.muted,
                "standoff": 5,
                "ax": 24 * across,
                "ay": -24 * up,
                "xanchor": "left" if across > 0.4 else "right" if across < -0.4 else "center",
                "yanchor": "bottom" if up > 0.8 else "top" if up < -0.8 else "middle",
                "font": {
                    "size": font_size(scene),
                    "color": scene.theme.text if ends else scene.theme.event,
                },
            }
        )
    return notes


def _outward(x: np.ndarray, y: np.ndarray, index: int, extent: float, length: float) -> tuple[float, float]:
    """Unit vector at a point of the path towards where it leaves most room and a name of that length fits."""
    angles = np.arange(16) * np.pi / 8
    reach = 0.12 * extent
    tips = np.stack([x[index] + reach * np.cos(angles), y[index] + reach * np.sin(angles)], axis=1)
    dense = np.linspace(0, len(x) - 1, 20 * len(x))
    path = np.stack([np.interp(dense, np.arange(len(x)), values) for values in (x, y)], axis=1)
    room = np.linalg.norm(tips[:, None] - path[None], axis=2).min(axis=1)
    side = np.where(np.abs(np.cos(angles)) > 0.4, np.sign(np.cos(angles)), 0.0)
    left, right = tips[:, 0] - length * (1 - side) / 2, tips[:, 0] + length * (1 + side) / 2
    over = np.maximum(np.nanmin(x) - 0.25 * np.ptp(x) - left, right - np.nanmax(x) - 0.25 * np.ptp(x))
    room = np.where(over > 0, -over, room)
    best = float(angles[int(np.argmax(np.round(room / extent, 6)))])
    return float(np.cos(best)), float(np.sin(best))


def _checkpoint_after(event: Event, epochs: np.ndarray) -> int:
    """Index of the first checkpoint at or after the event (the last one if there is none)."""
    return min(int(np.searchsorted(epochs, event.high)), len(epochs) - 1)


def _variance(source: Source) -> xr.Dataset:
    return source.artifact("parameter_pca")[["explained_variance_ratio"]]


def _draw_variance(data: xr.Dataset, scene: Scene) -> Figure:
    components = data["component"].values
    ratios = data["explained_variance_ratio"]
    if not np.isfinite(ratios.values).any():
        return message(scene, "A principal-component analysis needs at least two checkpoints.")
    traces, labels = [], []
    for index, group in enumerate(data["group"].values.tolist()):
        values = np.nancumsum(ratios.sel(group=group).values)
        colour = scene.theme.series[index % len(scene.theme.series)]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": group,
                "x": components,
                "y": values,
                "customdata": ratios.sel(group=group).values,
                "line": {"color": colour, "width": 1.6},
                "marker": {"size": 5, "color": colour},
                "hovertemplate": f"{group}<br>PC%{{x}} alone %{{customdata:.1%}}"
                "<br>up to PC%{x} %{y:.1%}<extra></extra>",
            }
        )
        labels.append(Label(float(values[-1]), group, colour))
    finite = np.nancumsum(ratios.transpose("group", "component").values, axis=1)
    y = axis(
        scene,
        "share of total variance, cumulated",
        range=[max(0.0, float(finite.min()) - 0.05), 1.02],
        tickformat=".0%",
    )
    x = axis(scene, "principal components", dtick=1, range=[components[0] - 0.3, components[-1] + 0.3])
    built = layout(scene, x, y, right=58 if scene.compact else 72)
    built["annotations"] += end_labels(scene, labels, y)
    return {"data": traces, "layout": built}


def _velocity(source: Source) -> xr.Dataset:
    return source.artifact("parameter_pca")[["velocity"]]


def _draw_velocity(data: xr.Dataset, scene: Scene) -> Figure:
    epochs, velocity = data["epoch"].values, data["velocity"].transpose("group", "epoch").values
    if not (velocity > 0).any():
        return message(scene, "Velocity needs at least two checkpoints between which the parameters moved.")
    before = np.concatenate([[np.nan], epochs[:-1]])
    traces, labels = [], []
    for index, group in enumerate(data["group"].values.tolist()):
        colour = scene.theme.series[index % len(scene.theme.series)]
        traces.append(
            line(
                epochs,
                velocity[index],
                name=group,
                colour=colour,
                hover=f"{group}<br>%{{y:.3g}} per epoch<br>mean over epochs %{{customdata:,d}} to %{{x:,d}}",
                payload={"epoch": "x"},
                customdata=before,
            )
        )
        traces[-1]["line"]["shape"] = "vh"
        labels.append(Label(float(velocity[index, -1]), group, colour))
    y = log_axis(scene, "‖Δ parameters‖ per epoch", velocity)
    return time_figure(scene, epochs, traces, y, labels, right=58 if scene.compact else 72)


VIEWS = (
    View(
        name="parameter_pca",
        title="Parameter trajectory",
        group="trajectory",
        order=1,
        blurb="The checkpoints of one group of parameters on their principal components, joined in time"
        " order, on equal scales. Smooth paths look curved in such projections even for random walks:"
        " read shape with care.",
        data=_path,
        draw=_draw_path,
        needs=("parameter_pca",),
        optional=("turn",),
        marks=("epoch",),
        shape="square",
        parameters={"group": _GROUP, "axes": Parameter("1-2", ("1-2", "1-3", "2-3"), "Components")},
    ),
    View(
        name="parameter_pca_variance",
        title="Variance explained",
        group="trajectory",
        order=2,
        blurb="How much of the total variance over checkpoints the first principal components hold, per"
        " parameter group.",
        data=_variance,
        draw=_draw_variance,
        needs=("parameter_pca",),
    ),
    View(
        name="parameter_velocity",
        title="Parameter velocity",
        group="trajectory",
        order=3,
        blurb="Distance between neighbouring checkpoints divided by the epochs between them, so each step"
        " is a mean over its interval. Unequal intervals are not comparable in detail: a long one"
        " averages wiggles away.",
        data=_velocity,
        draw=_draw_velocity,
        needs=("parameter_pca",),
        optional=("turn",),
        marks=("epoch",),
    ),
)
