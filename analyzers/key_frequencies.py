"""Which frequencies a model uses: three published rules, and the one that other measures follow."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

RULES = ("embedding_norm", "neuron_logit_map", "neuron_blocks")
DEFAULT = "neuron_blocks"
FALLBACK = "embedding_norm"

NORM_SHARE = 0.25  # of the largest norm over the frequencies: embedding_norm, neuron_logit_map
KEY_SHARE = 0.1  # of the neurons that are assigned to a frequency: neuron_blocks

RULE_TEXT = (
    "clusters with at least 10 % of the assigned neurons (3 x 3 block share >= 0.85), at the last checkpoint;"
    " if there is none, frequencies whose norm in W_E exceeds a quarter of the largest"
)

Array = NDArray[Any]


def chosen(is_key: Array, rule: str = DEFAULT) -> NDArray[np.int64]:
    """The key frequencies k (1-based, ascending) by that rule, from `is_key` [rule, freq] of key_frequencies.

    Where that rule finds none, those of the rule `FALLBACK`. Empty if that finds none either (weights that
    are zero or not finite).
    """
    table = np.asarray(is_key, dtype=bool)
    found = table[RULES.index(rule)]
    if not found.any():
        found = table[RULES.index(FALLBACK)]
    return np.flatnonzero(found).astype(np.int64) + 1


def by_norm(norm: Array) -> NDArray[np.bool_]:
    """[freq]: the norm exceeds `NORM_SHARE` of the largest. None if the norms are all 0 or not finite."""
    if not np.isfinite(norm).all():
        return np.zeros(len(norm), dtype=bool)
    return np.asarray(norm > NORM_SHARE * norm.max())


def by_clusters(size: Array, live: int) -> NDArray[np.bool_]:
    """[freq]: the cluster holds at least `KEY_SHARE` of the assigned neurons.

    size [freq] neurons assigned to each frequency; live the neurons that vary at all. None is key unless at
    least `KEY_SHARE` of the live neurons are assigned.
    """
    assigned = int(size.sum())
    if assigned < KEY_SHARE * live:
        return np.zeros(len(size), dtype=bool)
    return np.asarray(size >= max(KEY_SHARE * assigned, 1))
