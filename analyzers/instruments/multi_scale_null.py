"""The scale of maps that random weights make."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.features import Features
from analyzers.registry import Output, analyzer
from analyzers.run import Run
from analyzers.scales import METRICS, additive_ratio, independent_ratio, scales
from data.errors import WorkbenchError

SEEDS = 3
QUANTILES = (0.05, 0.25, 0.5, 0.75, 0.95)
OWNERS = ("neurons", "heads")

Array = NDArray[Any]


@analyzer(
    name="multi_scale_null",
    version=1,
    scope="trajectory",
    kind="activations",
    title="Scale of random maps",
    outputs={
        "quantiles": Output(
            ("owner", "metric", "level"), "float32", "Quantile of the measure over random weights", "1"
        ),
        "independent": Output((), "float64", "Expected low-frequency ratio of an independent map", "1"),
        "additive": Output((), "float64", "The same of an additive map f(a) + g(b)", "1"),
    },
    formula="the measures of multi_scale on weights whose entries are shuffled within every tensor of the"
    " first checkpoint; gradient divided by the map's standard deviation",
    source="Definition of this workbench",
    protocol="first checkpoint, three shuffles (seeds 0, 1, 2), all neurons, all heads and sources together",
    caveats="Random weights make nearly additive maps, not independent ones: their low-frequency ratio is"
    " several times that of noise, before anything is learned.",
)
def multi_scale_null(run: Run) -> dict[str, Any]:
    """Distribution of the measures of `multi_scale` over random weights of the same shapes and scales.

    Formula: every tensor of the first checkpoint gets its entries in a random order (three seeds), which
    keeps its norm and distribution and destroys what training put there; the same function as in
    `multi_scale` then measures all maps. The gradient is divided by the standard deviation of its map.

    Shapes: quantiles [owner (neurons, heads), metric, level (5, 25, 50, 75, 95 %)]; independent and
    additive: expected low-frequency ratio of a map of independent values and of f(a) + g(b). Units: shares;
    gradient per standard deviation.

    Source: definition of this workbench.

    Limits: three shuffles; the scale of the weights is that of the first checkpoint. Raises WorkbenchError if
    no checkpoint can be read.
    """
    import torch

    first = next(run.checkpoints(), None)
    if first is None:
        raise WorkbenchError("No checkpoint can be read, so that there are no weights to shuffle.")
    pooled: dict[str, dict[str, list[Array]]] = {owner: {name: [] for name in METRICS} for owner in OWNERS}
    for seed in range(SEEDS):
        rng = np.random.default_rng(seed)
        shuffled = {
            name: torch.from_numpy(rng.permutation(values.ravel()).reshape(values.shape))
            for name, values in first[1].items()
        }
        features = Features(shuffled, run.family, run.params)
        heads = np.moveaxis(features.pattern, (2, 3), (0, 1)).reshape(features.p, features.p, -1)
        for owner, maps in zip(OWNERS, (features.neurons, heads), strict=True):
            for name, found in asdict(scales(maps)).items():
                size = maps.std(axis=(0, 1)) if name == "gradient" else 1.0
                with np.errstate(invalid="ignore", divide="ignore"):
                    pooled[owner][name].append(found / size)
    table = [[_quantiles(pooled[owner][name]) for name in METRICS] for owner in OWNERS]
    return {
        "owner": list(OWNERS),
        "metric": list(METRICS),
        "level": np.array(QUANTILES),
        "quantiles": table,
        "independent": independent_ratio(features.p),
        "additive": additive_ratio(features.p),
    }


def _quantiles(values: list[Array]) -> Array:
    known = np.concatenate(values)
    known = known[np.isfinite(known)]
    return np.quantile(known, QUANTILES) if len(known) else np.full(len(QUANTILES), np.nan)
