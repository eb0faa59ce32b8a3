"""When each input was learned for good."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.registry import Output, analyzer
from analyzers.run import Run
from analyzers.task import modular_task

SPLITS = ("train", "test")
NEVER = -1

_DIMS = ("a", "b")


@analyzer(
    name="graduation",
    version=1,
    scope="trajectory",
    kind="artifacts",
    title="Graduation of inputs",
    outputs={
        "graduated": Output(
            _DIMS, "int32", "First checkpoint from which it stays right (-1: never)", "epoch"
        ),
        "before": Output(_DIMS, "int32", "Last checkpoint at which it was not right (-1: none)", "epoch"),
        "relapses": Output(_DIMS, "int16", "Times it went from right to wrong", "1"),
        "in_train": Output(_DIMS, "int8", "Split: 1 train, 0 test, -1 unknown", "1"),
        "share": Output(("split", "epoch"), "float32", "Share of the split's inputs graduated by then", "1"),
    },
    needs=("input_outcomes",),
    formula="graduated = first checkpoint e such that the input is answered rightly at e and at every later"
    " checkpoint; share(e) = share of the split's inputs with graduated <= e",
    source="Definition of this workbench",
    protocol="input_outcomes at every stored checkpoint; the variant's own split",
    caveats="Seen at checkpoints only: the input graduated in (before, graduated], and may have been wrong"
    " between two checkpoints. An input that is right at the last checkpoint only counts as graduated there.",
)
def graduation(run: Run) -> dict[str, Any]:
    """The checkpoint from which every input stays right, for training and test inputs.

    Formula: with right_e the input's correctness at checkpoint e, graduated = min {e : right_e' for all
    e' >= e}, -1 if it is wrong at the last checkpoint; before = the checkpoint ahead of that (the last at
    which it was wrong), -1 if it was always right; relapses = number of consecutive checkpoints right,
    wrong; share[split, e] = share of the split's inputs with graduated <= e.

    Shapes: [p (a), p (b)]; share [2 (train, test), epoch]. Units: epochs; numbers; shares.

    Source: definition of this workbench.

    Limits: the resolution is that of the checkpoints. Without a known split in_train is -1 and share NaN.
    """
    outcomes = run.artifact("input_outcomes").sortby("epoch")
    epochs = outcomes["epoch"].values
    right = outcomes["error"].transpose("epoch", *_DIMS).values == 0
    stays = np.logical_and.accumulate(right[::-1], axis=0)[::-1]
    wrong_count = (~stays).sum(axis=0)  # checkpoints before it graduated
    graduated = np.append(epochs, NEVER)[wrong_count]
    task = modular_task(run.family, run.params)
    masks = [mask.reshape(right.shape[1:]) for mask in (task.train, task.test)]
    return {
        "epoch": epochs,
        "split": list(SPLITS),
        "graduated": graduated,
        "before": np.append(NEVER, epochs)[wrong_count],
        "relapses": (right[:-1] & ~right[1:]).sum(axis=0),
        "in_train": np.where(masks[0], 1, np.where(masks[1], 0, -1)),
        "share": np.stack([_share(stays, mask) for mask in masks]),
    }


def _share(stays: NDArray[np.bool_], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Share of the masked inputs that are right for good by each checkpoint, [epoch]."""
    if not mask.any():
        return np.full(len(stays), np.nan)
    return np.asarray(stays[:, mask].mean(axis=1))
