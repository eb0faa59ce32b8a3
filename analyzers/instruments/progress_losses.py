"""Restricted and excluded loss: what the key frequencies do alone, and what is left without them."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.cross_entropy import SPLITS, cross_entropy, split_means
from analyzers.excluded_loss import losses_without
from analyzers.features import Features
from analyzers.fourier import n_frequencies
from analyzers.key_frequencies import RULE_TEXT, chosen
from analyzers.registry import Output, analyzer
from analyzers.sum_waves import answer_sign, linear_part, quadratic_part, residue, sum_waves, wave_table

PROTOCOLS = ("sum_directions", "block_2x2", "block_3x3")

Array = NDArray[Any]


def _losses(what: str) -> dict[str, Output]:
    dims = ("protocol", "split")
    return {
        f"restricted_loss{what}": Output(dims, "float64", "Loss from the key frequencies alone", "nat"),
        f"excluded_loss{what}": Output(dims, "float64", "Loss without the key frequencies", "nat"),
    }


@analyzer(
    name="progress_losses",
    version=1,
    scope="checkpoint",
    kind="outputs",
    title="Restricted and excluded loss",
    outputs={
        **_losses(""),
        **_losses("_live"),
        "excluded_by_frequency": Output(
            ("freq",), "float64", "Training loss without the sum directions of frequency k", "nat"
        ),
        "max_excluded_loss": Output((), "float64", "Largest excluded_by_frequency over all k", "nat"),
        "max_excluded_frequency": Output((), "int16", "The k of the largest (0: undefined)", "k"),
        "key_used": Output(("freq",), "int8", "1 where k counts as key at every epoch", "1"),
        "key_used_live": Output(("freq",), "int8", "1 where k counts as key at this epoch", "1"),
    },
    needs=("key_frequencies",),
    needs_final=("key_frequencies",),
    formula="restricted = CE(mean_ab L + sum_{k in K*} P_k L); excluded = CE(L - sum_{k in K*} P_k L); P_k"
    " projects each logit over the grid on cos, sin w_k(a+b) (sum_directions), on {cos, sin}_k(a) x {cos,"
    " sin}_k(b) (block_2x2), or on these and cos, sin of k of a alone and of b alone (block_3x3)",
    source="Nanda et al. 2023, arXiv:2301.05217, section 5.1; sum_directions is what its notebook computes,"
    " the blocks are how its text can be read",
    protocol=f"all p x p inputs, logits in float64, means over the training, test and all inputs. Key:"
    f" {RULE_TEXT}."
    " *_live: the same rule at the epoch itself. By frequency: sum_directions, training inputs",
    caveats="The three protocols differ by up to 10^5 on one model: never compare numbers of different ones."
    " Restricted adds the mean logit of each class, excluded corrects nothing. Products of two different"
    " frequencies belong to neither part.",
)
def progress_losses(features: Features) -> dict[str, Any]:
    """Cross-entropy of the logits restricted to, and of the logits without, the key frequencies.

    Formula: L [p^2, p] the logits at =, P_k the orthogonal projection of each column on the directions of
    frequency k that the protocol names (2, 4 and 8 of them), always products of one frequency with itself.
    restricted_loss = CE(mean_ab L + sum_{k in K*} P_k L), excluded_loss = CE(L - sum_{k in K*} P_k L).
    excluded_by_frequency_k = CE(L - P_k L) with the sum directions on the training inputs; its largest
    value needs no choice of key frequencies.

    Shapes: the losses [3 (protocol), 3 (train, test, all)], excluded_by_frequency [K], key_used [K], the
    others scalar. Units: nat; ln p is chance. K* is fixed from the run's last checkpoint (`key_used`); for
    the outputs *_live it is that of the epoch (`key_used_live`).

    Source: Nanda et al. 2023, arXiv:2301.05217: excluded loss on the training inputs; restricted loss with
    the mean added back.

    Limits: without key frequencies restricted is the loss of the class means and excluded that of the
    model. If the answer is a - b, b is read as -b. A split without inputs has NaN, and so has everything
    where a logit is not finite.
    """
    task = features.task
    sign = answer_sign(task)
    fixed = chosen(features.final("key_frequencies", "is_key"))
    live = chosen(features.need("key_frequencies", "is_key"))
    at_end = _by_protocol(features, fixed, sign)
    now = at_end if np.array_equal(fixed, live) else _by_protocol(features, live, sign)
    count = n_frequencies(task.p)
    frequencies = np.arange(1, count + 1)
    by_frequency = _excluded_by_frequency(features, sign)
    defined = np.isfinite(by_frequency).all()
    return {
        "protocol": list(PROTOCOLS),
        "split": list(SPLITS),
        "restricted_loss": at_end[0],
        "excluded_loss": at_end[1],
        "restricted_loss_live": now[0],
        "excluded_loss_live": now[1],
        "excluded_by_frequency": by_frequency,
        "max_excluded_loss": by_frequency.max(),
        "max_excluded_frequency": by_frequency.argmax() + 1 if defined else 0,
        "key_used": np.isin(frequencies, fixed),
        "key_used_live": np.isin(frequencies, live),
    }


def _by_protocol(features: Features, keys: Array, sign: int) -> tuple[Array, Array]:
    """(restricted, excluded), each [protocol, split]."""
    task, spectrum = features.task, features.logit_spectrum
    quadratic = quadratic_part(spectrum, keys)
    parts = (
        wave_table(sum_waves(spectrum, sign), task.p, keys)[residue(task.p, sign)],
        quadratic,
        quadratic + linear_part(spectrum, keys),
    )
    losses = [
        [
            split_means(cross_entropy(logits, task.labels), task)
            for logits in (part + spectrum.mean, features.logits - part)
        ]
        for part in parts
    ]
    restricted, excluded = np.moveaxis(np.array(losses), 1, 0)
    return restricted, excluded


def _excluded_by_frequency(features: Features, sign: int) -> Array:
    """[K]: mean loss of the training inputs without the sum directions of each frequency."""
    task, waves = features.task, sum_waves(features.logit_spectrum, sign)
    count = n_frequencies(task.p)
    if not task.train.any():
        return np.full(count, np.nan)
    logits, labels = features.logits[task.train], task.labels[task.train]
    if not np.isfinite(logits).all():
        return np.full(count, np.nan)
    tables = np.stack([wave_table(waves, task.p, np.array([k])) for k in range(1, count + 1)])
    return losses_without(logits, labels, residue(task.p, sign)[task.train], tables).mean(axis=0)
