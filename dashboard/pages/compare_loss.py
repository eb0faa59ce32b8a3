"""The test loss of a run as the few numbers that a small curve in a table needs."""

from __future__ import annotations

import numpy as np
import xarray as xr

POINTS = 40
LEAST = 1e-9  # what a loss of zero is drawn as


def loss_curve(history: xr.Dataset) -> list[float | None]:
    """[last epoch, y_0, ..., y_39] with y_i = log10 of the test loss at POINTS epochs, evenly spaced in
    log10(1 + epoch) from the first epoch to the last; [] for a run without test losses.

    Each y is that of the last recorded epoch at or before its place; None where it is not finite. Rounded to
    0.01, which is less than a pixel.
    """
    if "test_loss" not in history or history.sizes["epoch"] < 2:
        return []
    epochs = history["epoch"].values.astype(np.float64)
    places = np.logspace(np.log10(1 + epochs[0]), np.log10(1 + epochs[-1]), POINTS) - 1
    at = np.searchsorted(epochs, places + 1e-6, side="right") - 1
    losses = history["test_loss"].values[np.clip(at, 0, len(epochs) - 1)]
    finite = np.isfinite(losses)
    heights = np.log10(np.maximum(np.where(finite, losses, 1.0), LEAST)).round(2)
    if not finite.any():
        return []
    curve = [float(y) if is_there else None for y, is_there in zip(heights, finite, strict=True)]
    return [float(epochs[-1]), *curve]
