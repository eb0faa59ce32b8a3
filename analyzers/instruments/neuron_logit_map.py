"""What the neurons write to the logits: W_L = W_out W_U by frequency, and how few directions it uses."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.features import Features
from analyzers.fourier import Spectrum, transform
from analyzers.key_frequencies import RULE_TEXT, chosen
from analyzers.registry import Output, analyzer

SHARES = (0.9, 0.99, 0.999)
CENTRINGS = ("raw", "centred")

Array = NDArray[Any]


@analyzer(
    name="neuron_logit_map",
    version=1,
    scope="checkpoint",
    kind="weights",
    title="Neuron-logit map W_L",
    outputs={
        "const": Output((), "float32", "Norm of W_L on the constant over the classes", "weight"),
        "cos": Output(("freq",), "float32", "Norm of W_L on cos k over the classes", "weight"),
        "sin": Output(("freq",), "float32", "Norm of W_L on sin k over the classes", "weight"),
        "rank": Output(("share",), "int16", "Directions that hold the share of the energy", "directions"),
        "key_directions": Output((), "int16", "2 |K*|, what a clean map needs", "directions"),
        "residual": Output(
            ("centring",), "float32", "Norm outside the key directions over the whole norm", "1"
        ),
        "residual_null": Output(("centring",), "float32", "The same, expected of a random W_L", "1"),
    },
    needs_final=("key_frequencies",),
    formula="W_L = W_out W_U; cos_k = ||W_L F_cos_k^T||_2 over the neurons; rank(s) = least r with sum_{i"
    " <= r} s_i^2 >= s sum s_i^2; residual = ||W_L - W_L F_K*^T F_K*||_F / ||W_L||_F, F_K* the 2 |K*| rows"
    " of the key frequencies",
    source="Nanda et al. 2023, arXiv:2301.05217, section 4.3 and appendix C.2 (five frequencies, rank about"
    " 10, residual 0.55 % of the norm)",
    protocol=f"weights only, float64. Key: {RULE_TEXT}. Centred: mean over the classes of every neuron"
    f" removed,"
    " which the softmax ignores",
    caveats="The residual is a share of the norm, not of the energy (its square). Rank depends on the share"
    " that is asked for.",
)
def neuron_logit_map(features: Features) -> dict[str, Any]:
    """Fourier norms, numerical rank and residual of W_L = W_out W_U [d_mlp, p], along the classes.

    Formula: cos_k, sin_k, const are the norms over the neurons of W_L times the orthonormal basis rows, so
    that const^2 + sum_k (cos_k^2 + sin_k^2) = ||W_L||_F^2. rank(s) is the least number of singular
    directions that hold the share s of that energy. residual is the Frobenius norm of what the 2 |K*| rows
    of the key frequencies do not span, over that of W_L; residual_null = sqrt(1 - 2 |K*| / p) (p - 1 if
    centred) is what a random W_L has.

    Shapes: cos, sin [K]; rank [3 (0.9, 0.99, 0.999)]; residual, residual_null [2 (raw, centred)];
    key_directions = 2 |K*|, const scalar. Units: weights; directions; shares of the norm in [0, 1]. K* is
    fixed from the last checkpoint.

    Source: Nanda et al. 2023, arXiv:2301.05217.

    Limits: weights that are zero or not finite have NaN, and rank 0. cos against sin depends on which
    class is called 0.
    """
    w_l = features.neuron_logit_map
    spectrum = transform(w_l, axis=1)
    keys = chosen(features.final("key_frequencies", "is_key"))
    constant = float((spectrum.const**2).sum())
    whole = constant + float(spectrum.energy.sum())
    outside = float(np.delete(spectrum.energy, keys - 1, axis=0).sum())
    energies = np.array([[constant + outside, whole], [outside, whole - constant]])
    with np.errstate(invalid="ignore", divide="ignore"):
        residual = np.sqrt(energies[:, 0] / energies[:, 1])
    rows = np.array([features.p, features.p - 1])
    cos, sin = _norms(spectrum)
    return {
        "const": np.sqrt(constant),
        "cos": cos,
        "sin": sin,
        "share": list(SHARES),
        "rank": _ranks(w_l),
        "centring": list(CENTRINGS),
        "key_directions": 2 * len(keys),
        "residual": residual,
        "residual_null": np.sqrt(1 - 2 * len(keys) / rows),
    }


def _norms(spectrum: Spectrum) -> tuple[Array, Array]:
    cos, sin = (np.linalg.norm(rows, axis=1) for rows in (spectrum.cos, spectrum.sin))
    return cos, sin


def _ranks(matrix: Array) -> list[int]:
    """Least number of singular directions that hold each of `SHARES` of the energy; 0 without any."""
    if not np.isfinite(matrix).all() or not matrix.any():
        return [0] * len(SHARES)
    gram = matrix.T @ matrix if matrix.shape[0] > matrix.shape[1] else matrix @ matrix.T
    energy = np.linalg.eigvalsh(gram)[::-1].clip(min=0)
    held = np.cumsum(energy) / energy.sum()
    return [int(np.searchsorted(held, share) + 1) for share in SHARES]
