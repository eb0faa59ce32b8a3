"""A model small enough for explicit loops."""

from __future__ import annotations

import torch

from training.families import modular_addition

CONFIG = modular_addition.TrainingConfig(d_model=16, n_heads=2, d_head=8, d_mlp=24)


def random_weights(p: int, seed: int = 0) -> dict[str, torch.Tensor]:
    """The reference initialisation of the tiny model."""
    return modular_addition.init_weights(modular_addition.Params(p=p, seed=seed), CONFIG)
