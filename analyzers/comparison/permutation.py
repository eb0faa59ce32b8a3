"""Permutation tests: how often does chance part the groups as far as they are?

Under the null no group is special, so every way of giving the labels to the runs is equally likely. All ways
are listed where there are few of them, otherwise random ones are drawn (always the same).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import factorial, prod
from typing import Any

import numpy as np
from numpy.typing import NDArray

MOST = 20_000  # ways that are listed
DRAWS = 4_999
_EQUAL = 1e-9  # statistics that differ by less (relative) count as equal

Array = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Permuted:
    """p: share of the ways with a statistic at least as large as the observed one, which is among them.

    exact   all ways were listed; `ways` how many, or how many were drawn
    """

    p: float
    exact: bool
    ways: int


def coded(labels: NDArray[Any]) -> tuple[list[Any], Codes]:
    """(the distinct labels in ascending order, the position in them of each label)."""
    distinct, codes = np.unique(np.asarray(labels), return_inverse=True)
    return distinct.tolist(), codes.astype(np.int64)


def count_of_ways(labels: Codes) -> int:
    """n! / (n_1! ... n_k!): in how many ways the labels [n] can be given to the runs."""
    return factorial(len(labels)) // prod(factorial(int(count)) for count in np.bincount(labels))


def every_way(labels: Codes) -> Codes:
    """All distinct orders [ways, n] of the labels [n]."""
    remaining = np.bincount(labels)[None, :]
    ways = np.zeros((1, 0), dtype=np.int64)
    for _ in labels:
        row, label = np.nonzero(remaining)
        ways = np.concatenate([ways[row], label[:, None]], axis=1)
        remaining = remaining[row]
        remaining[np.arange(len(row)), label] -= 1
    return ways


def shuffles(strata: Codes, draws: int, rng: np.random.Generator) -> Codes:
    """Random orders [draws, n] of n positions that exchange positions of the same stratum only."""
    places = np.argsort(strata, kind="stable")
    drawn = np.argsort(strata + rng.random((draws, len(strata))), axis=1)
    orders = np.empty_like(drawn)
    orders[:, places] = drawn
    return orders


def between(scores: Array, labels: Codes) -> Array:
    """Sum over groups of (sum of the centred scores)^2 / size, for labels [..., n] and scores [n]: [...].

    For ranks this orders the ways as the Kruskal-Wallis statistic does, for values as the F statistic, for
    log-rank scores as the log-rank statistic with the permutation variance.
    """
    centred = scores - scores.mean()
    found = np.zeros(labels.shape[:-1])
    for label in range(int(labels.max()) + 1):
        own = labels == label
        found += (own @ centred) ** 2 / np.maximum(own.sum(axis=-1), 1)
    return found


def permuted(scores: Array, labels: Codes) -> Permuted:
    """Permutation test of `between` for scores [n] and labels [n] = 0..k-1."""
    observed = float(between(scores, labels)) * (1 - _EQUAL)
    if count_of_ways(labels) <= MOST:
        ways = every_way(labels)
        return Permuted(float((between(scores, ways) >= observed).mean()), True, len(ways))
    orders = shuffles(np.zeros_like(labels), DRAWS, np.random.default_rng(0))
    beyond = int((between(scores, labels[orders]) >= observed).sum())
    return Permuted((1 + beyond) / (1 + DRAWS), False, DRAWS)
