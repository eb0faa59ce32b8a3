"""How much of a metric's variance comes with the prime, the seed, the data seed, and how much with none."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyzers.comparison.additive import Factors, checked, design, indicators, projection

LEVEL = 0.95
DRAWS = 4_000
REST = "rest"

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Components:
    """Per source [factors and the rest]: its variance (may be negative: none is seen), its share of the sum
    of the positive ones with an interval, and degrees of freedom. NaN where the design cannot tell."""

    sources: list[str]
    variance: Array
    share: Array
    lower: Array
    upper: Array
    df: NDArray[np.int64]


def variance_components(values: Array, factors: Factors, level: float = LEVEL) -> Components:
    """Variance components of the additive model with random levels; values [n] finite, factors: name -> [n].

    Fitting constants (C. Henderson, "Estimation of variance and covariance components", 1953, method 3): with
    SS_f what factor f explains beyond all others, on df_f degrees of freedom, and MS_0 the mean square of the
    rest, E SS_f / df_f = s_0^2 + c_f s_f^2, c_f = tr(Z_f^T (P - P_-f) Z_f) / df_f. Unbiased for any design;
    for balanced ones the usual analysis of variance.

    Interval: SS_f / chi^2(df_f) * df_f in place of SS_f (generalised pivots, S. Weerahandi, 1993); exact for
    normal levels in balanced designs, approximate otherwise.

    Limits: four primes are four draws, so that their share is known badly; interactions (a seed that is odd
    at one prime only) are part of the rest. A factor with one level, or that the others imply, gets NaN.
    """
    known = {name: pair[1] for name, pair in checked(values, factors).items()}
    n, names = len(values), list(factors)
    full = projection(design(known, n))
    rest_df = n - full.rank
    rest_squares = float((full.rest(values) ** 2).sum())
    df, squares, gain = np.zeros(len(names), dtype=np.int64), np.zeros(len(names)), np.zeros(len(names))
    for place, name in enumerate(names):
        others = {other: codes for other, codes in known.items() if other != name}
        without = projection(design(others, n))
        df[place] = full.rank - without.rank
        if df[place]:
            squares[place] = (without.rest(values) ** 2).sum() - rest_squares
            columns = indicators(known[name]).T
            gain[place] = (without.rest(columns) ** 2).sum() / df[place]
    all_df = np.append(df, rest_df)
    if rest_df < 1:
        nothing = np.full(len(names) + 1, np.nan)
        return Components([*names, REST], nothing, nothing, nothing, nothing, all_df)
    variance = _solved(squares, rest_squares, df, rest_df, gain)
    rng = np.random.default_rng(0)
    drawn = np.maximum(df, 1)
    pivots = squares * drawn / rng.chisquare(drawn, size=(DRAWS, len(names)))
    rests = rest_squares * rest_df / rng.chisquare(rest_df, size=DRAWS)
    shares = _shares(_solved(pivots, rests, df, rest_df, gain))
    lower, upper = np.full(len(names) + 1, np.nan), np.full(len(names) + 1, np.nan)
    told = ~np.isnan(variance)
    lower[told], upper[told] = np.quantile(shares[:, told], ((1 - level) / 2, (1 + level) / 2), axis=0)
    return Components([*names, REST], variance, _shares(variance), lower, upper, all_df)


def _solved(
    squares: Array, rest_squares: Array | float, df: NDArray[np.int64], rest_df: int, gain: Array
) -> Array:
    """Variances [..., factors + 1] from sums of squares [..., factors] and that of the rest [...]."""
    rest = np.asarray(rest_squares) / rest_df
    with np.errstate(divide="ignore", invalid="ignore"):
        found = (squares / df - rest[..., None]) / gain
    found = np.where(df > 0, found, np.nan)
    return np.concatenate([found, rest[..., None]], axis=-1)


def _shares(variance: Array) -> Array:
    positive = np.maximum(variance, 0.0)
    with np.errstate(divide="ignore", invalid="ignore"):
        return np.asarray(positive / np.nansum(positive, axis=-1, keepdims=True))
