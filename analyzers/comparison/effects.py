"""Is one seed odd? The difference of every level of a factor from its others, at equal other factors."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.comparison.additive import Factors, checked, comparable, design, projection
from analyzers.comparison.permutation import coded
from data.errors import BadParameter

LEVEL = 0.95
DRAWS = 1_999

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Effects:
    """Per level [L] of a factor: its difference from the mean of the other levels.

    n                 runs of that level
    difference, se    estimate and standard error; NaN where `apart` names the level
    lower, upper      bootstrap-t interval of the estimate
    p, adjusted       share of permutations with as large a |t| at this level, and at any level: the second
                      answers "is there an odd one among them?" and pays for having looked at all of them
    f, f_p            F statistic of the factor as a whole and its permutation p-value
    df                degrees of freedom of the rest
    apart             levels that share too little with the others to be told from them
    runs              per run: difference of its level plus what the model leaves of it (partial residual)
    """

    levels: list[Any]
    n: NDArray[np.int64]
    difference: Array
    se: Array
    lower: Array
    upper: Array
    p: Array
    adjusted: Array
    f: float
    f_p: float
    df: int
    apart: list[Any]
    runs: Array


def level_effects(values: Array, factors: Factors, of: str, level: float = LEVEL) -> Effects:
    """Differences of the levels of factor `of`, adjusted for the other factors by the additive model.

    values [n] finite; factors: name -> labels [n]. Estimate: a_l less the mean of the other levels' a, by
    least squares. Interval: the rest, scaled to equal leverage, is drawn with replacement, and t = (estimate*
    - estimate) / se* gives the quantiles. Null (D. Freedman, D. Lane, 1983): what a model without the factor
    leaves is shuffled and fitted again; `adjusted` compares |t| with the largest |t| over all levels
    (P. Westfall, S. Young, 1993). Draws are always the same.

    Limits: effects add, so a seed that is odd at one prime only enters the rest; the draws take the rest to
    be equally wide everywhere. Without a degree of freedom for the rest there is no interval.

    Raises BadParameter for an unknown factor, or one with fewer than two levels that can be compared.
    """
    if of not in factors:
        raise BadParameter(f"There is no factor {of!r}; there are: {', '.join(factors)}.")
    known = checked(values, factors)
    levels, codes = known[of]
    classes = comparable({name: pair[1] for name, pair in known.items()}, of)
    if len(classes[0]) < 2:
        raise BadParameter(
            f"No two values of {of} can be compared at equal {', '.join(set(factors) - {of}) or 'terms'}:"
            f" {len(levels)} in {len(values)} runs. Select more variants."
        )
    inside = np.isin(codes, classes[0])
    kept = {name: np.asarray(labels)[inside] for name, labels in factors.items()}
    found = _fitted(values[inside], kept, of, level)
    wide = np.full((6, len(levels)), np.nan)
    wide[:, classes[0]] = found[0]
    apart = [levels[one] for one in range(len(levels)) if one not in set(classes[0].tolist())]
    f, f_p, df = found[1]
    difference, se, lower, upper, p, adjusted = wide
    counts = np.bincount(codes, minlength=len(levels))
    rest = projection(design({name: coded(kept[name])[1] for name in kept}, int(inside.sum()))).rest(
        values[inside]
    )
    runs = np.full(len(values), np.nan)
    runs[inside] = difference[codes[inside]] + rest
    return Effects(levels, counts, difference, se, lower, upper, p, adjusted, f, f_p, df, apart, runs)


def _fitted(values: Array, factors: Factors, of: str, level: float) -> tuple[Array, tuple[float, float, int]]:
    """(rows difference, se, lower, upper, p, adjusted over the levels; (f, p of f, df)) of one class."""
    codes = {name: pair[1] for name, pair in checked(values, factors).items()}
    ordered = {of: codes.pop(of), **codes}
    n, count = len(values), int(ordered[of].max()) + 1
    matrix = design(ordered, n)
    full, reduced = projection(matrix), projection(design(codes, n))
    df, df_of = n - full.rank, full.rank - reduced.rank
    contrasts = np.zeros((count, matrix.shape[1]))
    contrasts[:, 1 : 1 + count] = np.full((count, count), -1 / (count - 1)) + np.eye(count) * count / (
        count - 1
    )
    weights = contrasts @ np.linalg.pinv(matrix, rcond=1e-9)  # [levels, n]
    difference = weights @ values
    length = np.sqrt((weights**2).sum(axis=1))
    nothing = np.full(count, np.nan)
    rest = full.rest(values)
    if df < 1 or not (rest**2).sum() > 1e-20 * max((values**2).sum(), 1e-300):
        return np.stack([difference, *[nothing] * 5]), (np.nan, np.nan, df)

    def judged(drawn: Array) -> tuple[Array, Array, Array]:
        """Estimates, standard errors [m, levels] and F [m] of values [m, n]."""
        left, without = full.rest(drawn), reduced.rest(drawn)
        squares = (left**2).sum(axis=1)
        spread = np.sqrt(squares / df)
        gained = (without**2).sum(axis=1) - squares
        with np.errstate(divide="ignore", invalid="ignore"):
            return drawn @ weights.T, spread[:, None] * length, gained / df_of / (squares / df)

    rng = np.random.default_rng(0)
    estimate, error, f = (one[0] for one in judged(values[None]))
    with np.errstate(invalid="ignore", divide="ignore"):
        leverage = 1 - (full.basis**2).sum(axis=1)
        even = np.where(leverage > 1e-9, rest / np.sqrt(leverage), np.nan)
    pool = even[np.isfinite(even)]
    pool = pool - pool.mean()
    drawn_estimate, drawn_error, _ = judged(pool[rng.integers(len(pool), size=(DRAWS, n))])
    with np.errstate(invalid="ignore", divide="ignore"):
        t = drawn_estimate / drawn_error
    low, high = np.nanquantile(t, ((1 - level) / 2, (1 + level) / 2), axis=0)
    left = reduced.rest(values)
    orders = np.argsort(rng.random((DRAWS, n)), axis=1)
    null_estimate, null_error, null_f = judged(left[orders])
    with np.errstate(invalid="ignore", divide="ignore"):
        null = np.abs(null_estimate / null_error)
    own = np.abs(estimate / error) * (1 - 1e-9)
    p = (1 + (null >= own).sum(axis=0)) / (1 + DRAWS)
    adjusted = (1 + (null.max(axis=1)[:, None] >= own).sum(axis=0)) / (1 + DRAWS)
    f_p = (1 + int((null_f >= f * (1 - 1e-9)).sum())) / (1 + DRAWS)
    rows = [difference, error, estimate - high * error, estimate - low * error, p, adjusted]
    return np.stack(rows), (float(f), f_p, df)
