"""How round the image of the residues is at each frequency: a ring, an ellipse or a line."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.fourier import Spectrum, transform

Array = NDArray[Any]

N_COMPONENTS = 4  # of the circularity of Zhong et al.
_NEGLIGIBLE = 1e-10  # of the largest eigenvalue: the component does not exist


def rings(points: Array) -> tuple[Array, Array, Spectrum]:
    """(share [K], ellipticity [K], spectrum) of `points` [p, d], one row per residue.

    With B_k the 2 x d block of the cos k and sin k rows of the Fourier transform along the residues:
    share_k = ||B_k||^2 / sum_j ||B_j||^2; ellipticity_k = sigma_2 / sigma_1 of B_k, the ratio of the axes of
    the ellipse on which frequency k alone puts the residues: 1 a ring, 0 a line. Both do not change when the
    residues are shifted (x -> x + c) or the d-space is rotated. NaN where nothing varies.
    """
    spectrum = transform(points)
    cc, ss = (spectrum.cos**2).sum(axis=1), (spectrum.sin**2).sum(axis=1)
    cs = (spectrum.cos * spectrum.sin).sum(axis=1)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = (cc + ss) / (cc + ss).sum()
        spread = np.hypot(cc - ss, 2 * cs)  # difference of the two eigenvalues of B_k B_k^T
        largest = (cc + ss + spread) / 2
        smallest = np.maximum(cc * ss - cs**2, 0) / largest
        ellipticity = np.sqrt(smallest / largest)
    return share, ellipticity, spectrum


def stands_out(share: Array) -> NDArray[np.bool_]:
    """Which frequencies of `share` [..., K] have so much energy that their ellipse is not that of noise.

    At least twice an even share, or 1 % and ten times the median (late in a run the others have decayed).
    """
    even = share >= 2 / share.shape[-1]
    isolated = (share >= 0.01) & (share >= 10 * np.median(share, axis=-1, keepdims=True))
    return np.asarray(even | isolated)


def random_ratio(width: int, quantile: float) -> float:
    """That quantile of the ellipticity of a 2 x `width` block of independent normal numbers.

    2 r / (1 + r^2) is the sphericity statistic, whose distribution is P(<= u) = u^(width - 1) (Mauchly 1940,
    Ann. Math. Stat. 11, 204).
    """
    u = quantile ** (1 / (width - 1))
    return float((1 - np.sqrt(1 - u**2)) / u)


def circularity(points: Array) -> float:
    """Mean over the first four principal components v of `points` [p, d] of max_k of v's share at k.

    That is max_k (2 / (p ||v||^2)) |sum_t v_t e^{2 pi i k t / p}|^2 per component, over the components that
    exist. NaN for points that are equal or not finite.
    """
    if not np.isfinite(points).all():
        return float("nan")
    centred = points - points.mean(axis=0)
    values, vectors = np.linalg.eigh(centred @ centred.T)
    first = vectors[:, ::-1][:, :N_COMPONENTS]
    exist = values[::-1][:N_COMPONENTS] > _NEGLIGIBLE * max(values[-1], 0.0)
    if not exist.any():
        return float("nan")
    return float(transform(first[:, exist]).energy.max(axis=0).mean())
