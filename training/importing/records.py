"""Losses that a run recorded: which value is of which epoch."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from data.importers.contents import Contents

Array = NDArray[np.float64]


def recorded_at(contents: Contents, split: str, epoch: int, last: int) -> Array:
    """The values that may be of that epoch: its own and its neighbours'; a single one is the last."""
    values = contents.losses.get(split, np.empty(0))
    if len(values) == 1:
        return values if epoch == last else values[:0]
    at = recorded_epochs(contents, len(values), last)
    if not len(at):
        return values
    near = int(np.abs(at - epoch).argmin())
    step = int(np.diff(at).max()) if len(at) > 1 else 1
    if abs(int(at[near]) - epoch) > step:
        return values[:0]
    found = values[max(near - 1, 0) : near + 2]
    return found[np.isfinite(found) & (found > 0)]


def recorded_epochs(contents: Contents, count: int, last: int) -> NDArray[np.int64]:
    """The epochs of `count` recorded losses: as listed, one per epoch, or evenly spaced up to the last."""
    if contents.at is not None and len(contents.at) == count:
        return contents.at
    if count >= last:
        return np.arange(count, dtype=np.int64)
    return np.round(np.linspace(0, last, count)).astype(np.int64)
