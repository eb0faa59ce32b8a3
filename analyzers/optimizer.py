"""What is known of the optimizer at a checkpoint: its rates, and the second moments where they were kept."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from data.errors import BadParameter, UnknownEpoch

if TYPE_CHECKING:
    import torch

    from data import Variant


@dataclass(frozen=True)
class Optimizer:
    """AdamW at one epoch.

    lr, beta1, beta2, eps of the update that follows the epoch
    updates  so far, for the bias correction
    read_second_moment()  the running mean of the squared gradient by weight name, None if it was not kept
    """

    lr: float
    beta1: float
    beta2: float
    eps: float
    updates: int
    read_second_moment: Callable[[], dict[str, torch.Tensor] | None]

    @property
    def threshold(self) -> float:
        """The curvature, preconditioned as the update is, above which a quadratic would make it oscillate
        and grow: (2 + 2 beta1) / ((1 - beta1) lr); 2 / lr without momentum."""
        return (2 + 2 * self.beta1) / ((1 - self.beta1) * self.lr)


def optimizer_at(variant: Variant, epoch: int) -> Optimizer | None:
    """The optimizer that trained `variant`, None where its record does not say (an imported variant)."""
    from training.families import modular_addition

    try:
        config = modular_addition.config_of(variant)
    except BadParameter:
        return None
    lr, (beta1, beta2) = config.learning_rate_at(epoch), config.betas

    def read() -> dict[str, torch.Tensor] | None:
        from training.transformer import weight_shapes

        if epoch not in variant.optimizer_epochs:
            return None
        try:
            flat = variant.load_optimizer(epoch)["exp_avg_sq"]
        except (KeyError, UnknownEpoch):
            return None
        shapes = weight_shapes(
            modular_addition.transformer_config(modular_addition.params_of(variant), config)
        )
        parts = flat.split([math.prod(shape) for shape in shapes.values()])
        return {name: part.reshape(shape) for (name, shape), part in zip(shapes.items(), parts, strict=True)}

    return Optimizer(lr, beta1, beta2, config.eps, epoch, read)
