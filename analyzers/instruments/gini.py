"""How unequally embedding and neuron-logit map use the frequencies."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.features import Features
from analyzers.fourier import transform
from analyzers.registry import Output, analyzer

MATRICES = ("W_E", "W_L")
PER = ("component", "frequency")
NULL_DRAWS = 40
NULL_BAND = (0.05, 0.95)

Array = NDArray[Any]
_DIMS = ("matrix", "per")


@analyzer(
    name="gini",
    version=1,
    scope="checkpoint",
    kind="weights",
    title="Gini coefficients of the Fourier norms",
    outputs={
        "gini": Output(_DIMS, "float32", "Gini coefficient of the norms", "1"),
        "null_mean": Output(_DIMS, "float32", "Mean of the same for Gaussian weights", "1"),
        "null_low": Output(_DIMS, "float32", "5 % quantile of the same for Gaussian weights", "1"),
        "null_high": Output(_DIMS, "float32", "95 % quantile of the same for Gaussian weights", "1"),
    },
    formula="G = sum_i (2 i - n - 1) x_i / (n sum_i x_i), x ascending; x the norms ||(F W)_i|| of the n = p"
    " basis rows (component) or of the n = (p - 1) / 2 pairs cos k, sin k (frequency); W = W_E, or W_L ="
    " W_out W_U along its class axis",
    source="Hurley and Rickard 2009, doi:10.1109/TIT.2009.2027527; Nanda et al. 2023, arXiv:2301.05217,"
    " figure of the Gini coefficients (per component)",
    protocol="weights only, = row left out; null: Gaussian matrices of the same shapes (for W_L the product"
    " of two), 40 draws with a fixed seed, by the same function",
    caveats="Per component counts the constant row and is raised by unequal cos and sin; per frequency does"
    " neither. Gaussian weights have about 0.035 and 0.025 at p = 113, d_model = 128, not 0.",
)
def gini(features: Features) -> dict[str, Any]:
    """Gini coefficient of the Fourier norms of W_E (along the tokens) and of W_L = W_out W_U (along the
    classes).

    Formula: for norms x_1 <= ... <= x_n, G = sum_i (2 i - n - 1) x_i / (n sum_i x_i): 0 if all are equal,
    (n - 1) / n if one has everything. component: the p rows const, cos k, sin k of the orthonormal basis,
    each with its norm over d_model (W_E) or over the neurons (W_L). frequency: sqrt(cos_k^2 + sin_k^2),
    without the constant.

    Shapes: all [2 (W_E, W_L), 2 (component, frequency)]. Units: none, in [0, 1].

    Source: Hurley and Rickard 2009; Nanda et al. 2023.

    Limits: a norm of d Gaussian numbers has G of about sigma / (mu sqrt pi) with sigma / mu = 1 / sqrt(2
    d), so that wide random matrices look more equal: read it beside its null. Weights that are zero or not
    finite have NaN.
    """
    w_out, w_u = features.weight("blocks.0.mlp.W_out"), features.W_U
    found = np.array([_both(features.W_E), _both(features.neuron_logit_map.T)])
    null = _null(features.W_E.shape, w_out.shape, w_u.shape)
    low, high = np.quantile(null, NULL_BAND, axis=0)
    return {
        "matrix": list(MATRICES),
        "per": list(PER),
        "gini": found,
        "null_mean": null.mean(axis=0),
        "null_low": low,
        "null_high": high,
    }


def gini_coefficient(values: Array) -> float:
    """Gini coefficient of non-negative numbers [n]; NaN if they are all 0 or not finite."""
    if not np.isfinite(values).all() or not values.sum() > 0:
        return float("nan")
    ordered, count = np.sort(values), len(values)
    return float((2 * np.arange(1, count + 1) - count - 1) @ ordered / (count * ordered.sum()))


def _both(matrix: Array) -> tuple[float, float]:
    """(per component, per frequency) of a matrix [p, d]."""
    spectrum = transform(matrix)
    energy = np.concatenate([spectrum.const[None], spectrum.cos, spectrum.sin]) ** 2
    pairs = spectrum.energy.sum(axis=1)
    return gini_coefficient(np.sqrt(energy.sum(axis=1))), gini_coefficient(np.sqrt(pairs))


@lru_cache(maxsize=8)
def _null(embed: tuple[int, ...], out: tuple[int, ...], unembed: tuple[int, ...]) -> Array:
    """[draw, matrix, per] of Gaussian weights of these shapes."""
    rng = np.random.default_rng(0)
    return np.array(
        [
            (
                _both(rng.standard_normal(embed)),
                _both((rng.standard_normal(out) @ rng.standard_normal(unembed)).T),
            )
            for _ in range(NULL_DRAWS)
        ]
    )
