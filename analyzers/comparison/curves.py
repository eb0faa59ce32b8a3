"""Curves of several runs on one axis of aligned time: resampled, summarised as bands, subtracted.

A curve is (x, y): aligned times [n], strictly ascending, and values [n], NaN where nothing is defined.
Where `log` is given, everything happens in log10 of the values and values of 0 or less count as undefined.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

HOLDS = ("linear", "hv", "vh")
LEAST_RUNS = 3
LEAST_SHARE = 0.5

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Bands:
    """Median and quartiles [grid] over the runs of a group, NaN where too few of them are present.

    count   [grid] how many runs are defined there
    """

    median: Array
    lower: Array
    upper: Array
    count: NDArray[np.int64]


def resample(x: ArrayLike, y: ArrayLike, grid: ArrayLike, hold: str = "linear", log: bool = False) -> Array:
    """Values [grid] of one curve; log10 of them with `log`. NaN outside it and beside undefined values.

    hold    "linear" between points; "hv": a value holds from its point to the next; "vh": from the point
            before to its own (plotly's names of line shapes)
    """
    if hold not in HOLDS:
        raise ValueError(f"hold={hold!r}: choose one of {', '.join(HOLDS)}.")
    x, y, grid = (np.asarray(values, dtype=np.float64) for values in (x, y, grid))
    if log:
        y = logarithm(y)
    if not len(x):
        return np.full(grid.shape, np.nan)
    if hold == "linear":
        return np.interp(grid, x, y, left=np.nan, right=np.nan)
    forward = hold == "hv"
    index = np.searchsorted(x, grid, side="right") - 1 if forward else np.searchsorted(x, grid, side="left")
    inside = (grid >= x[0]) & (grid <= x[-1])
    return np.where(inside, y[np.clip(index, 0, len(x) - 1)], np.nan)


def logarithm(values: ArrayLike) -> Array:
    """log10, NaN for values of 0 or less."""
    given = np.asarray(values, dtype=np.float64)
    return np.log10(given, where=given > 0, out=np.full(given.shape, np.nan))


def common_grid(xs: Sequence[Array], count: int) -> Array:
    """`count` evenly spaced aligned times from the earliest to the latest of these curves' points."""
    known = [x for x in xs if len(x)]
    if not known:
        return np.zeros(0)
    return np.linspace(min(float(x[0]) for x in known), max(float(x[-1]) for x in known), count)


def bands(rows: ArrayLike) -> Bands:
    """Median and quartiles (linear interpolation between order statistics) of `rows` [run, grid].

    Only where at least half of the runs, and no fewer than three, are defined.
    """
    values = np.asarray(rows, dtype=np.float64)
    count = np.isfinite(values).sum(axis=0)
    enough = count >= max(LEAST_RUNS, math.ceil(LEAST_SHARE * len(values)))
    quartiles = np.full((3, values.shape[1]), np.nan)
    if enough.any():
        quartiles[:, enough] = np.nanquantile(values[:, enough], (0.25, 0.5, 0.75), axis=0)
    return Bands(quartiles[1], quartiles[0], quartiles[2], count)


def overlap(first: Array, second: Array) -> tuple[float, float] | None:
    """The stretch of aligned time that both curves cover, None if there is none."""
    if not len(first) or not len(second):
        return None
    low, high = max(float(first[0]), float(second[0])), min(float(first[-1]), float(second[-1]))
    return (low, high) if low <= high else None


def joint_grid(first: Array, second: Array) -> Array:
    """Every aligned time at which either curve has a point, within the stretch that both cover."""
    both = overlap(first, second)
    if both is None:
        return np.zeros(0)
    times = np.union1d(first, second)
    return times[(times >= both[0]) & (times <= both[1])]


def relative_to_first(y: ArrayLike) -> Array:
    """Values over the first one that is defined and not 0; NaN everywhere if there is none."""
    values = np.asarray(y, dtype=np.float64)
    usable = np.flatnonzero(np.isfinite(values) & (values != 0))
    return values / values[usable[0]] if len(usable) else np.full(values.shape, np.nan)
