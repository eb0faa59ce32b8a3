"""The heatmaps of a view as numbers with axes of a known meaning: what a difference of maps is made of.

What an axis counts is found out from the figure: the payload says which are epochs, frequencies, heads or
neurons (these also where they stand in an order of the run's own), and an axis that runs over 0 .. p - 1
counts residues mod p: inputs a and b, or classes. A map can be subtracted if its colours measure a quantity
(categories have colours of their own) and either both axes are known or neither is and no cell stands for
anything of the run's own. An unknown axis beside a known one counts positions in such an order.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from renderers.catalog import Figure
from renderers.theme import DARK, LIGHT

Counts = Literal["epoch", "frequency", "head", "neuron", "residue", "plain"]
_FIELDS: tuple[Counts, ...] = ("epoch", "frequency", "head", "neuron")


@dataclass(frozen=True)
class MapAxis:
    """One axis of a map: what it counts, its values [n] ascending, its title.

    descends   whether it is drawn from the largest value to the smallest
    ticks      how a plain axis is written
    """

    counts: Counts
    values: np.ndarray
    title: str
    descends: bool = False
    ticks: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Map:
    """One heatmap: z [y, x] in `unit`. `name`: which one of a view of several, e.g. "head 2"."""

    name: str
    x: MapAxis
    y: MapAxis
    z: np.ndarray
    unit: str


def maps_of(figure: Figure, p: int) -> tuple[Map, ...]:
    """The heatmaps of a figure of a run with modulus `p`; () if one of them cannot be subtracted. Marks drawn
    over a heatmap are left aside."""
    traces = [trace for trace in figure["data"] if trace["type"] == "heatmap"]
    found = [_map(trace, figure["layout"], p) for trace in traces]
    known = tuple(one for one in found if one is not None)
    return known if len(known) == len(traces) else ()


def _map(trace: Mapping[str, Any], layout: Mapping[str, Any], p: int) -> Map | None:
    shared = layout.get(trace["coloraxis"], {}) if "coloraxis" in trace else {}
    scale = trace.get("colorscale") or shared.get("colorscale")
    quantitative = (
        theme.scale(kind) for theme in (LIGHT, DARK) for kind in ("sequential", "diverging", "time")
    )
    if scale not in list(quantitative):
        return None
    z = np.asarray(trace["z"], dtype=np.float64)
    x, y = (_axis(trace, layout, letter, p) for letter in "xy")
    plain = [axis.counts == "plain" for axis in (x, y)]
    if any(plain) and not (all(plain) and _same_in_every_run(trace)):
        return None
    columns, rows = (np.argsort(axis.values, kind="stable") for axis in (x, y))
    bar = trace.get("colorbar") or shared.get("colorbar") or {}
    return Map(
        name=str(trace.get("name") or ""),
        x=replace(x, values=x.values[columns]),
        y=replace(y, values=y.values[rows]),
        z=z[np.ix_(rows, columns)],
        unit=str((bar.get("title") or {}).get("text", "")),
    )


def _same_in_every_run(trace: Mapping[str, Any]) -> bool:
    """Whether no mark says that cells stand for something of the run's own, such as its checkpoints."""
    payload = (trace.get("meta") or {}).get("payload") or {}
    return all(isinstance(where, Mapping) for where in payload.values())


def _axis(trace: Mapping[str, Any], layout: Mapping[str, Any], letter: str, p: int) -> MapAxis:
    values = np.asarray(trace[letter])
    drawn = layout.get(f"{letter}axis{str(trace.get(f'{letter}axis', letter))[1:]}") or {}
    title = _text(drawn) or _text(layout[_outer(layout, letter)])
    low, high = drawn.get("range", (0, 1))
    descends = bool(low > high) or drawn.get("autorange") == "reversed"
    payload = (trace.get("meta") or {}).get("payload") or {}
    for counts in _FIELDS:
        if payload.get(counts) == letter:
            return MapAxis(counts, values, title, descends)
        along = _along(trace, payload.get(counts), letter) if counts == "neuron" else None
        if along is not None:
            return MapAxis(counts, along, counts, descends)
    if np.array_equal(values, np.arange(p)):
        return MapAxis("residue", values, title, descends)
    ticks = {key: drawn[key] for key in ("tickmode", "tickvals", "ticktext") if key in drawn}
    return MapAxis("plain", values, title, descends, ticks)


def _text(axis: Mapping[str, Any]) -> str:
    return str((axis.get("title") or {}).get("text", ""))


def _outer(layout: Mapping[str, Any], letter: str) -> str:
    """The axis of that letter that has a title: small multiples name the outer ones only."""
    named = [name for name in layout if name.startswith(f"{letter}axis")]
    titled = [name for name in named if _text(layout[name])]
    return (titled or named)[0]


def _along(trace: Mapping[str, Any], where: Any, letter: str) -> np.ndarray | None:
    """The customdata of every column (or row), if that is what `where` points to and if it is the same all
    the way up (or across)."""
    if where != "customdata" or trace.get("customdata") is None:
        return None
    custom = np.asarray(trace["customdata"], dtype=np.float64)
    if custom.ndim != 2:
        return None
    custom = custom if letter == "x" else custom.T
    same = bool(np.all(custom == custom[:1]))
    return custom[0] if same and len(np.unique(custom[0])) == custom.shape[1] else None
