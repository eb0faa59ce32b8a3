"""What the model answers to every input, and how surely."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyzers.features import Features
from analyzers.registry import Output, analyzer

CONFIDENCE_STEPS = 255  # of the stored confidence
MARGIN_STEPS = 10  # per logit of the stored margin

_DIMS = ("a", "b")


@analyzer(
    name="input_outcomes",
    version=1,
    scope="checkpoint",
    kind="outputs",
    title="Answer to every input",
    outputs={
        "error": Output(
            _DIMS, "int16", "Answer less the right class mod p (0: right, -1: no answer)", "class"
        ),
        "confidence": Output(_DIMS, "uint8", "Probability of the right class in 255ths", "1/255"),
        "margin": Output(_DIMS, "int16", "Margin of the right class in tenths of a logit", "logit/10"),
    },
    formula="answer = argmax_j l_j; error = (answer - c) mod p; confidence = softmax(l)_c; margin = l_c -"
    " max_{j != c} l_j",
    source="Definitions",
    protocol="all p x p inputs, logits from the stored weights in float64; a tie counts as an error, as in"
    " logits_summary",
    caveats="Rounded for storage: confidence to 1/255, margin to 0.1 logit. Take losses from logits_summary.",
)
def input_outcomes(features: Features) -> dict[str, Any]:
    """Answer, confidence and margin of every input, rounded so that a checkpoint takes some 30 kB.

    Formula: with the right class c, error = (answer - c) mod p, where the answer is the class with the
    largest logit; margin = l_c - max_{j != c} l_j; confidence = softmax(l)_c. When margin <= 0 the answer is
    the best wrong class, so that a tie is an error; the input is answered rightly exactly where error is 0.

    Shapes: [p (a), p (b)] each. Units: error in classes (0 .. p - 1); confidence in steps of 1/255; margin in
    steps of 0.1 logit, saturating at 3276.7. An input with a logit that is not finite has error -1 and
    confidence and margin 0.

    Source: definitions.

    Limits: rounded; the split is not in here (`analyzers.task`).
    """
    p, labels, logits = features.p, features.task.labels, features.logits
    loss, margin = features.loss_and_margin
    rows = np.arange(p * p)
    wrong = logits.copy()
    wrong[rows, labels] = -np.inf
    known = np.isfinite(margin)
    best_wrong = (wrong.argmax(axis=1) - labels) % p
    error = np.where(margin > 0, 0, best_wrong)
    steps = np.iinfo(np.int16).max
    found = {
        "error": np.where(known, error, -1),
        "confidence": np.rint(CONFIDENCE_STEPS * np.exp(-np.where(known, loss, np.inf))),
        "margin": np.clip(np.rint(MARGIN_STEPS * np.where(known, margin, 0.0)), -steps, steps),
    }
    return {name: values.reshape(p, p) for name, values in found.items()}
