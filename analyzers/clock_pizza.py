"""What tells a clock from a pizza: symmetry of gradients, and logits by distance and by sum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analyzers.fourier import n_frequencies

if TYPE_CHECKING:
    from training.fast_path import GridActivations, Weights

Array = NDArray[Any]


def gradient_cosines(weights: Weights, grid: GridActivations, triples: Array) -> Array:
    """cos(dQ_abc / dE_a, dQ_abc / dE_b) for every row (a, b, c) of `triples` [n, 3], Q_abc the logit of c:
    [n].

    E_a and E_b are the residual stream at the first and second position, so that a = b has two gradients, and
    the gradients are those of the whole model, attention included. `grid` holds the activations of these
    weights. A gradient of length 0 has NaN.
    """
    import torch

    from analyzers.attention_gradients import Heads

    a, b, c = torch.from_numpy(np.asarray(triples, dtype=np.int64)).T
    w_u = weights["unembed.W_U"].T[c]  # [n, d_model]
    at_neurons = (w_u @ weights["blocks.0.mlp.W_out"].T).mul_(grid.neurons[a, b] > 0)
    slopes = w_u + at_neurons @ weights["blocks.0.mlp.W_in"].T
    first, second = Heads.of(weights, len(grid.resid_mid)).at_inputs(grid.pattern, a, b, slopes)
    return ((first * second).sum(1) / (first.norm(dim=1) * second.norm(dim=1))).numpy()


def distance_irrelevance(values: Array, sign: int) -> float:
    """mean_d std_j(M[j + d, sign j]) / std(M) of a map M [p (a), p (b)]: 0 if M is a function of a - sign b.

    Population standard deviations. NaN for a constant map.
    """
    p = len(values)
    j, d = np.arange(p), np.arange(p)[:, None]
    along = values[(j + d) % p, (sign * j) % p]  # [d, j]
    whole = values.std()
    return float(along.std(axis=1).mean() / whole) if whole > 0 else float("nan")


def mean_by_distance(logits: Array, sign: int) -> Array:
    """T[d, e]: mean of `logits` [p * p, p (c)] over a - sign b = d and a + sign b - c = e (mod p), [p, p]."""
    p = logits.shape[1]
    j, residues = np.arange(p), np.arange(p)
    table = np.empty((p, p))
    for d in range(p):
        inputs = (j + d) % p * p + (sign * j) % p
        classes = (2 * j[:, None] + d - residues) % p
        table[d] = logits[inputs[:, None], classes].mean(axis=0)
    return table


def wave_fits(table: Array) -> tuple[Array, Array]:
    """(clock [K], pizza [K]): explained mean squares of the logits, from `mean_by_distance`.

    clock: alpha_k cos w_k(a + b - c); pizza: alpha_k |cos(w_k(a - b) / 2)| cos w_k(a + b - c), with the best
    alpha_k. Within each kind the functions of different k are orthogonal over (a, b, c), with mean squares
    1/2 and 1/4.
    """
    p = len(table)
    k = np.arange(1, n_frequencies(p) + 1)
    index = np.outer(k, np.arange(p)) % p
    waves = np.cos(2 * np.pi * index / p)  # [K, e]
    by_distance = waves @ table.T / p  # [K, d]: mean over e of cos(w_k e) T[d, e]
    clock = by_distance.mean(axis=1) / (1 / 2)
    pizza = (np.abs(np.cos(np.pi * index / p)) * by_distance).mean(axis=1) / (1 / 4)
    return clock**2 / 2, pizza**2 / 4
