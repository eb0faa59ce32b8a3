"""Predicting each neuron's final frequency from its waves at initialisation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

RULES = ("alignment", "misalignment", "amplitude")
CANDIDATES = ("all", "learned")
DRAWS = 2000


def scores(amplitude_in: Array, amplitude_out: Array, misalignment: Array) -> Array:
    """Score [rule, K, n] per frequency and neuron; each rule predicts the frequency of the largest.

    alignment     amplitude_in * amplitude_out * cos D: small misalignment weighted by magnitude
    misalignment  -|D| alone
    amplitude     amplitude_in * amplitude_out alone
    """
    size = amplitude_in * amplitude_out
    return np.stack([size * np.cos(misalignment), -np.abs(misalignment), size])


@dataclass(frozen=True)
class Prediction:
    """Of one rule and one set of candidates: predicted k [n] (0: none), and over the neurons that count:
    accuracy, mean, 95 % quantile and p-value of the accuracy of permuted predictions."""

    predicted: Array
    accuracy: float
    chance: float
    chance_upper: float
    p_value: float


def predict(score: Array, final: Array, candidates: Array) -> Prediction:
    """The candidate (bool [K]) of largest score [K, n] for every neuron, against `final` [n] (0: left out).

    Null: the predictions are permuted among the neurons that count, 2,000 times, which keeps how often each
    frequency is predicted and how often it wins.
    """
    allowed = np.where(candidates[:, None], score, -np.inf)
    known = ~np.isnan(score).any(axis=0) & candidates.any()
    predicted = np.where(known, np.nan_to_num(allowed, nan=-np.inf).argmax(axis=0) + 1, 0)
    counted = known & (final > 0)
    if not counted.any():
        return Prediction(predicted, *[float("nan")] * 4)
    guess, truth = predicted[counted], final[counted]
    hits = int((guess == truth).sum())
    rng = np.random.default_rng(0)
    null = (rng.permuted(np.tile(guess, (DRAWS, 1)), axis=1) == truth).sum(axis=1)
    total = len(truth)
    return Prediction(
        predicted,
        hits / total,
        float(null.mean()) / total,
        float(np.quantile(null, 0.95)) / total,
        (int((null >= hits).sum()) + 1) / (DRAWS + 1),
    )


def rank_of_final(score: Array, final: Array) -> Array:
    """Share of the other frequencies whose score is below that of the neuron's final one, [n] in [0, 1].

    1: it had the largest score, 0.5 on average by chance; NaN for a neuron without a final frequency.
    """
    own = score[np.maximum(final, 1) - 1, np.arange(score.shape[1])]
    below = (score < own).sum(axis=0) / max(len(score) - 1, 1)
    return np.where((final > 0) & np.isfinite(own), below, np.nan)
