"""What of a checkpoint does not depend on its coordinates: for comparing runs of different seeds."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr

from analyzers.comparison.gauge import SPECTRA, TOKEN_MATRICES, Description, describe
from analyzers.features import Features
from analyzers.registry import Output, analyzer

STATISTICS = tuple(f"{kind} of {source}" for kind in ("mean", "deviation") for source in ("a", "b", "="))


@analyzer(
    name="gauge_invariants",
    version=1,
    scope="checkpoint",
    kind="attention",
    title="What does not depend on the gauge",
    outputs={
        "gram": Output(("matrix", "token_pair"), "float32", "Inner product of the rows x <= y", "weight^2"),
        "equals": Output(("token",), "float32", "Inner product of a token's row with that of =", "weight^2"),
        "equals_length": Output((), "float32", "Squared length of the row of =", "weight^2"),
        "power": Output(("matrix", "freq"), "float32", "Squared length at frequency k", "weight^2"),
        "singular_value": Output(("spectrum", "component"), "float32", "Singular value", "weight"),
        "attention": Output(("head", "statistic"), "float32", "Attention of = over all inputs", "1"),
    },
    formula="gram = X X^T with the rows X of W_E, W_U^T, W_L^T (neurons weighed by ||W_in[:, n]||) and of the"
    " attention scores, centred over tokens; power_k = ||F_cos_k X||^2 + ||F_sin_k X||^2; singular values of"
    " the same, of W_Q W_K^T / sqrt(d_head), W_V W_O, and of W_in, W_out with each neuron's vectors balanced",
    source="Symmetries of the architecture (analyzers.comparison.gauge); Gram matrices: Kornblith et al."
    " 2019, arXiv:1905.00414",
    protocol="weights, and the attention over all p x p inputs; float64; computed when asked for",
    caveats="Tokens under other names (x -> u x) are another description of the same computation: compare"
    " modulo relabelling. W_L and the attention scores are invariant to more than W_E and W_U are.",
    stored=False,
)
def gauge_invariants(features: Features) -> dict[str, Any]:
    """The description of `analyzers.comparison.gauge.describe` as arrays; `described` reads it back.

    Formula: see there. Shapes: gram [4, p (p + 1) / 2], the pairs x <= y row by row; equals [p],
    equals_length scalar: with the row of = in W_E, the origin at the mean of the number tokens; power [4,
    K]; singular_value [7, component], NaN beyond what a matrix has; attention [n_heads, 6], mean and
    standard deviation of the attention to a, b, =. Units: products of weights; attention in [0, 1].

    Source: this workbench. Limits: float32, so that distances below 1e-6 of the matrices' size are rounding.
    """
    found = describe(features)
    upper = np.triu_indices(found.p)
    spectra = np.full((len(SPECTRA), max(map(len, found.singular.values()))), np.nan)
    for row, name in zip(spectra, SPECTRA, strict=True):
        row[: len(found.singular[name])] = found.singular[name]
    return {
        "matrix": list(TOKEN_MATRICES),
        "spectrum": list(SPECTRA),
        "statistic": list(STATISTICS),
        "gram": found.gram[:, upper[0], upper[1]],
        "equals": found.equals[:-1],
        "equals_length": found.equals[-1],
        "power": found.power,
        "singular_value": spectra,
        "attention": found.attention,
    }


def described(dataset: xr.Dataset) -> Description:
    """The description in the dataset of one checkpoint: Gram matrices as stored, the rest in float64."""
    numbers = {name: dataset[name].values.astype(np.float64) for name in dataset.data_vars if name != "gram"}
    p = dataset.sizes["token"]
    stored = dataset["gram"].values
    gram = np.empty((len(TOKEN_MATRICES), p, p), dtype=stored.dtype)
    rows, columns = np.triu_indices(p)
    gram[:, rows, columns] = gram[:, columns, rows] = stored
    spectra = zip(SPECTRA, numbers["singular_value"], strict=True)
    return Description(
        p=p,
        gram=gram,
        equals=np.append(numbers["equals"], numbers["equals_length"]),
        power=numbers["power"],
        singular={name: values[: np.isfinite(values).sum()] for name, values in spectra},
        attention=numbers["attention"],
    )
