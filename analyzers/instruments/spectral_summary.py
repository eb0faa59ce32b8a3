"""How a matrix's singular values separate into used and unused directions."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyzers.features import Array, Features
from analyzers.key_frequencies import RULE_TEXT, chosen
from analyzers.registry import Output, analyzer

PAIR = 0.9  # sigma_{i + 1} / sigma_i of a near-degenerate pair
_NEGLIGIBLE = 1e-6  # of the largest singular value: stored weights do not resolve it

_FIELDS = {
    "stable_rank": Output(("matrix",), "float32", "Stable rank, sum s^2 / s_1^2", "dimensions"),
    "effective_rank": Output(
        ("matrix",), "float32", "Effective rank, exp of the entropy of s / sum s", "dimensions"
    ),
    "gap_at_keys": Output(("matrix",), "float32", "Spectral gap s_k / s_(k+1) at k = 2 |K*|", "1"),
    "largest_gap": Output(("matrix",), "float32", "Largest gap s_i / s_(i+1) in the upper half", "1"),
    "largest_gap_index": Output(("matrix",), "int16", "Place i of the largest gap (0: none)", "index"),
    "pairs": Output(("matrix",), "int16", "Near-degenerate pairs among the first 2 |K*|", "pairs"),
}


@analyzer(
    name="spectral_summary",
    version=1,
    scope="checkpoint",
    kind="artifacts",
    title="Ranks and spectral gaps",
    outputs={**_FIELDS, "key_index": Output((), "int16", "2 |K*|, where gap_at_keys is taken", "index")},
    needs=("singular_values",),
    needs_final=("key_frequencies",),
    formula="stable rank = sum s^2 / s_1^2; effective rank = exp(-sum q log q), q = s / sum s; gap_i = s_i /"
    " s_{i+1}",
    source="Effective rank: Roy and Vetterli 2007, EUSIPCO. Stable rank: Rudelson and Vershynin 2007,"
    " doi:10.1145/1255443.1255449",
    protocol=f"matrices as in singular_values; K* is the same at every epoch: {RULE_TEXT}. Two directions"
    " (cos and sin) per key frequency",
    caveats="The effective rank is on the singular values, not on their squares, which would give less. The"
    " gap at 2 |K*| looks for what the end of the run says: it is hindsight. Random spectra have near-equal"
    " neighbours everywhere, so pairs mean something only beside a clear gap.",
)
def spectral_summary(features: Features) -> dict[str, Any]:
    """Stable and effective rank, the spectral gap at 2 |K*|, the largest gap, and pairs of equal values.

    Formula: as above; largest_gap = max_i s_i / s_{i+1} over i <= n / 2, n the number of singular values (the
    lower end of a nearly square random matrix has large ratios of its own); pairs = disjoint neighbours among
    the first 2 |K*| values, taken from the largest, with s_{i+1} >= 0.9 s_i, as the cosine and sine of a ring
    give.

    Shapes: all [matrix] but key_index, a scalar. Units: dimensions; ratios; indices from 1.

    Source: Roy and Vetterli 2007; Rudelson and Vershynin 2007.

    Limits: a gap is NaN where the matrix has no value at that place or it is below 1e-6 of the largest
    (rounding of stored weights). NaN throughout for a matrix that is zero or not finite; no key frequency,
    no gap_at_keys.
    """
    keys = 2 * len(chosen(features.final("key_frequencies", "is_key")))
    spectra = features.need("singular_values", "singular_value").astype(np.float64)
    rows = [_summary(spectrum[~np.isnan(spectrum)], keys) for spectrum in spectra]
    columns = {name: [row[name] for row in rows] for name in _FIELDS}
    return {"matrix": list(features.matrices), "key_index": keys, **columns}


def _summary(values: Array, keys: int) -> dict[str, float]:
    """All fields for one spectrum, descending, in which `keys` directions are expected."""
    if not len(values) or not values[0] > 0:
        return {name: 0 if output.dtype == "int16" else np.nan for name, output in _FIELDS.items()}
    q = values[values > 0] / values.sum()
    with np.errstate(divide="ignore", invalid="ignore"):
        gaps = values[:-1] / values[1:]
    gaps[values[1:] <= _NEGLIGIBLE * values[0]] = np.nan
    upper = gaps[: len(values) // 2]
    there = np.isfinite(upper).any()
    return {
        "stable_rank": (values**2).sum() / values[0] ** 2,
        "effective_rank": np.exp(-(q * np.log(q)).sum()),
        "gap_at_keys": gaps[keys - 1] if 0 < keys <= len(gaps) else np.nan,
        "largest_gap": np.nanmax(upper) if there else np.nan,
        "largest_gap_index": np.nanargmax(upper) + 1 if there else 0,
        "pairs": _pairs(values[:keys]),
    }


def _pairs(values: Array) -> int:
    """Disjoint neighbours of nearly equal size, taken greedily from the largest value."""
    found, index = 0, 0
    while index + 1 < len(values):
        equal = values[index + 1] >= PAIR * values[index] > 0
        found += equal
        index += 2 if equal else 1
    return found
