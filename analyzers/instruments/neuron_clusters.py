"""Neurons grouped by their frequency."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyzers.features import Features
from analyzers.fourier import n_frequencies
from analyzers.registry import Output, analyzer
from data.errors import BadParameter


@analyzer(
    name="neuron_clusters",
    version=1,
    scope="checkpoint",
    kind="artifacts",
    title="Clusters of neurons by frequency",
    outputs={
        "cluster": Output(("neuron",), "int16", "Frequency of the neuron's cluster (0: unassigned)", "k"),
        "size": Output(("freq",), "int32", "Neurons assigned to frequency k", "neurons"),
        "unassigned": Output((), "int32", "Neurons assigned to no frequency", "neurons"),
    },
    needs=("neuron_frequencies",),
    parameters={"threshold": 0.85},
    formula="cluster = dominant frequency if its fraction >= threshold, else none",
    source="Nanda et al. 2023, arXiv:2301.05217: clusters of neurons with more than 85 % of their variance"
    " explained",
    protocol="neuron_frequencies at the same checkpoint; threshold 0.85 unless another is given",
    caveats="The count depends on the threshold; the ceiling of a perfect ReLU neuron is 0.962.",
)
def neuron_clusters(features: Features, threshold: float = 0.85) -> dict[str, Any]:
    """Assign each neuron to its dominant frequency when that one explains enough of its variance.

    Formula: cluster = dominant_frequency where dominant_fraction >= threshold, else 0 (unassigned); size_k
    counts the neurons of cluster k. size sums to d_mlp - unassigned.

    Shapes: cluster [d_mlp], size [K], unassigned scalar. Units: k (1-based) and numbers of neurons.

    Source: Nanda et al. 2023, arXiv:2301.05217 (0.85; 433 of 512 neurons in its main run).

    Limits: a hard threshold near the ceiling of 0.962; a neuron at 0.84 counts as unassigned however clean
    its map looks. Dead and non-finite neurons are unassigned. Raises BadParameter unless 0 < threshold <= 1.
    """
    if not 0 < threshold <= 1:
        raise BadParameter(f"threshold={threshold} is not in (0, 1]; 0.85 is usual.")
    frequency = features.need("neuron_frequencies", "dominant_frequency")
    share = features.need("neuron_frequencies", "dominant_fraction")
    cluster = np.where(share >= threshold, frequency, 0)
    size = np.bincount(cluster, minlength=n_frequencies(features.p) + 1)
    return {"cluster": cluster, "size": size[1:], "unassigned": size[0]}
