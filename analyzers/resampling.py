"""Maps of the grid at other resolutions: bilinear as image libraries do it, and area-averaged.

Both are separable and linear: a map M [p, p] becomes R M R^T with R [n, p] from `bilinear` or `area`. Cell i
of n covers [i p / n, (i + 1) p / n) of the pixels, so that all maps cover the same square.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import BadParameter

Array = NDArray[Any]

METHODS = ("bilinear", "area")


@lru_cache(maxsize=64)
def resampler(p: int, n: int, method: str) -> Array:
    """R [n, p] of that method, its rows summing to 1; the identity for n = p.

    bilinear: linear interpolation at the cell's centre (pixel centres at whole numbers, edges repeated), the
    convention called align_corners=False. It reads two of the p / n pixels that a cell covers, so a wave of
    k > n / 2 appears as another one: it aliases. area: the mean over the cell, pixels at its edge counting as
    far as they lie in it; waves of k > n / 2 are damped.
    """
    if n < 1:
        raise BadParameter(f"A map of {n} cells per side is not possible; give 1 or more.")
    if method == "bilinear":
        matrix = _bilinear(p, n)
    elif method == "area":
        matrix = _area(p, n)
    else:
        raise BadParameter(f"There is no method {method!r}; there is: {', '.join(METHODS)}.")
    matrix.setflags(write=False)
    return matrix


def centres(p: int, n: int) -> Array:
    """Where the centres of n cells lie in units of tokens: p cells have theirs at 0..p-1."""
    return (np.arange(n) + 0.5) * p / n - 0.5


def _bilinear(p: int, n: int) -> Array:
    place = np.clip(centres(p, n), 0, p - 1)
    lower = np.minimum(np.floor(place).astype(int), p - 1)
    upper = np.minimum(lower + 1, p - 1)
    matrix, rows = np.zeros((n, p)), np.arange(n)
    np.add.at(matrix, (rows, lower), 1 - (place - lower))
    np.add.at(matrix, (rows, upper), place - lower)
    return matrix


def _area(p: int, n: int) -> Array:
    edges = np.arange(n + 1) * p / n
    pixels = np.arange(p)
    overlap = np.minimum(edges[1:, None], pixels + 1) - np.maximum(edges[:-1, None], pixels)
    overlap = np.clip(overlap, 0, None)
    return overlap / overlap.sum(axis=1, keepdims=True)
