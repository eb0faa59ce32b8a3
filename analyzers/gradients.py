"""Exact gradients of the mean cross-entropy at several places of the model.

Everything is float64, and the slope of the right class's logit is minus the sum of the other classes'
probabilities, so that gradients keep their digits when the loss is 1e-12.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analyzers.features import Features
from analyzers.fourier import grid_transform, transform
from training.fast_path import attention_pattern

SITES = ("W_E", "W_U", "W_L", "neurons")
GRADIENTS = ("train", "grid")

Array = NDArray[Any]


@dataclass(frozen=True)
class SiteGradient:
    """One gradient g in the Fourier basis of its site.

    vector  all of g, flat; constant [m], coefficients [K, m]  those of the constant row and of frequency k
    """

    vector: Array
    constant: Array
    coefficients: Array

    @property
    def energy(self) -> float:
        """||g||^2."""
        return float(self.vector @ self.vector)

    @property
    def share(self) -> Array:
        """||F_k g||^2 / ||g||^2 per frequency, [K]."""
        return (self.coefficients**2).sum(axis=1) / np.float64(self.energy)

    @property
    def constant_share(self) -> float:
        """Share of the constant row."""
        return float(self.constant @ self.constant / np.float64(self.energy))


def logit_slopes(logits: Tensor, labels: Tensor) -> Tensor:
    """d loss / d logits [inputs, p] of every input's own cross-entropy: softmax less the right answer."""
    right = labels[:, None]
    lead = (logits - logits.gather(1, right)).scatter_(1, right, -torch.inf)
    behind = lead.amax(1, keepdim=True).clamp_(min=0)
    weight = lead.sub_(behind).exp_()
    wrong = weight.sum(1, keepdim=True)
    total = wrong + (-behind).exp()
    return weight.div_(total).scatter_(1, right, -wrong / total)


def gradients(features: Features) -> dict[str, dict[str, SiteGradient]]:
    """gradient (train, grid) -> site -> its gradient; NaN throughout for "train" where no split is known.

    Sites: W_E [p, d_model] (the row of = left out) along the tokens; W_U [d_model, p] and W_L = W_out W_U
    [d_mlp, p] along the classes; the neurons after the ReLU [p, p, d_mlp] over the grid, in 3 x 3 blocks.
    """
    p, weights, grid = features.p, features.tensors, features.grid
    resid_post, neurons = grid.resid_post.flatten(0, 1), grid.neurons.flatten(0, 1)
    rows = logit_slopes(grid.logits.flatten(0, 1), torch.from_numpy(features.task.labels))
    read = torch.from_numpy(features.neuron_logit_map)
    to_resid = rows @ weights["unembed.W_U"].T
    to_resid += (rows @ read.T).mul_(neurons > 0) @ weights["blocks.0.mlp.W_in"].T
    to_embedding = _embedding_gradient(features)
    # The slopes of the neurons are rows @ read.T; read = Q R, and leaving out Q changes no inner product.
    to_neurons = rows @ torch.linalg.qr(read, mode="r").R.T
    found = {}
    for name, weight in zip(GRADIENTS, _weights(features.task.train), strict=True):
        column = torch.from_numpy(weight)[:, None]
        slopes = rows * column
        found[name] = {
            "W_E": _of_matrix(to_embedding(to_resid * column)),
            "W_U": _of_matrix((slopes.T @ resid_post).numpy()),
            "W_L": _of_matrix((slopes.T @ neurons).numpy()),
            "neurons": _of_grid((to_neurons * column).numpy().reshape(p, p, -1)),
        }
    return found


def _weights(train: Array) -> tuple[Array, Array]:
    """How much each input counts in the mean loss of the training set, and in that of the grid."""
    n_train = int(train.sum())
    of_train = train / n_train if n_train else np.full(len(train), np.nan)
    return of_train, np.full(len(train), 1 / len(train))


def _embedding_gradient(features: Features) -> Callable[[Tensor], Array]:
    """From d loss / d resid_mid [inputs, d_model] to d loss / d W_E of the number tokens, [p, d_model].

    resid_mid is the sum over heads of attention (to a, b, =) times what the head writes of that token. The
    slopes of both factors are products over one operand at a time; autograd does the rest, which is small.
    """
    p, weights = features.p, features.tensors
    w_e, w_pos = weights["embed.W_E"].clone().requires_grad_(), weights["pos_embed.W_pos"]
    w_ov = weights["blocks.0.attn.W_V"] @ weights["blocks.0.attn.W_O"]
    of_a, of_b, of_eq = attention_pattern({**weights, "embed.W_E": w_e}, p).unbind(1)  # [heads, p, p]
    write_a, write_b = ((w_e[:p] + w_pos[place]) @ w_ov for place in (0, 1))  # [heads, p, d_model]
    write_eq = ((w_e[p] + w_pos[2]) @ w_ov).detach()  # [heads, d_model]

    def gradient(slopes: Tensor) -> Array:
        by_a = slopes.view(p, p, -1)
        by_b = by_a.transpose(0, 1).contiguous()
        pairs = [
            (of_a, (by_a @ write_a.detach().permute(1, 2, 0)).permute(2, 0, 1)),
            (of_b, (by_b @ write_b.detach().permute(1, 2, 0)).permute(2, 1, 0)),
            (of_eq, (by_a @ write_eq.T).permute(2, 0, 1)),
            (write_a, (of_a.detach().permute(1, 0, 2) @ by_a).transpose(0, 1)),
            (write_b, (of_b.detach().permute(2, 0, 1) @ by_b).transpose(0, 1)),
        ]
        outputs, at_outputs = zip(*pairs, strict=True)
        (found,) = torch.autograd.grad(outputs, w_e, at_outputs, retain_graph=True)
        return found[:p].numpy()

    return gradient


def _of_matrix(values: Array) -> SiteGradient:
    """Of a matrix whose first axis is that of the tokens or classes."""
    spectrum = transform(values)
    both = np.concatenate([spectrum.cos, spectrum.sin], axis=1)
    return SiteGradient(values.ravel(), spectrum.const, both)


def _of_grid(values: Array) -> SiteGradient:
    """Of functions of (a, b), [p, p, m]."""
    spectrum = grid_transform(values)
    names = ("a_cos", "a_sin", "b_cos", "b_sin", "cos_cos", "cos_sin", "sin_cos", "sin_sin")
    blocks = np.concatenate([getattr(spectrum, name) for name in names], axis=1)
    return SiteGradient(values.ravel(), len(values) * spectrum.mean, blocks)
