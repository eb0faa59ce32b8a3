"""Key frequencies by the three rules in use."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyzers.features import Features
from analyzers.fourier import transform
from analyzers.key_frequencies import RULES, by_clusters, by_norm
from analyzers.registry import Output, analyzer


@analyzer(
    name="key_frequencies",
    version=1,
    scope="checkpoint",
    kind="activations",
    title="Key frequencies",
    outputs={
        "is_key": Output(("rule", "freq"), "int8", "1 where the frequency is key by the rule", "1"),
        "strength": Output(("rule", "freq"), "float32", "What the rule compares with its threshold", "1"),
    },
    needs=("embedding_fourier", "neuron_frequencies", "neuron_clusters"),
    formula="embedding_norm: ||F_k W_E|| > max_k / 4; neuron_logit_map: ||W_out W_U F_k^T|| > max_k / 4;"
    " neuron_blocks: at least 10 % of the neurons with 3 x 3 block share >= 0.85 have their largest share"
    " at k",
    source="Nanda et al. 2023, arXiv:2301.05217: norms of W_E (released notebook, threshold max / 4), Fourier"
    " components of the neuron-logit map (appendix C.2, without a number: max / 4 is ours), clusters of"
    " neurons (0.85 is theirs, the 10 % ours)",
    protocol="weights and neurons over the whole grid, float64; the rules are independent of each other",
    caveats="Before the turn the rules disagree, and a random model has nearly every frequency above a"
    " quarter of the largest norm. Measures that follow a run use the set of its last checkpoint at every"
    " epoch.",
)
def key_frequencies(features: Features) -> dict[str, Any]:
    """Whether each frequency is one that the model computes with, by three rules.

    Formula: embedding_norm, strength_k = ||F_k W_E|| / max_j ||F_j W_E|| over the number tokens, with F_k the
    cos and sin rows of k, key where > 1/4. neuron_logit_map, the same for W_L = W_out W_U along its class
    axis. neuron_blocks, strength_k = share of k among the neurons that neuron_clusters assigns, key where >=
    0.1, provided that at least 10 % of the live neurons are assigned.

    Shapes: is_key, strength [3 (rule), K]. Units: shares in [0, 1]; k is 1-based.

    Source: Nanda et al. 2023, arXiv:2301.05217; see `source` for which numbers are theirs.

    Limits: thresholds are conventions. A rule whose weights are zero or not finite finds no key frequency and
    has strength NaN or 0. Which k is a label of the tokens (x -> u x maps k to u k).
    """
    read_out = transform(features.neuron_logit_map, axis=1)
    norms = (
        features.need("embedding_fourier", "W_E_norm").astype(np.float64),
        np.sqrt(read_out.energy.sum(axis=1)),
    )
    size = features.need("neuron_clusters", "size")
    live = int((features.need("neuron_frequencies", "dominant_frequency") > 0).sum())
    assigned = size.sum()
    with np.errstate(invalid="ignore", divide="ignore"):
        shares = [np.where(norm.max() == 0, 0.0, norm / norm.max()) for norm in norms]
    return {
        "rule": list(RULES),
        "is_key": [*(by_norm(norm) for norm in norms), by_clusters(size, live)],
        "strength": [*shares, size / max(assigned, 1)],
    }
