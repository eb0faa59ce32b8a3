"""The additive model of a metric: a level for every value of every factor (p, seed, data seed), and a rest.

y = mu + a_p + b_seed + c_data_seed + rest, fitted by least squares, so that a seed that was run on other
primes than the rest is compared at equal primes.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.comparison.permutation import Codes, coded
from data.errors import BadParameter

_RANK = 1e-9

Array = NDArray[np.float64]
Factors = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Projection:
    """An orthonormal basis [n, rank] of the columns of a design: the fit of y is basis basis^T y."""

    basis: Array

    @property
    def rank(self) -> int:
        """Dimensions of the space of fits."""
        return self.basis.shape[1]

    def rest(self, values: Array) -> Array:
        """What the design leaves of values [..., n]."""
        return np.asarray(values - (values @ self.basis) @ self.basis.T)


def indicators(codes: Codes) -> Array:
    """One column per level [n, levels]."""
    return (codes[:, None] == np.arange(int(codes.max()) + 1)).astype(float)


def design(factors: Mapping[str, Codes], n: int) -> Array:
    """A column of ones and one per level of every factor; its rank is below its width."""
    return np.concatenate([np.ones((n, 1)), *(indicators(codes) for codes in factors.values())], axis=1)


def projection(matrix: Array) -> Projection:
    """The projection onto the columns of `matrix` [n, width]."""
    left, singular, _ = np.linalg.svd(matrix, full_matrices=False)
    return Projection(left[:, singular > _RANK * singular[0]])


def comparable(factors: Mapping[str, Codes], of: str) -> list[Codes]:
    """The levels of factor `of` in classes within which differences can be told, the largest class first.

    Two levels belong together if a_l - a_m is estimable: no change of the other factors' levels can mimic it.
    A seed that was run on no prime that any other seed was run on is in a class of its own.
    """
    names = [of, *(name for name in factors if name != of)]
    matrix = design({name: factors[name] for name in names}, len(factors[of]))
    count = int(factors[of].max()) + 1
    free = np.eye(matrix.shape[1]) - np.linalg.pinv(matrix, rcond=_RANK) @ matrix
    own = free[:, 1 : 1 + count].T
    classes: list[list[int]] = []
    for level in range(count):
        for members in classes:
            if np.allclose(own[level], own[members[0]], atol=1e-7):
                members.append(level)
                break
        else:
            classes.append([level])
    sizes = np.bincount(factors[of])
    ordered = sorted(classes, key=lambda members: (-int(sizes[members].sum()), members[0]))
    return [np.array(members) for members in ordered]


def checked(values: Array, factors: Factors) -> dict[str, tuple[list[Any], Codes]]:
    """factor -> (levels, codes [n]); BadParameter for values that are not finite or of another length."""
    if not np.isfinite(values).all():
        raise BadParameter("A value is not finite; leave out the runs that have none.")
    for name, labels in factors.items():
        if len(labels) != len(values):
            raise BadParameter(f"Factor {name!r} has {len(labels)} labels for {len(values)} values.")
    return {name: coded(labels) for name, labels in factors.items()}
