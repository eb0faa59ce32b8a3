"""Ellipses per frequency over time, of matrices and of class centroids alike."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import xarray as xr

from analyzers.key_frequencies import chosen
from analyzers.rings import stands_out
from renderers.catalog import Figure
from renderers.curves import Curve, frequency_curves
from renderers.figure import message
from renderers.source import Scene, Source


def with_keys(source: Source, found: xr.Dataset) -> xr.Dataset:
    """`found` with the key frequencies of the last checkpoint, `is_key` [rule, freq]."""
    keys = source.artifact("key_frequencies")["is_key"].isel(epoch=-1)
    return found.assign(is_key=(("rule", "freq"), keys.values))


def axes_over_time(data: xr.Dataset, scene: Scene, of: str, others: Sequence[Curve] = ()) -> Figure:
    """`ellipticity` [epoch, freq] of every frequency whose `share` stands out; `of` says what is measured."""
    ratio, share = (
        data[name].transpose("epoch", "freq").values.astype(float) for name in ("ellipticity", "share")
    )
    strong = np.where(stands_out(share), ratio, np.nan)
    if not np.isfinite(strong).any():
        return message(scene, "No frequency stands out from an even spectrum at any checkpoint.")
    return frequency_curves(
        scene,
        data["epoch"].values,
        strong,
        chosen(data["is_key"].values).tolist(),
        title="ratio of the axes (1: ring)",
        unit="ratio of the axes",
        digits=".3f",
        text=f"{of}, where the frequency stands out",
        others=others,
    )
