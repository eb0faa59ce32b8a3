"""The one real Fourier basis of Z_p, p odd: orthonormal rows that are addressed by name, never by position.

    const      1 / sqrt(p)
    cos k      sqrt(2 / p) cos(2 pi k x / p)      k = 1 .. K,  K = (p - 1) / 2
    sin k      sqrt(2 / p) sin(2 pi k x / p)

The products are done by torch and not by numpy: two libraries with threads of their own slow each other down.

Every transform here returns its parts as fields (`const`, `cos`, `sin`, ...) whose leading axis is k - 1, so
that no caller has to know an order of rows. The basis is orthonormal: energies are plain sums of squares
(Parseval).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import BadParameter

Array = NDArray[Any]

_AT_ONCE = 64  # functions that are transformed together
CONSTANT = 1e-24  # variance below this share of the mean square is rounding: the map is constant


def n_frequencies(p: int) -> int:
    """K = (p - 1) / 2, the number of frequencies. Raises `BadParameter` unless p is odd and at least 3."""
    if p < 3 or p % 2 == 0:
        raise BadParameter(
            f"p={p} has no basis of complete cosine and sine pairs; use an odd p of at least 3."
        )
    return (p - 1) // 2


@dataclass(frozen=True)
class Basis:
    """The rows of the basis: const [p], cos [K, p], sin [K, p]; row k - 1 of cos and sin is frequency k."""

    p: int
    const: Array
    cos: Array
    sin: Array

    @property
    def n_frequencies(self) -> int:
        return len(self.cos)

    @property
    def names(self) -> list[str]:
        """Names of the rows of `matrix`, in the same order."""
        k = range(1, self.n_frequencies + 1)
        return ["const", *(f"cos {i}" for i in k), *(f"sin {i}" for i in k)]

    @property
    def matrix(self) -> Array:
        """All rows, [p, p], named by `names`."""
        return np.concatenate([self.const[None], self.cos, self.sin])


@lru_cache(maxsize=16)
def basis(p: int) -> Basis:
    """The basis of Z_p in float64. Raises `BadParameter` unless p is odd and at least 3."""
    k = np.arange(1, n_frequencies(p) + 1)
    angle = 2 * np.pi / p * (np.outer(k, np.arange(p)) % p)  # reduced mod p first: exact for large k x
    scale = np.sqrt(2 / p)
    rows = np.full(p, 1 / np.sqrt(p)), scale * np.cos(angle), scale * np.sin(angle)
    for row in rows:
        row.setflags(write=False)
    return Basis(p, *rows)


@dataclass(frozen=True)
class Spectrum:
    """Coefficients of a function of one residue: const [...], cos [K, ...], sin [K, ...]."""

    const: Array
    cos: Array
    sin: Array

    @property
    def energy(self) -> Array:
        """cos^2 + sin^2 per frequency, [K, ...]."""
        return self.cos**2 + self.sin**2


def transform(values: Array, axis: int = 0) -> Spectrum:
    """Coefficients along `axis` of length p; the other axes follow the frequency axis in their order."""
    import torch

    moved = np.moveaxis(np.asarray(values, dtype=np.float64), axis, 0)
    rows = basis(moved.shape[0])
    flat = torch.from_numpy(np.ascontiguousarray(moved.reshape(moved.shape[0], -1)))
    rest = moved.shape[1:]
    const, cos, sin = (torch.from_numpy(part.copy()) @ flat for part in (rows.const, rows.cos, rows.sin))
    return Spectrum(
        const.numpy().reshape(rest), cos.numpy().reshape(-1, *rest), sin.numpy().reshape(-1, *rest)
    )


@dataclass(frozen=True)
class GridSpectrum:
    """Coefficients of functions of (a, b) on the const, linear and same-frequency product functions.

    With f_k standing for the cos k or sin k row, and everything else of the p x p basis left out:

    mean [...]                            mean over the grid
    variance [...]                        population variance over the grid (all frequencies, cross terms too)
    a_cos, a_sin, b_cos, b_sin [K, ...]   coefficients on f_k(a) const(b) and const(a) f_k(b)
    cos_cos, cos_sin, sin_cos, sin_sin    coefficients on f_k(a) g_k(b), [K, ...]; the first name is that of a
    """

    p: int
    mean: Array
    variance: Array
    a_cos: Array
    a_sin: Array
    b_cos: Array
    b_sin: Array
    cos_cos: Array
    cos_sin: Array
    sin_cos: Array
    sin_sin: Array

    @property
    def linear_energy(self) -> Array:
        """Energy in the functions of a alone and of b alone at frequency k, [K, ...]."""
        return self.a_cos**2 + self.a_sin**2 + self.b_cos**2 + self.b_sin**2

    @property
    def quadratic_energy(self) -> Array:
        """Energy in the four products of cos k and sin k of a with those of b, [K, ...]."""
        return self.cos_cos**2 + self.cos_sin**2 + self.sin_cos**2 + self.sin_sin**2

    @property
    def block_energy(self) -> Array:
        """Energy of the block {const, cos k, sin k} x {const, cos k, sin k} less its constant, [K, ...]."""
        return self.linear_energy + self.quadratic_energy

    @property
    def fraction(self) -> Array:
        """Share of the variance over the grid that lies in the block of frequency k, [K, ...], in [0, 1].

        The sum over k is at most 1: products of two different frequencies belong to no block. A constant
        function has no variance to share out and gets 0 everywhere; a function with a NaN gets NaN.
        """
        total = self.p**2 * self.variance
        constant = self.variance <= CONSTANT * self.mean**2
        with np.errstate(invalid="ignore", divide="ignore"):
            share = self.block_energy / np.where(constant, 1.0, total)
        return np.where(constant, 0.0, share)


def grid_transform(values: Array) -> GridSpectrum:
    """Coefficients of `values` [p (a), p (b), ...] on the functions that `GridSpectrum` names.

    Works in float64 on the values less their mean (which changes no coefficient but the constant's), and
    computes only what it returns: one product with the basis along a, then the matching rows along b, for a
    few functions at a time, so that what lies between stays in the cache.
    """
    import torch

    values = np.asarray(values, dtype=np.float64)
    p, rest = values.shape[0], values.shape[2:]
    rows = basis(p)
    if values.shape[1] != p:
        raise BadParameter(f"A grid of {p} x {values.shape[1]} is not square; give the p x p map.")
    flat = torch.from_numpy(values).reshape(p, p, -1)
    both = torch.from_numpy(np.stack([rows.cos, rows.sin], axis=1))  # [K, 2 (cos, sin), p]
    const = torch.from_numpy(np.array(rows.const))
    with_const = torch.cat([both, const.expand(len(both), 1, p)], dim=1)  # [K, 3 (cos, sin, const), p]
    count = flat.shape[2]
    mean = flat.mean(dim=(0, 1))
    variance = flat.new_empty(count)
    products = flat.new_empty(len(both), 2, 3, count)  # [K, of a, of b, m]
    alone_b = flat.new_empty(len(both), 2, count)  # [K, of b, m]
    space = flat.new_empty(2, p * p * min(_AT_ONCE, count))
    for start in range(0, count, _AT_ONCE):
        some = slice(start, min(start + _AT_ONCE, count))
        width = some.stop - start
        centred = space[0, : p * p * width].view(p, p, width)
        along_a = space[1, : 2 * len(both) * p * width].view(2 * len(both), p * width)
        torch.sub(flat[..., some], mean[some], out=centred)
        torch.mm(both.reshape(-1, p), centred.view(p, -1), out=along_a)
        products[..., some] = with_const[:, None] @ along_a.view(len(both), 2, p, width)
        alone_b[..., some] = both @ (const @ centred.view(p, -1)).view(p, width)
        variance[some] = centred.square_().mean(dim=(0, 1))
    parts = {
        "a_cos": products[:, 0, 2],
        "a_sin": products[:, 1, 2],
        "b_cos": alone_b[:, 0],
        "b_sin": alone_b[:, 1],
        "cos_cos": products[:, 0, 0],
        "cos_sin": products[:, 0, 1],
        "sin_cos": products[:, 1, 0],
        "sin_sin": products[:, 1, 1],
    }
    shaped = {name: part.numpy().reshape(len(both), *rest) for name, part in parts.items()}
    return GridSpectrum(p, mean.numpy().reshape(rest), variance.numpy().reshape(rest), **shaped)


def dominant(fraction: Array) -> tuple[Array, Array]:
    """The strongest frequency and its share, from `fraction` [K, ...]: (k int16 [...], share [...]).

    k = 0 stands for "none": nothing varies (all shares 0) or the values are not numbers.
    """
    share = fraction.max(axis=0)
    k = np.where(share > 0, fraction.argmax(axis=0) + 1, 0)
    return k.astype(np.int16), share
