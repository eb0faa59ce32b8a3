"""Maps over all inputs (a, b) whose cells select the pair."""

from __future__ import annotations

import numpy as np

from renderers.figure import (
    Trace,
    axis,
    framed,
    heatmap,
    layout,
)
from renderers.source import Scene

SPLIT_NAMES = {1: "train", 0: "test", -1: "unknown split"}
SPLIT_CODES = {"all": (-1, 0, 1), "train": (1,), "test": (0,)}


def pair_map(scene: Scene, values: np.ndarray, look: dict, texts: np.ndarray) -> Trace:
    shown = f"<br>%{{z:{look['format']}}}" if look["format"] else ""
    p = len(values)
    return heatmap(
        scene,
        np.arange(p),
        np.arange(p),
        values,
        unit=look["unit"],
        hover=f"a = %{{y}}<br>b = %{{x}}<br>%{{customdata}}{shown}",
        payload={"pair": {"a": "y", "b": "x", "p": p}},
        limits=look["limits"],
        kind=look.get("kind", "diverging" if look["limits"][0] < 0 else "sequential"),
        customdata=texts,
    )


def square(scene: Scene, right: int) -> dict:
    """Layout of a p x p map with a downwards and b to the right."""
    ends = [-0.5, scene.p - 0.5]
    x = axis(scene, "b (axis 1)", range=ends, constrain="domain", nticks=7)
    y = axis(scene, "a (axis 0)", range=ends[::-1], scaleanchor="x", constrain="domain", nticks=7)
    return layout(scene, framed(x, scene), framed(y, scene), right=right, top=14)
