"""The one cross-entropy of every measure: float64, with log1p, so that a loss of 1e-12 keeps its digits."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analyzers.task import ModularTask

if TYPE_CHECKING:
    from torch import Tensor

SPLITS = ("train", "test", "all")
_ROWS = 1024  # inputs at a time: few enough to stay in the cache from one operation to the next

Array = NDArray[Any]
Labels = NDArray[np.int64]


def cross_entropy(logits: Array, labels: Labels) -> Array:
    """Cross-entropy (nat) per input, [..., n], from `logits` [..., n, classes] and `labels` [n].

    loss = log(1 + sum_{j != c} exp(l_j - l_c)); NaN where a logit of the input is not finite.
    """
    return loss_and_margin(logits, labels)[0]


def loss_and_margin(logits: Array, labels: Labels) -> tuple[Array, Array]:
    """Cross-entropy (nat) and margin l_c - max_{j != c} l_j (logit) per input, [..., n] each.

    `logits` [..., n, classes], `labels` [n]; both are NaN where a logit of the input is not finite.
    """
    import torch

    rows = np.asarray(logits).reshape(-1, logits.shape[-1])
    right = np.broadcast_to(labels, logits.shape[:-1]).reshape(-1)
    loss, margin = np.empty(len(rows)), np.empty(len(rows))
    for start in range(0, len(rows), _ROWS):
        some = slice(start, start + _ROWS)
        values = torch.from_numpy(np.require(rows[some], np.float64, "W"))
        found = _of_rows(values, torch.from_numpy(np.array(right[some], np.int64))[:, None])
        loss[some], margin[some] = (part.numpy() for part in found)
    return loss.reshape(logits.shape[:-1]), margin.reshape(logits.shape[:-1])


def _of_rows(values: Tensor, right: Tensor) -> tuple[Tensor, Tensor]:
    """(loss, margin) [n] of `values` [n, classes], `right` [n, 1]."""
    import torch

    lead = values - values.gather(1, right)
    finite = values.sum(1).isfinite()
    lead.scatter_(1, right, -torch.inf)
    ahead_by = -lead.amax(1)
    behind = (-ahead_by).clamp_(min=0.0)  # how far the right class is behind; 0 if it leads
    wrong = lead.sub_(behind[:, None]).exp_().sum(1)
    loss = torch.where(ahead_by >= 0, wrong.log1p(), behind + (wrong + (-behind).exp()).log())
    undefined = torch.full((), torch.nan, dtype=torch.float64)
    return torch.where(finite, loss, undefined), torch.where(finite, ahead_by, undefined)


def split_masks(task: ModularTask) -> dict[str, NDArray[np.bool_]]:
    """Which of the p * p inputs belong to each of `SPLITS`."""
    return dict(zip(SPLITS, (task.train, task.test, np.ones_like(task.train)), strict=True))


def split_means(values: Array, task: ModularTask) -> Array:
    """Mean over each of `SPLITS` of `values` [..., p * p] per input: [..., 3]; NaN for an empty split."""
    means = [
        values[..., mask].mean(axis=-1) if mask.any() else np.full(values.shape[:-1], np.nan)
        for mask in split_masks(task).values()
    ]
    return np.stack(means, axis=-1)
