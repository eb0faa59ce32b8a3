"""Which frequency each head attends by."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyzers.features import Features
from analyzers.fourier import dominant
from analyzers.registry import Output, analyzer

_DIMS = ("head", "source")


@analyzer(
    name="attention_frequencies",
    version=1,
    scope="checkpoint",
    kind="attention",
    title="Frequency content of the attention of =",
    outputs={
        "fraction": Output((*_DIMS, "freq"), "float32", "Share of the map's variance at frequency k", "1"),
        "dominant_frequency": Output(_DIMS, "int16", "Frequency with the largest share (0: none)", "k"),
        "dominant_fraction": Output(_DIMS, "float32", "Largest share over the frequencies", "1"),
        "mean_attention": Output(_DIMS, "float32", "Mean attention over the grid", "1"),
        "variance": Output(_DIMS, "float32", "Variance of the attention over the grid", "1"),
    },
    formula="as neuron_frequencies, for the p x p map of the attention of = to one source",
    source="Nanda et al. 2023, arXiv:2301.05217, table 2 (heads at one frequency each, 98 to 99 % of"
    " variance explained)",
    protocol="all p x p inputs, after the softmax, query at =, float64, constant removed",
    caveats="A share says nothing of size: the attention of = to itself is often small and nearly constant,"
    " so read the"
    " fraction beside the variance.",
)
def attention_frequencies(features: Features) -> dict[str, Any]:
    """Share of the variance of each attention map of = over the grid that one frequency explains.

    Formula: for each head and source, the map's coefficients G on the orthonormal basis; fraction_k is the
    energy of the 3 x 3 block of {const, cos k, sin k} without its constant over all energy but the constant.

    Shapes: fraction [n_heads, 3 (a, b, =), K]; the others [n_heads, 3]. Units: shares of variance in [0, 1];
    attention is a probability. dominant_frequency is k, 1-based, 0 for a constant map.

    Source: Nanda et al. 2023, arXiv:2301.05217.

    Limits: the share is relative to the map's own variance, however small: read it beside variance and
    mean_attention. The softmax adds harmonics, so even a head with one frequency stays below 1.
    """
    spectrum = features.pattern_spectrum
    frequency, share = dominant(spectrum.fraction)
    return {
        "fraction": np.moveaxis(spectrum.fraction, 0, -1),
        "dominant_frequency": frequency,
        "dominant_fraction": share,
        "mean_attention": spectrum.mean,
        "variance": spectrum.variance,
    }
