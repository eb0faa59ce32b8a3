"""How two metrics go together over the runs, all of them at once and within groups.

Pooled and within can differ, even in sign (E. H. Simpson, 1951): two metrics that both grow with p go
together over all runs, whatever they do among the runs of one p. So both are stated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.comparison.permutation import DRAWS, Codes, coded, shuffles

LEVEL = 0.95
LEAST = 5  # runs for an interval
RESAMPLES = 1_000

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Correlation:
    """Spearman's rho over n runs with its bootstrap interval and the p-value of its permutation test.

    groups  in how many groups (1: pooled); NaN where it is not defined (a constant metric, too few runs)
    """

    rho: float
    lower: float
    upper: float
    p: float
    n: int
    groups: int = 1


def spearman(x: Array, y: Array, level: float = LEVEL) -> Correlation:
    """Spearman's rank correlation of finite x [n] and y [n]."""
    return _correlated(x, y, np.zeros(len(x), dtype=np.int64), level)


def spearman_within(x: Array, y: Array, group: NDArray[Any], level: float = LEVEL) -> Correlation:
    """Spearman's rank correlation within groups: x, y, group [n].

    Ranks are taken within each group, centred, and divided by the group's size plus 1, so that large groups
    do not count out of proportion; rho = sum r_x r_y / sqrt(sum r_x^2 sum r_y^2) over all runs. A constant
    difference between groups does not enter. Groups of one run say nothing and are left out. Resampling and
    permuting stay within the groups.
    """
    _, codes = coded(group)
    several = np.bincount(codes)[codes] > 1 if len(codes) else np.zeros(0, dtype=bool)
    _, kept = coded(codes[several])
    return _correlated(x[several], y[several], kept, level)


def _correlated(x: Array, y: Array, strata: Codes, level: float) -> Correlation:
    n, groups = len(x), int(strata.max()) + 1 if len(strata) else 0
    first, second = (_ranks(values[None], strata) for values in (x, y))
    rho = float(_rho(first, second)[0]) if n > 1 else float("nan")
    if n < LEAST or not np.isfinite(rho):
        return Correlation(rho, np.nan, np.nan, np.nan, n, groups)
    rng = np.random.default_rng(0)
    chosen = _resamples(strata, rng)
    resampled = _rho(_ranks(x[chosen], strata), _ranks(y[chosen], strata))
    lower, upper = np.nanquantile(resampled, ((1 - level) / 2, (1 + level) / 2))
    null = _rho(first, second[0][shuffles(strata, DRAWS, rng)])
    beyond = int((np.abs(null) >= abs(rho) - 1e-12).sum())
    return Correlation(rho, float(lower), float(upper), (1 + beyond) / (1 + DRAWS), n, groups)


def _ranks(values: Array, strata: Codes) -> Array:
    """Centred ranks [m, n] of values [m, n] within the strata [n], over the stratum's size plus 1."""
    from scipy.stats import rankdata

    found = np.empty(values.shape)
    for stratum in range(int(strata.max()) + 1 if len(strata) else 0):
        own = strata == stratum
        size = int(own.sum())
        found[:, own] = rankdata(values[:, own], axis=1) / (size + 1) - 0.5
    return found


def _rho(first: Array, second: Array) -> Array:
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.asarray(
            (first * second).sum(axis=1) / np.sqrt((first**2).sum(axis=1) * (second**2).sum(axis=1))
        )


def _resamples(strata: Codes, rng: np.random.Generator) -> Codes:
    """Positions [draws, n], each drawn with replacement from the runs of its stratum."""
    drawn = np.empty((RESAMPLES, len(strata)), dtype=np.int64)
    for stratum in range(int(strata.max()) + 1):
        own = np.flatnonzero(strata == stratum)
        drawn[:, own] = own[rng.integers(len(own), size=(RESAMPLES, len(own)))]
    return drawn
