"""A tiny real variant."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_model import CONFIG

from data import Variant, Workspace
from training.families import modular_addition


@pytest.fixture
def make_variant(tmp_path: Path) -> Callable[..., Variant]:
    """Makes a variant with random weights drifting from epoch to epoch, and a history with a turn."""

    def make(p: int = 11, epochs: tuple[int, ...] = (0, 10, 30, 100), seed: int = 1) -> Variant:
        workspace = Workspace(tmp_path / "workspace", create=True)
        params = modular_addition.Params(p=p, seed=seed, frac_train=0.4)
        variant = workspace.create_variant(modular_addition.record(params, CONFIG))
        generator = torch.Generator().manual_seed(seed)
        weights = modular_addition.init_weights(params, CONFIG)
        for epoch in epochs:
            variant.save_checkpoint(epoch, weights)
            weights = {
                name: tensor + 0.05 * torch.randn(tensor.shape, generator=generator)
                for name, tensor in weights.items()
            }
        t = np.arange(0, 2001, 10)
        test = 1.5 - 7 / (1 + np.exp(-(t - 1000) / 40))
        train = 0.7 - 6 * (1 - np.exp(-t / 60))
        variant.save_history({"epoch": t, "test_loss": 10**test, "train_loss": 10**train})
        return variant

    return make


@pytest.fixture
def variant(make_variant: Callable[..., Variant]) -> Variant:
    return make_variant()
