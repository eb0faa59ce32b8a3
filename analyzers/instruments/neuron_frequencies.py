"""Which frequency each MLP neuron computes with."""

from __future__ import annotations

from typing import Any

from analyzers.features import Features
from analyzers.fourier import dominant
from analyzers.registry import Output, analyzer


@analyzer(
    name="neuron_frequencies",
    version=1,
    scope="checkpoint",
    kind="activations",
    title="Frequency content of the neurons",
    outputs={
        "fraction": Output(
            ("freq", "neuron"), "float32", "Share of the neuron's variance at frequency k", "1"
        ),
        "dominant_frequency": Output(("neuron",), "int16", "Frequency with the largest share (0: none)", "k"),
        "dominant_fraction": Output(("neuron",), "float32", "Largest share over the frequencies", "1"),
        "variance": Output(
            ("neuron",), "float32", "Variance of the activation over the grid", "activation^2"
        ),
        "mean": Output(("neuron",), "float32", "Mean of the activation over the grid", "activation"),
    },
    formula="fraction_k = sum_{x,y in {const, cos k, sin k}, not both const} G_xy^2 / sum_{(x,y) not both"
    " const} G_xy^2,"
    " G = F N F^T of the neuron's p x p map N, F the orthonormal real Fourier basis",
    source="Nanda et al. 2023, arXiv:2301.05217, section 4.1 and appendix C.2",
    protocol="all p x p inputs, activation at = after the ReLU, float64, constant (DC) removed",
    caveats="A perfect ReLU(cos ka + cos kb) neuron reaches 0.962, not 1 (3.3 % of its variance lies at"
    " 2k); a square"
    " wave reaches 0.81. Independent random maps have 8 / (p^2 - 1) per frequency on average.",
)
def neuron_frequencies(features: Features) -> dict[str, Any]:
    """Share of each neuron's variance over the p x p grid that one frequency explains.

    Formula: with G = F N F^T the coefficients of the neuron's map N [p (a), p (b)] on products of the
    orthonormal basis, fraction_k is the energy of the 3 x 3 block {const, cos k, sin k} x {const, cos k, sin
    k} without its constant, over the energy of everything but the constant.

    Shapes: fraction [K, d_mlp] with K = (p - 1) / 2; the others [d_mlp]. Units: fractions are shares of
    variance in [0, 1]; variance and mean are in (squared) units of the activation. dominant_frequency is k,
    1-based, and 0 for a neuron that is constant over the grid (a dead one) or not a number; fraction is then
    0 or NaN.

    Source: Nanda et al. 2023, arXiv:2301.05217.

    Limits: the shares of one neuron sum to at most 1 (products of different frequencies belong to no k). The
    ReLU's harmonics are not counted with their fundamental: the ceiling of a perfect ReLU(cos ka + cos kb)
    neuron is 0.962, that of a square wave 0.81, so a threshold of 0.9 is close to the ceiling. Which k is a
    label of the tokens: the task is the same under x -> u x mod p, which maps k to u k.
    """
    spectrum = features.neuron_spectrum
    fraction = spectrum.fraction
    frequency, share = dominant(fraction)
    return {
        "fraction": fraction,
        "dominant_frequency": frequency,
        "dominant_fraction": share,
        "variance": spectrum.variance,
        "mean": spectrum.mean,
    }
