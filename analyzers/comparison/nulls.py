"""What distances between checkpoints are like when there is nothing to find."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.comparison.distances import ALL, all_pairs, distances
from analyzers.comparison.gauge import Description, describe
from analyzers.comparison.relabelling import frequency_images
from analyzers.features import Features
from data.errors import BadParameter

Array = NDArray[np.float64]

N_INITIAL = 16
N_SHUFFLES = 200
LEVEL = 0.95
_FIRST_SEED = 1_000_003  # far from the seeds that people give
_SIZES = ("d_model", "n_heads", "d_head", "d_mlp")


def initial(p: int, config: Mapping[str, Any], count: int = N_INITIAL) -> tuple[Description, ...]:
    """Descriptions of `count` independent random initialisations of that p and model size.

    They are those of the family: independent normal weights of the same deviation. Shared: do not change.
    """
    return _initial(p, tuple(int(config[name]) for name in _SIZES), count)


@lru_cache(maxsize=8)
def _initial(p: int, sizes: tuple[int, ...], count: int) -> tuple[Description, ...]:
    from training.families import modular_addition

    config = modular_addition.make_config(dict(zip(_SIZES, sizes, strict=True)))
    found = []
    for seed in range(_FIRST_SEED, _FIRST_SEED + count):
        params = modular_addition.Params(p=p, seed=seed)
        weights = modular_addition.init_weights(params, config)
        found.append(describe(Features(weights, modular_addition.NAME, {"p": p, "seed": seed})))
    return tuple(found)


def band(values: Array, level: float = LEVEL) -> tuple[float, float]:
    """The middle `level` of the finite values; NaN without any.

    Quantiles at (1 +- level) / 2 of the pooled values. Pairs that share a run are not independent, so that
    the band's own uncertainty is larger than their number suggests.
    """
    finite = values[np.isfinite(values)]
    if not finite.size:
        return float("nan"), float("nan")
    low, high = np.quantile(finite, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def between_initial(
    p: int,
    config: Mapping[str, Any],
    measure: str,
    matrix: str = ALL,
    modulo_relabelling: bool = True,
    count: int = N_INITIAL,
) -> tuple[float, float]:
    """The middle 95 % of the distances between independent random initialisations (`distances`).

    Two runs of different seeds begin there. It is no upper limit: two trained runs with different
    frequencies are often farther apart than two initialisations, whose Gram matrices are both nearly round.
    """
    described = initial(p, config, count)
    return band(distances(described, all_pairs(count), measure, matrix, modulo_relabelling).value)


def shuffled_powers(
    reference: Array, other: Array, count: int = N_SHUFFLES, seed: int = 0
) -> tuple[Array, Array]:
    """(as labelled [count], modulo relabelling [count]) total variation between the shares of power
    `reference` [K] and those of `other` [K] given to frequencies at random.

    The best of (p - 1) / 2 renamings makes some frequencies coincide by chance; this is how many. Raises
    BadParameter for different lengths.
    """
    if len(reference) != len(other):
        raise BadParameter(
            f"Shares of {len(reference)} and of {len(other)} frequencies cannot be superposed: select runs of"
            " one p."
        )
    rng = np.random.default_rng(seed)
    shuffled = rng.permuted(np.tile(other, (count, 1)), axis=1)
    apart = np.abs(reference - shuffled[:, frequency_images(2 * len(other) + 1)]).sum(axis=-1) / 2
    return apart[:, 0], apart.min(axis=1)
