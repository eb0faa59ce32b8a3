"""At which frequencies the loss pulls on the weights."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analyzers.features import Features
from analyzers.registry import Output, analyzer

if TYPE_CHECKING:
    from analyzers.gradients import SiteGradient


@analyzer(
    name="gradient_energy",
    version=1,
    scope="checkpoint",
    kind="activations",
    title="Gradient energy per frequency",
    outputs={
        "energy": Output(
            ("gradient", "site", "freq"), "float32", "Share of the gradient's energy at frequency k", "1"
        ),
        "constant": Output(
            ("gradient", "site"), "float32", "Share of the gradient's energy on the constant row", "1"
        ),
        "norm": Output(
            ("gradient", "site"), "float64", "Norm of the gradient of the mean loss", "nat / unit"
        ),
        "cosine": Output(("site",), "float32", "Cosine between train and grid gradient", "1"),
        "cosine_by_frequency": Output(
            ("site", "freq"), "float32", "Cosine between train and grid gradient at frequency k", "1"
        ),
    },
    formula="E_k = ||F_k g||^2 / ||g||^2, g = d mean cross-entropy / d site; cosine = <g_train, g_grid> /"
    " (||g_train|| ||g_grid||), and the same of the parts F_k g",
    source="Definition of this workbench; cross-entropy and its gradient in float64 as in Nanda et al. 2023,"
    " arXiv:2301.05217",
    protocol="mean loss of the variant's own training inputs (train) and of all p x p inputs (grid); no"
    " weight"
    " decay; W_E without its = row, W_U and W_L = W_out W_U along the classes, neurons after the ReLU in"
    " 3 x 3"
    " blocks over (a, b)",
    caveats="A gradient without structure has 2 / p of its energy at each k (neurons: 8 / p^2). The train"
    " gradient of the neurons is zero off the training inputs, which spreads its energy over all frequencies."
    " Late in training the gradient is small and weight decay, which is not in it, is as strong. Weights"
    " stored as float16 add rounding noise to a small gradient.",
)
def gradient_energy(features: Features) -> dict[str, Any]:
    """Spectrum of the gradient of the loss at four sites, and how alike train and whole-grid gradients are.

    Formula: for the mean cross-entropy of the training inputs and of all inputs, g = d loss / d site; with
    F_k the cos and sin row of frequency k (neurons: the eight non-constant products of {const, cos, sin} of a
    with those of b), energy_k = ||F_k g||^2 / ||g||^2; constant likewise for the constant row. For the
    matrices constant + sum_k energy_k = 1; the neurons' blocks leave out products of two frequencies.

    Shapes: energy [2 (train, grid), 4 (W_E, W_U, W_L, neurons), K]; constant, norm [2, 4]; cosine [4];
    cosine_by_frequency [4, K]. Units: shares; norm in nats per unit of the site's values. W_L is the product
    W_out W_U, a direction and not a parameter.

    Source: definition of this workbench.

    Limits: says what the loss asks for now, not what AdamW does, which divides by the root of the second
    moment and decays the weights. Without a known split the train values are NaN; a gradient that is exactly
    zero has no shares (NaN).
    """
    from analyzers.gradients import GRADIENTS, SITES, gradients

    found = gradients(features)
    train, grid = (found[name] for name in GRADIENTS)
    with np.errstate(invalid="ignore", divide="ignore"):
        return {
            "gradient": list(GRADIENTS),
            "site": list(SITES),
            "energy": [[found[name][site].share for site in SITES] for name in GRADIENTS],
            "constant": [[found[name][site].constant_share for site in SITES] for name in GRADIENTS],
            "norm": [[np.sqrt(found[name][site].energy) for site in SITES] for name in GRADIENTS],
            "cosine": [_cosine(train[site], grid[site]) for site in SITES],
            "cosine_by_frequency": [
                _cosines(train[site].coefficients, grid[site].coefficients) for site in SITES
            ],
        }


def _cosine(one: SiteGradient, two: SiteGradient) -> float:
    return float(_cosines(one.vector[None], two.vector[None])[0])


def _cosines(one: np.ndarray, two: np.ndarray) -> np.ndarray:
    """Cosine between the rows of two arrays."""
    length = np.linalg.norm(one, axis=1) * np.linalg.norm(two, axis=1)
    return np.asarray((one * two).sum(axis=1) / length)
