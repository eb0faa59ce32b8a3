"""Whether the Triton kernels can be used on a device."""

from __future__ import annotations

import functools

import torch


@functools.cache
def has_kernels(device: torch.device) -> bool:
    """True if ``training.kernels`` runs on that CUDA device: Triton and its compiler are there and work."""
    if device.type != "cuda":
        return False
    try:
        from training import kernels

        weights, grads, mean, square = (torch.ones(1, 4, device=device) for _ in range(4))
        kernels.adamw(weights, grads, mean, square, torch.ones(3, 1, 1, device=device), (0.5, 0.5), 1.0)
        return bool((weights == 0.5).all())
    except Exception:  # whatever is missing (Triton, a C compiler, the GPU generation), the plain path works
        return False
