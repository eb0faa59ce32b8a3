"""Fourier norms of the embedding and of the unembedding."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyzers.features import Features
from analyzers.fourier import transform
from analyzers.registry import Output, analyzer


def _outputs(matrix: str, tokens: str) -> dict[str, Output]:
    return {
        f"{matrix}_const": Output(
            (), "float32", f"Norm of the constant row of {matrix} over {tokens}", "weight"
        ),
        f"{matrix}_cos": Output(
            ("freq",), "float32", f"Norm of the cos k row of {matrix} over {tokens}", "weight"
        ),
        f"{matrix}_sin": Output(
            ("freq",), "float32", f"Norm of the sin k row of {matrix} over {tokens}", "weight"
        ),
        f"{matrix}_norm": Output(
            ("freq",), "float32", f"Norm of both rows of frequency k of {matrix}", "weight"
        ),
    }


@analyzer(
    name="embedding_fourier",
    version=1,
    scope="checkpoint",
    kind="weights",
    title="Fourier norms of embedding and unembedding",
    outputs=_outputs("W_E", "the number tokens") | _outputs("W_U", "the classes"),
    formula="W_E_cos_k = ||F_cos_k W_E||_2, W_E_sin_k likewise, norm_k = sqrt(cos_k^2 + sin_k^2);"
    " W_U along its class axis",
    source="Nanda et al. 2023, arXiv:2301.05217, section 4.1 (W_E); the same for W_U",
    protocol="orthonormal basis over x = 0 .. p - 1; the = row of W_E is left out; weights only",
    caveats="The division into cos and sin depends on which token is called 0 (a shift rotates one into the"
    " other) and k"
    " on the labels of the tokens; norm_k does not depend on the shift.",
)
def embedding_fourier(features: Features) -> dict[str, Any]:
    """Norm over d_model of each Fourier component of W_E (along the tokens) and of W_U (along the classes).

    Formula: with F the orthonormal basis of Z_p, cos_k = ||F_cos_k W_E||_2, sin_k = ||F_sin_k W_E||_2,
    norm_k = sqrt(cos_k^2 + sin_k^2), const = ||F_const W_E||_2; const^2 + sum_k norm_k^2 = ||W_E||_F^2. For
    W_U [d_model, p] the same along its second axis.

    Shapes: const scalar, the others [K]. Units: of the weights. Rows are named, so cos and sin cannot be
    exchanged. Source: Nanda et al. 2023, arXiv:2301.05217.

    Limits: a random matrix has the same expected norm at every k; its spread falls with d_model. cos against
    sin depends on the choice of token 0, norm_k does not.
    """
    result: dict[str, Any] = {}
    for name, values in (("W_E", features.W_E), ("W_U", features.W_U.T)):
        spectrum = transform(values)
        cos, sin = (np.linalg.norm(rows, axis=-1) for rows in (spectrum.cos, spectrum.sin))
        result[f"{name}_const"] = np.linalg.norm(spectrum.const)
        result |= {f"{name}_cos": cos, f"{name}_sin": sin, f"{name}_norm": np.hypot(cos, sin)}
    return result
