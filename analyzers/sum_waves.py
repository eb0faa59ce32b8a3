"""Functions of the answer a + b on the p x p grid: the waves that a grokked model computes with.

Where the answer is a - b, b is read as -b throughout, so that "sum" means the direction of the answer. For
any other operation it means a + b, which says little of such a model.

With F the orthonormal basis rows, cos w_k(a+b) / norm = (cos cos - sin sin) / sqrt 2 and sin w_k(a+b) /
norm = (sin cos + cos sin) / sqrt 2, in the products that `GridSpectrum` holds; a - b has the signs exchanged.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.fourier import GridSpectrum, basis
from analyzers.task import ModularTask

Array = NDArray[Any]
Waves = tuple[Array, Array]


def answer_sign(task: ModularTask) -> int:
    """-1 where the right answer is a - b, else 1."""
    a, b = np.divmod(np.arange(task.p**2), task.p)
    return -1 if np.array_equal(task.labels, (a - b) % task.p) else 1


def residue(p: int, sign: int) -> NDArray[np.int64]:
    """a + sign b mod p of every input, [p * p]."""
    a, b = np.divmod(np.arange(p**2), p)
    return np.asarray((a + sign * b) % p, dtype=np.int64)


def sum_waves(spectrum: GridSpectrum, sign: int) -> Waves:
    """Coefficients [K, ...] on the unit vectors cos w_k(a + sign b) and sin w_k(a + sign b) over the grid."""
    return (
        (spectrum.cos_cos - sign * spectrum.sin_sin) / np.sqrt(2),
        (spectrum.sin_cos + sign * spectrum.cos_sin) / np.sqrt(2),
    )


def wave_table(waves: Waves, p: int, keys: Array) -> Array:
    """The waves of frequencies `keys` (1-based), [p (residue), ...], from coefficients [K, ...]."""
    rows, index = basis(p), np.asarray(keys, dtype=np.int64) - 1
    scale = 1 / np.sqrt(p)  # a unit vector over the grid is a basis row over the residues by sqrt p
    cos, sin = (part[index] * scale for part in waves)
    return np.einsum("ks,k...->s...", rows.cos[index], cos) + np.einsum("ks,k...->s...", rows.sin[index], sin)


def quadratic_part(spectrum: GridSpectrum, keys: Array) -> Array:
    """The part of the functions in the products cos, sin of k (a) x cos, sin of k (b), k in `keys`: [p *
    p, m].

    `spectrum` holds fields [K, m].
    """
    rows, index = basis(spectrum.p), np.asarray(keys, dtype=np.int64) - 1
    pairs = {
        "cos_cos": (rows.cos, rows.cos),
        "cos_sin": (rows.cos, rows.sin),
        "sin_cos": (rows.sin, rows.cos),
        "sin_sin": (rows.sin, rows.sin),
    }
    functions = np.concatenate(
        [
            (of_a[index, :, None] * of_b[index, None, :]).reshape(len(index), spectrum.p**2)
            for of_a, of_b in pairs.values()
        ]
    )
    return product(functions.T, np.concatenate([getattr(spectrum, name)[index] for name in pairs]))


def linear_part(spectrum: GridSpectrum, keys: Array) -> Array:
    """The part of the functions in the waves of a alone and of b alone of frequencies `keys`: [p * p, m]."""
    p, rows, index = spectrum.p, basis(spectrum.p), np.asarray(keys, dtype=np.int64) - 1
    of_a, of_b = (
        (rows.cos[index].T @ cos[index] + rows.sin[index].T @ sin[index]) / np.sqrt(p)
        for cos, sin in ((spectrum.a_cos, spectrum.a_sin), (spectrum.b_cos, spectrum.b_sin))
    )
    return np.asarray((of_a[:, None] + of_b[None]).reshape(p**2, -1))


def product(left: Array, right: Array) -> Array:
    """Matrix product by torch (see `analyzers.fourier`)."""
    import torch

    return (
        torch.from_numpy(np.ascontiguousarray(left)) @ torch.from_numpy(np.ascontiguousarray(right))
    ).numpy()
