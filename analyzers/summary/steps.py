"""When a measure goes from one level to another for good, known at some epochs only."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyzers.summary.rows import UNKNOWN, Array, Interval

STAGES = {"onset": 0.1, "middle": 0.5, "completion": 0.9}
LASTING = 0.9  # share of the later epochs that must lie beyond a level
LEAST_POINTS = 4
ENDS = 3  # epochs whose median is the level at the end
FLOOR = 1e-30  # smaller values count as this on a logarithmic scale


@dataclass(frozen=True)
class Step:
    """stage -> the interval of epochs (lower, upper] in which that share of the change was passed for good.

    before, after   the levels, in units of the measure; reason: why there is no step
    """

    stages: dict[str, Interval]
    before: float = float("nan")
    after: float = float("nan")
    reason: str = ""


def find_step(
    epochs: NDArray[np.int64], values: Array, rising: bool, least: float, logarithmic: bool = False
) -> Step:
    """The change of a measure from its extreme to its level at the end, in the direction that is expected.

    y is the measure, or its log10. Rising: before = min y, after = median of the last 3; the onset, middle
    and completion are where 10, 50 and 90 % of the way have been passed for good (by 90 % of what follows).
    Falling: the same for -y. No step where the change is below `least` (units of y, decades on a logarithmic
    scale). Epochs with values that are not finite are left out.
    """
    known = np.isfinite(values)
    at, y = epochs[known], values[known]
    none = dict.fromkeys(STAGES, UNKNOWN)
    if len(y) < LEAST_POINTS:
        return Step(none, reason=f"known at {len(y)} epochs; {LEAST_POINTS} are needed")
    if logarithmic:
        y = np.log10(np.maximum(y, FLOOR))
    y = y if rising else -y
    before, after = float(y.min()), float(np.median(y[-ENDS:]))
    start, end = (_back(level, rising, logarithmic) for level in (before, after))
    if after - before < least:
        unit = " decades" if logarithmic else ""
        return Step(none, start, end, f"it changes by {after - before:.2g}{unit}; {least:g} would be a step")
    found = {stage: passed(at, y >= before + share * (after - before)) for stage, share in STAGES.items()}
    return Step(found, start, end)


def passed(epochs: NDArray[np.int64], beyond: NDArray[np.bool_]) -> Interval:
    """(previous epoch, first epoch] from which it lies beyond for good; NaN first where it always did."""
    if not beyond.any():
        return UNKNOWN
    later = np.cumsum(beyond[::-1])[::-1] / np.arange(len(beyond), 0, -1)
    lasts = beyond & (later >= LASTING)
    if not lasts.any():
        return UNKNOWN
    first = int(lasts.argmax())
    return (float(epochs[first - 1]) if first else float("nan"), float(epochs[first]))


def _back(level: float, rising: bool, logarithmic: bool) -> float:
    value = level if rising else -level
    return float(10**value) if logarithmic else value
