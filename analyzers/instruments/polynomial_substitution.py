"""What happens when specialised neurons are replaced by the polynomials that they look like."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.cross_entropy import SPLITS, cross_entropy, split_means
from analyzers.features import Features
from analyzers.neuron_blocks import block_logits, block_part
from analyzers.registry import Output, analyzer

SEED = 0
_ROWS = 1024  # inputs at a time: their neurons stay in the cache

Array = NDArray[Any]


@analyzer(
    name="polynomial_substitution",
    version=1,
    scope="checkpoint",
    kind="activations",
    title="Neurons replaced by degree-2 polynomials",
    outputs={
        "substituted": Output((), "int32", "Neurons that were replaced", "neurons"),
        "loss": Output(("split",), "float64", "Loss with the specialised neurons replaced", "nat"),
        "ratio": Output(("split",), "float64", "That loss over the model's", "1"),
        "null_loss": Output(("split",), "float64", "Loss with as many neurons at random replaced", "nat"),
        "null_ratio": Output(("split",), "float64", "That loss over the model's", "1"),
    },
    needs=("neuron_frequencies", "neuron_clusters"),
    formula="N_m <- mean + projection of N_m on the 3 x 3 block of its frequency, for every neuron with"
    " block share >= 0.85; ratio = CE after / CE before",
    source="Nanda et al. 2023, arXiv:2301.05217, section 4.2 (433 of 512 neurons: loss + 3 %)",
    protocol="all p x p inputs, float64, the other neurons and the skip connection as they are; null: as"
    " many of the live neurons, drawn once with a fixed seed, each on its own strongest frequency",
    caveats="The null draws from all live neurons: where nearly all are specialised it is nearly the same"
    " set and says little. A ratio above 1 can still be a tiny loss.",
)
def polynomial_substitution(features: Features) -> dict[str, Any]:
    """Loss when each specialised neuron keeps only its mean and the 3 x 3 block of its frequency.

    Formula: for a neuron of cluster k (neuron_clusters), N_m(a, b) becomes its mean plus its projection on
    {const, cos k, sin k}(a) x {const, cos k, sin k}(b), a polynomial of degree 2 in the cosines and sines
    of a and b. ratio = loss / loss of the model.

    Shapes: loss, ratio, null_loss, null_ratio [3 (train, test, all)]; substituted scalar. Units: nat; ratios.

    Source: Nanda et al. 2023, arXiv:2301.05217.

    Limits: NaN where no neuron is specialised, and for an empty split. The null replaces as many of the
    live neurons at random (seed 0), each by the block of its own strongest frequency, so that it differs
    by the choice alone.
    """
    cluster = features.need("neuron_clusters", "cluster").astype(np.int64)
    strongest = features.need("neuron_frequencies", "dominant_frequency").astype(np.int64)
    count, live = int((cluster > 0).sum()), np.flatnonzero(strongest)
    at_random = np.zeros_like(strongest)
    drawn = np.random.default_rng(SEED).choice(live, count, replace=False) if count else live[:0]
    at_random[drawn] = strongest[drawn]
    task = features.task
    losses = {"": np.full(len(SPLITS), np.nan), "null_": np.full(len(SPLITS), np.nan)}
    if count:
        for name, frequency in (("", cluster), ("null_", at_random)):
            logits = substituted_logits(features, frequency)
            losses[name] = split_means(cross_entropy(logits, task.labels), task)
    model = split_means(features.loss_and_margin[0], task)
    with np.errstate(invalid="ignore", divide="ignore"):
        ratios = {f"{name}ratio": loss / model for name, loss in losses.items()}
    return {
        "split": list(SPLITS),
        "substituted": count,
        **{f"{name}loss": loss for name, loss in losses.items()},
        **ratios,
    }


def substituted_logits(features: Features, frequency: Array) -> Array:
    """Logits [p * p, p] where each neuron with `frequency` [d_mlp] > 0 keeps its mean and that block only."""
    w_l, spectrum = features.neuron_logit_map, features.neuron_spectrum
    mask = frequency == np.arange(1, len(spectrum.a_cos) + 1)[:, None]
    kept = block_logits(spectrum, mask, w_l)
    keys = np.unique(frequency[frequency > 0])
    return np.asarray(_logits_without(features, frequency > 0) + kept.mean + block_part(kept, keys))


def _logits_without(features: Features, gone: NDArray[np.bool_]) -> Array:
    """Logits [p * p, p] when the neurons `gone` [d_mlp] write nothing."""
    from training.fast_path import unembedded

    if 2 * gone.sum() <= len(gone):
        return features.logits - _written(features, np.flatnonzero(gone))
    weights = features.tensors
    resid = features.grid.resid_mid + weights.get("blocks.0.mlp.b_out", 0.0)
    direct = unembedded(weights, resid).numpy().reshape(features.p**2, -1)
    return np.asarray(direct + _written(features, np.flatnonzero(~gone)))


def _written(features: Features, neurons: NDArray[np.int64]) -> Array:
    """What these neurons add to the logits, [p * p, p]."""
    import torch

    index, read = torch.from_numpy(neurons), torch.from_numpy(features.neuron_logit_map[neurons])
    rows = features.grid.neurons.flatten(0, 1).split(_ROWS)
    return torch.cat([some.index_select(1, index) @ read for some in rows]).numpy()
