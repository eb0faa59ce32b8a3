"""The loss as a function of the weights: many points at once, with gradients and Hessian-vector products.

A point is one flat vector with all weights of the model one after the other, in the order of their names. The
points of a batch [points, n_weights] are evaluated together. The forward pass is that of
`training.fast_path`, written with a leading axis of points and for chosen inputs only.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from analyzers.optimizer import Optimizer
from analyzers.task import ModularTask

Weights = Mapping[str, Tensor]


class Landscape:
    """Losses of a modular-arithmetic transformer near a checkpoint.

    weights  of the checkpoint, by the field's names; their layout is that of every point
    task     modulus and right answers
    dtype    of the matrix products; the cross-entropy is always float64
    """

    def __init__(self, weights: Weights, task: ModularTask, dtype: torch.dtype = torch.float64) -> None:
        self.task = task
        self._shapes = {name: weights[name].shape for name in sorted(weights)}
        self.centre = torch.cat([weights[name].detach().flatten() for name in self._shapes]).to(dtype)
        self._labels = torch.from_numpy(task.labels)

    @property
    def n_weights(self) -> int:
        return len(self.centre)

    def flat(self, named: Weights) -> Tensor:
        """One value per weight as a flat vector, from tensors of the shapes of the weights."""
        return torch.cat([named[name].to(self.centre.dtype).flatten() for name in self._shapes])

    def slices(self) -> dict[str, slice]:
        """Where each weight lies in a flat point."""
        found, start = {}, 0
        for name, shape in self._shapes.items():
            found[name] = slice(start, start + shape.numel())
            start += shape.numel()
        return found

    def direction(self, generator: torch.Generator) -> Tensor:
        """A random Gaussian direction [n_weights], every tensor of which has the norm of that weight."""
        found = torch.randn(self.n_weights, generator=generator, dtype=self.centre.dtype)
        for place in self.slices().values():
            found[place] *= self.centre[place].norm() / found[place].norm()
        return found

    def losses(self, points: Tensor, rows: Tensor) -> Tensor:
        """Cross-entropy [points, inputs] (nat, float64) at `points` [points, n_weights] of the inputs `rows`.

        rows [inputs] counts the inputs n = a p + b.
        """
        logits = self._logits(self._named(points), rows).double()
        labels = self._labels[rows].expand(logits.shape[:2])
        return torch.nn.functional.cross_entropy(logits.mT, labels, reduction="none")

    def gradient(self, points: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Mean loss over `rows` [points] (float64) and its gradient [points, n_weights]."""
        points = points.detach().requires_grad_()
        loss = self.losses(points, rows).mean(1)
        (slope,) = torch.autograd.grad(loss.sum(), points)
        return loss.detach(), slope

    def hessian_product(self, rows: Tensor) -> HessianProduct:
        """The Hessian of the mean loss over `rows` at the checkpoint, as a linear map."""
        return HessianProduct(self, rows)

    def _named(self, points: Tensor) -> dict[str, Tensor]:
        return {
            name: points[:, place].unflatten(1, shape)
            for (name, shape), place in zip(self._shapes.items(), self.slices().values(), strict=True)
        }

    def _logits(self, weights: Weights, rows: Tensor) -> Tensor:
        """[points, inputs, p] from weights with a leading axis of points."""
        p = self.task.p
        a, b = rows // p, rows % p
        w_e, w_pos = weights["embed.W_E"], weights["pos_embed.W_pos"]
        w_q, w_k, w_v, w_o = (weights[f"blocks.0.attn.W_{name}"] for name in "QKVO")
        x_a, x_b = (w_e[:, :p] + w_pos[:, place : place + 1] for place in (0, 1))
        x_eq = w_e[:, p : p + 1] + w_pos[:, 2:3]
        tokens = torch.cat([x_a, x_b, x_eq], 1).unsqueeze(1)  # [points, 1, 2p+1, d_model]
        query = (x_eq.unsqueeze(1) @ w_q + _bias(weights, "blocks.0.attn.b_Q", 2)) / w_q.shape[-1] ** 0.5
        score = (tokens @ (w_k @ query.mT)).squeeze(-1)  # [points, heads, 2p+1]
        places = torch.stack([a, p + b, torch.full_like(a, 2 * p)])  # of the three sources, [3, inputs]
        alpha = score[..., places].softmax(2)  # [points, heads, 3, inputs]
        written = (tokens @ w_v + _bias(weights, "blocks.0.attn.b_V", 2)) @ w_o
        written = written.transpose(1, 2)  # [points, 2p+1, heads, d_model]
        mixed = alpha.permute(2, 0, 3, 1).unsqueeze(-2)  # [3, points, inputs, 1, heads]
        resid = x_eq + (mixed[2] @ written[:, -1:]).squeeze(-2) + _bias(weights, "blocks.0.attn.b_O")
        for source in (0, 1):
            resid = resid + (mixed[source] @ written.index_select(1, places[source])).squeeze(-2)
        w_u = weights["unembed.W_U"]
        neurons = torch.relu(resid @ weights["blocks.0.mlp.W_in"] + _bias(weights, "blocks.0.mlp.b_in"))
        resid = resid + _bias(weights, "blocks.0.mlp.b_out")
        logits = neurons @ (weights["blocks.0.mlp.W_out"] @ w_u) + resid @ w_u
        return logits + _bias(weights, "unembed.b_U")


def _bias(weights: Weights, name: str, axis: int = 1) -> Tensor | float:
    """A bias with a new axis for the inputs, 0 if the model has none of that name."""
    return weights[name].unsqueeze(axis) if name in weights else 0.0


class HessianProduct:
    """v -> H v, H the Hessian of the mean loss over some inputs at the checkpoint; exact."""

    def __init__(self, landscape: Landscape, rows: Tensor) -> None:
        self._point = landscape.centre.clone().requires_grad_()
        loss = landscape.losses(self._point[None], rows).mean()
        (self._slope,) = torch.autograd.grad(loss, self._point, create_graph=True)
        self.gradient = self._slope.detach()

    def __call__(self, vector: Tensor) -> Tensor:
        """H v of one vector [n_weights]."""
        (product,) = torch.autograd.grad(self._slope, self._point, vector, retain_graph=True)
        return product


def preconditioner(landscape: Landscape, second_moment: Weights, optimizer: Optimizer) -> Tensor:
    """P = sqrt(v / (1 - beta2^t)) + eps, by which AdamW divides the gradient, flat [n_weights]."""
    corrected = landscape.flat(second_moment) / (1 - optimizer.beta2 ** max(optimizer.updates, 1))
    return corrected.sqrt() + optimizer.eps
