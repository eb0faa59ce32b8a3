"""How many inputs no longer teach anything because their loss rounds to zero."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyzers.cross_entropy import SPLITS, split_means
from analyzers.features import Features
from analyzers.registry import Output, analyzer

PRECISIONS = ("float16", "float32", "float64")


@analyzer(
    name="softmax_collapse",
    version=1,
    scope="checkpoint",
    kind="outputs",
    title="Softmax collapse",
    outputs={
        "collapsed": Output(
            ("precision", "split"), "float32", "Share of inputs whose cross-entropy is exactly 0", "1"
        ),
    },
    formula="share of inputs with -log_softmax(l)[c] == 0, evaluated in float16, float32 and float64",
    source="Prieto et al. 2025, arXiv:2501.04697",
    protocol="logits from the stored weights in float64, rounded to the precision, then log_softmax in"
    " it; the"
    " variant's own split",
    caveats="What matters in training is the precision of its own cross-entropy (this workbench trains with a"
    " float64 one). Sums of exponentials in another order can differ in the last bit.",
)
def softmax_collapse(features: Features) -> dict[str, Any]:
    """Share of inputs whose cross-entropy, computed in a given floating-point type, is exactly zero.

    Formula: loss = max(l) + log sum_j exp(l_j - max(l)) - l_c with every step rounded to the type; it is 0
    when the other classes' exponentials vanish beside the right one's, that is beyond a margin of about 17
    logits in float32, 37 in float64 and 8 in float16. Such an input has no gradient in that type.

    Shape: [3 (float16, float32, float64), 3 (train, test, all)]. Units: share of the inputs.

    Source: Prieto et al. 2025, arXiv:2501.04697.

    Limits: see the caveats; an input with a logit that is not finite makes its splits NaN.
    """
    import torch

    logits, task = features.grid.logits.flatten(0, 1), features.task
    labels = torch.from_numpy(task.labels)[:, None]
    finite = logits.isfinite().all(1)
    shares = []
    for precision in PRECISIONS:
        rounded = logits.to(getattr(torch, precision))
        loss = -rounded.log_softmax(1).gather(1, labels)[:, 0]
        collapsed = torch.where(finite, (loss == 0).double(), torch.nan)
        shares.append(split_means(collapsed.numpy(), task))
    return {"precision": list(PRECISIONS), "split": list(SPLITS), "collapsed": np.stack(shares)}
