"""What the model loses when one attention head is taken away."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.cross_entropy import SPLITS, cross_entropy, split_means
from analyzers.features import Features
from analyzers.registry import Output, analyzer

ABLATIONS = ("zero", "mean")


@analyzer(
    name="head_ablation",
    version=1,
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
    from training.fast_path import attention_pattern, head_output, logits_of, residual_before_mlp

    p, task = features.p, features.task
    weights = {name: tensor.float() for name, tensor in features.tensors.items()}
    pattern = attention_pattern(weights, p)
    middle = residual_before_mlp(weights, p, pattern)

    def losses(resid_mid: Any) -> NDArray[np.float64]:
        logits = logits_of(weights, resid_mid).reshape(-1, p).numpy()
        whole = np.broadcast_to(logits, (p * p, p))
        return np.asarray(split_means(cross_entropy(whole, task.labels), task))

    rows = []
    for head in range(len(pattern)):
        output = head_output(weights, p, pattern, head)
        without = middle - output
        rows.append([losses(without), losses(without + output.mean((0, 1)))])
    constant = middle.mean((0, 1))
    written = sum(head_output(weights, p, pattern, head).mean((0, 1)) for head in range(len(pattern)))
    return {
        "ablation": list(ABLATIONS),
        "split": list(SPLITS),
        "loss": rows,
        "loss_all_heads": [losses(constant - written), losses(constant)],
    }
