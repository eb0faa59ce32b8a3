"""Variance of the logits in the two conventions, and shares of it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

CENTRINGS = ("raw", "double_centred")


def variances(logits: NDArray[Any]) -> tuple[float, float]:
    """Mean square of `logits` [n, p] less the one mean, and less the mean of every row and column.

    The order is that of `CENTRINGS`. The softmax ignores what is the same for all classes of an input, so
    that the second is what can matter.
    """
    centred = logits - logits.mean()
    raw = (centred**2).mean()
    centred -= centred.mean(axis=0)
    centred -= centred.mean(axis=1)[:, None]
    return float(raw), float((centred**2).mean())


def share(part: float, whole: float) -> float:
    """part / whole; NaN unless the whole is positive."""
    return float(part / whole) if whole > 0 else float(np.nan)
