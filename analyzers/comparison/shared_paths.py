"""Checkpoints of several runs in one set of principal components, and what random walks would show there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyzers.instruments.parameter_pca import principal_components
from analyzers.random_paths import gaussian_rows

Array = NDArray[np.float64]

N_COMPONENTS = 3
N_WALKS = 40
_COLUMNS = 16384


@dataclass(frozen=True)
class SharedBasis:
    """projection [point, 3] and shares [3] of the variance; between: the share of it between the runs.

    walk_low, walk_high [3]: the middle 95 % of the shares of random walks (`walk_shares`).
    """

    projection: Array
    shares: Array
    between: float
    walk_low: Array
    walk_high: Array


def common_components(points: NDArray[np.floating], runs: NDArray[np.integer]) -> SharedBasis:
    """Principal components of the points [N, D] of several runs; runs [N]: which run each belongs to.

    Formula: G = C C^T of the points less their mean; G u = l u; projection = sqrt(l) u, shares = l / trace G;
    between = sum over runs of n_run ||mean of the run||^2 / trace G. Points of a run are in order of time.

    Units: of the points. Limits: every checkpoint weighs the same.
    """
    gram = centred_gram(points)
    projection, shares = principal_components(gram, N_COMPONENTS)
    own = [np.flatnonzero(runs == run) for run in np.unique(runs)]
    low, high = walk_shares(gram, own, points.shape[1])
    return SharedBasis(projection, shares, between_share(gram, own), low, high)


def between_share(gram: Array, runs: Sequence[NDArray[np.integer]]) -> float:
    """Variance of the runs' means, each with the weight of its points, over all variance; NaN without any.

    gram [N, N]: centred inner products of the points; runs: the positions of each run's points.
    """
    total = float(np.trace(gram))
    # squared length of a run's mean times its number of points: from the block of the Gram matrix
    between = sum(float(gram[np.ix_(own, own)].sum()) / len(own) for own in runs)
    return between / total if total > 0 else float("nan")


def centred_gram(points: NDArray[np.floating]) -> Array:
    """Inner products [N, N] of points [N, D] less their mean, some columns at a time.

    The products are taken in the precision of the points and added in float64.
    """
    gram = np.zeros((len(points), len(points)))
    for start in range(0, points.shape[1], _COLUMNS):
        columns = points[:, start : start + _COLUMNS]
        columns = columns - columns.mean(axis=0, dtype=np.float64).astype(columns.dtype)
        gram += columns @ columns.T
    return gram


def walk_shares(
    gram: Array, runs: Sequence[NDArray[np.integer]], dimension: int, seed: int = 0
) -> tuple[Array, Array]:
    """(low [3], high [3]): the middle 95 % of the shares of the first components if each run were a random
    walk.

    Every run begins where it does and takes steps of the lengths that it does, in directions drawn at random
    in `dimension` dimensions (those of the starts beside them). gram [N, N]: centred inner products of the
    points; runs: the positions of each run's points, in time order. NaN for components that do not exist.
    """
    starts = np.array([own[0] for own in runs])
    begin = _rows_of(gram[np.ix_(starts, starts)])
    square = np.diagonal(gram)
    lengths = [
        np.sqrt((square[own[1:]] + square[own[:-1]] - 2 * gram[own[1:], own[:-1]]).clip(min=0))
        for own in runs
    ]
    count = sum(map(len, lengths))
    found = np.full((N_WALKS, N_COMPONENTS), np.nan)
    if count:
        rng = np.random.default_rng(seed)
        for walk in found:
            steps = gaussian_rows(rng, 1, count, dimension)[0]
            steps /= np.linalg.norm(steps, axis=1, keepdims=True)
            points = np.zeros((len(gram), begin.shape[1] + steps.shape[1]))
            first = 0
            for number, (own, length) in enumerate(zip(runs, lengths, strict=True)):
                moved = np.cumsum(length[:, None] * steps[first : first + len(length)], axis=0)
                points[own, : begin.shape[1]] = begin[number]
                points[own[1:], begin.shape[1] :] = moved
                first += len(length)
            walk[:] = _shares(points)
    low, high = np.quantile(found, [0.025, 0.975], axis=0)
    return low, high


def _shares(points: Array) -> Array:
    points = points - points.mean(axis=0)
    values = np.linalg.eigvalsh(points @ points.T)[::-1][:N_COMPONENTS].clip(min=0)
    found = np.full(N_COMPONENTS, np.nan)
    exist = min(len(points) - 1, N_COMPONENTS)
    found[:exist] = values[:exist] / (points**2).sum() if (points**2).sum() > 0 else np.nan
    return found


def _rows_of(gram: Array) -> Array:
    """Rows [n, n] with these inner products."""
    values, vectors = np.linalg.eigh(gram)
    rows: Array = vectors * np.sqrt(values.clip(min=0))
    return rows
