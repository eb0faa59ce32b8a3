"""One neuron's two-dimensional Fourier transform."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyzers.features import Features
from analyzers.fourier import CONSTANT, basis
from analyzers.registry import Output, analyzer
from data.errors import BadParameter


@analyzer(
    name="neuron_block",
    version=1,
    scope="checkpoint",
    kind="attention",
    title="Fourier transform of one neuron",
    outputs={
        "block": Output(("wave_a", "wave_b"), "float32", "Share of the variance of the product", "1"),
        "sign": Output(("wave_a", "wave_b"), "int8", "Sign of the coefficient", "1"),
        "frequency": Output((), "int16", "Frequency k of the block", "k"),
        "spectrum": Output(("freq_a", "freq_b"), "float32", "Share of the variance at (k_a, k_b)", "1"),
    },
    parameters={"neuron": 0},
    formula="G = F N F^T; block = G_xy^2 / sum G^2 for x, y in {const, cos k, sin k}, spectrum(k_a, k_b) ="
    " sum of G_xy^2 over the waves of k_a and of k_b over sum G^2, constant left out of both; k = argmax of"
    " the block's sum",
    source="Nanda et al. 2023, arXiv:2301.05217, section 4.1 and appendix C.2",
    protocol="all p x p inputs, float64, computed from the weights when asked for, never stored",
    caveats="Harmonics of k appear at 2k, 3k, ... folded at p / 2.",
    stored=False,
)
def neuron_block(features: Features, neuron: int = 0) -> dict[str, Any]:
    """Where the variance of one neuron's map lies among the products of waves of a and waves of b.

    Formula: G = F N F^T with the orthonormal real basis F. block holds the shares G_xy^2 / sum G^2 for x (of
    a) and y (of b) in {const, cos k, sin k}, k the frequency whose block is largest, with the sign of G_xy.
    spectrum sums G_xy^2 over the waves of each pair of frequencies (k_a, k_b), k = 0 being the constant. The
    mean of the map, at (const, const), is left out and NaN there.

    Shapes: block, sign [3, 3] (const, cos, sin), frequency scalar (0 and NaN shares for a constant map),
    spectrum [K + 1, K + 1]. Units: shares of variance; the spectrum sums to 1.

    Source: Nanda et al. 2023, arXiv:2301.05217.

    Limits: float32 shares. Raises BadParameter for a neuron that the model does not have.
    """
    from training.fast_path import neuron_map

    try:
        values = neuron_map(features.tensors, features.p, int(neuron)).numpy()
    except IndexError as error:
        raise BadParameter(f"{error}.") from None
    rows = basis(features.p)
    count = rows.n_frequencies
    coefficients = rows.matrix @ (values - values.mean()) @ rows.matrix.T
    energy = coefficients**2
    total = energy.sum()
    constant = total <= CONSTANT * features.p**2 * values.mean() ** 2 or not np.isfinite(total)
    share = energy / (np.nan if constant else total)
    share[0, 0] = np.nan
    of_k = np.concatenate([[0], np.arange(1, count + 1), np.arange(1, count + 1)])
    folded = np.eye(count + 1)[:, of_k]  # sums cos and sin rows of one frequency
    spectrum = folded @ np.nan_to_num(share, nan=np.nan if constant else 0.0) @ folded.T
    own = np.array([[0, k, count + k] for k in range(1, count + 1)])
    sizes = np.array([np.nansum(share[np.ix_(place, place)]) for place in own])
    k = 0 if constant else int(sizes.argmax()) + 1
    place = own[max(k, 1) - 1]
    spectrum[0, 0] = np.nan
    return {
        "block": share[np.ix_(place, place)],
        "sign": np.sign(np.nan_to_num(coefficients[np.ix_(place, place)])),
        "frequency": k,
        "spectrum": spectrum,
        **{f"wave_{name}": ["const", "cos", "sin"] for name in "ab"},
        **{f"freq_{name}": np.arange(count + 1) for name in "ab"},
    }
