"""What the model loses when one attention head is taken away."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyzers.cross_entropy import SPLITS, cross_entropy, split_means
from analyzers.features import Features
from analyzers.registry import Output, analyzer

ABLATIONS = ("zero", "mean")
_AT_ONCE = 4  # values of a: few enough that their activations stay in the cache


@analyzer(
    name="head_ablation",
    version=2,
    scope="checkpoint",
    kind="outputs",
    title="Loss without one head",
    outputs={
        "loss": Output(
            ("head", "ablation", "split"), "float64", "Mean cross-entropy without the head", "nat"
        ),
        "loss_all_heads": Output(
            ("ablation", "split"), "float64", "Mean cross-entropy without any head", "nat"
        ),
    },
    formula="loss of the model with the head's output o_h(a, b) at = replaced by 0 (zero) or by its mean over"
    " all p^2 inputs (mean)",
    source="Nanda et al. 2023, arXiv:2301.05217, table of skip and head ablations (all heads zeroed: 24.3"
    " nat)",
    protocol="one head at a time, everything behind it recomputed for every input; forward pass in float32,"
    " cross-entropy in float64; the mean is taken over the whole grid, train and test",
    caveats="Zeroing also removes the head's constant output, which later layers count on: a large loss under"
    " zero and a small one under mean says that the head only provided an offset. Heads that do the same are"
    " each dispensable alone.",
)
def head_ablation(features: Features) -> dict[str, Any]:
    """Cross-entropy of the model with one head's output zeroed or replaced by its mean over the grid.

    Formula: resid_mid' = resid_mid - o_h (+ mean_{a,b} o_h for "mean"), logits' = (resid_mid' +
    ReLU(resid_mid' W_in) W_out) W_U, loss as in logits_summary. loss_all_heads does the same to all heads at
    once; the logits are then the same for every input, so that it cannot be below log p on the whole grid.

    Shapes: loss [n_heads, 2 (zero, mean), 3 (train, test, all)], loss_all_heads [2, 3]. Units: nat. Source:
    Nanda et al. 2023, arXiv:2301.05217.

    Limits: the forward pass is in float32, which moves a loss by about 1e-5 of its size. One head at a time
    does not show what two heads do together. A checkpoint with NaN in its path gives NaN, an empty split too.
    """
    from analyzers.head_readings import HeadReadings

    p, task = features.p, features.task
    readings = HeadReadings(features.tensors, features.grid.pattern, p)
    loss = np.empty((readings.n_heads, len(ABLATIONS), p * p))
    for a in range(0, p, _AT_ONCE):
        inputs = slice(a * p, min(a + _AT_ONCE, p) * p)
        logits = readings.logits_without_each(slice(a, min(a + _AT_ONCE, p))).numpy()
        loss[..., inputs] = cross_entropy(logits, task.labels[inputs])
    constant = readings.logits_without_all().numpy()  # [ablation, class], the same for every input
    of_class = cross_entropy(np.repeat(constant[:, None], p, axis=1), np.arange(p))
    return {
        "ablation": list(ABLATIONS),
        "split": list(SPLITS),
        "loss": split_means(loss, task),
        "loss_all_heads": split_means(of_class[:, task.labels], task),
    }
