"""What a checkpoint says once the coordinates that it happens to be written in are taken away.

One function of the inputs has many sets of weights. None of these changes leaves a trace in a `Description`:

    residual stream   rotated: W_E R, W_pos R, W_O R, W_out R; R^T W_Q, R^T W_K, R^T W_V, R^T W_in, R^T W_U
    neurons           permuted; a ReLU neuron scaled, c W_in[:, n] (and c b_in[n]) with W_out[n] / c, c > 0
    heads             permuted; W_Q A with W_K A^-T (scores), W_V A with A^-1 W_O, per head
    offsets           a vector added to the rows of all number tokens and taken from W_pos; the same number
                      added to the logits of all classes

Not seen through: tokens under other names (see `relabelling`), and changes that only ReLU patterns of the
data at hand permit.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from analyzers.features import Features
from analyzers.fourier import basis

Array = NDArray[np.float64]

TOKEN_MATRICES = ("W_E", "W_U", "W_L", "attention")
SPECTRA = ("W_E", "W_U", "W_L", "QK", "OV", "W_in", "W_out")


@dataclass(frozen=True)
class Description:
    """One checkpoint without its gauge. Token matrices in the order of `TOKEN_MATRICES`.

    gram       [4, p, p]  inner products of the rows that belong to tokens (classes) x and y, centred
    equals     [p + 1]    those of the row of `=` in W_E with the number tokens, then its squared length; the
                          origin is the mean of the number tokens
    power      [4, K]     squared length of the cos k and sin k components of the rows, k = 1 .. K
    singular   name of `SPECTRA` -> singular values, descending; those of all heads together
    attention  [n_heads, 6]  mean attention of `=` to a, b, =, then the standard deviations over the inputs
    """

    p: int
    gram: Array
    equals: Array
    power: Array
    singular: Mapping[str, Array]
    attention: Array

    @property
    def finite(self) -> bool:
        """False for a checkpoint with a weight that is no number."""
        return bool(np.isfinite(self.gram).all() and np.isfinite(self.attention).all())


def describe(found: Features) -> Description:
    """The gauge-invariant description of a checkpoint.

    Formula: rows centred over tokens (classes): W_E [p, d]; W_U^T [p, d]; W_L^T [p, d_mlp] with W_L[n] =
    ||W_in[:, n]|| W_out[n] W_U, which a rescaled neuron leaves alone; attention [p, n_heads], the scores
    q_h . W_E[x] W_K^h with q_h = (W_E[=] + W_pos[2]) W_Q^h / sqrt(d_head). gram = rows rows^T, power_k =
    ||F_cos_k rows||^2 + ||F_sin_k rows||^2 = F_cos_k gram F_cos_k + F_sin_k gram F_sin_k. singular: of the
    centred W_E, W_U, W_L; of W_Q W_K^T / sqrt(d_head) and W_V W_O of every head; of W_in and W_out with every
    neuron's two vectors scaled to the same length (none if either is 0).

    Shapes: see `Description`. Units: products of weights; attention in [0, 1].

    Source: the symmetries of the architecture, module docstring; Gram matrices as invariants: Kornblith et
    al. 2019, arXiv:1905.00414.

    Limits: biases take part only through the attention (b_Q). Singular values below 1e-7 of the largest are
    rounding. A checkpoint that is not finite has NaN.
    """
    rows = token_rows(found)
    gram = np.stack([matrix @ matrix.T for matrix in rows.values()])
    embedding = found.weight("embed.W_E")
    equals = embedding[found.p] - embedding[: found.p].mean(axis=0)
    pattern = found.pattern
    return Description(
        p=found.p,
        gram=gram,
        equals=np.append(rows["W_E"] @ equals, equals @ equals),
        power=_power(gram),
        singular=spectra(found, rows),
        attention=np.concatenate([pattern.mean(axis=(2, 3)), pattern.std(axis=(2, 3))], axis=1),
    )


def token_rows(found: Features) -> dict[str, Array]:
    """Name of `TOKEN_MATRICES` -> rows [p, ...] of the tokens or classes, less their mean."""
    tensors = found.weights
    query = tensors["blocks.0.attn.W_Q"]
    asked = (tensors["embed.W_E"][found.p] + tensors["pos_embed.W_pos"][2]) @ query  # [n_heads, d_head]
    asked = (asked + tensors.get("blocks.0.attn.b_Q", 0.0)) / np.sqrt(query.shape[-1])
    keys = np.einsum("hdk,hk->dh", tensors["blocks.0.attn.W_K"], asked)
    reach = np.linalg.norm(tensors["blocks.0.mlp.W_in"], axis=0)
    rows = {
        "W_E": found.W_E,
        "W_U": found.W_U.T,
        "W_L": (reach[:, None] * found.neuron_logit_map).T,
        "attention": found.W_E @ keys,
    }
    return {name: matrix - matrix.mean(axis=0) for name, matrix in rows.items()}


def spectra(found: Features, rows: Mapping[str, Array]) -> dict[str, Array]:
    """Name of `SPECTRA` -> singular values, descending; NaN for a matrix that is not finite."""
    tensors = found.weights
    attention = {name: tensors[f"blocks.0.attn.W_{name}"] for name in "QKVO"}
    scale = np.sqrt(attention["Q"].shape[-1])
    W_in, W_out = balanced(tensors["blocks.0.mlp.W_in"], tensors["blocks.0.mlp.W_out"])
    return {
        "W_E": _singular_values(rows["W_E"]),
        "W_U": _singular_values(rows["W_U"]),
        "W_L": _singular_values(rows["W_L"]),
        "QK": _of_products(attention["Q"], attention["K"]) / scale,
        "OV": _of_products(attention["V"], attention["O"].swapaxes(1, 2)),
        "W_in": _singular_values(W_in),
        "W_out": _singular_values(W_out),
    }


def balanced(W_in: Array, W_out: Array) -> tuple[Array, Array]:
    """The two matrices with ||W_in[:, n]|| = ||W_out[n]|| for every neuron n, their product unchanged."""
    inward, outward = np.linalg.norm(W_in, axis=0), np.linalg.norm(W_out, axis=1)
    mean = np.sqrt(inward * outward)
    return (
        W_in * np.divide(mean, inward, out=np.zeros_like(mean), where=inward > 0),
        W_out * np.divide(mean, outward, out=np.zeros_like(mean), where=outward > 0)[:, None],
    )


def _of_products(left: Array, right: Array) -> Array:
    """Singular values of left[h] right[h]^T of all heads h, descending; both [n_heads, d_model, d_head]."""
    if not (np.isfinite(left).all() and np.isfinite(right).all()):
        return np.full(left.shape[0] * min(left.shape[1:]), np.nan)
    one, other = (np.asarray(np.linalg.qr(matrix, mode="r")) for matrix in (left, right))
    values = np.linalg.svd(one @ other.swapaxes(1, 2), compute_uv=False)
    return np.sort(values.ravel())[::-1]


def _singular_values(matrix: Array) -> Array:
    if not np.isfinite(matrix).all():
        return np.full(min(matrix.shape), np.nan)
    small = matrix @ matrix.T if len(matrix) <= matrix.shape[1] else matrix.T @ matrix
    found: Array = np.sqrt(np.linalg.eigvalsh(small)[::-1].clip(min=0))
    return found


def _power(gram: Array) -> Array:
    """[..., K] from Gram matrices [..., p, p]: what the cos k and the sin k function have of them."""
    rows = basis(gram.shape[-1])
    found: Array = sum(((wave @ gram) * wave).sum(axis=-1) for wave in (rows.cos, rows.sin))
    return found
