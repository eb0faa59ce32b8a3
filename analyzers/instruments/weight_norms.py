"""How large the weights are, per tensor and together."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyzers.features import Features
from analyzers.registry import Output, analyzer


@analyzer(
    name="weight_norms",
    version=1,
    scope="checkpoint",
    kind="weights",
    title="Weight norms",
    outputs={
        "norm": Output(("tensor",), "float64", "Euclidean norm of the tensor", "weight"),
        "rms": Output(("tensor",), "float64", "Root mean square of its entries", "weight"),
        "total": Output((), "float64", "Euclidean norm of all parameters", "weight"),
    },
    formula="norm = sqrt(sum w^2) over the entries of a tensor; total = sqrt(sum of norm^2); rms = norm /"
    " sqrt(number of entries)",
    source="Nanda et al. 2023, arXiv:2301.05217, section 5.2 (the sum of squares falls in cleanup)",
    protocol="all stored tensors, the = row of W_E and every position included; float64",
    caveats="Weight decay acts on the square of the total; a small tensor can fall while the total rises.",
    requires=(),
)
def weight_norms(features: Features) -> dict[str, Any]:
    """Euclidean norm and root mean square of every weight tensor, and the norm of all parameters together.

    Formula: norm_T = sqrt(sum_i w_i^2) over the entries of T; rms_T = norm_T / sqrt(entries); total =
    sqrt(sum_T norm_T^2), whose square is what weight decay shrinks.

    Shapes: norm, rms [tensor], named as in the checkpoint without their prefix; total scalar. Units: of the
    weights. Source: Nanda et al. 2023, arXiv:2301.05217.

    Limits: none beyond rounding. A tensor that is not finite has NaN, and so has the total.
    """
    squares = {name: (values**2).sum() for name, values in features.weights.items()}
    sizes = np.array([values.size for values in features.weights.values()])
    norm = np.sqrt(np.array(list(squares.values())))
    norm = np.where(np.isfinite(norm), norm, np.nan)
    return {
        "tensor": short_names(list(squares)),
        "norm": norm,
        "rms": norm / np.sqrt(sizes),
        "total": np.sqrt((norm**2).sum()),
    }


def short_names(names: list[str]) -> list[str]:
    """The last part of each dotted name, or the whole where two tensors share it."""
    last = [name.rpartition(".")[2] for name in names]
    return [short if last.count(short) == 1 else name for short, name in zip(last, names, strict=True)]
