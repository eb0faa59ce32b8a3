"""How well each answer class is learned."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyzers.cross_entropy import SPLITS, split_masks
from analyzers.features import Features
from analyzers.registry import Output, analyzer

_DIMS = ("split", "residue")


@analyzer(
    name="residue_classes",
    version=1,
    scope="checkpoint",
    kind="outputs",
    title="Accuracy per answer class",
    outputs={
        "accuracy": Output(_DIMS, "float32", "Share of the class's inputs answered rightly", "1"),
        "loss": Output(_DIMS, "float32", "Mean cross-entropy of the class's inputs", "nat"),
        "count": Output(_DIMS, "int16", "Inputs of the class", "inputs"),
    },
    formula="accuracy_c, loss_c = means over the inputs with right class c (a + b mod p) of the split",
    source="Definitions",
    protocol="all p x p inputs, the variant's own split, logits from the stored weights in float64; a tie is"
    " an error",
    caveats="About p / 3 training inputs per class at the usual 30 %: single classes are noisy, one input"
    " being 3 % of its class.",
)
def residue_classes(features: Features) -> dict[str, Any]:
    """Accuracy and mean loss of the inputs that share the right answer, per split.

    Formula: over the inputs n of a split with right class c, accuracy = mean [margin_n > 0] and loss = mean
    cross-entropy.

    Shapes: [3 (train, test, all), p (residue c)]. Units: share; nats; inputs. Source: definitions.

    Limits: a class without an input in a split is NaN there, and so is one with a logit that is not finite.
    """
    task = features.task
    loss, margin = features.loss_and_margin
    right = np.where(np.isnan(margin), np.nan, margin > 0)
    count = np.stack([_sums(task.labels, mask, features.p) for mask in split_masks(task).values()])
    found = {}
    for name, values in (("accuracy", right), ("loss", loss)):
        sums = [_sums(task.labels, mask, features.p, values) for mask in split_masks(task).values()]
        with np.errstate(invalid="ignore", divide="ignore"):
            found[name] = np.stack(sums) / count
    return {"split": list(SPLITS), "count": count, **found}


def _sums(labels: np.ndarray, mask: np.ndarray, p: int, values: np.ndarray | None = None) -> np.ndarray:
    """Sum of the values (or number) of the masked inputs of each class, [p]."""
    return np.bincount(labels[mask], weights=None if values is None else values[mask], minlength=p)
