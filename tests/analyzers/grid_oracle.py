"""Independent, slow definitions to hold instruments against: explicit loops, three tokens, no shared code."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def forward(weights: dict[str, Array], p: int, a: int, b: int) -> dict[str, Array]:
    """The full three-token transformer on [a, b, =]: pattern [H, 3, 3], neurons [3, d_mlp], logits [3, p]."""
    tokens = [a, b, p]
    resid = np.stack([weights["embed.W_E"][token] for token in tokens]) + weights["pos_embed.W_pos"]
    heads, d_head = weights["blocks.0.attn.W_Q"].shape[0], weights["blocks.0.attn.W_Q"].shape[2]
    pattern, written = np.zeros((heads, 3, 3)), np.zeros_like(resid)
    for head in range(heads):
        query, key, value = (resid @ weights[f"blocks.0.attn.W_{kind}"][head] for kind in "QKV")
        for position in range(3):
            scores = [query[position] @ key[other] / math.sqrt(d_head) for other in range(position + 1)]
            exponentials = np.exp(np.array(scores) - max(scores))
            pattern[head, position, : position + 1] = exponentials / exponentials.sum()
        written += pattern[head] @ value @ weights["blocks.0.attn.W_O"][head]
    middle = resid + written
    neurons = np.maximum(middle @ weights["blocks.0.mlp.W_in"], 0)
    logits = (middle + neurons @ weights["blocks.0.mlp.W_out"]) @ weights["unembed.W_U"]
    return {"pattern": pattern, "neurons": neurons, "logits": logits}


def grid(weights: dict[str, Array], p: int) -> dict[str, Array]:
    """Activations of `=` over all inputs: pattern [H, 3, p, p], neurons [p, p, d_mlp], logits [p, p, p]."""
    cells = [[forward(weights, p, a, b) for b in range(p)] for a in range(p)]
    return {
        "pattern": np.moveaxis(
            np.array([[cell["pattern"][:, 2] for cell in row] for row in cells]), (0, 1), (2, 3)
        ),
        "neurons": np.array([[cell["neurons"][2] for cell in row] for row in cells]),
        "logits": np.array([[cell["logits"][2] for cell in row] for row in cells]),
    }


def fraction(values: Array, k: int) -> float:
    """Share of the variance of a p x p map in the 3 x 3 block of frequency k, by sums over the grid."""
    p = len(values)
    rows = {
        "const": [1 / math.sqrt(p)] * p,
        "cos": [math.sqrt(2 / p) * math.cos(2 * math.pi * k * x / p) for x in range(p)],
        "sin": [math.sqrt(2 / p) * math.sin(2 * math.pi * k * x / p) for x in range(p)],
    }
    energy = 0.0
    for left, f in rows.items():
        for right, g in rows.items():
            if (left, right) != ("const", "const"):
                energy += sum(f[a] * g[b] * values[a, b] for a in range(p) for b in range(p)) ** 2
    mean = sum(values[a, b] for a in range(p) for b in range(p)) / p**2
    return energy / sum((values[a, b] - mean) ** 2 for a in range(p) for b in range(p))


def cross_entropy(logits: Array, label: int) -> float:
    """Cross-entropy of one input with Python's exact sums."""
    shifted = [float(value) - float(logits[label]) for value in logits]
    wrong = math.fsum(math.exp(value) for index, value in enumerate(shifted) if index != label)
    return math.log1p(wrong)
