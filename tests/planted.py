"""A workspace without training: initial weights turn into planted waves, and the loss falls late."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from data import Workspace
from training.families import modular_addition

P, D_MLP, EPOCHS, TURN = 23, 24, 12, 9_000
SHIPPED = "p113-s999-d598"
FREQUENCIES = {1: (3, 7), 2: (2, 5, 9), 3: (4,)}


def plant(folder: Path) -> Workspace:
    """One variant per seed 1, 2, 3, each with twelve checkpoints from 0 to 22,000 and a whole history."""
    workspace = Workspace(folder, create=True)
    for seed, frequencies in FREQUENCIES.items():
        params = modular_addition.Params(p=P, seed=seed)
        config = modular_addition.TrainingConfig(d_model=32, n_heads=4, d_head=8, d_mlp=D_MLP)
        variant = workspace.create_variant(modular_addition.record(params, config))
        start = modular_addition.init_weights(params, config)
        for epoch in range(0, EPOCHS * 2_000, 2_000):
            strength = 1 / (1 + np.exp(-(epoch - TURN) / 1_500))
            variant.save_checkpoint(epoch, planted_weights(start, frequencies, float(strength), seed))
        variant.save_history(_history())
    return workspace


def add_odd_runs(workspace: Workspace) -> None:
    """Three runs of histories only: one that never turns, one of p = 29, one of which three epochs exist."""
    epoch = np.arange(22_001)
    flat = {**_history(), "test_loss": 5.0 + 0.01 * np.sin(epoch / 900)}
    begun = {name: values[:3] for name, values in _history().items()}
    for p, seed, history in ((P, 8, flat), (29, 1, _history()), (P, 9, begun)):
        params = modular_addition.Params(p=p, seed=seed)
        config = modular_addition.TrainingConfig(d_model=32, n_heads=4, d_head=8, d_mlp=D_MLP)
        workspace.create_variant(modular_addition.record(params, config)).save_history(history)


def planted_weights(
    start: dict[str, Tensor], frequencies: tuple[int, ...], strength: float, seed: int
) -> dict[str, Tensor]:
    """Neuron n becomes a wave of frequencies[n mod their number] with a phase of its own."""
    generator = torch.Generator().manual_seed(seed)
    embedding = torch.zeros_like(start["embed.W_E"])
    inputs = torch.zeros_like(start["blocks.0.mlp.W_in"])
    p, d_mlp = len(embedding) - 1, inputs.shape[1]
    angle = 2 * torch.pi * torch.arange(p) / p
    for i, frequency in enumerate(frequencies):
        embedding[:p, 2 * i] = torch.cos(frequency * angle)
        embedding[:p, 2 * i + 1] = torch.sin(frequency * angle)
    phases = 2 * torch.pi * torch.rand(d_mlp, generator=generator)
    for neuron in range(d_mlp):
        i = neuron % len(frequencies)
        inputs[2 * i, neuron] = torch.cos(phases[neuron])
        inputs[2 * i + 1, neuron] = torch.sin(phases[neuron])
    planted = {"embed.W_E": 2 * embedding, "blocks.0.mlp.W_in": inputs}
    return {
        name: (1 - strength) * weight + strength * planted[name] if name in planted else weight.clone()
        for name, weight in start.items()
    }


def _history() -> dict[str, np.ndarray]:
    epoch = np.arange(2_000 * (EPOCHS - 1) + 1)
    turned = 1 / (1 + np.exp(-(epoch - TURN) / 500))
    return {
        "epoch": epoch,
        "train_loss": 3.1 * np.exp(-epoch / 300) + 1e-7,
        "test_loss": np.exp(np.log(3.1 + 2 * (1 - np.exp(-epoch / 200))) - 14 * turned),
        "lr": np.full(len(epoch), 1e-3),
        "weight_norm": 50 * np.exp(-epoch / 20_000),
    }
