"""A minute, seeded change of weights: what replicates and perturbed forks start from."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from data.errors import BadParameter


def perturbed(weights: Mapping[str, Tensor], relative: float, seed: int) -> dict[str, Tensor]:
    """``w + relative (|w| / |g|) g`` for every tensor w; g is drawn from N(0, 1) by the seed (float64),
    tensor after tensor in the order of their names.

    ``BadParameter`` if it is too small to change anything in the precision of the weights.
    """
    generator = torch.Generator().manual_seed(seed)
    moved = dict(weights)
    for name in sorted(weights):
        weight = weights[name]
        noise = torch.randn(weight.shape, generator=generator, dtype=torch.float64)
        step = relative * weight.double().norm() / noise.norm() * noise
        moved[name] = (weight.double() + step).to(weight.dtype)
    if all(torch.equal(moved[name], weights[name]) for name in weights):
        kind = str(next(iter(weights.values())).dtype).removeprefix("torch.")
        raise BadParameter(
            f"perturb={relative:g} changes no weight in {kind}; choose a larger one, such as 1e-6"
        )
    return moved
