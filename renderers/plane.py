"""The path of a run in a plane: points in time order, their ends and events named, on equal scales."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import xarray as xr

from analyzers.random_paths import random_walk_shares
from renderers.catalog import Figure
from renderers.figure import Trace, axis, colorbar, font_size, layout, message, plot_size
from renderers.source import Event, Scene


class Place(NamedTuple):
    """A named place in the plane."""

    x: float
    y: float
    text: str
    colour: str


def path_trace(
    scene: Scene, name: str, epochs: np.ndarray, x: np.ndarray, y: np.ndarray, hover: str
) -> Trace:
    """A path in a plane, a point per epoch in the colour of its time; a click sets the epoch."""
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": x,
        "y": y,
        "customdata": epochs,
        "line": {"color": scene.theme.line, "width": 1.2},
        "marker": {
            "size": 6 if scene.compact else 8,
            "color": epochs,
            "colorscale": scene.theme.scale("time"),
            "colorbar": {**colorbar(scene, "epoch"), "tickformat": "~s"},
            "line": {"width": 0.5, "color": scene.theme.background},
        },
        "hovertemplate": f"epoch %{{customdata:,d}}<br>{hover}<extra></extra>",
        "meta": {"payload": {"epoch": "customdata"}},
    }


def plane_figure(
    data: xr.Dataset, scene: Scene, axes: str, extra: Sequence[Trace] = (), named: Sequence[Place] = ()
) -> Figure:
    """`projection` [epoch, component] on the components named by `axes` ("2-3"), with
    `explained_variance_ratio`.

    `extra` is drawn between the path and its ends; `named` places get their texts.
    """
    first, second = (int(number) for number in axes.split("-"))
    placed = points(data, (first, second))
    if len(placed.epochs) < 2:
        return message(scene, placed.problem)
    epochs, (x, y) = placed.epochs, placed.coordinates
    theme = scene.theme
    trace = path_trace(scene, "trajectory", epochs, x, y, f"PC{first} %{{x:.3f}}<br>PC{second} %{{y:.3f}}")
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
    titles = component_titles(scene, data, epochs, (first, second))
    room = 0.25  # for the names; without a range plotly would zoom out to fit them
    ranges = [
        [values.min() - room * np.ptp(values), values.max() + room * np.ptp(values)] for values in (x, y)
    ]
    horizontal = axis(scene, titles[first], range=ranges[0])
    vertical = axis(scene, titles[second], range=ranges[1], scaleanchor="x", scaleratio=1)
    built = layout(scene, horizontal, vertical, right=44 if scene.compact else 58)
    built["annotations"] = _names(scene, x, y, [*_landmarks(scene, epochs, x, y), *named])
    return {"data": [trace, *extra, ends], "layout": built}


class Placed(NamedTuple):
    """Points with finite coordinates: their epochs, and one array per component."""

    epochs: np.ndarray
    coordinates: tuple[np.ndarray, ...]

    @property
    def problem(self) -> str:
        """Why there is nothing to draw."""
        return "Too few checkpoints, or the parameters did not move: no trajectory in these components."


def points(data: xr.Dataset, components: Sequence[int]) -> Placed:
    """The checkpoints with finite `projection` on all of these components (none if one does not exist)."""
    if not set(components) <= set(data["component"].values.tolist()):
        return Placed(np.zeros(0, dtype=int), tuple(np.zeros(0) for _ in components))
    found = data["projection"].sel(component=list(components)).transpose("component", "epoch").values
    known = np.isfinite(found).all(axis=0) & bool(np.isfinite(data["explained_variance_ratio"].values[0]))
    return Placed(data["epoch"].values[known], tuple(found[:, known].astype(float)))


def component_titles(
    scene: Scene, data: xr.Dataset, epochs: np.ndarray, components: Sequence[int]
) -> dict[int, str]:
    """Component -> title of its axis, with its share of the variance beside a random walk's."""
    walk = random_walk_shares(epochs, max(components))
    titles = {}
    for number in components:
        share = float(data["explained_variance_ratio"].sel(component=number))
        null = float(walk[number - 1])
        titles[number] = (
            f"PC{number} · {share:.1%} (random walk {null:.1%})"
            if scene.compact
            else f"PC{number} (parameter units) · {share:.1%} of total variance, random walk {null:.1%}"
        )
    return titles


def _landmarks(scene: Scene, epochs: np.ndarray, x: np.ndarray, y: np.ndarray) -> list[Place]:
    """Names at the first and last point and at the checkpoint where each event had happened."""
    named: dict[int, list[str]] = {0: [f"epoch {int(epochs[0]):,}"]}
    named.setdefault(len(epochs) - 1, []).append(f"epoch {int(epochs[-1]):,}")
    for event in scene.events:
        named.setdefault(checkpoint_after(event, epochs), []).append(event.label)
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
    places = []
    for index, texts in merged:
        colour = scene.theme.text if index in (0, len(epochs) - 1) else scene.theme.event
        places.append(Place(float(x[index]), float(y[index]), "<br>".join(texts), colour))
    return places


def _names(scene: Scene, x: np.ndarray, y: np.ndarray, places: Sequence[Place]) -> list[dict[str, Any]]:
    """The texts of places beside the path x, y, each where the path and the texts before it leave room."""
    notes, taken = [], np.zeros((0, 2))
    for place in places:
        note, covered = _named(scene, x, y, place, taken)
        notes.append(note)
        taken = np.concatenate([taken, covered])
    return notes


def _named(
    scene: Scene, x: np.ndarray, y: np.ndarray, place: Place, taken: np.ndarray
) -> tuple[dict[str, Any], np.ndarray]:
    """The text of a place, where the path x, y and the points `taken` [n, 2] leave most room, and points
    that it covers."""
    extent = max(float(np.ptp(x)), float(np.ptp(y))) or 1.0
    letters = max(map(len, place.text.split("<br>")))
    length = 0.6 * font_size(scene) * letters / min(plot_size(scene)) * 1.5 * extent
    across, up, covered = _outward(x, y, place, extent, length, taken)
    note = {
        "text": place.text,
        "x": place.x,
        "y": place.y,
        "showarrow": True,
        "arrowhead": 0,
        "arrowwidth": 0.8,
        "arrowcolor": scene.theme.muted,
        "standoff": 5,
        "ax": 24 * across,
        "ay": -24 * up,
        "xanchor": "left" if across > 0.4 else "right" if across < -0.4 else "center",
        "yanchor": "bottom" if up > 0.8 else "top" if up < -0.8 else "middle",
        "font": {"size": font_size(scene), "color": place.colour},
    }
    return note, covered


def _outward(
    x: np.ndarray, y: np.ndarray, place: Place, extent: float, length: float, taken: np.ndarray
) -> tuple[float, float, np.ndarray]:
    """Unit vector at a place towards where it leaves most room and a name of that length fits, and points of
    that name."""
    angles = np.arange(16) * np.pi / 8
    reach = 0.12 * extent
    tips = np.stack([place.x + reach * np.cos(angles), place.y + reach * np.sin(angles)], axis=1)
    dense = np.linspace(0, len(x) - 1, 20 * len(x))
    path = np.stack([np.interp(dense, np.arange(len(x)), values) for values in (x, y)], axis=1)
    room = np.linalg.norm(tips[:, None] - path[None], axis=2).min(axis=1)
    side = np.where(np.abs(np.cos(angles)) > 0.4, np.sign(np.cos(angles)), 0.0)
    left, right = tips[:, 0] - length * (1 - side) / 2, tips[:, 0] + length * (1 + side) / 2
    over = np.maximum(np.nanmin(x) - 0.25 * np.ptp(x) - left, right - np.nanmax(x) - 0.25 * np.ptp(x))
    along = left[:, None] + (right - left)[:, None] * np.linspace(0, 1, 7)
    names = np.stack([along, np.broadcast_to(tips[:, 1:], along.shape)], axis=2)
    if len(taken):
        apart = np.linalg.norm(names[:, :, None] - taken, axis=3).min(axis=(1, 2))
        room = np.minimum(room, apart)
    room = np.where(over > 0, -over, room)
    best = int(np.argmax(np.round(room / extent, 6)))
    return float(np.cos(angles[best])), float(np.sin(angles[best])), names[best]


def checkpoint_after(event: Event, epochs: np.ndarray) -> int:
    """Index of the first checkpoint at or after the event (the last one if there is none)."""
    return min(int(np.searchsorted(epochs, event.high)), len(epochs) - 1)
