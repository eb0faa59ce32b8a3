"""How concentrated, how symmetric and how additive each neuron is."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.features import Features
from analyzers.fourier import CONSTANT, GridSpectrum, Spectrum, transform
from analyzers.registry import Output, analyzer
from analyzers.waves import at_frequency

Array = NDArray[Any]
BANDS = ("low", "mid", "high")


@analyzer(
    name="neuron_structure",
    version=1,
    scope="checkpoint",
    kind="activations",
    title="Structure of the neurons",
    outputs={
        "ipr": Output(("part", "neuron"), "float32", "Inverse participation ratio over frequencies", "1"),
        "commutativity": Output(("neuron",), "float32", "Share of the variance with N(a, b) = N(b, a)", "1"),
        "content": Output(
            ("component", "neuron"), "float32", "Share of the variance at the dominant frequency", "1"
        ),
        "band_share": Output(
            ("band",), "float32", "Mean share of the variance in a third of the frequencies", "1"
        ),
    },
    needs=("neuron_frequencies",),
    formula="ipr = sum_k e_k^2 / (sum_k e_k)^2, e_k the energy at frequency k of u(a), v(b) or the row of"
    " W_L; commutativity = ||sym(N - mean)||^2 / ||N - mean||^2; content: linear, cos k(a + b) and sin k(a +"
    " b) (sum), cos k(a - b) and sin k(a - b) (difference)",
    source="IPR: Gromov 2023, arXiv:2301.02679; Doshi et al. 2023, arXiv:2310.13061; content: Nanda et al."
    " 2023, split by this workbench",
    protocol="all p x p inputs; effective inputs through the attention as in neuron_phases; constants"
    " removed; content at the neuron's dominant frequency at the same checkpoint; bands: thirds of k = 1..K,"
    " mean over the neurons that vary",
    caveats="ipr: both signs of a complex transform count as one frequency here, so that a single wave has 1;"
    " the published one on the complex transform gives it 1/2 (and a constant 1). Chance is about 2 / (K +"
    " 1). Commutativity of an independent random map is 1/2, but random weights with small positional"
    " embeddings have nearly 1 before anything is learned. Bands depend on the names of the tokens.",
)
def neuron_structure(features: Features) -> dict[str, Any]:
    """Inverse participation ratios, symmetry, and sum against difference content of every neuron.

    Formula: with e_k = cos_k^2 + sin_k^2 the energy at frequency k of a function of one residue, ipr = sum_k
    e_k^2 / (sum_k e_k)^2 in [1/K, 1]: 1 for a single wave of any phase. part: a and b (the effective inputs
    u(a), v(b) of `neuron_phases`), output (the neuron's row of W_L over the classes), mean of the three.
    On the two-sided complex transform without its constant, (||x||_4 / ||x||_2)^4 is half of this.

    commutativity = (1 + c) / 2, c the correlation of N(a, b) with N(b, a) over the grid; 1 if they are equal,
    0 if N(a, b) - mean changes its sign.

    content [linear, sum, difference]: with G the coefficients of the 3 x 3 block of the neuron's dominant
    frequency k, cos k(a + b) has (G_cc - G_ss) / sqrt 2, sin k(a + b) has (G_sc + G_cs) / sqrt 2, and the
    difference a - b the other signs; linear are functions of a or of b alone. The three sum to the dominant
    fraction. ReLU(cos ka + cos kb) has 0.745 linear, 0.109 sum and 0.109 difference.

    band_share [low, mid, high]: mean over the neurons that vary of the share at k <= K/3, <= 2K/3, above.

    Shapes: ipr [4, d_mlp], commutativity [d_mlp], content [3, d_mlp], band_share [3]. Units: shares in [0,
    1]. A neuron that is constant has NaN. Source: as declared.

    Limits: sum content says what the neuron computes, not what is done with it: difference content of a pair
    of neurons can cancel in the logits. band_share changes with the names of the tokens (x -> u x), the
    others do not.
    """
    of_a, of_b = features.neuron_inputs
    spectrum = features.neuron_spectrum
    parts = [participation(found) for found in (of_a, of_b, transform(features.neuron_logit_map, axis=1))]
    fraction = features.need("neuron_frequencies", "fraction").astype(np.float64)
    varies = np.isfinite(fraction).all(axis=0) & (fraction > 0).any(axis=0)
    thirds = np.minimum(3 * np.arange(len(fraction)) // len(fraction), 2)
    shares = [fraction[thirds == band][:, varies].sum(axis=0) for band in range(len(BANDS))]
    return {
        "part": ["a", "b", "output", "mean"],
        "ipr": [*parts, np.mean(parts, axis=0)],
        "commutativity": commutativity(features.neurons, (spectrum.mean, spectrum.variance)),
        "component": ["linear", "sum", "difference"],
        "content": _content(spectrum, features.need("neuron_frequencies", "dominant_frequency")),
        "band": list(BANDS),
        "band_share": [share.mean() if varies.any() else np.nan for share in shares],
    }


def participation(spectrum: Spectrum) -> Array:
    """sum e^2 / (sum e)^2 over the frequencies, constant left out; NaN without any energy."""
    energy = spectrum.energy
    with np.errstate(invalid="ignore", divide="ignore"):
        return (energy**2).sum(axis=0) / energy.sum(axis=0) ** 2


def commutativity(maps: Array, moments: tuple[Array, Array]) -> Array:
    """Share of the variance of each map [p, p, n] that is symmetric in a and b; NaN for a constant map.

    moments: mean and population variance of the maps, [n].
    """
    mean, variance = moments
    p, cross = len(maps), np.zeros(maps.shape[2])
    for a in range(p):  # row by row: the temporaries stay in the cache
        cross += np.einsum("bn,bn->n", maps[a, a:], maps[a:, a]) * 2 - maps[a, a] ** 2
    with np.errstate(invalid="ignore", divide="ignore"):
        share = np.clip((1 + (cross / p**2 - mean**2) / variance) / 2, 0, 1)
    return np.where(variance > CONSTANT * mean**2, share, np.nan)


def _content(spectrum: GridSpectrum, k: Array) -> Array:
    cc, cs, sc, ss = spectrum.cos_cos, spectrum.cos_sin, spectrum.sin_cos, spectrum.sin_sin
    energies = (
        spectrum.linear_energy,
        ((cc - ss) ** 2 + (sc + cs) ** 2) / 2,
        ((cc + ss) ** 2 + (sc - cs) ** 2) / 2,
    )
    with np.errstate(invalid="ignore", divide="ignore"):
        total = spectrum.p**2 * spectrum.variance
        return np.stack([at_frequency(energy, k) / total for energy in energies])
