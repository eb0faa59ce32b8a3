"""Running one instrument on weights from memory."""

from __future__ import annotations

from collections.abc import Mapping
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
import xarray as xr

from analyzers.features import Features
from analyzers.registry import default_registry
from training.families import modular_addition

Weights = dict[str, torch.Tensor]


def features(weights: Weights, p: int, **params: Any) -> Features:
    return Features(weights, modular_addition.NAME, {"p": p, "seed": 0, **params})


def compute(name: str, found: Features, **parameters: Any) -> dict[str, Any]:
    """The instrument's arrays, with what it needs computed first; this checkpoint counts as the last one."""
    registry = default_registry()
    instrument = registry.get(name)
    for need in registry.ordered([name])[:-1]:
        result = need.compute(found, **need.with_defaults({}))
        found.needs[need.name] = found.finals[need.name] = {
            output: np.asarray(result[output]) for output in need.outputs
        }
    returned = instrument.compute(found, **instrument.with_defaults(parameters))
    return {key: np.asarray(value) for key, value in returned.items()}


def run_of(artifacts: Mapping[str, xr.Dataset]) -> Any:
    """What an instrument of scope "trajectory" reads, from datasets."""
    return SimpleNamespace(artifact=lambda name: artifacts[name])


def arrays(weights: Weights) -> dict[str, Any]:
    return {name: tensor.double().numpy() for name, tensor in weights.items()}


def relabelled(weights: Weights, p: int, u: int) -> Weights:
    """The same function of u a and u b: tokens and classes are renamed x -> u x."""
    image = torch.arange(p) * u % p
    changed = {name: tensor.clone() for name, tensor in weights.items()}
    changed["embed.W_E"][:p] = weights["embed.W_E"][image]
    changed["unembed.W_U"] = weights["unembed.W_U"][:, image]
    return changed


def moved(k: int, p: int, u: int) -> int:
    """Index (k - 1) of the frequency that k becomes when tokens are renamed x -> x / u."""
    return min(k * u % p, p - k * u % p) - 1
