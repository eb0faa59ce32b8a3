"""How far every run lies from what is usual, metric by metric: a robust z."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyzers.comparison.scale import scaled, spans_decades

LEAST = 8  # reference runs with a value
OF_ONE_P = 5  # reference runs of one p from which their own median is the usual value
DEPENDS = 0.01  # p-value from which a metric counts as depending on p
_NORMAL = 1.482602  # standard deviation of a normal law over its median absolute deviation
_MEAN = 1.253314  # ... over its mean absolute deviation
_COMMON = (0.05, 0.1)  # shares of the runs that may lie far out on one side
_FEW = 2  # runs that always may
_FAIR = 0.4  # skew of a scale on which extremes are told
_AGREE = 1e-12  # relative deviation up to which runs agree
_RESOLVED = 1e-3  # least spread, as a share of the value (in decades on a logarithmic scale)
_WHOLE = 0.5  # least spread of a metric of whole numbers

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Deviation:
    """One metric over n runs.

    z             robust z [n]; NaN without a value
    usual         what was expected of each run [n], in units of the metric
    logarithmic   compared as log10
    adjusted      "" (one median for all), "p" (median of the same p, a line in p where those are few)
    """

    z: Array
    usual: Array
    logarithmic: bool
    adjusted: str


def deviation(values: Array, reference: Flags, p: Array, resolution: float = 0.0) -> Deviation | None:
    """Robust z of values [n] against the reference runs [n], p [n] being each run's prime.

    resolution   the usual width of the interval in which a value is known to lie, in units of the metric

    y is the metric, or its log10 where all values are positive and that is the more symmetric of the two by
    the quantiles 5, 50 and 95 %, or fairly symmetric for a metric that spans decades. Expected: the median of
    y over the reference; where y depends on p (Kruskal-Wallis over primes with five runs or more, or Spearman
    with p, at 1 %), the median over the reference runs of the same p if they are five or more, else a line in
    p with the median of pairwise slopes (H. Theil, 1950; P. Sen, 1968).

    z = (y - expected) / s, on either side with s = 1.4826 median |y - expected| over the reference; at least
    what the |y - expected| of that side is without the 5 and 10 % of the runs (two at least) that are
    largest, over what it is for a normal law (what more runs than that do is not far out); 1.2533 mean |y -
    expected| where all are 0. s is at least a thousandth of the
    median value (0.001 decades), 1/2 for whole numbers, and resolution / sqrt(12).

    None for fewer than eight reference runs with a value, or where they all agree.
    """
    known = reference & np.isfinite(values)
    if int(known.sum()) < LEAST:
        return None
    usable = values[known]
    logarithmic = _on_log(usable)
    y = scaled(values, logarithmic)
    expected, adjusted = np.full(len(y), np.median(y[known])), ""
    if _depends(y[known], p[known]):
        expected, adjusted = _by_p(y, known, p), "p"
    off = y - expected
    if not np.abs(off[known]).max() > _AGREE * max(float(np.abs(y[known]).max()), 1e-300):
        return None
    whole = not logarithmic and not adjusted and bool((y[known] == np.round(y[known])).all())
    middle = float(np.median(np.abs(usable)))
    blurred = resolution / np.sqrt(12) / (middle * np.log(10) if logarithmic else 1.0)
    resolved = _RESOLVED * (1.0 if logarithmic else middle)
    below, above = _spreads(off[known], max(resolved, blurred, _WHOLE if whole else 0.0))
    usual = 10**expected if logarithmic else expected
    return Deviation(off / np.where(off < 0, below, above), usual, logarithmic, adjusted)


def _spreads(off: Array, least: float) -> tuple[float, float]:
    """The spread of deviations [n] to either side."""
    from scipy.special import ndtri

    size = np.abs(off)
    middle = _NORMAL * float(np.median(size))
    found = []
    for side in (np.sort(size[off <= 0]), np.sort(size[off >= 0])):
        common = [0.0]
        for share in _COMMON:
            place = len(side) - 1 - max(_FEW, int(np.ceil(share * len(off))))
            if place > len(side) // 2:
                common.append(float(side[place] / ndtri(0.5 + 0.5 * (place + 0.5) / len(side))))
        found.append(max(middle, least, *common) or _MEAN * float(size.mean()))
    return found[0], found[1]


def _on_log(values: Array) -> bool:
    if values.min() <= 0:
        return False
    skew = _skew(np.log10(values))
    return skew < _skew(values) or (spans_decades(values) and skew < _FAIR)


def _skew(values: Array) -> float:
    """|q95 + q5 - 2 median| / (q95 - q5) of finite values."""
    low, middle, high = np.quantile(values, (0.05, 0.5, 0.95))
    return float(abs(high + low - 2 * middle) / (high - low)) if high > low else 0.0


def _depends(y: Array, p: Array) -> bool:
    from scipy.stats import kruskal, spearmanr

    primes, counts = np.unique(p[np.isfinite(p)], return_counts=True)
    if len(primes) < 2 or np.ptp(y) == 0:
        return False
    of_prime = [y[p == prime] for prime in primes[counts >= OF_ONE_P]]
    together = np.concatenate(of_prime) if of_prime else y[:0]
    if len(of_prime) > 1 and np.ptp(together) > 0 and float(kruskal(*of_prime).pvalue) < DEPENDS:
        return True
    known = np.isfinite(p)
    return bool(float(spearmanr(y[known], p[known]).pvalue) < DEPENDS)


def _by_p(y: Array, known: Flags, p: Array) -> Array:
    from scipy.stats import theilslopes

    with_p = known & np.isfinite(p)
    expected = np.full(len(y), np.median(y[known]))
    few = np.isfinite(p)
    for prime in np.unique(p[with_p]):
        own = with_p & (p == prime)
        if int(own.sum()) >= OF_ONE_P:
            expected[p == prime] = np.median(y[own])
            few &= p != prime
    if few.any():
        slope, intercept, *_ = theilslopes(y[with_p], p[with_p], method="joint")
        expected[few] = intercept + slope * p[few]
    return expected


def peers(values: Array, reference: Flags, p: Array, run: int, adjusted: str) -> tuple[Array, bool]:
    """(values of the other reference runs that a run is set beside, whether they are those of its p): these,
    where the metric is adjusted for p and they are five or more, else all."""
    others = reference & np.isfinite(values)
    others[run] = False
    same = others & (p == p[run])
    of_its_p = bool(adjusted) and int(same.sum()) >= OF_ONE_P
    return values[same if of_its_p else others], of_its_p
