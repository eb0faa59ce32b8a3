"""Random paths to compare a run with, as squared distances of their points at the run's own checkpoints.

The increments are Gaussian and isotropic in `dimension` dimensions. Only their Gram matrix matters for
distances, and for count < dimension it is drawn directly as a Wishart matrix (Bartlett 1933): no vector of
that many numbers exists.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from analyzers.threads import one_thread

Array = NDArray[np.float64]


def gaussian_rows(rng: np.random.Generator, paths: int, count: int, dimension: int) -> Array:
    """[paths, count, m] whose Gram matrices are those of `count` standard Gaussian vectors, over `dimension`.

    Each vector has a mean squared length of 1.
    """
    if dimension <= count:
        return rng.standard_normal((paths, count, dimension)) / np.sqrt(dimension)
    rows = np.tril(rng.standard_normal((paths, count, count)), -1)
    own = np.arange(count)
    rows[:, own, own] = np.sqrt(rng.chisquare(dimension - own, (paths, count)))
    return rows / np.sqrt(dimension)


def random_walk(rng: np.random.Generator, paths: int, epochs: Array, dimension: int) -> Array:
    """Squared distances [paths, E, E] of Brownian motion seen at `epochs`: one squared unit of length per
    epoch.
    """
    increments = gaussian_rows(rng, paths, len(epochs) - 1, dimension)
    return _distances(_summed(increments * np.sqrt(np.diff(epochs))[:, None]))


def ou_process(rng: np.random.Generator, paths: int, epochs: Array, dimension: int, time: float) -> Array:
    """Squared distances [paths, E, E] of a stationary Ornstein-Uhlenbeck process with relaxation `time` in
    epochs.
    """
    points = gaussian_rows(rng, paths, len(epochs), dimension)
    kept = np.exp(-np.diff(epochs) / time)
    for index, share in enumerate(kept, start=1):
        points[:, index] = share * points[:, index - 1] + np.sqrt(1 - share**2) * points[:, index]
    return _distances(points)


def matched_walk(rng: np.random.Generator, paths: int, lengths: Array, dimension: int) -> Array:
    """Squared distances [paths, E, E] of walks whose steps have exactly these lengths [E - 1], in random
    directions.
    """
    increments = gaussian_rows(rng, paths, len(lengths), dimension)
    increments /= np.linalg.norm(increments, axis=2, keepdims=True)
    return _distances(_summed(increments * lengths[:, None]))


def random_walk_shares(epochs: Array, count: int) -> Array:
    """Shares of variance [count] of the components of a random walk in infinitely many dimensions, at
    `epochs`.

    For many equal steps they are 6 / (pi k)^2: 0.61, 0.15, 0.07.
    """
    since = np.asarray(epochs, dtype=np.float64) - epochs[0]
    covariance = np.minimum(since[:, None], since[None])
    centred = covariance - covariance.mean(axis=0)
    centred -= centred.mean(axis=1, keepdims=True)
    values = np.linalg.eigvalsh(centred)[::-1].clip(min=0)
    shares = np.full(count, np.nan)
    exist = min(len(epochs) - 1, count)
    if exist > 0:
        shares[:exist] = values[:exist] / values.sum()
    return shares


def p_value(observed: float, null: Array) -> float:
    """Two-sided p of one value among those of `null`: twice the smaller tail's (1 + #) / (1 + n), at most 1.

    Values that are not finite are left out of the null; NaN if the observed one is not.
    """
    null = null[np.isfinite(null)]
    if not np.isfinite(observed) or not null.size:
        return float("nan")
    slack = 1e-9 * max(abs(observed), float(np.abs(null).max()))  # equal but for rounding is equal
    tails = (null <= observed + slack).sum(), (null >= observed - slack).sum()
    return min(1.0, 2 * (1 + int(min(tails))) / (1 + null.size))


def _summed(increments: Array) -> Array:
    start = np.zeros_like(increments[:, :1])
    return np.concatenate([start, np.cumsum(increments, axis=1)], axis=1)


def _distances(points: Array) -> Array:
    import torch

    with one_thread():
        rows = torch.from_numpy(points)
        gram = torch.bmm(rows, rows.transpose(1, 2)).numpy()
    square = np.diagonal(gram, axis1=1, axis2=2)
    squared = (square[:, :, None] + square[:, None] - 2 * gram).clip(min=0)
    own = np.arange(squared.shape[1])
    squared[:, own, own] = 0
    return squared
