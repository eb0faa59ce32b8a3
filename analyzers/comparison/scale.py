"""On which scale a metric is compared: as it is, or its logarithm."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

DECADE = 10.0
_TAIL = 0.05
_DRAWN = 30.0

Array = NDArray[np.float64]


def spans_decades(values: Array, tail: float = _TAIL, ratio: float = DECADE) -> bool:
    """Whether differences are ratios: all finite values are positive, and the quantile 1 - tail is at least
    `ratio` times the quantile tail (with tail > 0 a single run does not decide)."""
    known = values[np.isfinite(values)]
    if len(known) < 2 or known.min() <= 0:
        return False
    low, high = np.quantile(known, (tail, 1 - tail))
    return bool(high >= ratio * low)


def drawn_on_decades(values: Array) -> bool:
    """Whether an axis over the values has to be logarithmic to show them apart."""
    return spans_decades(values, tail=0.0, ratio=_DRAWN)


def scaled(values: Array, logarithmic: bool) -> Array:
    """The values, or their log10 (NaN where that does not exist)."""
    if not logarithmic:
        return values
    with np.errstate(divide="ignore", invalid="ignore"):
        found = np.log10(values)
    return np.where(np.isfinite(found), found, np.nan)
