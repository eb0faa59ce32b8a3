"""What each head can carry from a number token to the neurons and to the logits."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyzers.features import Features
from analyzers.fourier import transform
from analyzers.registry import Output, analyzer

TARGETS = ("neurons", "logits")


@analyzer(
    name="value_paths",
    version=1,
    scope="checkpoint",
    kind="weights",
    title="Value paths of the heads",
    outputs={
        "energy": Output(
            ("target", "head", "freq"), "float32", "Energy of the path at frequency k", "weight^8"
        ),
        "share": Output(
            ("target", "head", "freq"), "float32", "Share of the path's energy at frequency k", "1"
        ),
        "total": Output(("target", "head"), "float32", "Energy of the path over all frequencies", "weight^8"),
    },
    formula="energy_k = ||F_k W_E W_V^h W_O^h W_in||^2 (neurons), ||F_k W_E W_V^h W_O^h W_U||^2 with its mean"
    " over the classes removed (logits); F_k the cos k and sin k rows",
    source="The path by which a number token reaches the = position (Elhage et al. 2021,"
    " transformer-circuits.pub: OV circuit), in the Fourier basis of Nanda et al. 2023",
    protocol="weights only; number tokens; constant over tokens left out; the direct path to the logits skips"
    " the MLP",
    caveats="W_E W_in is not a path at =: number tokens reach the neurons through W_V and W_O only. The path"
    " is as strong as the head's attention lets it be, which is not in these numbers.",
)
def value_paths(features: Features) -> dict[str, Any]:
    """Energy per frequency of the linear map from a number token, through one head, to neurons and logits.

    Formula: T^h = W_E W_V^h W_O^h W_in [p, d_mlp] or W_E W_V^h W_O^h W_U [p, p], the latter less its mean
    over the classes (which no softmax sees); energy_k = ||F_cos_k T||^2 + ||F_sin_k T||^2 along the tokens;
    share_k = energy_k / sum_j energy_j; total = sum_j energy_j.

    Shapes: energy, share [2 (neurons, logits), n_heads, K], total [2, n_heads]. Units: squared products of
    four weights; shares. Source: Elhage et al. 2021; Nanda et al. 2023, arXiv:2301.05217.

    Limits: linear, with attention 1; the real contribution is this times the attention of = to the token. A
    path may cancel another head's. Share is NaN for a head that carries nothing.
    """
    rows = transform(features.W_E)
    tokens = np.stack([rows.cos, rows.sin])  # [2, K, d_model]
    w_u = features.W_U - features.W_U.mean(axis=1, keepdims=True)
    ends = (features.weight("blocks.0.mlp.W_in"), w_u)
    heads = list(zip(features.weight("blocks.0.attn.W_V"), features.weight("blocks.0.attn.W_O"), strict=True))
    carried = [tokens @ w_v @ w_o for w_v, w_o in heads]
    energy = np.array([[((head @ end) ** 2).sum(axis=(0, 2)) for head in carried] for end in ends])
    total = energy.sum(axis=2)
    with np.errstate(invalid="ignore", divide="ignore"):
        share = energy / total[..., None]
    return {"target": list(TARGETS), "energy": energy, "share": share, "total": total}
