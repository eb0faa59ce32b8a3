"""Geometry of a path in a plane: points [..., E, 2] joined by straight segments, in time order."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

END = 1 / 3  # share of the length that counts as the early and as the late part


class Crossing(NamedTuple):
    """Segments `first` < `second` (from point i to i + 1) meet at shares `along` of both, at `at`."""

    first: int
    second: int
    along: tuple[float, float]
    at: tuple[float, float]


def cross(a: Array, b: Array) -> Array:
    """z-component of the product of vectors in the plane."""
    product: Array = a[..., 0] * b[..., 1] - a[..., 1] * b[..., 0]
    return product


def path_length(points: Array) -> Array:
    """Sum of the segments' lengths [...]."""
    total: Array = np.linalg.norm(np.diff(points, axis=-2), axis=-1).sum(axis=-1)
    return total


def crossings(points: Array) -> list[Crossing]:
    """Self-intersections of one path [E, 2], by the earlier segment.

    Neighbouring segments share a point and do not count; a point of the path on another segment counts once;
    parallel segments that lie on each other do not count; nor does an end of the path that meets its
    beginning.
    """
    first, second = _pairs(len(points))
    along, other, meet = _meetings(points, first, second)
    return [
        Crossing(
            int(first[k]),
            int(second[k]),
            (float(along[k]), float(other[k])),
            tuple((points[first[k]] + along[k] * (points[first[k] + 1] - points[first[k]])).tolist()),
        )
        for k in np.flatnonzero(meet)
    ]


def count_crossings(points: Array) -> Array:
    """Number of self-intersections [...] of paths [..., E, 2]; NaN for a path that is not finite."""
    count = _meetings(points, *_pairs(points.shape[-2]))[2].sum(axis=-1).astype(np.float64)
    return np.where(np.isfinite(points).all(axis=(-1, -2)), count, np.nan)


def _pairs(count: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    return np.triu_indices(max(count - 1, 0), 2)


def _meetings(
    points: Array, first: NDArray[np.intp], second: NDArray[np.intp]
) -> tuple[Array, Array, NDArray[np.bool_]]:
    """Shares along both segments [..., pairs] where their lines meet, and whether both lie in [0, 1)."""
    x, y = np.moveaxis(points, -1, 0)
    dx, dy = np.diff(x), np.diff(y)
    rx, ry, sx, sy = dx[..., first], dy[..., first], dx[..., second], dy[..., second]
    gx, gy = x[..., second] - x[..., first], y[..., second] - y[..., first]
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 1 / (rx * sy - ry * sx)
        along, other = (gx * sy - gy * sx) * scale, (gx * ry - gy * rx) * scale
        meet = (along >= 0) & (along < 1) & (other >= 0) & (other < 1)
    return along, other, meet


def area(points: Array) -> Array:
    """Signed area [...] within the path closed by its chord; counter-clockwise positive, each turn counts."""
    following = np.roll(points, -1, axis=-2)
    total: Array = cross(points, following).sum(axis=-1) / 2
    return total


def normalised_area(points: Array) -> Array:
    """4 pi area / (length + chord)^2 [...]: 1 for a circle, at most 1 in size (isoperimetric inequality)."""
    chord = np.linalg.norm(points[..., -1, :] - points[..., 0, :], axis=-1)
    around = path_length(points) + chord
    return 4 * np.pi * area(points) / np.where(around > 0, around, np.nan) ** 2


def winding(points: Array) -> Array:
    """Turns [...] around the centroid of the path (each segment weighs its length), counter-clockwise
    positive.
    """
    length = np.linalg.norm(np.diff(points, axis=-2), axis=-1)
    middle = (points[..., 1:, :] + points[..., :-1, :]) / 2
    total = length.sum(axis=-1)
    weight = length / np.where(total > 0, total, np.nan)[..., None]
    centred = points - (middle * weight[..., None]).sum(axis=-2, keepdims=True)
    before, after = centred[..., :-1, :], centred[..., 1:, :]
    turned: Array = np.arctan2(cross(before, after), (before * after).sum(axis=-1)).sum(axis=-1) / (2 * np.pi)
    return turned


def closure(points: Array) -> Array:
    """Least distance of the last third of the path (by length) to its first third, over its length [...].

    0 where both meet, 1/3 for a straight line. Segments count, not only points.
    """
    path = points.reshape(-1, *points.shape[-2:])
    length = np.linalg.norm(np.diff(path, axis=1), axis=2)
    travelled = np.concatenate([np.zeros((len(path), 1)), np.cumsum(length, axis=1)], axis=1)
    total = travelled[:, -1]
    low, first = _at(path, travelled, END * total)
    high, last = _at(path, travelled, (1 - END) * total)
    early = np.where((travelled <= END * total[:, None])[..., None], path, low[:, None])
    late = np.where((travelled >= (1 - END) * total[:, None])[..., None], path, high[:, None])
    apart = _distance(early[:, : first.max() + 2], late[:, last.min() :])
    return (apart / np.where(total > 0, total, np.nan)).reshape(points.shape[:-2])


def _at(path: Array, travelled: Array, length: Array) -> tuple[Array, NDArray[np.intp]]:
    """The points [n, 2] of paths [n, E, 2] after that length [n], and the segments [n] that they lie on."""
    segment = ((travelled <= length[:, None]).sum(axis=1) - 1).clip(0, path.shape[1] - 2)
    own = np.arange(len(path))
    begin, end = travelled[own, segment], travelled[own, segment + 1]
    share = (length - begin) / np.where(end > begin, end - begin, 1.0)
    return path[own, segment] + share[:, None] * (path[own, segment + 1] - path[own, segment]), segment


def _distance(first: Array, second: Array) -> Array:
    """Least distances [n] of two sets of polylines [n, k, 2], [n, m, 2]."""
    count = first.shape[1]
    rows, columns = np.indices((count - 1, second.shape[1] - 1)).reshape(2, -1)
    meet = _meetings(np.concatenate([first, second], axis=1), rows, columns + count)[2].any(axis=1)
    a, b = (points[..., 0] + 1j * points[..., 1] for points in (first, second))
    return np.where(meet, 0.0, np.sqrt(np.minimum(_to_segments(a, b), _to_segments(b, a))))


def _to_segments(points: NDArray[np.complex128], path: NDArray[np.complex128]) -> Array:
    """Least squared distances [n] of `points` [n, k] to the segments of `path` [n, m]; complex numbers."""
    move = np.diff(path)
    size = np.abs(move)
    turn = np.conj(move) / np.where(size > 0, size, 1.0)  # turns the segment onto the real axis
    gap = points[:, :, None] - path[:, None, :-1]
    along = gap * turn[:, None]
    beyond = along.real - along.real.clip(0, size[:, None])
    across = np.where(size[:, None] > 0, along.imag, np.abs(gap))
    squared: Array = (beyond**2 + across**2).min(axis=(1, 2))
    return squared
