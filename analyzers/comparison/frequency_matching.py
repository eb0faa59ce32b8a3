"""Two runs of one p under one naming of the tokens: the renaming that carries key frequencies onto key
frequencies.

Let u be a unit mod p. A run read with its tokens renamed, B'(a, b) = B(u a, u b), is a solution of the same
task, and what B has at frequency k, B' has at +-u k mod p. Which frequencies a run learns says nothing by
itself, so the u that makes most key frequencies of B coincide with those of A is looked for, over all u up to
sign.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from math import gcd

import numpy as np
from numpy.typing import ArrayLike, NDArray

from analyzers.comparison.relabelling import frequency_images
from data.errors import BadParameter

RANDOM_SETS = 500
_SEED = 20260101

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Match:
    """The best renaming of the second run's tokens.

    unit      u in 1 .. (p - 1) / 2: frequency k of the second run is carried to +-u k mod p. Frequencies
              cannot tell u from -u
    matched   key frequencies of the second run that land on one of the first; `of`: how many keys each has
    likeness  cosine of the two spectra after the renaming, NaN if none were given
    chance    share of pairs of random key sets of these sizes that can be matched as well or better
    """

    unit: int
    matched: int
    of: tuple[int, int]
    likeness: float
    chance: float


def best_unit(
    p: int,
    first: Collection[int],
    second: Collection[int],
    spectra: tuple[ArrayLike, ArrayLike] | None = None,
) -> Match:
    """The unit that carries most of the frequencies `second` (1-based) onto `first`.

    Ties go to the renaming with the larger cosine of the `spectra` [K] of both runs, then to the smallest
    unit. Raises BadParameter if a run has no key frequency.
    """
    if not first or not second:
        raise BadParameter(
            "Frequencies can only be matched where both runs have key frequencies; one has none. Choose the"
            " same k."
        )
    units = np.array([unit for unit in range(1, (p - 1) // 2 + 1) if gcd(unit, p) == 1])
    images = frequency_images(p)[units - 1]  # [unit, k]
    matched = _matches(images, _places(first, p)[None], _places(second, p)[None])[0]
    likeness = np.full(len(units), np.nan)
    if spectra is not None:
        likeness = _likeness(images, *(np.asarray(one, dtype=np.float64) for one in spectra))
    best = int(np.lexsort((units, -np.nan_to_num(np.round(likeness, 9), nan=-1.0), -matched))[0])
    count = (p - 1) // 2
    rng = np.random.default_rng(_SEED)
    random = [
        np.stack([rng.permutation(count)[: len(keys)] for _ in range(RANDOM_SETS)])
        for keys in (first, second)
    ]
    chance = float(np.mean(_matches(images, *random).max(axis=1) >= matched[best]))
    return Match(
        int(units[best]), int(matched[best]), (len(first), len(second)), float(likeness[best]), chance
    )


def carried_frequencies(frequencies: ArrayLike, unit: int, p: int) -> NDArray[np.int64]:
    """Where frequencies (1-based) of the second run are after the renaming: k -> +-unit k mod p."""
    image = np.asarray(frequencies, dtype=np.int64) * unit % p
    return np.minimum(image, p - image)


def carried_residues(residues: ArrayLike, unit: int, p: int) -> NDArray[np.int64]:
    """The new names of residues (inputs a, b, classes) of the second run: x -> x / unit mod p."""
    return np.asarray(residues, dtype=np.int64) * pow(unit, -1, p) % p


def _places(keys: Collection[int], p: int) -> NDArray[np.int64]:
    return np.array(sorted({min(k % p, -k % p) for k in keys}), dtype=np.int64) - 1


def _matches(
    images: NDArray[np.int64], first: NDArray[np.int64], second: NDArray[np.int64]
) -> NDArray[np.int64]:
    """[set, unit]: how many of `second` [set, n] land on `first` [set, m]; all are indices k - 1."""
    is_first = np.zeros((len(first), images.shape[1]), dtype=bool)
    np.put_along_axis(is_first, first, True, axis=1)
    landed = images[:, second]  # [unit, set, n]
    return is_first[np.arange(len(first))[None, :, None], landed].sum(axis=2).T


def _likeness(images: NDArray[np.int64], first: Array, second: Array) -> Array:
    """[unit]: cosine of the first spectrum with the second carried by each unit."""
    size = float(np.linalg.norm(first) * np.linalg.norm(second))
    if not np.isfinite(size) or size == 0:
        return np.full(len(images), np.nan)
    return first[images] @ second / size
