"""How differences of heatmaps are drawn: one scale about zero, small multiples for views of several maps."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from renderers.catalog import Figure
from renderers.comparison.cohort import CohortScene
from renderers.comparison.drawing import as_scene
from renderers.comparison.time_axes import mark_landmarks, shortened, time_axis, wrapped
from renderers.figure import (
    Trace,
    above,
    axis,
    cell_range,
    colorbar,
    framed,
    frequency_axis,
    heatmap,
    layout,
    message,
    note,
    plot_size,
)
from renderers.source import Scene


def draw_map_difference(data: xr.Dataset, scene: CohortScene) -> Figure:
    """A - B, symmetric about zero; the hover tells both values."""
    base = as_scene(scene)
    difference = data["difference"].values
    if not np.isfinite(difference).any():
        return message(base, f"{data.attrs['view']} is nowhere defined in both runs.")
    extent = float(np.nanmax(np.abs(difference))) or 1.0
    count = data.sizes["map"]
    columns = _columns(base, count)
    says = _says(data, scene)
    names = 14 if count > 1 else 0
    top = 18 + names + 14 * says.count("<br>")
    built = layout(base, {}, {}, right=48 if scene.compact else 62, top=top)
    built["coloraxis"] = {
        "cmin": -extent,
        "cmax": extent,
        "colorscale": scene.theme.scale("diverging"),
        "colorbar": colorbar(base, f"A − B: {data.attrs['unit']}"),
    }
    if extent >= 1000:
        built["coloraxis"]["colorbar"]["tickformat"] = "~s"
    traces = []
    for index in range(count):
        mark = "" if index == 0 else str(index + 1)
        traces.append(_trace(data, base, index, mark))
        _place(data, base, built, index, mark, columns)
    if count == 1 and data.attrs["counts"][0] == "epoch":
        mark_landmarks(base, built, scene.align, over=True)
    built["annotations"].append(above(base, says, x=0.0, xanchor="left", align="left", yshift=2 + names))
    return {"data": traces, "layout": built}


def _trace(data: xr.Dataset, scene: Scene, index: int, mark: str) -> Trace:
    x, y = data["x"].values, data["y"].values
    sides = [data[side].values[index] for side in ("a", "b")]
    custom = [_short(side) for side in sides]
    lines = [f"{_named(data, letter)} %{{{letter}}}" for letter in "yx"]
    payload: dict[str, Any] = {"variant": {"value": data.attrs["variants"][0]}}
    if "epoch" in data:
        epochs = np.rint(data["epoch"].values)
        custom += [np.broadcast_to(own, sides[0].shape) for own in epochs]
        lines[1] = "A at epoch %{customdata[2]:,d}, B at %{customdata[3]:,d}"
        payload["epoch"] = "customdata[2]"
    elif data.attrs["epochs"]:
        payload["epoch"] = {"value": data.attrs["epochs"][0]}
    hover = "<br>".join([*lines, "A − B %{z:.3g}", "A %{customdata[0]:.3g}, B %{customdata[1]:.3g}"])
    trace = heatmap(
        scene,
        x,
        y,
        data["difference"].values[index],
        unit="",
        hover=f"{data['map'].values[index]}<br>{hover}" if data.sizes["map"] > 1 else hover,
        payload=payload,
        limits=(-1.0, 1.0),
        customdata=np.stack(custom, axis=-1),
        coloraxis="coloraxis",
        xaxis=f"x{mark}",
        yaxis=f"y{mark}",
    )
    trace["meta"]["together"] = True
    for own in ("zmin", "zmax", "colorscale", "colorbar"):
        del trace[own]
    return trace


def _short(values: np.ndarray) -> np.ndarray:
    """To four digits, which the hover shows: such numbers are short as text, which is how they travel."""
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 10.0 ** (3 - np.floor(np.log10(np.abs(values))))
        rounded = np.rint(values * scale) / scale
    return np.where(np.isfinite(rounded), rounded, values)


def _named(data: xr.Dataset, letter: str) -> str:
    counts, title = (data.attrs[name]["xy".index(letter)] for name in ("counts", "titles"))
    return {"frequency": "k =", "head": "head", "residue": f"{title.partition(' (')[0]} ="}.get(counts, title)


def _columns(scene: Scene, count: int) -> int:
    """As many maps in a row as makes square ones largest."""
    width, height = plot_size(scene, right=62)
    return max(range(1, count + 1), key=lambda columns: min(width / columns, height / -(-count // columns)))


def _place(
    data: xr.Dataset, scene: Scene, built: dict[str, Any], index: int, mark: str, columns: int
) -> None:
    """The axes of one map, and its name above it where there are several."""
    count = data.sizes["map"]
    row, column = divmod(index, columns)
    rows = -(-count // columns)
    bottom, left = row == rows - 1 or index + columns >= count, column == 0
    x, y = _axis(data, scene, 0), _axis(data, scene, 1)
    square = data.attrs["counts"][0] == data.attrs["counts"][1] and data.attrs["counts"][0] != "epoch"
    x |= {"domain": _domain(column, columns, 0.05), "anchor": f"y{mark}"}
    y |= {"domain": _domain(rows - 1 - row, rows, 0.16), "anchor": f"x{mark}"}
    if square:
        x["constrain"] = y["constrain"] = "domain"
        y["scaleanchor"] = f"x{mark}"
    for side, shown in ((x, bottom), (y, left)):
        if not shown:
            side.update(title={"text": ""}, showticklabels=False)
    built[f"xaxis{mark}"], built[f"yaxis{mark}"] = framed(x, scene), framed(y, scene)
    if count > 1:
        where = {"xref": f"x{mark} domain", "yref": f"y{mark} domain", "x": 0.0, "y": 1.0}
        name = str(data["map"].values[index])
        built["annotations"].append(note(scene, name, **where, xanchor="left", yanchor="bottom"))


def _axis(data: xr.Dataset, scene: Scene, which: int) -> dict[str, Any]:
    counts, title, descends, ticks = (
        data.attrs[name][which] for name in ("counts", "titles", "descends", "ticks")
    )
    values = data["xy"[which]].values.astype(float)
    span = cell_range(values)
    if counts == "epoch":
        return {**time_axis(scene, data.attrs["align"], values), "range": span}
    if counts == "frequency":
        found = frequency_axis(scene, int(values.max()), range=span)
    elif counts == "head":
        found = axis(scene, title, range=span, tickvals=values, showgrid=False)
    else:
        found = axis(scene, title, range=span, showgrid=False, **{"nticks": 6, **ticks})
    if descends:
        found["range"] = found["range"][::-1]
    return found


def _domain(index: int, count: int, gap: float) -> list[float]:
    width = (1 - gap * (count - 1)) / count
    return [index * (width + gap), index * (width + gap) + width]


def _says(data: xr.Dataset, scene: CohortScene) -> str:
    """What is subtracted, when, and how the two were brought together."""
    first, second = (shortened(name, 18 if scene.compact else 30) for name in data.attrs["variants"])
    parts = [f"{first} − {second}"]
    if data.attrs["epochs"]:
        parts.append("epochs {:,} and {:,}".format(*data.attrs["epochs"]))
    if data.attrs["matched"]:
        parts += data.attrs["matched"]
    elif data.attrs["heads"] and not data.attrs["related"]:
        parts.append("heads of unrelated runs have no common order")
    return wrapped(parts, as_scene(scene))
