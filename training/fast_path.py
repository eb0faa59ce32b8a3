"""The modular-arithmetic transformer as a function of the (a, b) grid.

Only the ``=`` position of ``[a, b, =]`` reaches the output, its query is the same for every input, and its
keys and values depend on one token each. With ``x_a = W_E[a] + W_pos[0]``, ``x_b = W_E[b] + W_pos[1]``, ``x_=
= W_E[p] + W_pos[2]`` and ``q_h = x_= W_Q^h / sqrt(d_head)``::

    s0_h(a) = q_h . x_a W_K^h      s1_h(b) = q_h . x_b W_K^h      s2_h = q_h . x_= W_K^h
    alpha_h(a, b) = softmax(s0_h(a), s1_h(b), s2_h)
    resid_mid(a, b) = x_= + sum_h alpha0 x_a W_V^h W_O^h + alpha1 x_b W_V^h W_O^h + alpha2 x_= W_V^h W_O^h
    logits = (resid_mid + relu(resid_mid W_in) W_out) W_U

This is the same function as the three-token transformer (``training.transformer``), not an approximation.

Models made elsewhere may have biases (``BIASES``, each where the mapping has it): b_Q is added to x_= W_Q,
b_V to every value (attention sums to one, so that it adds b_V W_O), b_O to resid_mid, b_in inside the relu,
b_out to the residual stream, b_U to the logits; b_K moves the three scores of an input alike, which changes
nothing.

The functions here are pure: a mapping of weights (names as in ``training.transformer``, any float dtype, any
device) goes in, new tensors come out. The training step on the same factorisation is ``training.fast_step``.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

Weights = Mapping[str, Tensor]

BIASES = (
    *(f"blocks.0.attn.{name}" for name in ("b_Q", "b_K", "b_V", "b_O")),
    *(f"blocks.0.mlp.{name}" for name in ("b_in", "b_out")),
    "unembed.b_U",
)


@dataclass(frozen=True)
class GridActivations:
    """Activations at the ``=`` position for every input; axes a and b come first in the residual stream.

    pattern [n_heads, 3, p, p]: attention of ``=`` to (a, b, =), in that order resid_mid [p, p, d_model],
    neurons [p, p, d_mlp] (after the ReLU), resid_post [p, p, d_model], logits [p, p, p]
    """

    pattern: Tensor
    resid_mid: Tensor
    neurons: Tensor
    resid_post: Tensor
    logits: Tensor


def forward_grid(weights: Weights, p: int) -> GridActivations:
    """Every activation of interest over the whole p x p grid of inputs.

    Memory: ``p * p * (2 d_model + d_mlp + p)`` numbers (43 MB at p = 113 in float32).
    """
    pattern = attention_pattern(weights, p)
    resid_mid = residual_before_mlp(weights, p, pattern)
    neurons = _neurons(weights, resid_mid)
    resid_post = residual_after_mlp(weights, resid_mid, neurons)
    return GridActivations(pattern, resid_mid, neurons, resid_post, unembedded(weights, resid_post))


def neuron_grid(weights: Weights, p: int) -> Tensor:
    """Activation (after the ReLU) of every neuron at every input, [p (a), p (b), d_mlp], and nothing else."""
    return _neurons(weights, residual_before_mlp(weights, p, attention_pattern(weights, p)))


def attention_pattern(weights: Weights, p: int) -> Tensor:
    """Attention of ``=`` to its three sources, [n_heads, 3 (a, b, =), p (a), p (b)]."""
    x_a, x_b, x_eq = _token_rows(weights, p)
    w_q, w_k = weights["blocks.0.attn.W_Q"], weights["blocks.0.attn.W_K"]
    bias = weights.get("blocks.0.attn.b_Q")
    query = x_eq @ w_q if bias is None else x_eq @ w_q + bias[:, None]
    query = query / w_q.shape[-1] ** 0.5  # [n_heads, 1, d_head]
    key_of_query = w_k @ query.mT  # [n_heads, d_model, 1]
    s0 = x_a @ key_of_query  # [n_heads, p, 1]
    s1 = (x_b @ key_of_query).mT  # [n_heads, 1, p]
    s2 = x_eq @ key_of_query  # [n_heads, 1, 1]
    n_heads = w_q.shape[0]
    scores = torch.stack([score.expand(n_heads, p, p) for score in (s0, s1, s2)], dim=1)
    return scores.softmax(dim=1)


def residual_before_mlp(weights: Weights, p: int, pattern: Tensor) -> Tensor:
    """Residual stream at ``=`` after the heads: x_= plus what they write, [p (a), p (b), d_model]."""
    return _biased(_token_rows(weights, p)[2] + _written(weights, p, pattern), weights, "blocks.0.attn.b_O")


def residual_after_mlp(weights: Weights, resid_mid: Tensor, neurons: Tensor) -> Tensor:
    """Residual stream at ``=`` after the MLP whose neurons (after the ReLU) are given, [..., d_model]."""
    return _biased(resid_mid + neurons @ weights["blocks.0.mlp.W_out"], weights, "blocks.0.mlp.b_out")


def unembedded(weights: Weights, resid_post: Tensor) -> Tensor:
    """Logits over the p classes, [..., d_model] -> [..., p]."""
    return _biased(resid_post @ weights["unembed.W_U"], weights, "unembed.b_U")


def head_output(weights: Weights, p: int, pattern: Tensor, head: int) -> Tensor:
    """What one head adds to the residual stream at ``=``, [p (a), p (b), d_model]; `pattern` of all heads."""
    per_head = ("blocks.0.attn.W_V", "blocks.0.attn.W_O", "blocks.0.attn.b_V")
    one = {name: weights[name][head : head + 1] for name in per_head if name in weights}
    return _written({**weights, **one}, p, pattern[head : head + 1])


def logits_of(weights: Weights, resid_mid: Tensor) -> Tensor:
    """Logits over the p classes from the residual stream before the MLP, [..., d_model] -> [..., p]."""
    return unembedded(weights, residual_after_mlp(weights, resid_mid, _neurons(weights, resid_mid)))


def neuron_map(weights: Weights, p: int, neuron: int) -> Tensor:
    """Activation (after the ReLU) of one neuron at every input, [p (a), p (b)], without the other neurons.

    Raises ``IndexError`` naming the range when there is no such neuron.
    """
    w_in = weights["blocks.0.mlp.W_in"]
    d_mlp = w_in.shape[-1]
    if not 0 <= neuron < d_mlp:
        raise IndexError(f"neuron {neuron} does not exist; this model has neurons 0 to {d_mlp - 1}")
    direction = w_in[:, neuron]  # resid_mid . direction is linear in the attention pattern
    pattern = attention_pattern(weights, p)
    x_a, x_b, x_eq = _token_rows(weights, p)
    read_value = (weights["blocks.0.attn.W_O"] @ direction).unsqueeze(-1)  # [n_heads, d_head, 1]
    read = weights["blocks.0.attn.W_V"] @ read_value
    v0, v1, v2 = x_a @ read, (x_b @ read).mT, x_eq @ read  # [n_heads, p, 1], [n_heads, 1, p], [n_heads, 1, 1]
    pre = (pattern[:, 0] * v0 + pattern[:, 1] * v1 + pattern[:, 2] * v2).sum(0) + x_eq @ direction
    if "blocks.0.attn.b_V" in weights:
        pre = pre + (weights["blocks.0.attn.b_V"][:, None] @ read_value).sum()
    if "blocks.0.attn.b_O" in weights:
        pre = pre + weights["blocks.0.attn.b_O"] @ direction
    if "blocks.0.mlp.b_in" in weights:
        pre = pre + weights["blocks.0.mlp.b_in"][neuron]
    return torch.relu(pre)


def _neurons(weights: Weights, resid_mid: Tensor) -> Tensor:
    """ReLU(resid_mid W_in + b_in), [..., d_mlp]."""
    before = _biased(resid_mid @ weights["blocks.0.mlp.W_in"], weights, "blocks.0.mlp.b_in")
    return before.relu_()  # in place: a second array of that size costs more than the arithmetic


def _biased(values: Tensor, weights: Weights, name: str) -> Tensor:
    return values + weights[name] if name in weights else values


def _token_rows(weights: Weights, p: int) -> tuple[Tensor, Tensor, Tensor]:
    """Residual stream before attention: x_a [p, d_model], x_b [p, d_model], x_= [1, d_model]."""
    w_e, w_pos = weights["embed.W_E"], weights["pos_embed.W_pos"]
    return w_e[:p] + w_pos[0], w_e[:p] + w_pos[1], w_e[p : p + 1] + w_pos[2]


def _written(weights: Weights, p: int, pattern: Tensor) -> Tensor:
    """What the heads of `pattern` write at ``=``, summed over them, [p (a), p (b), d_model]."""
    x_a, x_b, x_eq = _token_rows(weights, p)
    w_ov = weights["blocks.0.attn.W_V"] @ weights["blocks.0.attn.W_O"]  # [n_heads, d_model, d_model]
    write_a, write_b, write_eq = x_a @ w_ov, x_b @ w_ov, x_eq @ w_ov  # [n_heads, p or 1, d_model]
    of_a = torch.cat([write_a, write_eq.expand_as(write_a)]).transpose(0, 1)  # [a, 2 n_heads, d_model]
    from_a = torch.cat([pattern[:, 0], pattern[:, 2]]).permute(1, 2, 0) @ of_a  # batch a
    from_b = pattern[:, 1].permute(2, 1, 0) @ write_b.transpose(0, 1)  # batch b: [a, h] @ [h, d_model]
    written = from_a + from_b.transpose(0, 1)
    bias = weights.get("blocks.0.attn.b_V")
    return written if bias is None else written + (bias[:, None] @ weights["blocks.0.attn.W_O"]).sum((0, 1))
