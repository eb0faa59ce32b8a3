"""The Triton kernels compute what the plain step and the plain optimizer do (in Triton's interpreter)."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys

import pytest

CODE = """
import torch
from training import kernels
from training.engine import Engine
from training.families import modular_addition as family
from training.fast_step import FastStep
from training.fused_step import FusedStep

for dtype, tolerance in (("float64", 1e-13), ("float32", 2e-5)):
    config = family.TrainingConfig(dtype=dtype, d_model=6, n_heads=3, d_head=2, d_mlp=10)
    many = [family.Params(p=5, seed=seed, data_seed=seed + 3) for seed in range(2)]
    each = [family.init_weights(params, config) for params in many]
    weights = {name: 2.5 * torch.stack([one[name] for one in each]) for name in each[0]}
    rows = torch.stack([torch.from_numpy(family.split(params)[0]) for params in many])
    labels = torch.from_numpy(family.labels(many[0]))
    results = []
    for kind, options in ((FastStep, {}), (FusedStep, {}), (FusedStep, {"block_rows": 25})):
        grads = {name: torch.full_like(weight, torch.nan) for name, weight in weights.items()}
        step = kind(weights, grads, labels, rows, **options)
        step()
        results.append((step(), grads))
    (losses, grads), *others = results
    for other_losses, other_grads in others:
        assert torch.allclose(losses, other_losses, rtol=tolerance, atol=0)
        for name, grad in grads.items():
            assert (grad - other_grads[name]).abs().max() < tolerance * grad.abs().max(), (dtype, name)

    state = [torch.rand(2, 1500, dtype=getattr(torch, dtype)) for _ in range(4)]
    factors = torch.tensor([[0.999, 0.99], [1e-3, 2e-2], [0.1, 0.7]], dtype=state[0].dtype)[..., None]
    expected = [part.clone() for part in state]
    kernels.adamw(*state, factors, (0.9, 0.98), 1e-8)
    weight, grad, mean, square = expected
    mean.lerp_(grad, 1 - 0.9)
    square.mul_(0.98).add_(0.02 * grad * grad)
    weight.mul_(factors[0]).sub_(factors[1] * mean / (square.sqrt() / factors[2] + 1e-8))
    for part, wanted in zip(state, expected):
        assert torch.allclose(part, wanted, rtol=tolerance, atol=1e-7 if dtype == "float32" else 1e-15)

weights["unembed.W_U"][1] = torch.nan
losses = FusedStep(weights, grads, labels, rows)()
assert losses.isnan().tolist() == [[False, True]] * 2
print("equal")
"""


@pytest.mark.skipif(importlib.util.find_spec("triton") is None, reason="needs Triton (Linux)")
def test_kernels_are_the_plain_step():
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, env=environment)
    assert done.stdout.strip() == "equal", done.stderr
