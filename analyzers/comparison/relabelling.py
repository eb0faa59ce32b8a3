"""Tokens under other names: x -> u x, u a unit mod p, maps addition mod p onto itself.

Renaming token a to u a moves row a of a matrix to row u a: M'[u a] = M[a]. Its Gram matrix becomes G'[x, y] =
G[x / u, y / u], and what was at frequency k is at +-k / u afterwards. Two runs that learned the same with
different key frequencies may so be laid over each other.

The units are the powers of a primitive root g. Written over exponents, a renaming is a shift, and the inner
products with all p - 1 renamings of a Gram matrix are one circular correlation: the search below is exact
and costs one Fourier transform.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import fft

from data.errors import BadParameter

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

OPERATIONS = ("add", "subtract")  # for which x -> u x is an automorphism of the task


@lru_cache(maxsize=16)
def units(p: int) -> Integers:
    """1 .. p - 1 as powers g^0, g^1, ... of the smallest primitive root g mod p, p prime."""
    for root in range(1, p):
        powers = [1]
        while (following := powers[-1] * root % p) != 1 and len(powers) < p:
            powers.append(following)
        if len(powers) == p - 1:
            found = np.array(powers, dtype=np.int64)
            found.setflags(write=False)
            return found
    raise BadParameter(f"p={p} is no prime: its residues have no primitive root. Use a prime.")


def renamed(gram: Array, unit: int) -> Array:
    """`gram` [..., p, p] after token a has become unit * a mod p."""
    p = gram.shape[-1]
    back = np.arange(p) * pow(int(unit), -1, p) % p
    return gram[..., back[:, None], back]


def renamed_power(power: Array, unit: int) -> Array:
    """`power` [..., K] per frequency after token a has become unit * a: P'[k] = P[+-unit k]."""
    return power[..., frequency_images(2 * power.shape[-1] + 1)[_fold(unit, power.shape[-1]) - 1]]


@lru_cache(maxsize=16)
def frequency_images(p: int) -> Integers:
    """[u - 1, k - 1]: index of the frequency that is at k after renaming by u or -u, u = 1 .. (p - 1) / 2."""
    k = np.arange(1, (p - 1) // 2 + 1)
    product = np.outer(k, k) % p
    found = np.minimum(product, p - product) - 1
    found.setflags(write=False)
    return found


def _fold(unit: int, count: int) -> int:
    rest = int(unit) % (2 * count + 1)
    return min(rest, 2 * count + 1 - rest)


class _Places(NamedTuple):
    rows: Integers
    columns: Integers
    weights: Array


@lru_cache(maxsize=16)
def _places(p: int) -> _Places:
    """Where the lines of a [p, p] Gram matrix lie: pairs (g^i, g^(i + d)) for every d, then (0, g^i)."""
    power, count = units(p), p - 1
    apart = np.arange(count // 2 + 1)[:, None]
    rows = np.broadcast_to(power, (len(apart), count))
    columns = power[(np.arange(count) + apart) % count]
    weights = np.full(len(apart) + 1, np.sqrt(2.0))
    weights[0] = 1.0
    if count % 2 == 0:
        weights[count // 2] = 1.0
    return _Places(np.vstack([rows, np.zeros_like(power)]), np.vstack([columns, power]), weights[:, None])


def lines(gram: Array, equals: Array | None = None) -> Array:
    """A Gram matrix as lines [..., L, p - 1] on which the renaming by g^s is a shift by s.

    gram [..., p, p] symmetric; equals [..., p + 1]: a further row that is not renamed, with its own length.
    Inner products of the lines are those of the matrices. They have the precision of `gram`.
    """
    p = gram.shape[-1]
    places = _places(p)
    weights = places.weights.astype(gram.dtype)
    parts = [gram[..., places.rows, places.columns] * weights, _constant(gram[..., 0, 0], p)]
    if equals is not None:
        parts += [
            np.sqrt(2.0) * equals[..., None, units(p)],
            _constant(np.sqrt(2.0) * equals[..., 0], p),
            _constant(equals[..., p], p),
        ]
    return np.concatenate(parts, axis=-2, dtype=gram.dtype)


def _constant(value: Array, p: int) -> Array:
    return np.repeat(value[..., None, None] / np.sqrt(p - 1), p - 1, axis=-1)


def spectrum(lines_: Array) -> NDArray[np.complex128]:
    """What `correlations` wants of lines [..., L, p - 1]."""
    found: NDArray[np.complex128] = fft.rfft(lines_, axis=-1)
    return found


def correlations(first: NDArray[np.complex128], second: NDArray[np.complex128], count: int) -> Array:
    """Inner products [..., s] of the first with the second renamed by `units(p)[s]`; count = p - 1."""
    summed = np.einsum("...lf,...lf->...f", first, second.conj())
    found: Array = fft.irfft(summed, n=count, axis=-1)
    return found
