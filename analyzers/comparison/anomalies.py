"""Which runs stand out from the rest, over all metrics at once, and how sure that is.

Metrics are many and go together, so a large |z| somewhere is nothing: of a hundred metrics some run holds the
extreme of each. Two statistics per run, each judged by what the other runs of the same cohort have:

largest    max over metrics of |z|: far out in one respect
breadth    sum over metrics of w log(1 + z^2), over the sum of w: out in many respects. w = 1 / sum over
           metrics of r^2 (r: Spearman between them) counts metrics that go together once.

Null: a normal run's statistic follows the law of the bulk of the cohort. The number of metrics, their
correlations and their tails are thereby those of the cohort. log largest is taken to have a Gumbel law (that
of maxima), log breadth a normal one (that of sums); both are fitted to quantiles, which a few odd runs do not
move. Permuting the runs of each metric would not do for `largest`: every permutation keeps each extreme and
puts it into some run. It is the null of the tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

SMALL = 6.0  # the width of a law grows by this over the number of runs it is fitted to
RATE = 0.05  # of cohorts of normal runs in which any run is flagged
_LEAST = -50.0  # reduced value below which a tail is 1

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True)
class Scores:
    """Per run [n].

    largest, breadth   the two statistics
    p                  chance of as odd a normal run: twice the smaller of the two tails, at most 1
    score              -log10 p
    flagged            p times the number of reference runs is at most `RATE`
    typical            (median, the level that one normal run in 20 passes) of `largest`
    """

    largest: Array
    breadth: Array
    p: Array
    score: Array
    flagged: Flags
    typical: tuple[float, float]


def weights(z: Array) -> Array:
    """w [metrics] for z [runs, metrics]: 1 over the sum of squared Spearman correlations with all metrics; 0
    for one that is the same in all runs."""
    from scipy.stats import rankdata

    ranks = rankdata(np.where(np.isfinite(z), z, 0.0), axis=0)
    ranks -= ranks.mean(axis=0)
    length = np.sqrt((ranks**2).sum(axis=0))
    ranks /= np.where(length > 0, length, 1.0)
    together = ((ranks.T @ ranks) ** 2).sum(axis=0)
    return np.where(together > 0, 1 / np.maximum(together, 1.0), 0.0)


def scores(z: Array, reference: Flags, rate: float = RATE) -> Scores:
    """Scores of runs with z [runs, metrics] (NaN: no value); `reference` [runs] are the cohort.

    Each run is judged by the other reference runs. A run without any value has NaN. Metrics must vary.
    """
    weight = weights(z[reference])
    known = np.isfinite(z)
    size = np.where(known, np.abs(z), 0.0)
    with np.errstate(invalid="ignore", divide="ignore"):
        breadth = np.log((np.log1p(size**2) @ weight) / (known @ weight))
        largest = np.log(np.where(known.any(axis=1), size.max(axis=1), np.nan))
    tails = np.fmin(_tails(largest, reference, _Gumbel), _tails(breadth, reference, _Normal))
    p = np.minimum(1.0, 2 * tails)
    usual = _Gumbel(largest[reference & np.isfinite(largest)])
    return Scores(
        np.exp(largest),
        np.exp(breadth),
        p,
        -np.log10(np.maximum(p, 1e-300)),
        p * int(reference.sum()) <= rate,
        (float(np.exp(usual.quantile(0.5))), float(np.exp(usual.quantile(0.95)))),
    )


class _Law(Protocol):
    def __init__(self, values: Array) -> None: ...

    def tail(self, value: float) -> float: ...


def _tails(statistic: Array, reference: Flags, law: type[_Law]) -> Array:
    """Share of normal runs with as large a statistic [n], which has the law of the other reference runs."""
    found = np.full(len(statistic), np.nan)
    for run in np.flatnonzero(np.isfinite(statistic)):
        others = reference & np.isfinite(statistic)
        others[run] = False
        found[run] = law(statistic[others]).tail(float(statistic[run]))
    return found


class _Gumbel:
    """The law of maxima through the median, as wide as the middle half or the upper quantiles need."""

    def __init__(self, values: Array) -> None:
        reduced = [-np.log(-np.log(share)) for share in (0.25, 0.5, 0.75, 0.9)]
        low, middle, high, upper = np.quantile(values, (0.25, 0.5, 0.75, 0.9))
        width = max((high - low) / (reduced[2] - reduced[0]), (upper - middle) / (reduced[3] - reduced[1]))
        self._place = float(middle - width * reduced[1])
        self._width = float(width) * (1 + SMALL / len(values))

    def quantile(self, share: float) -> float:
        return float(self._place - self._width * np.log(-np.log(share)))

    def tail(self, value: float) -> float:
        if not self._width > 0:
            return float("nan")
        return float(-np.expm1(-np.exp(-max((value - self._place) / self._width, _LEAST))))


class _Normal:
    """The normal law through the median, as wide as the middle half or the upper quantiles need."""

    def __init__(self, values: Array) -> None:
        low, self._middle, high, upper = np.quantile(values, (0.25, 0.5, 0.75, 0.9))
        width = max((high - low) / 1.348980, (upper - self._middle) / 1.281552)
        self._width = float(width) * (1 + SMALL / len(values))

    def tail(self, value: float) -> float:
        from scipy.special import ndtr

        return float(ndtr((self._middle - value) / self._width)) if self._width > 0 else float("nan")
