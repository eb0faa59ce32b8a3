"""How coarse the maps of neurons and heads are."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np

from analyzers.features import Features
from analyzers.registry import Output, analyzer
from analyzers.scales import scales

COARSE = 3
_HEAD = ("head", "source")


@analyzer(
    name="multi_scale",
    version=1,
    scope="checkpoint",
    kind="activations",
    title="Scale of the maps",
    outputs={
        "low_frequency_ratio": Output(
            ("neuron",), "float32", "Share of the variance within 12.5 % of the spectrum", "1"
        ),
        "variance_preserved": Output(
            ("neuron",), "float32", "Variance left after bilinear resampling to 14 x 14 and back", "1"
        ),
        "variance_preserved_area": Output(
            ("neuron",), "float32", "The same with area-averaging on the way down", "1"
        ),
        "gradient": Output(
            ("neuron",), "float32", "Mean absolute step between neighbouring inputs", "activation"
        ),
        "coarseness": Output(("neuron",), "float32", "Share of the variance at k <= 3", "1"),
        "head_low_frequency_ratio": Output(
            _HEAD, "float32", "Share of the variance within 12.5 % of the spectrum", "1"
        ),
        "head_variance_preserved": Output(
            _HEAD, "float32", "Variance left after bilinear resampling to 14 x 14 and back", "1"
        ),
        "head_variance_preserved_area": Output(
            _HEAD, "float32", "The same with area-averaging on the way down", "1"
        ),
        "head_gradient": Output(_HEAD, "float32", "Mean absolute step between neighbouring inputs", "1"),
        "head_coarseness": Output(_HEAD, "float32", "Share of the variance at k <= 3", "1"),
    },
    needs=("neuron_frequencies", "attention_frequencies"),
    formula="low_frequency_ratio = energy of the modes (k_a, k_b) != (0, 0) with k_a^2 + k_b^2 <= (0.125 p)^2"
    " over that of all but (0, 0); variance_preserved = var(up(down(N))) / var(N), 14 x 14, bilinear,"
    " align_corners=False; gradient = (mean |N(a + 1, b) - N(a, b)| + mean |N(a, b + 1) - N(a, b)|) / 2;"
    " coarseness = sum_{k <= 3} fraction_k",
    source="The project's research notes of 2026-02-02 (multi-scale structure); the area-averaged version by"
    " this workbench",
    protocol="neurons: activation at = over all p x p inputs; heads: attention of = to each of its three"
    " sources; constant (DC) removed; no wrap-around in the gradient; float64",
    caveats="All of it depends on the names of the tokens: x -> u x is the same task and moves every"
    " frequency. Bilinear reduction aliases: at p = 113 and 14 cells a wave can keep variance as a wave of"
    " another k (at 28 cells, k = 25, 28, 29, 33 appear as 3, 0, 1, 5); the area-averaged version does so far"
    " less. The gradient is in units of the map: divide by its standard deviation to compare neurons.",
)
def multi_scale(features: Features) -> dict[str, Any]:
    """Spatial scale of every neuron's activation map and every head's attention maps.

    Formula: of a map N [p (a), p (b)], low_frequency_ratio is the share of its variance in the discrete modes
    within a disc of radius 0.125 p around the constant, which is left out (radius 14 at p = 113: the notes'
    12.5 % of a spectrum p wide). variance_preserved is the variance of the map reduced to 14 x 14 and
    enlarged again (bilinear, align_corners=False) over its own; variance_preserved_area averages over areas
    on the way down. gradient is the mean absolute difference between neighbours, over both axes. coarseness
    is the share of variance at k <= 3.

    Shapes: [d_mlp] for neurons, [n_heads, 3 (a, b, =)] for heads. Units: shares, gradient in units of the map
    (activation, probability). A constant map has NaN ratios and gradient 0.

    Independent random maps have a ratio of about 0.049 at p = 113, additive ones f(a) + g(b) of independent
    values 0.25; see `multi_scale_null` for random weights.

    Source: the project's research notes (2026-02-02).

    Limits: labels of tokens decide what is coarse. Below p = 8 no mode lies within the radius; with p <= 14
    the reduction enlarges. variance_preserved can exceed what lies below the cut-off: it aliases.
    """
    heads = np.moveaxis(features.pattern, (2, 3), (0, 1))  # [p, p, n_heads, 3]
    of_heads = scales(heads.reshape(*heads.shape[:2], -1))
    spectrum = features.neuron_spectrum
    of_neurons = scales(features.neurons, (spectrum.mean, spectrum.variance))
    low = features.need("neuron_frequencies", "fraction")[:COARSE].astype(np.float64)
    head_low = features.need("attention_frequencies", "fraction")[..., :COARSE].astype(np.float64)
    return {
        **asdict(of_neurons),
        "coarseness": low.sum(axis=0),
        **{f"head_{name}": found.reshape(heads.shape[2:]) for name, found in asdict(of_heads).items()},
        "head_coarseness": head_low.sum(axis=-1),
    }
