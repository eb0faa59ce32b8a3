"""Fewer points for long curves, without losing what the eye looks for."""

from __future__ import annotations

import numpy as np


def decimate(y: np.ndarray, limit: int = 2000) -> np.ndarray:
    """Indices (ascending, at most `limit`) of the points of `y` [n] to draw.

    The curve is cut into equal buckets and the minimum and maximum of each are kept, so every spike survives
    at its true place; the first and last point are kept as well. NaN is never chosen over a number. A curve
    of at most `limit` points is kept whole. `limit` must be 4 or more.
    """
    count = len(y)
    if limit < 4:
        raise ValueError(f"limit={limit}: a decimated curve needs 4 points or more.")
    if count <= limit:
        return np.arange(count)
    buckets = (limit - 2) // 2
    size = -(-count // buckets)
    padded = np.full(buckets * size, np.nan)
    padded[:count] = y
    rows = padded.reshape(buckets, size)
    known = ~np.isnan(rows).all(axis=1)
    start = np.arange(buckets)[known] * size
    low = start + np.where(np.isnan(rows), np.inf, rows)[known].argmin(axis=1)
    high = start + np.where(np.isnan(rows), -np.inf, rows)[known].argmax(axis=1)
    return np.unique(np.concatenate([[0, count - 1], low, high]))


def decimate_along(x: np.ndarray, y: np.ndarray, limit: int) -> np.ndarray:
    """As `decimate`, for a curve whose ascending places `x` [n] are unevenly spaced: buckets of equal width.

    What is drawn in one stretch of the axis keeps its minimum and maximum, however few points lie there. At
    most `limit` points, 4 or more.
    """
    count = len(y)
    if limit < 4:
        raise ValueError(f"limit={limit}: a decimated curve needs 4 points or more.")
    if count <= limit:
        return np.arange(count)
    edges = np.linspace(x[0], x[-1], (limit - 2) // 2 + 1)
    start = np.unique(np.searchsorted(x, edges[:-1], side="left"))
    size = np.diff(np.append(start, count))
    bucket = np.repeat(np.arange(len(start)), size)
    known = ~np.isnan(y)
    first = np.flatnonzero(known)
    by_value = first[np.lexsort((y[first], bucket[first]))]
    ends = np.searchsorted(bucket[by_value], np.arange(len(start) + 1))
    filled = ends[1:] > ends[:-1]
    low, high = by_value[ends[:-1][filled]], by_value[ends[1:][filled] - 1]
    return np.unique(np.concatenate([[0, count - 1], low, high]))
