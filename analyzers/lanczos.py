"""Extreme eigenvalues and the trace of a symmetric matrix that is only known by its products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

Product = Callable[[Tensor], Tensor]


@dataclass(frozen=True)
class Extremes:
    """Largest and lowest eigenvalue as Lanczos sees them, and how many products that took.

    largest_error, lowest_error: an eigenvalue of the matrix lies within that distance (norm of the residual).
    """

    largest: float
    largest_error: float
    lowest: float
    lowest_error: float
    products: int


_NAN = float("nan")
NOT_A_NUMBER = Extremes(_NAN, _NAN, _NAN, _NAN, 0)


def extremes(
    product: Product, n: int, generator: torch.Generator, *, tolerance: float = 1e-3, at_most: int = 60
) -> Extremes:
    """Lanczos with full reorthogonalisation from a random start, until the largest is known.

    Stops when the residual of the largest eigenvalue is below `tolerance` times its size, after `at_most`
    products, or when the space is exhausted. The lowest eigenvalue is the one that the same space gives: an
    upper bound of the true one. NaN where a product is not finite.
    """
    vector = torch.randn(n, generator=generator, dtype=torch.float64)
    vectors = [vector / vector.norm()]
    diagonal: list[float] = []
    beside: list[float] = []
    while True:
        found = product(vectors[-1])
        if not torch.isfinite(found).all():
            return NOT_A_NUMBER
        diagonal.append(float(found @ vectors[-1]))
        known = torch.stack(vectors)
        for _ in range(2):  # twice is enough to be orthogonal to rounding
            found = found - known.T @ (known @ found)
        length = float(found.norm())
        tridiagonal = np.diag(diagonal) + np.diag(beside, 1) + np.diag(beside, -1)
        values, inside = np.linalg.eigh(tridiagonal)
        errors = np.abs(length * inside[-1])
        exhausted = length <= 1e-12 * float(np.abs(values).max())
        known_well = errors[-1] <= tolerance * abs(values[-1])
        if known_well or exhausted or len(diagonal) == min(at_most, n):
            return Extremes(values[-1], errors[-1], values[0], errors[0], len(diagonal))
        beside.append(length)
        vectors.append(found / length)


def trace(product: Product, n: int, generator: torch.Generator, probes: int) -> np.ndarray:
    """Hutchinson's estimates z . A z of the trace, one per random sign vector, [probes]."""
    estimates = []
    for _ in range(probes):
        signs = 2.0 * torch.randint(2, (n,), generator=generator).double() - 1
        estimates.append(float(signs @ product(signs)))
    return np.array(estimates)
