"""Axes of aligned time, and the texts above them, as every comparison over time draws them."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import takewhile
from typing import Any

import numpy as np
import xarray as xr

from analyzers.comparison.alignment import ticks
from renderers.figure import axis, font_size, log_axis, note, plot_size
from renderers.source import Scene

LETTERS = 22
LANDMARKS: dict[str, dict[float, str]] = {
    "turn_relative": {0.0: "onset"},
    "turn_scaled": {1.0: "onset"},
}


def time_axis(scene: Scene, align: str, x: np.ndarray) -> dict[str, Any]:
    """The axis of aligned time over the places `x`."""
    known = x[np.isfinite(x)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    pad = 0.01 * (high - low) or 1.0
    style = ticks(align, low, high)
    title = style.pop("title")
    if scene.compact and style.get("tickformat") == ",d":
        style["tickformat"] = "~s"
    return axis(scene, title, range=[low - pad, high + pad], **{"nticks": 6, **style})


def value_axis(scene: Scene, attrs: Mapping[str, Any], seen: np.ndarray) -> dict[str, Any]:
    """The axis of values, as in the view that they come from."""
    if attrs["log"]:
        return log_axis(scene, attrs["title"], seen)
    known = seen[np.isfinite(seen)]
    low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 1.0)
    pad = 0.04 * (high - low) or 0.1 * abs(high) or 1.0
    return axis(scene, attrs["title"], range=[low - pad, high + pad], **json.loads(attrs["axis"]))


def mark_landmarks(scene: Scene, built: dict[str, Any], align: str, over: bool = False) -> None:
    """A thin line where the alignment puts a landmark of every run that no tick names; `over`: over cells."""
    low, high = built["xaxis"]["range"]
    for place, name in LANDMARKS.get(align, {}).items():
        if not low <= place <= high:
            continue
        line = {"width": 1, "color": scene.theme.event, "dash": "dot"}
        across = {"x0": place, "x1": place, "yref": "paper", "y0": 0, "y1": 1}
        built["shapes"].append({"type": "line", **across, "line": line})
        side: dict[str, Any] = {"xref": "x", "x": place, "xanchor": "left", "yanchor": "top", "xshift": 3}
        if over:
            side["bgcolor"] = scene.theme.background
        font = {"size": font_size(scene) - 1, "color": scene.theme.event}
        built["annotations"].append(note(scene, name, y=1.0, **side, font=font))


def times(data: xr.Dataset) -> dict[str, dict[str, list[float]]]:
    """Variant -> a table from its epochs to aligned times, to be interpolated linearly."""
    ends = np.cumsum(data["entries"].values)
    return {
        name: {
            "epoch": np.round(data["table_epoch"].values[end - count : end], 3).tolist(),
            "x": np.round(data["table_x"].values[end - count : end], 9).tolist(),
        }
        for name, count, end in zip(
            data["variant"].values.tolist(), data["entries"].values, ends, strict=True
        )
    }


def wrapped(parts: Sequence[str], scene: Scene) -> str:
    """Short texts one after the other, on as many lines as the plot's width asks for."""
    letters = plot_size(scene)[0] / (0.53 * font_size(scene))
    lines = [parts[0]]
    for part in parts[1:]:
        joined = f"{lines[-1]} · {part}"
        if len(re.sub("<[^>]*>", "", joined)) <= letters:
            lines[-1] = joined
        else:
            lines.append(part)
    return "<br>".join(lines)


def told_apart(names: Sequence[str]) -> dict[str, str]:
    """Name -> a short one: without the parts that all begin with, where those are long."""
    parts = [name.split("-") for name in names]
    alike = sum(1 for column in takewhile(lambda column: len(set(column)) == 1, zip(*parts, strict=False)))
    alike = min(alike, min(map(len, parts)) - 1)
    common = len("-".join(parts[0][:alike])) + 1
    if len(names) < 2 or common < 8:
        return {name: shortened(name) for name in names}
    return {name: shortened(f"…{name[common:]}") for name in names}


def shortened(name: str, letters: int = LETTERS) -> str:
    """A name with its middle left out where it is longer than that."""
    if len(name) <= letters:
        return name
    tail = letters // 3
    return f"{name[: letters - tail - 1]}…{name[-tail:]}"
