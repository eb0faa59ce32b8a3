"""What tells a clock from a pizza: symmetry of gradients, and logits by distance and by sum."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analyzers.fourier import n_frequencies

if TYPE_CHECKING:
    from training.fast_path import Weights

_AT_ONCE = 4  # inputs whose gradients are found together

Array = NDArray[Any]


def gradient_cosines(weights: Weights, p: int, triples: Array) -> Array:
    """cos(dQ_abc / dE_a, dQ_abc / dE_b) for every row (a, b, c) of `triples` [n, 3], Q_abc the logit of c:
    [n].

    E_a and E_b are the residual stream at the first and second position, so that a = b has two gradients.
    They are found by automatic differentiation of the whole model, attention included. A gradient of
    length 0 has NaN.
    """
    import torch

    from training.fast_path import forward_grid

    equals, cosines = weights["embed.W_E"][p : p + 1], []
    for start in range(0, len(triples), _AT_ONCE):
        a, b, c = torch.from_numpy(np.asarray(triples[start : start + _AT_ONCE], dtype=np.int64)).T
        # rows 0 .. n - 1 are the tokens a and the next n the tokens b: row i is read by the input (i, n + i)
        # at the first position only and row n + i at the second, so that their gradients stay apart
        tokens = weights["embed.W_E"][torch.cat([a, b])].detach().requires_grad_()
        n, rows = len(a), torch.arange(len(a))
        logits = forward_grid({**weights, "embed.W_E": torch.cat([tokens, equals])}, 2 * n).logits
        (gradient,) = torch.autograd.grad(logits[rows, n + rows, c].sum(), tokens)
        first, second = gradient[:n], gradient[n:]
        cosines.append((first * second).sum(1) / (first.norm(dim=1) * second.norm(dim=1)))
    return torch.cat(cosines).numpy()


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
