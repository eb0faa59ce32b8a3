"""Runs to compare: two that turned, a fork, one of another p, one that never turned, one just begun."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from planted import planted_weights
from torch import Tensor

from analyzers.pipeline import analyze
from data import Workspace
from training.families import modular_addition

P, STEP, LAST = 23, 20, 6_000
UNIT = 5  # "b" is "a" with token x called by what "a" calls UNIT x
EVENTS = {"a": (200, 2_000), "b": (200, 3_000)}  # memorised and onset, about
NAMES = ("a", "b", "fork", "other", "never", "young")
SAVED = {"a": (0, 1_000, 2_000, 2_400, LAST), "b": (0, 2_000, 3_000, 3_600, LAST)}
ANALYSED = (
    "attention_frequencies",
    "embedding_fourier",
    "input_outcomes",
    "graduation",
    "key_frequencies",
    "logits_summary",
    "neuron_clusters",
    "neuron_frequencies",
    "progress_losses",
    "turn",
)
_CONFIG = modular_addition.TrainingConfig(d_model=32, n_heads=4, d_head=8, d_mlp=24)
_TURNS = {"a": 2_200, "b": 3_300, "fork": 2_600, "other": 1_500}


def make_runs(folder: Path, names: Sequence[str] = NAMES, analysed: Sequence[str] = ANALYSED) -> Workspace:
    """Those of `NAMES`, with checkpoints and results for "a", "b" and "fork" and a history for all."""
    workspace = Workspace(folder, create=True)
    for name in names:
        p = 19 if name == "other" else P
        params = modular_addition.Params(p=p, seed=1)
        parent = {"name": "a", "epoch": 0, "change": {}} if name == "fork" else None
        variant = workspace.create_variant(
            replace(modular_addition.record(params, _CONFIG), name=name, parent=parent)
        )
        variant.save_history(_history(name))
        start = modular_addition.init_weights(params, _CONFIG)
        for place, epoch in enumerate(SAVED.get("a" if name == "fork" else name, ())):
            strength = (0.0, 0.2, 0.6, 0.9, 1.0)[place] * (0.95 if name == "fork" else 1.0)
            weights = planted_weights(start, (3, 7, 8), strength, seed=1)
            weights["embed.W_E"][:, :6] *= torch.tensor([1.0, 1.0, 1.2, 1.2, 1.5, 1.5])
            variant.save_checkpoint(epoch, renamed(weights) if name == "b" else weights)
        if variant.epochs:
            assert analyze(variant, analysed).failures == []
    workspace.catalog.refresh()
    return workspace


def renamed(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The same model with its tokens renamed: what it does with x is what the original does with UNIT x."""
    p = weights["unembed.W_U"].shape[1]
    rows = np.arange(p) * UNIT % p
    embedding = weights["embed.W_E"].clone()
    embedding[:p] = embedding[rows]
    return {**weights, "embed.W_E": embedding, "unembed.W_U": weights["unembed.W_U"][:, rows].contiguous()}


def _history(name: str) -> dict[str, np.ndarray]:
    epoch = np.arange(0, (5 * STEP if name == "young" else LAST) + 1, STEP)
    fallen = 1 / (1 + np.exp(-(epoch - _TURNS.get(name, 10 * LAST)) / 100))
    return {
        "epoch": epoch,
        "train_loss": 3.1 * np.exp(-epoch / 40) + 1e-7,
        "test_loss": np.exp(np.log(3.1 + 2 * (1 - np.exp(-epoch / 200))) - 14 * fallen),
        "lr": np.full(len(epoch), 1e-3),
    }
