"""Singular-value spectra of all weight matrices, and how many directions they use."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.features import Features
from analyzers.registry import Output, analyzer


@analyzer(
    name="singular_values",
    version=1,
    scope="checkpoint",
    kind="weights",
    title="Singular values and participation ratios",
    outputs={
        "singular_value": Output(("matrix", "component"), "float32", "Singular value", "weight"),
        "participation_ratio_sv": Output(
            ("matrix",),
            "float32",
            "Participation ratio of the singular values, (sum s)^2 / sum s^2",
            "dimensions",
        ),
        "participation_ratio_ev": Output(
            ("matrix",),
            "float32",
            "Participation ratio of the eigenvalues, (sum s^2)^2 / sum s^4",
            "dimensions",
        ),
    },
    formula="PR_sv = (sum s)^2 / sum s^2; PR_ev = (sum s^2)^2 / sum s^4, s the singular values",
    source="Participation ratio: Gao et al. 2017, doi:10.1101/214262 (eigenvalue form)",
    protocol="matrices as they are, not centred; W_E without its = row; attention matrices per head;"
    " weights only",
    caveats="Two conventions are in use and differ widely (20.7 against 13.2 on one and the same W_E):"
    " PR_sv weighs the"
    " noisy tail more. Compare numbers of one convention only.",
)
def singular_values(features: Features) -> dict[str, Any]:
    """Spectrum and both participation ratios of every weight matrix.

    Formula: s = singular values of the matrix, descending; participation_ratio_sv = (sum s)^2 / sum s^2;
    participation_ratio_ev = (sum s^2)^2 / sum s^4, the eigenvalues of W W^T being s^2. Both count n equal
    directions as n, and PR_ev <= PR_sv.

    Shapes: singular_value [matrix, component], NaN beyond the rank that the shape allows; the ratios
    [matrix], in [1, min(rows, columns)]. matrix: W_E, W_Q.0, ..., W_O.(n_heads - 1), W_in, W_out, W_U. Units:
    weights; dimensions.

    Source: Gao et al. 2017, doi:10.1101/214262, for the eigenvalue form; the singular-value form is in use
    too.

    Limits: matrices are not centred, so that a common offset of all rows counts as a direction. A matrix that
    is zero or not finite gets NaN.
    """
    found = features.singular_values
    spectra = np.full((len(found), max(map(len, found.values()))), np.nan)
    for row, values in zip(spectra, found.values(), strict=True):
        row[: len(values)] = values
    return {
        "matrix": list(found),
        "singular_value": spectra,
        "participation_ratio_sv": [participation_ratio(values) for values in found.values()],
        "participation_ratio_ev": [participation_ratio(values**2) for values in found.values()],
    }


def participation_ratio(weights: NDArray[np.float64]) -> float:
    """(sum x)^2 / sum x^2 of x >= 0: n for n equal numbers, NaN if all are 0 or any is NaN."""
    largest = weights.max()
    if not largest > 0:
        return float("nan")
    scaled = weights / largest
    return float(scaled.sum() ** 2 / (scaled**2).sum())
