"""Rings and ellipses of the embedding, the unembedding and the neuron-logit map."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyzers.features import Features
from analyzers.registry import Output, analyzer
from analyzers.rings import circularity, random_ratio, rings

NULL_QUANTILE = 0.05
_DIMS = ("matrix", "freq")


@analyzer(
    name="ellipticity",
    version=1,
    scope="checkpoint",
    kind="weights",
    title="Ellipticity of W_E, W_U and W_L",
    outputs={
        "share": Output(_DIMS, "float32", "Share of the energy at frequency k, constant left out", "1"),
        "ellipticity": Output(_DIMS, "float32", "Ratio of the axes of the ellipse at frequency k", "1"),
        "cos_sin_ratio": Output(_DIMS, "float32", "Norm of the cos k row over that of the sin k row", "1"),
        "circularity": Output(("matrix",), "float32", "Circularity of Zhong et al.", "1"),
        "null_low": Output(("matrix",), "float32", "Ellipticity that 5 % of random blocks fall below", "1"),
    },
    formula="B_k = rows cos k, sin k of the Fourier transform along tokens or classes (2 x d); share_k ="
    " ||B_k||^2 / sum_j ||B_j||^2; ellipticity_k = sigma_2 / sigma_1 of B_k; cos_sin_ratio_k = ||cos k|| /"
    " ||sin k||; circularity = mean over the first 4 principal components v of max_k (2 / (p ||v||^2))"
    " |sum_t v_t e^(2 pi i k t / p)|^2",
    source="Ellipticity: definition of this workbench. Circularity: Zhong et al. 2023, arXiv:2306.17844 (for"
    " W_E)",
    protocol="W_E over the number tokens, W_U and W_L = W_out W_U over the classes; weights only",
    caveats="Where frequency k has little energy the ratio is that of noise: a random 2 x 128 block has"
    " 0.90, nearly a ring. cos_sin_ratio depends on which token is called 0; ellipticity does not."
    " Circularity asks whether the components are single frequencies: a line at one frequency has 1, equally"
    " strong perfect rings have less.",
)
def ellipticity(features: Features) -> dict[str, Any]:
    """How round W_E, W_U and W_L are at each frequency, invariant to shifts of the tokens and rotations.

    Formula: as above; ellipticity 1 is a ring, 0 a line. With phi the position of the ellipse's axis,
    cos_sin_ratio moves between ellipticity and its inverse as the tokens are shifted, so that an imbalance of
    cos and sin shows at least that ellipticity, and balance shows nothing.

    Shapes: share, ellipticity, cos_sin_ratio [3 (W_E, W_U, W_L), K], circularity, null_low [3]. Units:
    ratios.

    Source: Zhong et al. 2023, arXiv:2306.17844 for circularity, which they give for W_E; the same formula
    here for the other two.

    Limits: read ellipticity where share is well above 1 / K; a random matrix has 0.90 (d = 128) or 0.95 (d =
    512). Circularity depends on how the strengths of the frequencies compare, and not on whether they are
    rings. NaN for a matrix that is zero or not finite.
    """
    matrices = {"W_E": features.W_E, "W_U": features.W_U.T, "W_L": features.neuron_logit_map.T}
    found: dict[str, Any] = {
        name: [] for name in ("share", "ellipticity", "cos_sin_ratio", "circularity", "null_low")
    }
    for points in matrices.values():
        share, ratio, spectrum = rings(points)
        cos, sin = (np.linalg.norm(rows, axis=1) for rows in (spectrum.cos, spectrum.sin))
        found["share"].append(share)
        found["ellipticity"].append(ratio)
        with np.errstate(invalid="ignore", divide="ignore"):
            found["cos_sin_ratio"].append(cos / sin)
        found["circularity"].append(circularity(points))
        found["null_low"].append(random_ratio(points.shape[1], NULL_QUANTILE))
    return {"matrix": list(matrices), **found}
