"""A neuron's share of variance at a frequency together with its harmonics."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.features import Features
from analyzers.fourier import n_frequencies
from analyzers.registry import Output, analyzer
from data.errors import BadParameter

KINDS = {"odd": 2, "all": 1}  # name -> step of the harmonic orders 1, 1 + step, ...
NULL_DRAWS = 2000
NULL_LEVEL = 0.95

Array = NDArray[Any]


@analyzer(
    name="neuron_harmonics",
    version=1,
    scope="checkpoint",
    kind="artifacts",
    title="Neurons with their harmonics",
    outputs={
        "frequency": Output(
            ("harmonics", "neuron"), "int16", "Frequency with the largest share, harmonics included", "k"
        ),
        "share": Output(
            ("harmonics", "neuron"), "float32", "Share of the variance at k and its harmonics", "1"
        ),
        "null_share": Output(
            ("harmonics",), "float32", "95 % quantile of the largest share of an independent random map", "1"
        ),
    },
    needs=("neuron_frequencies",),
    parameters={"order": 9},
    formula="share_k = sum of fraction_h over the distinct h = |j k mod p| folded to 1..K, j = 1, 3, 5, ..."
    " (odd) or 1, 2, 3, ... (all) up to the order; the frequency is the k of largest share whose own"
    " fraction is the largest of its set",
    source="Definition of this workbench after the square-wave neurons of arXiv:2603.23784; fraction_h of"
    " Nanda et al. 2023",
    protocol="neuron_frequencies at the same checkpoint; orders up to 9 unless another is given; null:"
    " 2,000 independent Gaussian maps through the same function",
    caveats="More harmonics take in more of the spectrum, noise and other frequencies included: at p = 113"
    " nine orders are 9 of 56 frequencies. Products of two different harmonics belong to no block.",
)
def neuron_harmonics(features: Features, order: int = 9) -> dict[str, Any]:
    """Share of each neuron's variance in the 3 x 3 blocks of a frequency and of its harmonics.

    Formula: H_k is the set of the distinct frequencies j k mod p, folded to 1..K, for j = 1, 3, 5, ... <=
    order ("odd") or j = 1, 2, 3, ... <= order ("all"); share_k = sum_{h in H_k} fraction_h. Since k is also a
    harmonic of other frequencies, only those k compete whose fraction is the largest within H_k, so that the
    fundamental is what carries most.

    Shapes: frequency, share [harmonics, d_mlp], null_share [harmonics], harmonics = odd, all. Units: k
    (1-based, 0 for a neuron that is constant or not a number), shares of variance in [0, 1].

    A square wave has 0.8107 at its fundamental and 0.1493 in the odd harmonics up to 9 (0.1716 up to 21, p =
    113); ReLU(cos ka + cos kb) has 0.962 and 0.033 at 2k.

    Source: definition of this workbench; the fractions are those of Nanda et al. 2023, arXiv:2301.05217.

    Limits: the set grows with the order until it is the whole spectrum (order >= K), so that shares of
    different p or orders are not comparable; null_share says what independent random maps reach. Random
    weights are not independent maps: see the first checkpoint. Raises BadParameter for an order below 1.
    """
    fraction = features.need("neuron_frequencies", "fraction").astype(np.float64)
    found = [harmonic_shares(fraction, features.p, order, kind) for kind in KINDS]
    return {
        "harmonics": list(KINDS),
        "frequency": [frequency for frequency, _ in found],
        "share": [share for _, share in found],
        "null_share": _null(features.p, order),
    }


def harmonic_sets(p: int, order: int, kind: str) -> Array:
    """Membership [K (k), K (h)], bool: is h one of the harmonics of k up to that order?"""
    if order < 1:
        raise BadParameter(f"order={order} has no harmonic at all; 1 is the fundamental alone.")
    count = n_frequencies(p)
    k = np.arange(1, count + 1)[:, None]
    image = k * np.arange(1, order + 1, KINDS[kind])[None] % p
    members = np.zeros((count, count + 1), dtype=bool)
    np.put_along_axis(members, np.minimum(image, p - image), True, axis=1)
    return members[:, 1:]


def harmonic_shares(fraction: Array, p: int, order: int, kind: str) -> tuple[Array, Array]:
    """(k int16 [n], share [n]) of the strongest frequency with its harmonics, from fraction [K, n]."""
    members = harmonic_sets(p, order, kind)
    strongest = np.stack([fraction[own].max(axis=0) for own in members])
    share = np.where(fraction >= strongest, members.astype(float) @ fraction, -1.0)
    top = share.max(axis=0)
    broken = np.isnan(fraction).any(axis=0)
    frequency = np.where(~broken & (top > 0), share.argmax(axis=0) + 1, 0)
    return frequency.astype(np.int16), np.where(broken, np.nan, top)


@lru_cache(maxsize=16)
def _null(p: int, order: int) -> tuple[float, ...]:
    """Per kind, the quantile of the largest share of maps of independent Gaussian values."""
    rng, count = np.random.default_rng(0), n_frequencies(p)
    blocks = rng.chisquare(8, (count, NULL_DRAWS))  # eight functions per block
    total = blocks.sum(axis=0)
    rest = p**2 - 1 - 8 * count
    if rest:
        total += rng.chisquare(rest, NULL_DRAWS)
    return tuple(
        float(np.quantile(harmonic_shares(blocks / total, p, order, kind)[1], NULL_LEVEL)) for kind in KINDS
    )
