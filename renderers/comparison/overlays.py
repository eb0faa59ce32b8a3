"""How curves of several variants are drawn: by variant or by group, with bands, a table of times each."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from renderers.catalog import Figure
from renderers.comparison.cohort import CohortScene, left_out
from renderers.comparison.colours import BY_VARIANT, is_scale
from renderers.comparison.drawing import as_scene
from renderers.comparison.time_axes import (
    LANDMARKS,
    mark_landmarks,
    shortened,
    time_axis,
    times,
    told_apart,
    value_axis,
    wrapped,
)
from renderers.curves import band
from renderers.decimate import decimate_along
from renderers.figure import (
    Label,
    Trace,
    above,
    end_labels,
    layout,
    message,
    plot_size,
    swatch,
)
from renderers.source import Scene

NAMED = 8  # curves or groups that are named beside the plot
POINTS = 60_000  # of all curves of a figure together


def draw_overlay(data: xr.Dataset, scene: CohortScene) -> Figure:
    """Every curve in the colour of its variant or group; thin behind the bands, if there are any."""
    base = as_scene(scene)
    names = data["variant"].values.tolist()
    if not names:
        left = left_out(data)
        why = f" {left[0][0]}: {left[0][1]}." if left else ""
        return message(base, f"None of the {len(left)} variants can be shown.{why}")
    banded = "median" in data
    seen = np.concatenate([data["y"].values, data["upper"].values.ravel()] if banded else [data["y"].values])
    x = time_axis(base, scene.align, _shown_times(data, scene.align))
    y = value_axis(base, data.attrs, seen)
    labels = _labels(data, scene, banded)
    letters = max(
        (len(label.text.split("> ")[-1]) + 2 * ("<span" in label.text) for label in labels), default=0
    )
    says = _says(data, scene, banded)
    top = 16 + 14 * says.count("<br>")
    built = layout(base, x, y, right=int(letters * (6.2 if scene.compact else 7.0)) + 4, top=top)
    traces = list(_bands(data, scene)) if banded else []
    # Thin curves lie under the bands, so that the medians can be read.
    traces = [*_curves(data, scene, faint=banded), *traces]
    built["annotations"] += end_labels(_lower(base, top), labels, y)
    mark_landmarks(base, built, scene.align)
    built["annotations"].append(above(base, says, x=0.0, xanchor="left", align="left"))
    built["meta"] = {"times": times(data)}
    return {"data": traces, "layout": built}


def _lower(scene: Scene, by: int) -> Scene:
    """The scene with that much less height, which texts above the plot take."""
    return scene if scene.size is None else replace(scene, size=(scene.size[0], scene.size[1] - by))


def _shown_times(data: xr.Dataset, align: str) -> np.ndarray:
    """The aligned times that the axis shows at first: where runs are set to their turn, those that turned
    very early would press all others together, so it ends where nine in ten have ended."""
    x = data["x"].values
    if align not in LANDMARKS or data.sizes["variant"] <= NAMED:
        return x
    ends = x[np.cumsum(data["points"].values) - 1]
    return x[x <= np.quantile(ends, 0.9)]


def _curves(data: xr.Dataset, scene: CohortScene, faint: bool) -> Iterator[Trace]:
    names = data["variant"].values.tolist()
    width = plot_size(as_scene(scene))[0]
    limit = max(200, min(2 * width, POINTS // len(names)))
    crowded = len(names) > NAMED
    style = {"opacity": 0.28} if faint else {"opacity": 0.8} if crowded else {}
    ends = np.cumsum(data["points"].values)
    columns = [data[name].values for name in ("x", "y", "epoch")]
    for name, drawn, count, end in zip(
        names, data["drawn"].values.tolist(), data["points"].values, ends, strict=True
    ):
        x, y, epoch = (column[end - count : end] for column in columns)
        kept = decimate_along(x, y, limit)
        colour = scene.colours[name]
        yield {
            "type": "scatter",
            "mode": "lines+markers" if count <= 40 and not crowded else "lines",
            "name": name,
            "x": x[kept],
            "y": y[kept],
            "customdata": np.rint(epoch[kept]).astype(np.int64),
            "line": {"color": colour, "width": 1.1 if crowded or faint else 1.7, "shape": data.attrs["hold"]},
            "marker": {"size": 4, "color": colour},
            "hovertemplate": f"{shortened(name, 40)}<br>{drawn} %{{y:.3g}}<br>epoch %{{customdata:,d}}"
            "<extra></extra>",
            "meta": {"payload": {"variant": {"value": name}, "epoch": "customdata"}, "together": True},
            **style,
        }


def _bands(data: xr.Dataset, scene: CohortScene) -> Iterator[Trace]:
    grid = data["time"].values
    for index, group in enumerate(data["group"].values.tolist()):
        colour = _group_colour(data, scene, group)
        lower, median, upper = (data[name].values[index] for name in ("lower", "median", "upper"))
        yield band(grid, lower, upper, colour)
        yield {
            "type": "scatter",
            "mode": "lines",
            "name": f"median of {_group_name(scene, group)}",
            "x": grid,
            "y": median,
            "customdata": data["count"].values[index],
            "line": {"color": colour, "width": 2.4},
            "hovertemplate": f"{_group_name(scene, group)}<br>median %{{y:.3g}} of %{{customdata}} runs"
            "<extra></extra>",
        }


def _group_name(scene: CohortScene, group: str) -> str:
    return f"{group} variants" if scene.colour_by == BY_VARIANT else f"{scene.colour_by} {group}"


def _group_colour(data: xr.Dataset, scene: CohortScene, group: str) -> str:
    if scene.colour_by == BY_VARIANT:
        return scene.theme.text
    return next(
        scene.colours[name] for name in data["variant"].values.tolist() if scene.groups[name] == group
    )


def _labels(data: xr.Dataset, scene: CohortScene, banded: bool) -> list[Label]:
    """Names beside the last values: of groups where there are bands or many curves, else of variants."""
    names = data["variant"].values.tolist()
    if banded:
        return _group_labels(data, scene)
    last = _last_values(data)
    if len(names) <= NAMED:
        return [
            Label(last[name], f"{swatch(scene.colours[name])} {short}", scene.theme.text)
            for name, short in told_apart(names).items()
        ]
    groups: dict[str, list[str]] = {}
    for name in names:
        groups.setdefault(scene.groups[name], []).append(name)
    if scene.colour_by == BY_VARIANT or len(groups) > NAMED:
        return []
    return [
        Label(
            _middle([last[name] for name in members]),
            f"{swatch(scene.colours[members[0]])} {scene.colour_by} {shortened(group, 14)}",
            scene.theme.text,
        )
        for group, members in groups.items()
    ]


def _group_labels(data: xr.Dataset, scene: CohortScene) -> list[Label]:
    """The groups beside the ends of their medians, or of their few curves where they have no median."""
    labels, last = [], _last_values(data)
    for index, group in enumerate(data["group"].values.tolist()):
        median = data["median"].values[index]
        known = median[np.isfinite(median)]
        own = [last[name] for name in last if scene.groups[name] == group]
        text = f"{swatch(_group_colour(data, scene, group))} {_group_name(scene, shortened(group, 14))}"
        text += f" · n {int(data['runs'].values[index])}" if scene.colour_by != BY_VARIANT else ""
        at = float(known[-1]) if known.size else _middle(own)
        labels.append(Label(at, text, scene.theme.text))
    return labels if len(labels) <= NAMED else []


def _middle(values: Sequence[float]) -> float:
    """The median of those that are numbers."""
    known = [value for value in values if np.isfinite(value)]
    return float(np.median(known)) if known else float("nan")


def _last_values(data: xr.Dataset) -> dict[str, float]:
    y, ends = data["y"].values, np.cumsum(data["points"].values)
    found = {}
    for name, count, end in zip(data["variant"].values.tolist(), data["points"].values, ends, strict=True):
        known = y[end - count : end]
        known = known[np.isfinite(known) & ((known > 0) | (not data.attrs["log"]))]
        found[name] = float(known[-1]) if len(known) else float("nan")
    return found


def _says(data: xr.Dataset, scene: CohortScene, banded: bool) -> str:
    """What is drawn of how many variants."""
    names, selected = data["variant"].values.tolist(), int(data.attrs["selected"])
    count = f"{len(names)}" if len(names) == selected else f"{len(names)} of {selected}"
    parts = [f"{data.attrs['view']}: {data.attrs['curve']}", f"{count} variants"]
    if not banded and is_scale(scene.groups):
        ordered = sorted(names, key=lambda name: float(scene.groups[name]))
        ends = [f"{swatch(scene.colours[name])} {scene.groups[name]}" for name in (ordered[0], ordered[-1])]
        parts.append(f"{scene.colour_by} {' to '.join(ends)}")
    if banded:
        some = bool(np.isfinite(data["median"].values).any())
        parts.append("median and quartiles" if some else "no band: every group has fewer than 3 runs")
    if len(_shown_times(data, scene.align)) < data.sizes["point"]:
        parts.append("axis until 9 in 10 have ended (double-click: all)")
    return wrapped(parts, as_scene(scene))
