"""Small pictures of many p x p maps at once: area-averaged, each with a scale of its own, one byte a cell."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import BadParameter

TOKENS = ("natural", "unwound")
Array = NDArray[Any]


def tiles(maps: Array, size: int, frequency: Array | None = None) -> tuple[Array, Array, Array]:
    """(tile uint8 [n, size, size], low [n], high [n]) of maps [p (a), p (b), n].

    A tile cell is the mean of the map over its area (for size = p: the map itself), and stands for
    low + cell / 255 * (high - low), where low and high are the extremes of that tile. A map that is not
    finite gives zeros with low = high = NaN.

    frequency  [n], k of each map, 0 for none: rows and columns are then in the order of k x mod p, where a
               wave of frequency k has frequency 1, so that a small tile shows any wave without aliasing.
    Raises BadParameter for a size that is not from 2 to p.
    """
    p, n = maps.shape[0], maps.shape[2]
    if not 2 <= size <= p:
        raise BadParameter(
            f"size={size!r} is not possible for maps of {p} x {p}; give a whole number from 2 to {p}."
        )
    import torch

    values = torch.from_numpy(np.ascontiguousarray(maps, dtype=np.float32))
    turns = np.zeros(n, dtype=np.int64) if frequency is None else np.asarray(frequency, dtype=np.int64)
    small = torch.empty((n, size, size), dtype=torch.float32)
    for k in np.unique(turns):
        rows = torch.from_numpy(_averaging(p, size, int(k)))
        chosen = torch.from_numpy(np.flatnonzero(turns == k))
        part = values[:, :, chosen] if len(chosen) < n else values
        along_a = (rows @ part.reshape(p, -1)).reshape(size, p, -1)
        small[chosen] = (rows @ along_a).permute(2, 0, 1)
    flat = small.reshape(n, -1)
    low, high = flat.amin(dim=1), flat.amax(dim=1)
    span = high - low
    constant = span <= 1e-6 * torch.maximum(low.abs(), high.abs())
    steps = ((flat - low[:, None]) / span[:, None] * 255).round().masked_fill(constant[:, None], 0)
    steps = torch.where(torch.isfinite(steps), steps, torch.zeros_like(steps))
    return steps.to(torch.uint8).reshape(n, size, size).numpy(), low.numpy(), high.numpy()


@lru_cache(maxsize=512)
def _averaging(p: int, size: int, k: int) -> Array:
    """[size, p]: the mean over the tokens of each cell, in the order k x mod p (k = 0: as they are)."""
    edges = np.linspace(0, p, size + 1)
    token = np.arange(p)
    upper = np.minimum(edges[1:, None], token[None] + 1)
    lower = np.maximum(edges[:-1, None], token[None])
    share = np.clip(upper - lower, 0, None)
    share /= share.sum(axis=1, keepdims=True)
    place = token if k == 0 else (k * token) % p
    return np.ascontiguousarray(share[:, place], dtype=np.float32)
