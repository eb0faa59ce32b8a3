"""What the weights say: how they lie, which operation they compute, and the loss of every input."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.errors import BadParameter
from data.importers.contents import Contents
from data.importers.layouts import BIASES, Converted
from training.families import modular_addition as family
from training.fast_path import forward_grid
from training.importing.records import recorded_at
from training.importing.report import Imported

COMPARED = 3  # checkpoints that the split is searched with
CHANCE = 3.0  # a model has learned something when it is right more often than this many times chance
SPREAD = 5.0  # ... and by as many standard errors

_OPERATIONS = {
    "add": "add",
    "addition": "add",
    "+": "add",
    "subtract": "subtract",
    "sub": "subtract",
    "-": "subtract",
    "multiply": "multiply",
    "mul": "multiply",
    "*": "multiply",
    "x2xyy2": "x2+xy+y2",
    "x2+xy+y2": "x2+xy+y2",
}

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Model:
    """All checkpoints in our names, and the losses of every input at some of them.

    index: which checkpoints; losses [C, N]: with all classes that the source has
    """

    epochs: list[int]
    converted: list[Converted]
    operation: str
    index: list[int]
    losses: Array


def understood(
    contents: Contents,
    candidates: Sequence[Sequence[Converted]],
    asked: str | None,
    stated: Any,
    report: Imported,
) -> Model:
    """Choose the layout where the shapes leave it open, and the operation, by what the model answers."""
    epochs = [int(one.epoch or 0) for one in contents.saved]
    sizes = candidates[0][0].sizes
    index = _informative(contents, epochs)
    readings = []
    for reading in range(max(map(len, candidates))):
        converted = [one[min(reading, len(one) - 1)] for one in candidates]
        grids = [logits_of(converted[at]) for at in index]
        accuracies = {operation: _accuracy(grids, sizes.p, operation) for operation in family.OPERATIONS}
        readings.append((converted, grids, accuracies))
    readings.sort(key=lambda reading: -max(reading[2].values()))
    converted, grids, accuracies = readings[0]
    p, right = sizes.p, max(accuracies.values())
    learned = right > max(CHANCE / p, 1 / p + SPREAD * p**-1.5)
    if len(readings) > 1:
        other = max(readings[1][2].values())
        if not learned or other > right / 2:
            raise BadParameter(
                "All weights are square, so their shapes do not tell how they lie, and neither layout gives a"
                " model that has learned the task; give --layout transformerlens or --layout older."
            )
        report.notes.append(
            f"The shapes fit both layouts; as {converted[0].layout} the model is right on {right:.1%} of all"
            f" inputs, as the other on {other:.1%}: took the first."
        )
    report.notes += converted[-1].notes
    converted = _without_zero_biases(converted, report)
    operation = _operation(accuracies, learned, asked, stated, report)
    answers = torch.from_numpy(labels(p, operation))
    rows = np.stack([row_losses(grid, answers) for grid in grids])
    return Model(epochs, converted, operation, index, rows)


def _informative(contents: Contents, epochs: Sequence[int]) -> list[int]:
    """The last checkpoint, and some where train and test loss are farthest apart (or spread over the run)."""
    last = len(epochs) - 1
    apart: dict[int, float] = {}
    for at, epoch in enumerate(epochs[:-1]):
        train, test = (recorded_at(contents, split, epoch, epochs[-1]) for split in ("train", "test"))
        there = len(train) and len(test)
        apart[at] = abs(float(np.log(test[0]) - np.log(train[0]))) if there else 0.0
    if any(apart.values()):
        chosen = sorted(apart, key=lambda at: -apart[at])[: COMPARED - 1]
    else:
        chosen = sorted({round(last * share) for share in (1 / 3, 2 / 3)} - {last})
    return sorted({*chosen, last})


def logits_of(converted: Converted) -> Tensor:
    """[N, classes] in float64; the last class is `=` where the source has one."""
    weights = {name: tensor.double() for name, tensor in converted.weights.items()}
    grid = forward_grid(weights, converted.sizes.p)
    logits = grid.logits.flatten(0, 1)
    if converted.equals:
        column, bias = (converted.equals.get(name) for name in ("unembed.W_U", "unembed.b_U"))
        assert column is not None
        equals = grid.resid_post.flatten(0, 1) @ column.double()
        equals = equals if bias is None else equals + bias.double()
        logits = torch.cat([logits, equals[:, None]], 1)
    return logits


def row_losses(logits: Tensor, right: Tensor) -> Array:
    """Cross-entropy of every row with log1p, so that a small loss keeps its digits."""
    lead = logits - logits.gather(1, right[:, None])
    lead.scatter_(1, right[:, None], -torch.inf)
    most = lead.amax(1).clamp(min=0)
    wrong = (lead - most[:, None]).exp().sum(1)
    return torch.where(most > 0, most + (wrong + (-most).exp()).log(), wrong.log1p()).numpy()


def labels(p: int, operation: str) -> NDArray[np.int64]:
    return family.labels(family.Params(p=p, seed=0, frac_train=0.5, operation=operation))


def _accuracy(grids: Sequence[Tensor], p: int, operation: str) -> float:
    """The largest share of all inputs that any of the checkpoints answers rightly."""
    answers = torch.from_numpy(labels(p, operation))
    return max(float((grid.argmax(1) == answers).double().mean()) for grid in grids)


def _operation(
    accuracies: Mapping[str, float], learned: bool, asked: str | None, stated: Any, report: Imported
) -> str:
    best = max(accuracies, key=lambda operation: accuracies[operation])
    known = _OPERATIONS.get(str(stated).lower()) if stated is not None else None
    if asked is not None:
        return asked
    if not learned:
        taken = known or "add"
        report.notes.append(
            f"Operation: {taken} ({'as configured' if known else 'by default'}); the model has learned none."
        )
        return taken
    if known is not None and accuracies[known] < accuracies[best]:
        report.contradictions.append(
            f"The configuration says {stated!r}, but the model computes {best} (right on"
            f" {accuracies[best]:.1%} of all inputs, not {accuracies[known]:.1%}); took {best}."
        )
    report.notes.append(f"Operation: {best}, right on {accuracies[best]:.2%} of all inputs.")
    return best


def _without_zero_biases(converted: Sequence[Converted], report: Imported) -> list[Converted]:
    """Biases that are 0 at every checkpoint are left out: the function is the same."""
    present = [name for name in BIASES if any(name in one.weights for one in converted)]
    zero = {
        name for name in present if not any(one.weights.get(name, torch.zeros(1)).any() for one in converted)
    }
    kept = [name.rsplit(".", 1)[-1] for name in present if name not in zero]
    if kept:
        report.notes.append(f"Biases: {', '.join(kept)} are part of the function.")
    if zero:
        report.notes.append(f"Left out biases that are 0 everywhere: {', '.join(sorted(zero))}.")
    return [
        replace(one, weights={name: tensor for name, tensor in one.weights.items() if name not in zero})
        for one in converted
    ]
