"""Spread within families of runs that should be alike, beside the spread between seeds; a fork beside them.

Replicates of a run differ from it by rounding only, so that their spread is what the same experiment gives
twice. What seeds do beyond that is theirs.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.comparison.permutation import coded

LEVEL = 0.95
DRAWS = 4_999

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Spread:
    """Pooled standard deviation within groups: sqrt(sum of squares about the groups' means / df)."""

    sd: float
    df: int
    groups: int
    n: int


@dataclass(frozen=True)
class Ratio:
    """Spread between seeds over spread within replicates: interval, p-value of the permutations."""

    between: Spread
    within: Spread
    ratio: float
    lower: float
    upper: float
    p: float


@dataclass(frozen=True)
class Outside:
    """A run beside the runs that should be like it: t on n - 1 degrees of freedom, its two-sided p-value."""

    t: float
    p: float
    n: int


def pooled(values: Array, group: NDArray[Any]) -> Spread:
    """The spread within groups of finite values [n]; groups of one value have none and do not count."""
    deviations, counts = _deviations(values, group)
    df = int(sum(count - 1 for count in counts))
    sd = float(np.sqrt((deviations**2).sum() / df)) if df else float("nan")
    return Spread(sd, df, len(counts), int(sum(counts)))


def spread_ratio(
    between: Array,
    between_group: NDArray[Any],
    within: Array,
    within_group: NDArray[Any],
    level: float = LEVEL,
) -> Ratio:
    """The spread of `between` about its groups' means over that of `within` about its own.

    between, between_group [n]   values of runs of different seeds, grouped by what else differs (p)
    within, within_group [m]     values of replicates, grouped by the run that they replicate

    Interval: F quantiles of the ratio of the two variances, which takes both to be normal. p: share of the
    ways of exchanging deviations (each times sqrt(size / (size - 1))) between the two sets that give as large
    a ratio; one-sided, as seeds cannot spread less than replicates.
    """
    from scipy.stats import f

    seeds, twins = pooled(between, between_group), pooled(within, within_group)
    if not seeds.df or not twins.df or not twins.sd > 0:
        ratio = float("inf") if seeds.df and twins.df and seeds.sd > 0 else float("nan")
        return Ratio(seeds, twins, ratio, np.nan, np.nan, np.nan)
    ratio = seeds.sd / twins.sd
    low, high = (f.ppf(tail, seeds.df, twins.df) for tail in ((1 - level) / 2, (1 + level) / 2))
    first, second = _levelled(between, between_group), _levelled(within, within_group)
    everything, size = np.concatenate([first, second]) ** 2, len(first)
    drawn = np.argsort(np.random.default_rng(0).random((DRAWS, len(everything))), axis=1)[:, :size]
    part = everything[drawn].sum(axis=1)
    observed = float((first**2).sum())
    beyond = int((part >= observed * (1 - 1e-9)).sum())
    return Ratio(
        seeds,
        twins,
        ratio,
        float(ratio / np.sqrt(high)),
        float(ratio / np.sqrt(low)),
        (1 + beyond) / (1 + DRAWS),
    )


def outside(value: float, alike: Array) -> Outside:
    """Does a run lie outside what its replicates [n] give? t = (value - mean) / (s sqrt(1 + 1 / n)).

    The interval of prediction of one more normal value; NaN for fewer than three replicates.
    """
    from scipy.stats import t as student

    known = alike[np.isfinite(alike)]
    n = len(known)
    if n < 3 or not np.isfinite(value) or known.std() == 0:
        return Outside(np.nan, np.nan, n)
    t = float((value - known.mean()) / (known.std(ddof=1) * np.sqrt(1 + 1 / n)))
    return Outside(t, float(2 * student.sf(abs(t), n - 1)), n)


def _deviations(values: Array, group: NDArray[Any]) -> tuple[Array, list[int]]:
    _, codes = coded(group)
    parts = [values[codes == code] for code in range(int(codes.max()) + 1 if len(codes) else 0)]
    several = [part for part in parts if len(part) > 1]
    found = [part - part.mean() for part in several]
    return np.concatenate(found) if found else np.zeros(0), [len(part) for part in several]


def _levelled(values: Array, group: NDArray[Any]) -> Array:
    """Deviations of the variance that one value has, whatever the size of its group."""
    deviations, counts = _deviations(values, group)
    factors = [np.full(count, np.sqrt(count / (count - 1))) for count in counts]
    return deviations * np.concatenate(factors)
