"""Geometry of a path that is known by the squared distances of its points.

Everything here is a function of `squared` [..., E, E], the squared distances between the E points of a path
(leading dimensions: several paths), and of their `epochs` [E]. So a run and the random paths that it is
compared with go through the same code, and no array is as long as the number of parameters. Nothing depends
on the origin or the orientation of the space; lengths are in units of the parameters.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from analyzers import planar
from analyzers.threads import one_thread

Array = NDArray[np.float64]

N_COMPONENTS = 3
PLANES = {"1-2": (0, 1), "1-3": (0, 2), "2-3": (1, 2)}
PLANAR = ("crossings", "area", "closure", "winding")
MEASURES = (
    "share of PC1",
    "share of PC2",
    "share of PC3",
    "tortuosity",
    "acceleration",
    "direction to final",
    "diffusion exponent",
    *(f"{name} {plane}" for plane in PLANES for name in PLANAR),
)
CURVES = ("acceleration_cosine", "direction_to_final", "curvature", "displacement")
LAG_BINS = 16
ROUNDING = 1e-11  # a component with less of the variance is rounding: the path is flat in it


def steps(squared: Array) -> Array:
    """Lengths of the steps [..., E - 1]."""
    diagonal: Array = np.sqrt(np.diagonal(squared, 1, -2, -1))
    return diagonal


def acceleration_cosine(squared: Array) -> Array:
    """cos(D_t, D_{t+1}) [..., E] between the steps before and after each point; NaN at both ends."""
    before, after = steps(squared)[..., :-1], steps(squared)[..., 1:]
    across = np.diagonal(squared, 2, -2, -1)
    return _padded((across - before**2 - after**2) / 2 / _positive(before * after), 1, 1)


def curvature(squared: Array) -> Array:
    """Menger curvature 4 A / (a b c) = 2 sin(turn) / c [..., E] of each point with its two neighbours (1 /
    weight).
    """
    cosine = acceleration_cosine(squared)[..., 1:-1]
    across = np.sqrt(np.diagonal(squared, 2, -2, -1))
    return _padded(2 * np.sqrt((1 - cosine**2).clip(min=0)) / _positive(across), 1, 1)


def turning_rate(squared: Array, epochs: NDArray[Any]) -> Array:
    """Angle between the steps before and after each point, per epoch between the middles of both [..., E]."""
    angle = np.arccos(acceleration_cosine(squared).clip(-1, 1))
    return angle / _padded((epochs[2:] - epochs[:-2]) / 2, 1, 1)


def direction_to_final(squared: Array) -> Array:
    """cos(D_t, theta_T - theta_t) [..., E] at the start of each step; NaN for the last step, where it must be
    1.
    """
    step, distance = steps(squared)[..., :-1], np.sqrt(squared[..., :-2, -1])
    cosine = (step**2 + squared[..., :-2, -1] - squared[..., 1:-1, -1]) / 2 / _positive(step * distance)
    return _padded(cosine, 0, 2)


def step_cosines(squared: Array) -> Array:
    """Cosines [..., E - 1, E - 1] between all pairs of steps."""
    product = (
        squared[..., :-1, 1:] + squared[..., 1:, :-1] - squared[..., :-1, :-1] - squared[..., 1:, 1:]
    ) / 2
    length = steps(squared)
    return product / _positive(length[..., :, None] * length[..., None, :])


def effective_dimension(squared: Array) -> float:
    """Dimension in which independent, isotropic steps would be as aligned as these: 1 / mean cos^2 over
    pairs.
    """
    cosines = step_cosines(squared)
    pairs = cosines[np.triu_indices(len(cosines), 1)] ** 2
    pairs = pairs[np.isfinite(pairs)]
    return float(1 / pairs.mean()) if pairs.size and pairs.mean() > 0 else float("nan")


def tortuosity(squared: Array) -> Array:
    """Length of the path over the distance of its ends [...]; 1 for a straight line."""
    ratio: Array = steps(squared).sum(axis=-1) / _positive(np.sqrt(squared[..., 0, -1]))
    return ratio


def principal_coordinates(squared: Array, count: int = N_COMPONENTS) -> tuple[Array, Array]:
    """(points [..., E, count], shares [..., count]): principal components of the points, from their
    distances.

    The centred Gram matrix is -J squared J / 2. Each component's largest entry is positive. Components that E
    points cannot have are NaN; without any variance the shares are NaN.
    """
    centred = squared - squared.mean(axis=-1, keepdims=True)
    centred = -(centred - centred.mean(axis=-2, keepdims=True)) / 2
    exist = min(squared.shape[-1] - 1, count)
    values, vectors = _largest(centred, exist)
    total = np.trace(centred, axis1=-2, axis2=-1)
    values = np.where(values > ROUNDING * total[..., None], values, 0.0)
    largest = np.take_along_axis(vectors, np.abs(vectors).argmax(axis=-2)[..., None, :], axis=-2)
    points = np.full((*squared.shape[:-1], count), np.nan)
    points[..., :exist] = vectors * np.sign(largest) * np.sqrt(values)[..., None, :]
    shares = np.full((*squared.shape[:-2], count), np.nan)
    shares[..., :exist] = values / _positive(total)[..., None]
    return points, shares


class Lags(NamedTuple):
    """Pairs of points sorted by the epochs between them: `lag` [L], the mean of each bin, and `weights`
    [pairs, L].
    """

    lag: Array
    weights: Array


def lags(epochs: NDArray[np.int64], known: NDArray[np.bool_] | None = None) -> Lags:
    """Bins of lags, equal on a logarithmic axis between the shortest and the longest; empty ones are left
    out.

    The bins are those of all epochs, the pairs those of the `known` ones (upper triangle); a bin without any
    has NaN.
    """
    rows, columns = np.triu_indices(len(epochs), 1)
    between = (epochs[columns] - epochs[rows]).astype(np.float64)
    if not between.size:
        return Lags(np.zeros(0), np.zeros((0, 0)))
    edges = np.geomspace(between.min(), between.max(), LAG_BINS + 1)
    index = np.searchsorted(edges[1:-1], between, side="right")
    member = (index[:, None] == np.unique(index)).astype(np.float64)
    lag = between @ (member / member.sum(axis=0))
    if known is not None:
        member = member[known[rows] & known[columns]]
    return Lags(lag, member / _positive(member.sum(axis=0)))


def mean_squared_displacement(squared: Array, bins: Lags) -> Array:
    """Mean squared distance [..., L] of the pairs in each bin."""
    rows, columns = np.triu_indices(squared.shape[-1], 1)
    found: Array = squared[..., rows, columns] @ bins.weights
    return found


def diffusion_exponent(displacement: Array, lag: Array) -> Array:
    """Slope [...] of log mean squared displacement over log lag, for lags up to half of the longest.

    1 for a random walk, 2 for straight motion, 0 where distance does not grow with time. NaN for fewer than 3
    bins.
    """
    used = (lag <= lag[-1] / 2) & np.isfinite(displacement.reshape(-1, len(lag))).all(axis=0)
    if used.sum() < 3:
        return np.full(displacement.shape[:-1], np.nan)
    x = np.log(lag[used]) - np.log(lag[used]).mean()
    slope: Array = np.log(_positive(displacement[..., used])) @ (x / (x**2).sum())
    return slope


def measures(squared: Array, bins: Lags) -> dict[str, Array]:
    """The scalar `MEASURES` [...] and the `CURVES` [..., E] or [..., L] of a path or of many at once, by
    name.

    Areas and windings are absolute here: their signs follow the arbitrary signs of the components.
    """
    points, shares = principal_coordinates(squared)
    curves = {
        "acceleration_cosine": acceleration_cosine(squared),
        "direction_to_final": direction_to_final(squared),
        "curvature": curvature(squared),
        "displacement": mean_squared_displacement(squared, bins),
    }
    scalars = {f"share of PC{number + 1}": shares[..., number] for number in range(N_COMPONENTS)} | {
        "tortuosity": tortuosity(squared),
        "acceleration": nanmean(curves["acceleration_cosine"]),
        "direction to final": nanmean(curves["direction_to_final"]),
        "diffusion exponent": diffusion_exponent(curves["displacement"], bins.lag),
    }
    for plane, axes in PLANES.items():
        flat = points[..., axes]
        scalars |= {
            f"crossings {plane}": planar.count_crossings(flat),
            f"area {plane}": np.abs(planar.normalised_area(flat)),
            f"closure {plane}": planar.closure(flat),
            f"winding {plane}": np.abs(planar.winding(flat)),
        }
    return {**scalars, **curves}


def nanmean(values: Array) -> Array:
    """Mean over the last axis of what is not NaN; NaN where nothing is."""
    known = np.isfinite(values)
    total: Array = np.where(known, values, 0).sum(axis=-1) / _positive(known.sum(axis=-1).astype(np.float64))
    return total


def usable(squared: Array) -> NDArray[np.bool_]:
    """Which points [E] have finite distances."""
    return np.asarray(np.isfinite(np.diagonal(squared)))


def _largest(matrices: Array, count: int) -> tuple[Array, Array]:
    """The largest eigenvalues [..., count], none below 0, and eigenvectors [..., E, count] of symmetric
    matrices.
    """
    import torch

    with one_thread():
        values, vectors = (part.numpy() for part in torch.linalg.eigh(torch.from_numpy(matrices)))
    return values[..., ::-1][..., :count].clip(min=0), vectors[..., ::-1][..., :count]


def _positive(values: Any) -> Array:
    """NaN in place of zeros, so that a ratio is NaN and not an error."""
    return np.where(values > 0, values, np.nan)


def _padded(values: Array, before: int, after: int) -> Array:
    width = [(0, 0)] * (values.ndim - 1) + [(before, after)]
    return np.pad(values, width, constant_values=np.nan)
