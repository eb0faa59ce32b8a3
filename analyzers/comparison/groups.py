"""One metric in several groups of runs: what is typical of each, and whether they differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.comparison.permutation import Permuted, coded, permuted
from data.errors import BadParameter

LEVEL = 0.95

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Group:
    """n finite values with quartiles, and an interval for the median (NaN for fewer than six values)."""

    label: Any
    n: int
    low: float
    median: float
    high: float
    median_interval: tuple[float, float]


@dataclass(frozen=True)
class Difference:
    """Kruskal-Wallis: h on df degrees of freedom with the p-value of its permutation test.

    effect  eta^2 = (h - k + 1) / (n - k): share of the ranks' variance that lies between the groups, 0 on
            average where they do not differ, 1 where they do not overlap in the largest possible way
    """

    h: float
    df: int
    permuted: Permuted
    effect: float
    n: int


def described(values: Array, label: Any = "") -> Group:
    """What is typical of values [n]; entries that are not finite do not count."""
    known = np.sort(values[np.isfinite(values)])
    if not len(known):
        return Group(label, 0, np.nan, np.nan, np.nan, (np.nan, np.nan))
    low, median, high = (float(one) for one in np.quantile(known, (0.25, 0.5, 0.75)))
    return Group(label, len(known), low, median, high, median_interval(known))


def median_interval(values: Array, level: float = LEVEL) -> tuple[float, float]:
    """Interval for the median from order statistics, whatever the distribution; values [n] finite.

    The number of values below the median is binomial(n, 1/2): the j-th smallest and j-th largest with the
    largest j for which the coverage is still at least `level`. (NaN, NaN) where even the extremes do not
    reach it (n < 6 at 95 %).
    """
    from scipy.stats import binom

    ordered = np.sort(values)
    j = int(binom.ppf((1 - level) / 2, len(ordered), 0.5))
    while j > 0 and 2 * binom.cdf(j - 1, len(ordered), 0.5) > 1 - level:
        j -= 1
    if j < 1:
        return float("nan"), float("nan")
    return float(ordered[j - 1]), float(ordered[-j])


def kruskal_wallis(values: Array, group: NDArray[Any]) -> Difference:
    """Do the groups differ in level? Finite values [n], group [n].

    h = (n - 1) sum_g n_g (mean rank of g - (n + 1) / 2)^2 / sum (rank - (n + 1) / 2)^2, tied values sharing
    their mean rank (W. Kruskal, W. A. Wallis, 1952). The p-value is that of the permutations, not of chi^2.

    Raises BadParameter for fewer than two groups.
    """
    from scipy.stats import rankdata

    labels, codes = coded(group)
    n, k = len(values), len(labels)
    if k < 2:
        there = f"there is one: {labels[0]!r}" if labels else "there is none"
        raise BadParameter(f"A test between groups needs two or more; {there}.")
    ranks = rankdata(values)
    centred = ranks - ranks.mean()
    total = float((centred**2).sum())
    if total == 0:
        return Difference(0.0, k - 1, Permuted(1.0, True, 1), 0.0, n)
    sums = np.bincount(codes, weights=centred)
    h = float((n - 1) * (sums**2 / np.bincount(codes)).sum() / total)
    effect = (h - k + 1) / (n - k) if n > k else float("nan")
    return Difference(h, k - 1, permuted(ranks, codes), effect, n)
