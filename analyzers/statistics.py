"""Small statistics that several instruments state their uncertainty with."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def mean_interval(samples: Array, level: float = 0.95) -> tuple[Array, Array, Array]:
    """Mean over the last axis of independent `samples` [..., n], and both ends of Student's interval for it.

    NaN ends for fewer than two samples.
    """
    from scipy.stats import t

    mean, count = samples.mean(axis=-1), samples.shape[-1]
    if count < 2:
        return mean, np.full_like(mean, np.nan), np.full_like(mean, np.nan)
    half = t.ppf((1 + level) / 2, count - 1) * samples.std(axis=-1, ddof=1) / np.sqrt(count)
    return mean, mean - half, mean + half
