"""Loss, accuracy and margins on the training set, the test set and the whole grid."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.cross_entropy import split_masks
from analyzers.features import Features
from analyzers.registry import Output, analyzer

QUANTILES = (0.01, 0.05, 0.25, 0.5, 0.75, 0.95, 0.99)

Array = NDArray[np.float64]


@analyzer(
    name="logits_summary",
    version=1,
    scope="checkpoint",
    kind="outputs",
    title="Losses, accuracy and margins",
    outputs={
        "loss": Output(("split",), "float64", "Mean cross-entropy", "nat"),
        "accuracy": Output(("split",), "float64", "Share of inputs answered rightly", "1"),
        "margin_mean": Output(("split",), "float32", "Mean margin of the right class", "logit"),
        "margin_min": Output(("split",), "float32", "Smallest margin of the right class", "logit"),
        "margin_quantile": Output(("split", "quantile"), "float32", "Quantile of the margin", "logit"),
    },
    formula="loss = mean log(1 + sum_{j != c} exp(l_j - l_c)); margin = l_c - max_{j != c} l_j; right if"
    " margin > 0",
    source="Definitions; the split is the variant's own (data_seed and frac_train)",
    protocol="all p x p inputs, the p number classes, logits from the stored weights in float64",
    caveats="Computed from the weights as stored (float32 or float16) in float64: it may differ from the"
    " loss noted during"
    " training at rounding level.",
)
def logits_summary(features: Features) -> dict[str, Any]:
    """Losses, accuracy and margins of the right class per split.

    Formula: for the right class c of an input, loss = log(1 + sum_{j != c} exp(l_j - l_c)), evaluated as
    log1p so that a loss of 1e-12 keeps its digits; margin = l_c - max_{j != c} l_j; the input is answered
    rightly when margin > 0 (a tie is an error).

    Shapes: loss, accuracy, margin_mean, margin_min [3 (train, test, all)]; margin_quantile [3, quantile].
    Units: nat; share; logits. Source: definitions; train and test are the variant's recorded split.

    Limits: margins are in units of logits, which weight decay and training time scale; compare them with the
    norm in mind. If any logit of a split is not finite its values are NaN; so are those of an empty split.
    """
    task = features.task
    loss, margin = features.loss_and_margin
    masks = split_masks(task)
    columns = [_summary(loss[mask], margin[mask]) for mask in masks.values()]
    return {
        "split": list(masks),
        "quantile": list(QUANTILES),
        **{name: [column[name] for column in columns] for name in columns[0]},
    }


def _summary(loss: Array, margin: Array) -> dict[str, Any]:
    if not len(loss):
        undefined = float("nan")
        return dict.fromkeys(("loss", "accuracy", "margin_mean", "margin_min"), undefined) | {
            "margin_quantile": np.full(len(QUANTILES), undefined)
        }
    right = np.where(np.isnan(margin), np.nan, margin > 0)
    return {
        "loss": loss.mean(),
        "accuracy": right.mean(),
        "margin_mean": margin.mean(),
        "margin_min": margin.min(),
        "margin_quantile": np.quantile(margin, QUANTILES),
    }
