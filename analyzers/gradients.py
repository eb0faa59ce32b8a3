"""Exact gradients of the mean cross-entropy at several places of the model.

Everything is float64, and the slope of the right class's logit is minus the sum of the other classes'
probabilities, so that gradients keep their digits when the loss is 1e-12.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from analyzers.attention_gradients import Heads
from analyzers.features import Features
from analyzers.fourier import grid_transform, transform
from training.fast_path import GridActivations

SITES = ("W_E", "W_U", "W_L", "neurons")
GRADIENTS = ("train", "grid")

_ROWS = 1024  # inputs at a time: what lies between two products stays in the cache

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
    read = torch.from_numpy(features.neuron_logit_map)
    slopes = logit_slopes(grid.logits.flatten(0, 1), torch.from_numpy(features.task.labels))
    to_resid = _slopes_before_mlp(features, slopes, read)
    heads = Heads.of(weights, p)
    # The slopes of the neurons are slopes @ read.T; read = Q R, and leaving out Q changes no inner product.
    to_neurons = slopes @ torch.linalg.qr(read, mode="r").R.T
    found = {}
    for name, weight in zip(GRADIENTS, _weights(features.task.train), strict=True):
        column = torch.from_numpy(weight)[:, None]
        by_embedding = heads.over_grid(grid.pattern, (to_resid * column).view(p, p, -1))
        rows = column[:, 0].nonzero()[:, 0]  # NaN is not zero
        by_unembedding, by_read = _by_readers(grid, slopes, column, rows)
        found[name] = {
            "W_E": _of_matrix(by_embedding.numpy()),
            "W_U": _of_matrix(by_unembedding.numpy()),
            "W_L": _of_matrix(by_read.numpy()),
            "neurons": _of_grid((to_neurons * column).numpy().reshape(p, p, -1)),
        }
    return found


def _slopes_before_mlp(features: Features, slopes: Tensor, read: Tensor) -> Tensor:
    """d loss / d resid_mid [inputs, d_model] of every input's own loss, from d loss / d logits."""
    w_in, w_u = features.tensors["blocks.0.mlp.W_in"], features.tensors["unembed.W_U"]
    found = slopes @ w_u.T
    blocks = (values.split(_ROWS) for values in (found, slopes, features.grid.neurons.flatten(0, 1)))
    for to_resid, to_logits, neurons in zip(*blocks, strict=True):
        to_resid.addmm_((to_logits @ read.T).mul_(neurons > 0), w_in.T)
    return found


def _by_readers(grid: GridActivations, slopes: Tensor, column: Tensor, rows: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients by W_U and by W_L, classes first, from the inputs `rows`, weighted by `column`."""
    resid_post, neurons = grid.resid_post.flatten(0, 1), grid.neurons.flatten(0, 1)
    by_unembedding = slopes.new_zeros(slopes.shape[1], resid_post.shape[1])
    by_read = slopes.new_zeros(slopes.shape[1], neurons.shape[1])
    for some in rows.split(_ROWS):
        weighted = (slopes[some] * column[some]).T
        by_unembedding.addmm_(weighted, resid_post[some])
        by_read.addmm_(weighted, neurons[some])
    return by_unembedding, by_read


def _weights(train: Array) -> tuple[Array, Array]:
    """How much each input counts in the mean loss of the training set, and in that of the grid."""
    n_train = int(train.sum())
    of_train = train / n_train if n_train else np.full(len(train), np.nan)
    return of_train, np.full(len(train), 1 / len(train))


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
