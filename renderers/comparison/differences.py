"""How the difference of two curves is drawn: the two above, A minus B below, on one axis of aligned time."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import xarray as xr

from renderers.catalog import Figure
from renderers.comparison.cohort import CohortScene
from renderers.comparison.drawing import as_scene
from renderers.comparison.time_axes import (
    mark_landmarks,
    shortened,
    time_axis,
    times,
    value_axis,
    wrapped,
)
from renderers.decimate import decimate_along
from renderers.figure import Trace, above, axis, layout, message, plot_size, swatch

_BELOW, _ABOVE = (0.0, 0.56), (0.64, 1.0)
_SIDES = ("A", "B")


def draw_difference(data: xr.Dataset, scene: CohortScene) -> Figure:
    """Both curves in the colours of their variants, and their difference about the line of zero."""
    base = as_scene(scene)
    difference = data["difference"].values
    if not np.isfinite(difference).any():
        return message(base, f"{data.attrs['curve']} is nowhere defined in both runs at one aligned time.")
    names = data["variant"].values.tolist()
    low, high = min(0.0, float(np.nanmin(difference))), max(0.0, float(np.nanmax(difference)))
    pad = 0.06 * (high - low) or 1.0
    y = axis(base, data.attrs["measure"], range=[low - pad, high + pad], nticks=5, zeroline=True)
    y |= {"domain": list(_BELOW), "zerolinecolor": scene.theme.muted}
    shown = value_axis(base, data.attrs, data["value"].values.ravel())
    shown["title"] = {**shown["title"], "text": "A and B"}
    shown |= {"domain": list(_ABOVE), "anchor": "x", "nticks": 4}
    x = {**time_axis(base, scene.align, data["time"].values), "anchor": "y"}
    says = _says(data, scene, names)
    built = layout(base, x, y, top=16 + 14 * says.count("<br>"))
    built["yaxis2"] = shown
    mark_landmarks(base, built, scene.align)
    built["annotations"].append(above(base, says, x=0.0, xanchor="left", align="left"))
    built["meta"] = {"times": times(data)}
    return {"data": [*_curves(data, scene, names), _trace(data, scene, names)], "layout": built}


def _curves(data: xr.Dataset, scene: CohortScene, names: list[str]) -> Iterator[Trace]:
    for index, name in enumerate(names):
        values = data["value"].values[index]
        kept = decimate_along(data["time"].values, values, _limit(scene))
        yield {
            "type": "scatter",
            "mode": "lines",
            "name": f"{_SIDES[index]} {name}",
            "x": data["time"].values[kept],
            "y": values[kept],
            "yaxis": "y2",
            "customdata": np.rint(data["epoch"].values[index][kept]).astype(np.int64),
            "line": {"color": _colour(scene, names, index), "width": 1.7},
            "hovertemplate": f"{_SIDES[index]}: {shortened(name, 40)}"
            f"<br>{data['drawn'].values[index]} %{{y:.3g}}<br>epoch %{{customdata:,d}}<extra></extra>",
            "meta": {"payload": {"variant": {"value": name}, "epoch": "customdata"}, "together": True},
        }


def _trace(data: xr.Dataset, scene: CohortScene, names: list[str]) -> Trace:
    kept = decimate_along(data["time"].values, data["difference"].values, _limit(scene))
    epochs = np.rint(data["epoch"].values[:, kept]).astype(np.int64)
    return {
        "type": "scatter",
        "mode": "lines",
        "name": "A − B",
        "x": data["time"].values[kept],
        "y": data["difference"].values[kept],
        "customdata": epochs.T,
        "line": {"color": scene.theme.text, "width": 1.7},
        "fill": "tozeroy",
        "fillcolor": scene.theme.grid,
        "hovertemplate": "A − B %{y:.3g}<br>A at epoch %{customdata[0]:,d}<br>B at epoch %{customdata[1]:,d}"
        "<extra></extra>",
        "meta": {"payload": {"variant": {"value": names[0]}, "epoch": "customdata[0]"}, "together": True},
    }


def _limit(scene: CohortScene) -> int:
    return 2 * plot_size(as_scene(scene))[0]


def _colour(scene: CohortScene, names: list[str], index: int) -> str:
    """The variant's colour; B in that of notes where both have one colour."""
    same = scene.colours[names[0]] == scene.colours[names[1]]
    return scene.theme.muted if index and same else scene.colours[names[index]]


def _says(data: xr.Dataset, scene: CohortScene, names: list[str]) -> str:
    """Which is which, what is subtracted, and over which stretch of the two runs."""
    parts = [
        f"{swatch(_colour(scene, names, index))} {side} {shortened(name, 30)}"
        for index, (side, name) in enumerate(zip(_SIDES, names, strict=True))
    ]
    drawn = list(dict.fromkeys(data["drawn"].values.tolist()))
    parts.append(f"{data.attrs['view']}: {' and '.join(drawn)}, {data.attrs['title']}")
    epochs = data["epoch"].values
    ranges = [f"{side} {own[0]:,.0f} to {own[-1]:,.0f}" for side, own in zip(_SIDES, epochs, strict=True)]
    return wrapped([*parts, f"where both are: epochs {', '.join(ranges)}"], as_scene(scene))
