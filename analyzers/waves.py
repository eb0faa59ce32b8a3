"""Waves of one residue: amplitude and phase per frequency, and angles on the circle."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.fourier import Spectrum

Array = NDArray[Any]


def amplitude_phase(spectrum: Spectrum, p: int) -> tuple[Array, Array]:
    """(A, phi) [K, ...] such that the part of frequency k of the function is A_k cos(2 pi k x / p + phi_k).

    A is in the units of the function, phi in (-pi, pi]. With c and s the coefficients on the orthonormal rows
    cos k and sin k: A = sqrt(2 / p) hypot(c, s), phi = atan2(-s, c).
    """
    amplitude = np.sqrt(2 / p) * np.hypot(spectrum.cos, spectrum.sin)
    return amplitude, np.arctan2(-spectrum.sin, spectrum.cos)


def wrapped(angle: Array) -> Array:
    """The same angles in (-pi, pi]."""
    return np.pi - np.mod(np.pi - np.asarray(angle), 2 * np.pi)


def at_frequency(values: Array, k: Array) -> Array:
    """values [K, n] at each column's own frequency k [n] (1-based); NaN where k is 0."""
    k = np.asarray(k)
    picked = np.asarray(values)[np.maximum(k, 1) - 1, np.arange(len(k))]
    return np.where(k > 0, picked, np.nan)


def resultant(angle: Array) -> float:
    """|mean exp(i angle)|: 1 for equal angles, about sqrt(pi / 4 n) for n independent uniform ones."""
    return float(np.abs(np.exp(1j * np.asarray(angle)).mean())) if len(angle) else float("nan")


def resultant_null(count: Array, level: float = 0.95) -> Array:
    """The value that `resultant` of `count` independent uniform angles stays below with probability `level`.

    Rayleigh's approximation sqrt(-log(1 - level) / n), at most 1.
    """
    with np.errstate(divide="ignore"):
        return np.minimum(np.sqrt(-np.log(1 - level) / np.asarray(count, dtype=float)), 1.0)
