"""Random paths drawn beside a run: one colour per null, bands with their medians."""

from __future__ import annotations

import numpy as np
import xarray as xr

from renderers.catalog import Parameter
from renderers.figure import Label, Trace, line
from renderers.source import Scene, Source
from renderers.theme import translucent

SETS = ("all", "embedding", "attention", "mlp", "W_U")
GROUP = Parameter("all", SETS, "Parameters")
SHORT = {"random walk": "walk", "OU process": "OU", "matched steps": "matched"}
UNMOVED = "There are too few checkpoints, or these parameters did not move: the path has no shape."


def null_colours(scene: Scene) -> dict[str, str]:
    """Null -> colour, the same in every view of this group."""
    return dict(zip(SHORT, scene.theme.series[1:4], strict=True))


def of_group(source: Source, analyzer: str) -> xr.Dataset:
    """An artifact's part that belongs to the chosen group of parameters."""
    return source.select(source.artifact(analyzer), "group", source.params["group"])


def bands(
    scene: Scene, x: np.ndarray, data: xr.DataArray, unit: str, payload: dict[str, str]
) -> tuple[list[Trace], list[Label]]:
    """The middle 95 % of every null (`data` [null, level, x]) as a band with its median, and labels."""
    traces, labels = [], []
    for null, colour in null_colours(scene).items():
        low, middle, high = data.sel(null=null).values.astype(float)
        known = np.isfinite(low) & np.isfinite(high)
        if not known.any():
            continue
        traces.append(
            {
                "type": "scatter",
                "mode": "lines",
                "name": f"{null}, middle 95 %",
                "x": np.concatenate([x[known], x[known][::-1]]),
                "y": np.concatenate([high[known], low[known][::-1]]),
                "fill": "toself",
                "fillcolor": translucent(colour, 0.25),
                "line": {"width": 0},
                "hoverinfo": "skip",
            }
        )
        traces.append(
            line(
                x[known],
                middle[known],
                name=null,
                colour=colour,
                hover=f"{null}: median %{{y:.3g}} {unit}",
                payload=payload,
                dash="dash",
                width=1.2,
            )
        )
        labels.append(Label(float(middle[known][-1]), SHORT[null] if scene.compact else null, colour))
    return traces, labels
