"""Heads by frequency, whatever is measured of them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from renderers.catalog import Figure
from renderers.figure import axis, framed, frequency_axis, heatmap, layout, note, swatch
from renderers.source import Scene
from renderers.theme import frequency_colour


def by_head(
    scene: Scene,
    heads: np.ndarray,
    freqs: np.ndarray,
    values: np.ndarray,
    strongest: Sequence[tuple[int, float]],
    *,
    limit: float,
    unit: str,
    hover: str,
    **more: Any,
) -> Figure:
    """Head (rows) by frequency, `values` [head, freq] from 0 to `limit`.

    `strongest` names beside each head its frequency (0: none) and how strong it is; `more` goes to `heatmap`.
    """
    trace = heatmap(
        scene,
        freqs,
        heads,
        values,
        unit=unit,
        hover=f"head %{{y}}<br>k = %{{x}}<br>{hover}",
        payload={"head": "y", "frequency": "x"},
        limits=(0.0, limit),
        **more,
    )
    trace["colorbar"].update(xref="container", x=1.0, xanchor="right")
    y = axis(scene, "head", range=[len(heads) - 0.5, -0.5], tickvals=heads, showgrid=False)
    built = layout(
        scene,
        framed(frequency_axis(scene, len(freqs)), scene),
        framed(y, scene),
        right=120 if scene.compact else 142,
    )
    for head, (k, strength) in zip(heads.tolist(), strongest, strict=True):
        if k:
            place = {"yref": "y", "x": 1.0, "y": head, "xanchor": "left", "yanchor": "middle", "xshift": 5}
            text = f"{swatch(frequency_colour(k))} k {k} · {strength:.2f}"
            built["annotations"].append(note(scene, text, **place))
    return {"data": [trace], "layout": built}
