"""Linear dynamics dx/dt = G x + g fitted to points at unequal times: dynamic mode decomposition with a
generator.

Between two points the exact flow of that many epochs is used, so the spacing of the points needs no
interpolation, and the eigenvalues of G are per epoch. The residuals of long steps count less: each squared
residual is divided by its number of epochs, as for noise that accumulates over time.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

ITERATIONS = 30
TOLERANCE = 1e-7
FOLDS = 5


@dataclass(frozen=True)
class Dynamics:
    """dx/dt = generator [r, r] x + offset [r], per epoch."""

    generator: Array
    offset: Array

    def predict(self, points: Array, between: Array) -> Array:
        """Where `points` [n, r] are after `between` [n] epochs."""
        return _flow(_joined(self), points, between)

    def eigenvalues(self) -> NDArray[np.complex128]:
        """Of the generator (1 / epoch), the slowest to vanish first; exp of one is the factor per epoch."""
        values = np.linalg.eigvals(self.generator).astype(np.complex128)
        return values[np.lexsort((-values.imag, -np.round(values.real, 14)))]


def fit(points: Array, epochs: Array, used: NDArray[np.bool_] | None = None) -> Dynamics:
    """The dynamics with the least sum over steps of |x_{t+1} - flow(x_t)|^2 / (epochs between).

    points [E, r], epochs [E]; used [E - 1] says which steps count (all if None). Starts from the implicit
    midpoint rule, which is linear, and refines by Levenberg-Marquardt.
    """
    between = np.diff(epochs).astype(np.float64)
    used = np.ones(len(between), dtype=bool) if used is None else used
    size = float(np.sqrt(((points - points.mean(axis=0)) ** 2).sum(axis=1).mean())) or 1.0
    unit = float(between.mean())
    x, y, dt = points[:-1][used] / size, points[1:][used] / size, between[used] / unit
    joined = _refined(_midpoint(x, y, dt), x, y, dt)
    rank = points.shape[1]
    return Dynamics(joined[:rank, :rank] / unit, joined[:rank, rank] * size / unit)


def held_out(points: Array, epochs: Array, folds: int = FOLDS) -> Array:
    """Predictions [E - 1, r] of each step's end by dynamics fitted without that step and every `folds`-th
    from it.

    So a step that was left out lies between steps that were not. NaN for fewer than two steps.
    """
    between = np.diff(epochs).astype(np.float64)
    predicted = np.full((len(between), points.shape[1]), np.nan)
    for first in range(min(folds, len(between)) if len(between) > 1 else 0):
        used = np.arange(len(between)) % folds != first
        predicted[~used] = fit(points, epochs, used).predict(points[:-1][~used], between[~used])
    return predicted


def constant_velocity(points: Array, epochs: Array) -> Array:
    """Predictions [E - 1, r] of each step's end by going on at the velocity of the step before; NaN for the
    first.
    """
    between = np.diff(epochs).astype(np.float64)[:, None]
    velocity = np.diff(points, axis=0) / between
    return np.concatenate([np.full((1, points.shape[1]), np.nan), points[1:-1] + velocity[:-1] * between[1:]])


def skill(predicted: Array, points: Array, epochs: Array) -> float:
    """1 - error / error of persistence, both squared, per epoch and summed over the steps that were
    predicted.

    1 is perfect, 0 as good as to say that nothing moves, negative worse.
    """
    between = np.diff(epochs).astype(np.float64)
    wrong = ((predicted - points[1:]) ** 2).sum(axis=1) / between
    still = (np.diff(points, axis=0) ** 2).sum(axis=1) / between
    known = np.isfinite(wrong)
    total = still[known].sum()
    return float(1 - wrong[known].sum() / total) if total > 0 else float("nan")


def energies(dynamics: Dynamics, points: Array) -> Array:
    """Share [r] of each mode (in the order of `eigenvalues`) in the squared distance from the fixed point."""
    values, vectors = np.linalg.eig(dynamics.generator)
    order = np.lexsort((-values.imag, -np.round(values.real, 14)))
    centre = -np.linalg.lstsq(dynamics.generator, dynamics.offset, rcond=None)[0]
    content = np.linalg.lstsq(vectors, (points - centre).T.astype(np.complex128), rcond=None)[0]
    size: Array = (np.abs(content) ** 2).sum(axis=1)[order]
    return size / size.sum()


def _joined(dynamics: Dynamics) -> Array:
    rank = len(dynamics.offset)
    joined = np.zeros((rank + 1, rank + 1))
    joined[:rank, :rank], joined[:rank, rank] = dynamics.generator, dynamics.offset
    return joined


def _flow(joined: Array, x: Array, dt: Array) -> Array:
    """exp(joined dt) applied to [x, 1], without the last entry: [n, r]."""
    rank = x.shape[1]
    maps = exponentials(joined * dt[:, None, None])
    moved: Array = np.einsum("nij,nj->ni", maps[:, :rank, :rank], x) + maps[:, :rank, rank]
    return moved


def exponentials(matrices: Array) -> Array:
    """exp of every matrix [n, k, k] at once, by scaling and squaring with the Pade approximant of order 6.

    Golub & Van Loan, Matrix Computations, algorithm 9.3.1. NaN for all if one is not finite.
    """
    largest = float(np.abs(matrices).sum(axis=-1).max(initial=0.0))
    if not largest < 2**30:
        return np.full_like(matrices, np.nan)
    halvings = max(0, int(np.ceil(np.log2(largest))) + 1) if largest > 0 else 0
    scaled: Array = matrices / 2**halvings
    power: Array = np.broadcast_to(np.eye(matrices.shape[-1]), matrices.shape)
    above, below, weight = power.copy(), power.copy(), 1.0
    for k in range(1, 7):
        weight *= (7 - k) / (k * (13 - k))
        power = scaled @ power
        above += weight * power
        below += weight * (-1) ** k * power
    found = np.asarray(np.linalg.solve(below, above), dtype=np.float64)
    for _ in range(halvings):
        found = np.matmul(found, found)
    return found


def _midpoint(x: Array, y: Array, dt: Array) -> Array:
    """The generator with (y - x) / dt = G (x + y) / 2 + g, each step weighing its length."""
    rank = x.shape[1]
    middle = np.concatenate([(x + y) / 2, np.ones((len(x), 1))], axis=1)
    weight = np.sqrt(dt)[:, None]
    joined = np.zeros((rank + 1, rank + 1))
    joined[:rank] = np.linalg.lstsq(middle * weight, (y - x) / dt[:, None] * weight, rcond=None)[0].T
    return joined


def _refined(joined: Array, x: Array, y: Array, dt: Array) -> Array:
    rank = x.shape[1]
    weight = 1 / np.sqrt(dt)[:, None]

    def residual(matrix: Array) -> Array:
        with np.errstate(over="ignore", invalid="ignore"):
            return ((_flow(matrix, x, dt) - y) * weight).ravel()

    wrong = residual(joined)
    cost, damping = float(wrong @ wrong), 1e-3
    for _ in range(ITERATIONS):
        slope = (_jacobian(joined, x, dt) * weight[..., None, None]).reshape(len(wrong), -1)
        if not np.isfinite(slope).all():
            break
        normal, gradient = slope.T @ slope, slope.T @ wrong
        before = cost
        while damping < 1e9:
            bent = normal + damping * (np.diag(np.diagonal(normal)) + 1e-12 * np.eye(len(normal)))
            tried = joined.copy()
            tried[:rank] -= np.linalg.lstsq(bent, gradient, rcond=None)[0].reshape(rank, rank + 1)
            found = residual(tried)
            if np.isfinite(found).all() and float(found @ found) < cost:
                joined, wrong, cost, damping = tried, found, float(found @ found), damping / 10
                break
            damping *= 10
        if before - cost <= TOLERANCE * before:
            break
    return joined


def _jacobian(joined: Array, x: Array, dt: Array) -> Array:
    """Derivative [n, r, r, r + 1] of `_flow` by the entries of the generator, in its eigenbasis."""
    rank = x.shape[1]
    values, vectors = np.linalg.eig(joined)
    try:
        inverse = np.linalg.inv(vectors)
    except np.linalg.LinAlgError:
        return np.full((len(x), rank, rank, rank + 1), np.nan)
    with np.errstate(over="ignore", invalid="ignore", divide="ignore"):
        grown = np.exp(values * dt[:, None])
        gap = values[:, None] - values
        same = np.abs(gap) < 1e-9
        divided = np.where(
            same,
            dt[:, None, None] * grown[:, :, None],
            (grown[:, :, None] - grown[:, None]) / np.where(same, 1.0, gap),
        )
        content = np.concatenate([x, np.ones((len(x), 1))], axis=1) @ inverse.T
        inner = np.einsum("nij,bj,nj->nib", divided, vectors, content)
        return np.einsum("ki,ia,nib->nkab", vectors[:rank], inverse[:, :rank], inner).real
