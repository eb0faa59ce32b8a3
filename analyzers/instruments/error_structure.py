"""How the wrong answers lie: how far off, at which frequency, and whether a and b may be swapped."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.cross_entropy import SPLITS, split_masks
from analyzers.features import Features
from analyzers.registry import Output, analyzer

NULL_LEVEL = 0.95


@analyzer(
    name="error_structure",
    version=1,
    scope="checkpoint",
    kind="artifacts",
    title="Structure of the errors",
    outputs={
        "count": Output(("split", "error"), "int32", "Inputs answered with the right class plus error", "1"),
        "wrong": Output(("split",), "int32", "Inputs answered wrongly", "inputs"),
        "spectrum": Output(
            ("split", "freq"),
            "float32",
            "Concentration of the errors at frequency k, |mean e^(2 pi i k e / p)|",
            "1",
        ),
        "spectrum_null": Output(
            ("split",), "float32", "Concentration that 95 % of as many random errors stay below", "1"
        ),
        "mirrored": Output((), "float32", "Share of wrong (a, b) whose mirror (b, a) is wrong too", "1"),
        "mirrored_alike": Output(
            (), "float32", "Share of wrong (a, b) whose mirror gives the same answer", "1"
        ),
        "mirrored_null": Output((), "float32", "Share of all inputs off the diagonal that are wrong", "1"),
    },
    needs=("input_outcomes",),
    formula="error = (answer - right class) mod p; count_e = number of inputs with error e; spectrum_k ="
    " |mean"
    " over the wrong inputs of e^(2 pi i k error / p)|; null = sqrt(-ln 0.05 / wrong)",
    source="Definition of this workbench; the null is Rayleigh's for uniform random angles",
    protocol="input_outcomes at the same checkpoint, per split",
    caveats="With few errors any picture is noise: compare the spectrum with its null. k depends on the"
    " labels"
    " of the tokens. Right answers (error 0) are in count but not in the spectrum.",
)
def error_structure(features: Features) -> dict[str, Any]:
    """Histogram and spectrum of the errors, and their symmetry under swapping a and b.

    Formula: count[split, e] counts the inputs whose answer is right class + e mod p, e = 0 being right.
    spectrum_k = |mean over wrong inputs of exp(2 pi i k e / p)|: 1 if all errors are equal, about
    0.89 / sqrt(wrong) for random ones; spectrum_null is Rayleigh's 95 % point sqrt(-ln 0.05 / wrong).
    mirrored = share of the wrong inputs (a, b), a != b, for which (b, a) is wrong too; mirrored_alike = for
    which it gives the same answer; mirrored_null = share of all inputs with a != b that are wrong, which
    mirrored would be if the two had nothing to do with each other.

    Shapes: count [3 (train, test, all), p]; spectrum [3, K]; wrong, spectrum_null [3]; the others scalars.
    Units: numbers of inputs; the rest are shares. Source: definition of this workbench.

    Limits: without errors the spectrum and the mirror shares are NaN. Inputs without an answer (logits that
    are not finite) are not counted at all. Mirror inputs may lie in different splits.
    """
    p = features.p
    error = np.asarray(features.need("input_outcomes", "error"), dtype=np.int64)
    flat = error.ravel()
    counts = np.stack(
        [np.bincount(flat[mask & (flat >= 0)], minlength=p) for mask in split_masks(features.task).values()]
    )
    wrong = counts[:, 1:].sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        null = np.where(wrong > 0, np.sqrt(-np.log(1 - NULL_LEVEL) / wrong), np.nan)
    return {
        "split": list(SPLITS),
        "count": counts,
        "wrong": wrong,
        "spectrum": concentration(counts),
        "spectrum_null": null,
        **_mirrors(error, features.task.labels.reshape(p, p)),
    }


def concentration(counts: NDArray[Any]) -> NDArray[np.float64]:
    """|mean e^(2 pi i k e / p)| over the nonzero errors e for k = 1 .. K, from counts [..., p]: [..., K]."""
    p = counts.shape[-1]
    errors = np.where(np.arange(p) > 0, counts, 0).astype(np.float64)
    with np.errstate(invalid="ignore"):
        return np.abs(np.fft.rfft(errors, axis=-1))[..., 1 : (p - 1) // 2 + 1] / errors.sum(
            axis=-1, keepdims=True
        )


def _mirrors(error: NDArray[Any], labels: NDArray[Any]) -> dict[str, float]:
    off = ~np.eye(len(error), dtype=bool)
    wrong = (error > 0) & off
    answer = (labels + error) % len(error)
    total = int(wrong.sum())
    shares = {
        "mirrored": (wrong & wrong.T).sum(),
        "mirrored_alike": (wrong & wrong.T & (answer == answer.T)).sum(),
    }
    return {name: float(found / total) if total else np.nan for name, found in shares.items()} | {
        "mirrored_null": float(total / off.sum())
    }
