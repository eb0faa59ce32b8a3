"""How much of the logits is a sum of waves of a + b - c, and what else their key blocks hold."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.cross_entropy import SPLITS, cross_entropy, split_means
from analyzers.features import Features
from analyzers.fourier import basis
from analyzers.key_frequencies import RULE_TEXT, chosen
from analyzers.logit_variance import CENTRINGS, share
from analyzers.registry import Output, analyzer
from analyzers.sum_waves import Waves, answer_sign, residue, sum_waves
from analyzers.task import ModularTask

TERMS = ("all", "key")

Array = NDArray[Any]


@analyzer(
    name="logit_fit",
    version=1,
    scope="checkpoint",
    kind="outputs",
    title="Logits as waves of a + b - c",
    outputs={
        "fve": Output(("centring",), "float32", "Variance of the logits explained by all alpha_k", "1"),
        "alpha": Output(("freq",), "float32", "Coefficient of cos w_k(a + b - c)", "logit"),
        "trig_loss": Output(("terms", "split"), "float64", "Loss of the fitted waves alone", "nat"),
        "block_share": Output((), "float32", "Share of the key 2 x 2 blocks in the centred logits", "1"),
        "sum_share": Output((), "float32", "Share of the key waves of a + b", "1"),
        "difference_share": Output((), "float32", "Share of the key waves of a - b", "1"),
        "sum_content": Output(("freq",), "float32", "Share of the waves of a + b at k", "1"),
        "difference_content": Output(("freq",), "float32", "Share of the waves of a - b at k", "1"),
    },
    needs_final=("key_frequencies",),
    formula="alpha_k = (2 / p) sum_d Lbar_d cos w_k d, Lbar_d the mean logit over a + b - c = d;"
    " FVE = sum_k alpha_k^2 / 2 / Var L; trig loss = CE(sum_k alpha_k cos w_k(a+b-c)); shares: energy of the"
    " double-centred logits in each direction over all of it",
    source="Nanda et al. 2023, arXiv:2301.05217, section 4.2 (95 % explained, and a lower loss than the"
    " model's); the division of the blocks into sum and difference is this workbench's",
    protocol=f"all p x p inputs and p classes, float64. Raw: variance about the one mean. Double-centred:"
    f" mean of every input and of every class removed. Key: {RULE_TEXT}",
    caveats="Raw variance counts a constant per input, which the softmax ignores and which can be a third"
    " of it. Accuracy is not cleanness: a model can be 99.9 % right while its 2 x 2 blocks hold 91 % of the"
    " energy and the sum directions 62 %.",
)
def logit_fit(features: Features) -> dict[str, Any]:
    """Least-squares fit of the logits by cos w_k(a + b - c), and the energy of the key frequencies' blocks.

    Formula: the cosines are orthogonal over (a, b, c), so alpha_k = (2 / p) sum_d Lbar_d cos(2 pi k d / p)
    with Lbar_d the mean of L over a + b - c = d mod p, and the explained variance is sum_k alpha_k^2 / 2
    over the variance of L. With D the double-centred logits, the 2 x 2 block of k is its part in cos, sin
    of k (a) times cos, sin of k (b), which falls into waves of a + b and waves of a - b: block_share =
    sum_share + difference_share. sum_share exceeds the double-centred fve by waves of a + b that do not
    meet the right class.

    Shapes: fve [2 (raw, double_centred)], alpha, sum_content, difference_content [K], trig_loss [2 (all
    terms, key terms), 3 (split)], the shares scalar over K*, fixed from the last checkpoint. Units:
    logits; shares of variance in [0, 1]; nat. alpha_k > 0 favours the right class.

    Source: Nanda et al. 2023, arXiv:2301.05217.

    Limits: where the answer is a + b, trig_loss is the same for every input and so for every split. If the
    answer is a - b, b is read as -b. Logits that are all equal or not finite have NaN.
    """
    task, spectrum = features.task, features.logit_spectrum
    sign = answer_sign(task)
    keys = chosen(features.final("key_frequencies", "is_key"))
    alpha = wave_coefficients(sum_waves(spectrum, sign))
    raw, centred = features.logit_variances
    along, across = (_share(sum_waves(spectrum, s), centred) for s in (sign, -sign))
    frequencies = np.arange(1, len(alpha) + 1)
    sum_share, difference_share = along[keys - 1].sum(), across[keys - 1].sum()
    return {
        "centring": list(CENTRINGS),
        "terms": list(TERMS),
        "split": list(SPLITS),
        "fve": [share((alpha**2).sum() / 2, variance) for variance in (raw, centred)],
        "alpha": alpha,
        "trig_loss": [_trig_loss(task, alpha, terms, sign) for terms in (frequencies, keys)],
        "block_share": sum_share + difference_share,
        "sum_share": sum_share,
        "difference_share": difference_share,
        "sum_content": along,
        "difference_content": across,
    }


def wave_coefficients(waves: Waves) -> Array:
    """[K]: alpha_k of cos w_k(a + b - c), from the coefficients [K, p (c)] of the waves of a + b per
    class.
    """
    rows = basis(waves[0].shape[1])
    return np.asarray((rows.cos * waves[0] + rows.sin * waves[1]).sum(axis=1) / rows.p**1.5)


def _share(waves: Waves, variance: float) -> Array:
    """[K]: share of the double-centred logits in these waves, whose coefficients are [K, p (class)]."""
    energy = sum(((part - part.mean(axis=1)[:, None]) ** 2).sum(axis=1) for part in waves)
    p = waves[0].shape[1]
    return np.asarray(energy) / (p**3 * variance) if variance > 0 else np.full(len(waves[0]), np.nan)


def _trig_loss(task: ModularTask, alpha: Array, terms: Array, sign: int) -> Array:
    """Loss per split of the logits sum_{k in terms} alpha_k cos w_k(a + b - c)."""
    p, rows = task.p, basis(task.p)
    wave = np.sqrt(p / 2) * alpha[terms - 1] @ rows.cos[terms - 1]
    classes = np.arange(p)
    table = wave[(classes[:, None] - classes) % p]  # [a + b, c]
    # a pair of residue and right class has one loss: of a + b there are p such pairs and not p^2
    pairs, each = np.unique(residue(p, sign) * p + task.labels, return_inverse=True)
    return split_means(cross_entropy(table[pairs // p], pairs % p)[each], task)
