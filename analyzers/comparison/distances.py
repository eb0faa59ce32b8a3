"""How far apart two checkpoints are, whatever gauge each is written in; if asked, under the best renaming.

| measure | formula | range | p |
| --- | --- | --- | --- |
| CKA | 1 - <G, G'> / (||G|| ||G'||) of centred Gram matrices (shape only) | 0 .. 1 | the same |
| Frobenius | ||G - G'|| / sqrt(||G|| ||G'||) (shape and size) | 0 .. | the same |
| Fourier power | total variation 1/2 sum_k |P_k - P'_k| of shares of power | 0 .. 1 | the same |
| sorted Fourier power | the same after sorting the shares: which frequencies plays no role | 0 .. 1 | any |
| singular values | mean |log10 s - log10 s'| at equal ranks (Wasserstein-1), s over their rms | 0 .. | any |
| attention | rms difference of mean and deviation of the attention, heads matched | 0 .. 1 | any |

The first three can be taken modulo relabelling: the least over all renamings a -> u a of the second
checkpoint's tokens (`relabelling`), searched exhaustively: u = 1 .. p - 1 for Gram matrices, u = 1 .. (p - 1)
/ 2 for power, which does not tell u from -u.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from analyzers.comparison.gauge import SPECTRA, TOKEN_MATRICES, Description
from analyzers.comparison.relabelling import correlations, frequency_images, lines, spectrum, units
from data.errors import BadParameter

Array = NDArray[np.float64]
Integers = NDArray[np.int64]

ALL = "all"
WITH_EQUALS = "W_E with ="
FLOOR = 1e-3  # singular values below this share of their root mean square count as that
_AT_ONCE = 64  # pairs


@dataclass(frozen=True)
class Measure:
    """unit of the distance; whether it wants one p; whether renaming changes it; the matrices it takes."""

    unit: str
    same_p: bool
    renames: bool
    matrices: tuple[str, ...]


_GRAMS = (ALL, *TOKEN_MATRICES, WITH_EQUALS)
_POWERS = (ALL, *TOKEN_MATRICES)
MEASURES: dict[str, Measure] = {
    "CKA": Measure("1 − CKA", True, True, _GRAMS),
    "Frobenius": Measure("relative Frobenius distance", True, True, _GRAMS),
    "Fourier power": Measure("total variation", True, True, _POWERS),
    "sorted Fourier power": Measure("total variation of sorted shares", False, False, _POWERS),
    "singular values": Measure("distance (decades)", False, False, (ALL, *SPECTRA)),
    "attention": Measure("rms difference of attention", False, False, (ALL,)),
}


class Distances(NamedTuple):
    """Of pairs: value [n], and the unit u [n] that renames the second one's tokens best (1: as they are)."""

    value: Array
    unit: Integers


def distances(
    described: Sequence[Description],
    pairs: NDArray[np.integer],
    measure: str = "CKA",
    matrix: str = ALL,
    modulo_relabelling: bool = True,
) -> Distances:
    """Distances of pairs [n, 2] of positions in `described`, by a measure of the table above.

    matrix  one that the measure takes; "all": the mean over matrices (root of the mean square for
            Frobenius), all under one renaming

    Raises BadParameter for unknown names and for different p where the measure needs one.
    """
    kind = MEASURES.get(measure)
    if kind is None:
        raise BadParameter(f"There is no distance {measure!r}; choose one of: {', '.join(MEASURES)}.")
    if matrix not in kind.matrices:
        offered = ", ".join(kind.matrices)
        raise BadParameter(f"The distance {measure!r} has no matrix {matrix!r}; choose one of: {offered}.")
    primes = sorted({one.p for one in described})
    if kind.same_p and len(primes) > 1:
        free = ", ".join(name for name, other in MEASURES.items() if not other.same_p)
        raise BadParameter(
            f"The distance {measure!r} needs runs of one p; these have p = {', '.join(map(str, primes))}."
            f" Select runs of one p, or take one of: {free}."
        )
    wanted = np.asarray(pairs, dtype=np.int64).reshape(-1, 2)
    if not len(wanted):
        return Distances(np.zeros(0), np.zeros(0, dtype=np.int64))
    if measure in ("CKA", "Frobenius"):
        return _between_grams(described, wanted, measure, matrix, modulo_relabelling)
    if measure == "Fourier power":
        return _between_powers(described, wanted, matrix, modulo_relabelling)
    one_by_one = {
        "sorted Fourier power": _between_sorted,
        "singular values": _between_spectra,
        "attention": _between_attention,
    }[measure]
    values = [one_by_one(described[first], described[second], matrix) for first, second in wanted]
    return Distances(np.array(values), np.ones(len(wanted), dtype=np.int64))


def all_pairs(count: int) -> Integers:
    """The pairs i < j of `count` things, [count (count - 1) / 2, 2]."""
    return np.stack(np.triu_indices(count, 1), axis=1)


def power_shares(one: Description, matrix: str = ALL) -> Array:
    """Share of each frequency in the power [K]; for "all" the mean of the matrices' shares."""
    rows = one.power if matrix == ALL else one.power[[TOKEN_MATRICES.index(matrix)]]
    shares: Array = (rows / _positive(rows.sum(axis=1, keepdims=True))).mean(axis=0)
    return shares


# --- private ---------------------------------------------------------------------------------------------


def _between_grams(
    described: Sequence[Description], pairs: Integers, measure: str, matrix: str, modulo: bool
) -> Distances:
    used, places = np.unique(pairs, return_inverse=True)
    places = places.reshape(pairs.shape)
    if matrix == WITH_EQUALS:
        gram = np.stack([described[i].gram[0] for i in used])
        rows = lines(gram, np.stack([described[i].equals for i in used]))[:, None]
    else:
        chosen = slice(None) if matrix == ALL else [TOKEN_MATRICES.index(matrix)]
        rows = lines(np.stack([described[i].gram[chosen] for i in used]))
    norm = np.sqrt((rows**2).sum(axis=(2, 3), dtype=np.float64))  # [used, matrix]
    rows /= _positive(norm)[..., None, None].astype(rows.dtype)
    flat = rows.reshape(len(rows), -1, rows.shape[-1])  # the matrices of one checkpoint are renamed together
    unit = np.ones(len(pairs), dtype=np.int64)
    shift = np.zeros(len(pairs), dtype=np.int64)
    if modulo:
        waves, powers = spectrum(flat), units(described[0].p)
        for some in _chunks(len(pairs)):
            first, second = places[some].T
            shift[some] = correlations(waves[first], waves[second], len(powers)).argmax(axis=1)
        unit = powers[shift]
    value = np.empty(len(pairs))
    for at, (first, second) in enumerate(places):
        apart = rows[first] - np.roll(rows[second], shift[at], axis=-1)
        square = (apart**2).sum(
            axis=(1, 2), dtype=np.float64
        )  # 2 (1 - cosine) of each matrix, without cancellation
        if measure == "CKA":
            value[at] = square.mean() / 2
        else:
            ratio = norm[first] / _positive(norm[second])
            value[at] = np.sqrt((square + (np.sqrt(ratio) - np.sqrt(1 / _positive(ratio))) ** 2).mean())
    return Distances(value, unit)


def _between_powers(
    described: Sequence[Description], pairs: Integers, matrix: str, modulo: bool
) -> Distances:
    chosen = slice(None) if matrix == ALL else [TOKEN_MATRICES.index(matrix)]
    power = np.stack([one.power[chosen] for one in described])
    shares = power / _positive(power.sum(axis=-1, keepdims=True))  # [checkpoint, matrix, K]
    images = frequency_images(described[0].p)
    if not modulo:
        images = images[:1]
    value, unit = np.empty(len(pairs)), np.empty(len(pairs), dtype=np.int64)
    for some in _chunks(len(pairs)):
        first, second = pairs[some].T
        apart = np.abs(shares[first][:, :, None] - shares[second][:, :, images]).sum(axis=-1).mean(axis=1) / 2
        best = apart.argmin(axis=1)
        value[some], unit[some] = apart[np.arange(len(best)), best], best + 1
    return Distances(value, unit)


def _between_sorted(first: Description, second: Description, matrix: str) -> float:
    names = TOKEN_MATRICES if matrix == ALL else (matrix,)
    longest = max(first.power.shape[1], second.power.shape[1])
    apart = []
    for name in names:
        ordered = np.zeros((2, longest))
        for row, one in zip(ordered, (first, second), strict=True):
            row[: one.power.shape[1]] = np.sort(power_shares(one, name))[::-1]
        apart.append(np.abs(ordered[0] - ordered[1]).sum() / 2)
    return float(np.mean(apart))


def _between_spectra(first: Description, second: Description, matrix: str) -> float:
    names = SPECTRA if matrix == ALL else (matrix,)
    return float(np.mean([_wasserstein(first.singular[name], second.singular[name]) for name in names]))


def log_spectrum(values: Array) -> Array:
    """log10 of singular values [n] over their root mean square, descending, not below log10 `FLOOR`."""
    scale = np.sqrt((values**2).mean()) if len(values) else 1.0
    return np.log10(np.maximum(values / (scale or 1.0), FLOOR))


def _wasserstein(first: Array, second: Array) -> float:
    """Mean |difference| of the two quantile functions of the log spectra: integral over ranks in [0, 1]."""
    one, other = log_spectrum(first), log_spectrum(second)
    if len(one) == len(other):
        return float(np.abs(one - other).mean())
    edges = np.union1d(np.arange(len(one) + 1) / len(one), np.arange(len(other) + 1) / len(other))
    middle, width = (edges[1:] + edges[:-1]) / 2, np.diff(edges)
    apart = one[(middle * len(one)).astype(int)] - other[(middle * len(other)).astype(int)]
    return float((np.abs(apart) * width).sum())


def _between_attention(first: Description, second: Description, matrix: str) -> float:
    if len(first.attention) != len(second.attention):
        raise BadParameter(
            f"The distance 'attention' matches heads one to one; these runs have {len(first.attention)} and"
            f" {len(second.attention)}. Take another distance."
        )
    square = ((first.attention[:, None] - second.attention[None]) ** 2).mean(axis=-1)
    if not np.isfinite(square).all():
        return float("nan")
    rows, columns = linear_sum_assignment(square)
    return float(np.sqrt(square[rows, columns].mean()))


def _chunks(count: int) -> list[slice]:
    return [slice(start, min(start + _AT_ONCE, count)) for start in range(0, count, _AT_ONCE)]


def _positive(values: Array) -> Array:
    """The values, 1 in place of 0: what is 0 throughout keeps shares and cosines of 0."""
    return np.where(values > 0, values, 1.0)
