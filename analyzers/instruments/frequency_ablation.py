"""What the loss becomes when one frequency is taken out of the neurons."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.cross_entropy import SPLITS, cross_entropy, split_means
from analyzers.features import Features
from analyzers.fourier import n_frequencies
from analyzers.key_frequencies import RULE_TEXT, chosen
from analyzers.neuron_blocks import block_logits, block_part
from analyzers.registry import Output, analyzer

AT_MOST = 12
NULL_DRAWS = 10
NULL_INPUTS = 1024
SEED = 0

Array = NDArray[Any]


@analyzer(
    name="frequency_ablation",
    version=1,
    scope="checkpoint",
    kind="activations",
    title="Ablation of one frequency",
    outputs={
        "loss": Output(("freq", "split"), "float64", "Loss without frequency k in the neurons", "nat"),
        "model_loss": Output(("split",), "float64", "Loss of the model", "nat"),
        "null_mean": Output(("freq",), "float64", "Mean loss when as much is removed at random", "nat"),
        "null_low": Output(("freq",), "float64", "Least of these losses", "nat"),
        "null_high": Output(("freq",), "float64", "Largest of these losses", "nat"),
    },
    needs=("neuron_clusters",),
    needs_final=("key_frequencies",),
    formula="N_m <- N_m - projection of N_m on the 3 x 3 block of k without its constant, for every neuron"
    " m; loss of the logits that follow",
    source="Nanda et al. 2023, arXiv:2301.05217, section 4.4 (2e-4 to 2e-2 for its five frequencies, from"
    " 2.4e-7)",
    protocol=f"all p x p inputs, float64, for K* ({RULE_TEXT}) and the frequencies with the most neurons at"
    f" the epoch,"
    " at most 12 in all, the others NaN. Null: the same removed part with the inputs shuffled (same size"
    " for every neuron), 10 fixed draws on the same 1,024 inputs of the whole grid",
    caveats="The skip connection around the MLP keeps its share of the frequency. Each k is removed alone:"
    " the losses do not add up.",
)
def frequency_ablation(features: Features) -> dict[str, Any]:
    """Loss when the 3 x 3 block of one frequency is removed from all neurons, and when as much is at random.

    Formula: with D_k [p^2, p] what the blocks of k of all neurons write to the logits (through W_out W_U,
    without their mean), loss_k = CE(L - D_k). Null: CE(L - D_k[shuffled inputs]), which removes as much of
    every neuron but at the wrong inputs.

    Shapes: loss [K, 3 (train, test, all)]; model_loss [3]; null_mean, null_low, null_high [K], over draws.
    Units: nat.

    Source: Nanda et al. 2023, arXiv:2301.05217.

    Limits: computed for at most 12 frequencies (see protocol), NaN elsewhere. The null's losses are means
    over 1,024 inputs (all, if there are fewer) and compare with the split `all`.
    """
    task, count = features.task, n_frequencies(features.p)
    keys = _ablated(
        chosen(features.final("key_frequencies", "is_key")), features.need("neuron_clusters", "size")
    )
    written = block_logits(features.neuron_spectrum, np.ones((count, 1)), features.neuron_logit_map)
    rng = np.random.default_rng(SEED)
    inputs = rng.permutation(task.p**2)[:NULL_INPUTS]
    elsewhere = np.stack([rng.permutation(task.p**2)[:NULL_INPUTS] for _ in range(NULL_DRAWS)])
    loss, null = np.full((count, len(SPLITS)), np.nan), np.full((count, 3), np.nan)
    for k in keys:
        removed = block_part(written, np.array([k]))
        loss[k - 1] = split_means(cross_entropy(features.logits - removed, task.labels), task)
        misplaced = features.logits[inputs] - removed[elsewhere]
        draws = cross_entropy(misplaced, task.labels[inputs]).mean(axis=1)
        null[k - 1] = draws.mean(), draws.min(), draws.max()
    return {
        "split": list(SPLITS),
        "loss": loss,
        "model_loss": split_means(features.loss_and_margin[0], task),
        "null_mean": null[:, 0],
        "null_low": null[:, 1],
        "null_high": null[:, 2],
    }


def _ablated(keys: Array, size: Array) -> list[int]:
    """The key frequencies, then those with the most neurons, `AT_MOST` together; ascending."""
    by_size = np.argsort(-size.astype(np.int64), kind="stable") + 1
    others = [int(k) for k in by_size if size[k - 1] > 0 and k not in keys]
    ordered = sorted(keys.tolist(), key=lambda k: -int(size[k - 1])) + others
    return sorted(ordered[:AT_MOST])
