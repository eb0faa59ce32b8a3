"""Many small maps at once: as one static figure, and as bytes for a canvas in the browser.

A view of tiles (`View.component` "tiles") has as data a dataset over `item`: `tile` uint8 [item, row,
column], `low` and `high` [item] (what 0 and 255 stand for), and columns [item]: what a tile is (neuron, head,
epoch; `attrs["marks"]` names those that a click sets), its dominant `frequency` and `share`, `rank_NAME` for
every order but the item's own, and `specialised`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
import xarray as xr

from renderers.catalog import Figure
from renderers.figure import axis, framed, heatmap, layout, message
from renderers.source import Scene
from renderers.theme import frequency_colour


def pack(data: xr.Dataset) -> bytes:
    """The dataset as one block: length of the header, header (JSON), columns, tiles.

    The header gives `count`, `size`, `across` (tiles in a row, 0: as many as fit), `colours` (frequency ->
    colour) and for every column its name, type and place in bytes after the header. Everything starts at a
    multiple of four bytes, little-endian.
    """
    columns = {str(name): _column(values.values) for name, values in data.data_vars.items() if name != "tile"}
    places, offset = {}, 0
    for name, values in columns.items():
        places[name] = {"type": values.dtype.name, "at": offset}
        offset += values.nbytes
    frequencies = columns.get("frequency", np.zeros(0, np.int32))
    header = {
        "count": data.sizes["item"],
        "size": data.sizes["row"],
        "across": int(data.attrs.get("across", 0)),
        "columns": places,
        "tiles": offset,
        "colours": {int(k): frequency_colour(int(k)) for k in np.unique(frequencies) if k > 0},
    }
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 4)
    parts = [np.uint32(len(text)).astype("<u4").tobytes(), text]
    parts += [values.tobytes() for values in columns.values()]
    return b"".join([*parts, np.ascontiguousarray(data["tile"].values).tobytes()])


def _column(values: np.ndarray) -> np.ndarray:
    """Whole numbers as int32, others as float32: four bytes each."""
    return values.astype("<f4" if values.dtype.kind == "f" else "<i4")


def ranks(**keys: tuple[np.ndarray, ...]) -> dict[str, tuple[str, np.ndarray]]:
    """`rank_NAME` columns: the place of each item when sorted by the given keys, the first key first."""
    found = {}
    for name, by in keys.items():
        order = np.lexsort(by[::-1])
        rank = np.empty(len(order), dtype=np.int32)
        rank[order] = np.arange(len(order))
        found[f"rank_{name}"] = ("item", rank)
    return found


def arranged(data: xr.Dataset, params: Mapping[str, str], neuron: int, frequency: int) -> xr.Dataset:
    """The items that the parameters `show` and `order` ask for, in that order."""
    order, show = params.get("order", "index"), params.get("show", "all")
    if order == "similarity":
        flat = data["tile"].values.reshape(data.sizes["item"], -1).astype(float)
        flat -= flat.mean(axis=1, keepdims=True)
        norm = np.linalg.norm(flat, axis=1)
        own = flat[int(np.flatnonzero(data["neuron"].values == neuron)[0])]
        with np.errstate(invalid="ignore", divide="ignore"):
            likeness = np.nan_to_num(flat @ own / (norm * np.linalg.norm(own)), nan=-2.0)
        data = data.isel(item=np.argsort(-likeness, kind="stable"))
    elif f"rank_{order}" in data:
        data = data.isel(item=np.argsort(data[f"rank_{order}"].values, kind="stable"))
    kept = {
        "selected frequency": lambda: data["frequency"].values == frequency,
        "specialised": lambda: data["specialised"].values == 1,
        "unspecialised": lambda: data["specialised"].values == 0,
    }
    return data.isel(item=np.flatnonzero(kept[show]())) if show in kept else data


def draw_tiles(data: xr.Dataset, scene: Scene) -> Figure:
    """All tiles as one heatmap (the canvas of the dashboard shows the same)."""
    fields = data.attrs["marks"]
    data = arranged(data, scene.params, scene.selection.neuron, scene.selection.frequency)
    if not data.sizes["item"]:
        return message(scene, "No neuron is of this kind at this epoch.")
    tile, size = data["tile"].values.astype("float32"), data.sizes["row"]
    low, high = (data[name].values.astype("float32") for name in ("low", "high"))
    if not np.isfinite(high).any():
        return message(scene, "The maps hold no numbers at this epoch.")
    common = scene.params.get("scale", "own") == "common"
    tile /= 255
    if common:
        tile = low[:, None, None] + tile * (high - low)[:, None, None]
    limits = (float(np.nanmin(low)), float(np.nanmax(high))) if common else (0.0, 1.0)
    count = data.sizes["item"]
    across = int(data.attrs.get("across", 0)) or int(np.ceil(np.sqrt(count * 2.2)))
    down, pitch = -(-count // across), size + 1
    cells = np.full((down * pitch, across * pitch), np.nan, dtype="float32")
    custom = np.full((*cells.shape, len(fields)), np.nan, dtype="float32")
    for index in range(count):
        row, column = (place * pitch for place in divmod(index, across))
        cells[row : row + size, column : column + size] = tile[index]
        for position, field in enumerate(fields):
            value = data[field].values[index]
            known = value > 0 or field != "frequency"
            custom[row : row + size, column : column + size, position] = value if known else np.nan
    marks = {field: f"customdata[{index}]" for index, field in enumerate(fields)}
    trace = heatmap(
        scene,
        np.arange(cells.shape[1]),
        np.arange(cells.shape[0]),
        cells,
        unit=data.attrs["unit"] if common else "share of the tile's own range",
        hover="<br>".join(f"{field} %{{customdata[{index}]}}" for index, field in enumerate(fields)),
        payload=marks,
        limits=limits,
        customdata=custom,
    )
    bare = {"showticklabels": False, "ticks": ""}
    x = framed(axis(scene, data.attrs["across_title"], **bare), scene)
    y = framed(axis(scene, data.attrs["down_title"], autorange="reversed", **bare), scene)
    return {"data": [trace], "layout": layout(scene, x, y, right=48 if scene.compact else 62)}


def items(tile: np.ndarray, low: np.ndarray, high: np.ndarray) -> dict[str, Any]:
    """The variables that every dataset of tiles has."""
    return {
        "tile": (("item", "row", "column"), tile),
        "low": ("item", low.astype("float32")),
        "high": ("item", high.astype("float32")),
    }
