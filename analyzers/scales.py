"""How coarse or fine maps over the grid are, for many maps at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analyzers.fourier import CONSTANT, basis
from analyzers.resampling import resampler

if TYPE_CHECKING:
    from torch import Tensor

Array = NDArray[Any]

RADIUS = 0.125  # of the p frequencies of the two-sided spectrum
REDUCED = 14  # cells per side
_AT_ONCE = 64  # maps that are measured together: few enough to stay in the cache
METRICS = ("low_frequency_ratio", "variance_preserved", "variance_preserved_area", "gradient")


@dataclass(frozen=True)
class Scales:
    """Per map [n]; a constant map has NaN for the three ratios and 0 for the gradient."""

    low_frequency_ratio: Array
    variance_preserved: Array
    variance_preserved_area: Array
    gradient: Array


def scales(maps: Array, moments: tuple[Array, Array] | None = None) -> Scales:
    """The four measures of each of the maps [p (a), p (b), n]; see the instrument `multi_scale`.

    moments: their mean and population variance [n], if known already.
    """
    values = np.asarray(maps, dtype=np.float64)
    mean, variance = moments or (values.mean(axis=(0, 1)), values.var(axis=(0, 1)))
    total = np.where(variance > CONSTANT * mean**2, variance, np.nan)
    count = values.shape[2]
    parts = [slice(start, start + _AT_ONCE) for start in range(0, count, _AT_ONCE)]
    found = [
        _of_centred(np.subtract(values[..., part], mean[part], order="C"), total[part]) for part in parts
    ]
    return Scales(*(np.concatenate([getattr(one, name) for one in found]) for name in METRICS))


def _of_centred(maps: Array, total: Array) -> Scales:
    """The same of maps of mean 0 whose variance is `total`, NaN for a constant one."""
    import torch

    p = len(maps)
    waves, k = _low_waves(p)
    down = [resampler(p, REDUCED, method) for method in ("bilinear", "area")]
    back = resampler(REDUCED, p, "bilinear")
    rows = np.concatenate([waves, *down])
    values = torch.from_numpy(maps)
    along_a = (torch.from_numpy(rows) @ values.view(p, -1)).numpy().reshape(len(rows), p, -1)
    of_waves, bilinear, area = np.split(along_a, np.cumsum([len(waves), REDUCED]))
    return Scales(
        _low_energy(of_waves, waves, k) / (p**2 * total),
        _kept_variance(bilinear, down[0], back) / total,
        _kept_variance(area, down[1], back) / total,
        _mean_step(values),
    )


def low_modes(p: int) -> int:
    """The largest |k| within the radius."""
    return min(int(RADIUS * p), (p - 1) // 2)


def independent_ratio(p: int) -> float:
    """Expected low-frequency ratio of a map of independent values: the share of the modes in the disc."""
    k = np.arange(-low_modes(p), low_modes(p) + 1)
    inside = (k[:, None] ** 2 + k[None] ** 2 <= (RADIUS * p) ** 2).sum() - 1
    return float(inside) / (p**2 - 1)


def additive_ratio(p: int) -> float:
    """The same of a map f(a) + g(b) of independent values: random weights are close to that."""
    return low_modes(p) / ((p - 1) // 2)


def _low_waves(p: int) -> tuple[Array, Array]:
    """The basis rows of |k| within the radius, [modes, p], and the k of each."""
    rows, most = basis(p), low_modes(p)
    k = np.arange(1, most + 1)
    return np.concatenate([rows.const[None], rows.cos[:most], rows.sin[:most]]), np.concatenate([[0], k, k])


def _low_energy(along_a: Array, waves: Array, k: Array) -> Array:
    """Energy of the modes (k_a, k_b) with k_a^2 + k_b^2 <= radius^2, [n], of maps of mean 0.

    along_a [modes, p (b), n] is transformed along a. Equal to the masked two-sided spectrum by Parseval: a
    real product of waves of k_a and k_b has its energy in the four modes (+-k_a, +-k_b), which are equally
    far from the centre.
    """
    inside = k[:, None] ** 2 + k[None] ** 2 <= (RADIUS * waves.shape[1]) ** 2  # [modes of a, modes of b]
    return np.asarray(np.einsum("xy,xyn->n", inside.astype(float), np.square(waves @ along_a)))


def _kept_variance(along_a: Array, down: Array, back: Array) -> Array:
    """Variance of B F N F^T B^T, [n], F = `down`, B = `back`, for maps N of mean 0 given as F N.

    With Y = F N F^T the squares of B Y B^T sum to <Y, B^T B Y B^T B>, which spares the p x p maps.
    """
    p, gram, weight = len(back), back.T @ back, back.mean(axis=0)
    reduced = down @ along_a  # [small, small, n]
    spread = np.tensordot(gram, gram @ reduced, axes=1)
    mean = np.einsum("i,j,ijn->n", weight, weight, reduced)
    return np.maximum((reduced * spread).sum(axis=(0, 1)) / p**2 - mean**2, 0)


def _mean_step(maps: Tensor) -> Array:
    """Mean of |step| to the next row and of |step| to the next column, averaged, [n]; no wrap-around."""
    p = len(maps)
    along_a = (maps[1:] - maps[:-1]).abs_().sum((0, 1))
    along_b = (maps[:, 1:] - maps[:, :-1]).abs_().sum((0, 1))
    return np.asarray(((along_a + along_b) / (2 * p * (p - 1))).numpy())
