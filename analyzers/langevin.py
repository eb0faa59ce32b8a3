"""Stochastic gradient Langevin dynamics around a point, and the local learning coefficient from it.

Knows nothing of models: the loss comes as a function of a batch of points. Source: Lau et al. 2023,
arXiv:2308.12108; the sampler is that of Welling and Teh 2011.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Potential = Callable[[Tensor, int], tuple[Tensor, Tensor]]
"""(points [chains, n], batch number) -> mean loss of that batch [chains] and its gradient [chains, n]."""

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Chains:
    """What Langevin chains met.

    loss [steps, chains] of the batch of the step, before the step; NaN from where a chain left the numbers
    acceptance [chains] mean probability with which Metropolis would have accepted a step
    distance [chains] Euclidean distance from the centre after the last step
    """

    loss: Array
    acceptance: Array
    distance: Array

    @property
    def finite(self) -> NDArray[np.bool_]:
        """Chains [chains] that met nothing but numbers."""
        return np.asarray(np.isfinite(self.loss).all(axis=0))


def inverse_temperature(n: int) -> float:
    """n beta = n / ln n, the choice at which lambda is read off (Watanabe); n >= 2 training inputs."""
    return n / math.log(n)


def sample(
    potential: Potential,
    centre: Tensor,
    *,
    n_beta: float,
    epsilon: Tensor,
    gamma: float,
    steps: int,
    generator: torch.Generator,
) -> Chains:
    """Run one chain per entry of `epsilon` [chains] from `centre` [n].

    A step is w <- w - (epsilon / 2) (n_beta grad L(w) + gamma (w - w*)) + N(0, epsilon). Each batch serves
    two steps, so that the step between them has a well-defined Metropolis acceptance probability: that of a
    proposal of the Metropolis-adjusted Langevin algorithm for the potential of that batch.
    """
    step_size = epsilon.to(centre.dtype)[:, None]
    points = centre.expand(len(epsilon), -1).clone()
    losses, accepted = [], []
    energy, slope, noise = epsilon.new_zeros(len(epsilon)), torch.zeros_like(points), torch.zeros_like(points)
    for step in range(steps):
        loss, gradient = potential(points, step // 2)
        losses.append(loss.double())
        away = points - centre
        previous_energy, previous_slope = energy, slope
        energy = n_beta * losses[-1] + 0.5 * gamma * away.double().square().sum(1)
        slope = n_beta * gradient + gamma * away
        if step % 2:
            both = slope + previous_slope
            gained = (both * (noise / 2 - step_size / 8 * both)).double().sum(1)
            accepted.append((previous_energy - energy + gained).clamp(max=0.0).exp())
        noise = torch.randn(points.shape, generator=generator, dtype=points.dtype, device=points.device)
        noise *= step_size.sqrt()
        points = points - step_size / 2 * slope + noise
    acceptance = torch.stack(accepted).mean(0) if accepted else torch.full_like(losses[0], torch.nan)
    distance = (points - centre).double().norm(dim=1)
    return Chains(torch.stack(losses).cpu().numpy(), acceptance.cpu().numpy(), distance.cpu().numpy())


def learning_coefficient(loss: Array, loss_at_centre: float, n_beta: float, burn_in: int) -> Array:
    """lambda [chains] = n_beta (mean of `loss` [steps, chains] after `burn_in` - loss at the centre)."""
    return n_beta * (loss[burn_in:].mean(axis=0) - loss_at_centre)
