"""How much the loss rises when the weights are pushed in random directions."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyzers.cross_entropy import SPLITS, split_means
from analyzers.features import Features
from analyzers.registry import Output, analyzer
from data.errors import BadParameter

RADII = (0.01, 0.03, 0.1, 0.2, 0.4)

_DIMS = ("split", "radius")


@analyzer(
    name="flatness",
    version=1,
    scope="checkpoint",
    kind="weights",
    title="Flatness",
    outputs={
        "increase": Output(_DIMS, "float64", "Mean increase of the loss over the directions", "nat"),
        "increase_low": Output(_DIMS, "float64", "Lower end of the increase's 95 % interval", "nat"),
        "increase_high": Output(_DIMS, "float64", "Upper end of the increase's 95 % interval", "nat"),
        "relative": Output(_DIMS, "float64", "Mean increase over the loss at the checkpoint", "1"),
        "negative": Output(_DIMS, "float32", "Share of the directions in which the loss falls", "1"),
        "loss": Output(("split",), "float64", "Loss at the checkpoint", "nat"),
    },
    parameters={"directions": 10, "seed": 0},
    standard=False,
    at_most=50,
    formula="increase(r) = mean over directions d of L(w + r d) - L(w), where every tensor of d is Gaussian"
    " with the norm of that tensor of w",
    source="Li et al. 2018, arXiv:1712.09913 (directions normalised by the weights, here per tensor)",
    protocol="seeded directions, the same at every radius and checkpoint; L mean cross-entropy of the"
    " variant's own train and test inputs and of all; no weight decay; Student intervals over the directions",
    caveats="A random direction misses the few sharp ones. The radius is relative to the norm of each tensor,"
    " so that shrinking weights do not look sharper by themselves; use the absolute increase beside the"
    " relative one, which grows without bound as the loss goes to zero.",
)
def flatness(features: Features, directions: int = 10, seed: int = 0) -> dict[str, Any]:
    """Mean change of the loss at several distances from the checkpoint, per split.

    Formula: a direction d has independent Gaussian entries, and each of its tensors (all heads of W_Q
    together, and so on) is scaled to the norm of the same tensor of w, so that radius r moves every tensor by
    the share r of its norm. increase = mean_d [L(w + r d) - L(w)], with Student's 95 % interval over the
    directions; relative = increase / L(w); negative = share of directions with L(w + r d) < L(w), which are
    counted as what they are, not as flat.

    Shapes: [3 (train, test, all), radius]; loss [3]. Units: nats; radius and relative are ratios.

    Source: Li et al. 2018, arXiv:1712.09913.

    Limits: products in float32, cross-entropy in float64: a relative change below about 1e-5 is rounding.
    Values of an unknown split are NaN. Raises BadParameter for fewer than 2 directions.
    """
    if directions < 2:
        raise BadParameter(f"directions={directions} gives no interval; take 2 or more, 10 is usual.")
    import torch

    from analyzers.landscape import Landscape
    from analyzers.statistics import mean_interval

    landscape, task = Landscape(features.tensors, features.task, torch.float32), features.task
    rows = torch.arange(task.p**2)
    generator = torch.Generator().manual_seed(seed)

    def losses(point: torch.Tensor) -> np.ndarray:
        with torch.no_grad():
            return split_means(landscape.losses(point[None], rows)[0].numpy(), task)

    loss = losses(landscape.centre)
    changes = np.empty((len(loss), len(RADII), directions))
    for number in range(directions):
        direction = landscape.direction(generator)
        for index, radius in enumerate(RADII):
            changes[:, index, number] = losses(landscape.centre + radius * direction) - loss
    increase, low, high = mean_interval(changes)
    with np.errstate(divide="ignore", invalid="ignore"):
        relative = increase / loss[:, None]
    return {
        "split": list(SPLITS),
        "radius": list(RADII),
        "increase": increase,
        "increase_low": low,
        "increase_high": high,
        "relative": relative,
        "negative": np.where(np.isnan(increase), np.nan, (changes < 0).mean(axis=-1)),
        "loss": loss,
    }
