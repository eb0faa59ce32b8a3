"""What neurons add to the logits through the block of one frequency, without building their maps."""

from __future__ import annotations

from dataclasses import fields
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.fourier import GridSpectrum
from analyzers.sum_waves import linear_part, product, quadratic_part

Array = NDArray[Any]


def block_logits(neurons: GridSpectrum, mask: Array, read_out: Array) -> GridSpectrum:
    """Grid spectrum of the logits that the masked blocks write: fields [K, p], from those of the neurons.

    neurons   fields [K, d_mlp]
    mask      [K, d_mlp], or [K, 1] for all neurons: which frequency blocks of which neurons are taken
    read_out  W_L [d_mlp, p]

    The mean is that of the neurons in the mask, the variance is not computed.
    """
    taken = mask.any(axis=0).astype(np.float64) * np.ones(len(read_out))
    parts = {
        field.name: product(getattr(neurons, field.name) * mask, read_out)
        for field in fields(neurons)
        if field.name not in ("p", "mean", "variance")
    }
    mean = product((neurons.mean * taken)[None], read_out)[0]
    return GridSpectrum(neurons.p, mean, np.full(read_out.shape[1], np.nan), **parts)


def block_part(spectrum: GridSpectrum, keys: Array) -> Array:
    """The part of the functions in the 3 x 3 blocks of `keys` without their constant, [p * p, m]."""
    return quadratic_part(spectrum, keys) + linear_part(spectrum, keys)
