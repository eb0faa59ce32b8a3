"""Which inputs was a model trained on? Search seeds and fractions for the split that its losses betray.

A run's record of its own split can be wrong or missing. Two things tell the right one from all others, given
the loss of every input at some checkpoints (``losses`` [C, N], N = p * p rows in the order a * p + b):

deviation   where the run recorded its train and test losses: |log(mean loss over the split / recorded loss)|,
            the larger of train and test, the best of the records around the checkpoint, the mean over
            checkpoints. Near 0 for the split that was used.
gap         a model fits the inputs it was trained on better: (mean over all inputs - mean over the training
            inputs) of log loss, in standard errors of such a mean for a random choice of as many inputs.
            About N(0, 1) for a wrong split; its largest value over checkpoints counts.

The pairs are ordered by row (``a``, then ``b``) and permuted by torch ("randperm") or by Python ("shuffle").
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from training.families.modular_addition import n_train_rows, ordered_rows

KINDS = ("randperm", "shuffle")
PERCENTS = tuple(i / 100 for i in range(1, 100))
FRACTIONS = (*PERCENTS, 1 / 3, 2 / 3, 0.125, 0.375, 0.625)
SEEDS = (*range(1000), 1234, 1337, 2021, 2022, 2023, 2024, 2025, 12345, 31415, 31337, 123456)

SAME = 0.02  # deviation below which recorded and computed losses count as equal
APART = 5.0  # a wrong split deviates by this many times more than the right one
SURE_GAP = 8.0  # of the right split; the largest of 10^5 wrong ones is about 4.5
FLOOR = 1e-40  # losses below count as this

Array = NDArray[np.float64]


class Split(NamedTuple):
    """How the pairs were ordered, by which seed, and the share that was trained on."""

    kind: str
    seed: int
    fraction: float

    def __str__(self) -> str:
        by = "torch.randperm" if self.kind == "randperm" else "random.shuffle"
        return f"{by} with seed {self.seed}, fraction {self.fraction:g}"


@dataclass(frozen=True)
class Score:
    """deviation and gap of one split, see the module; deviation is NaN where nothing was recorded."""

    split: Split
    deviation: float
    gap: float


@dataclass(frozen=True)
class Found:
    """The best split, the best one of another seed, and whether the first is beyond doubt.

    reason: why it is, or why it is not, with the numbers.
    """

    best: Score
    other: Score
    sure: bool
    reason: str


def search(
    p: int,
    losses: Array,
    recorded: Sequence[Array],
    first: Iterable[tuple[int, float]] = (),
    seeds: Sequence[int] = SEEDS,
    fractions: Sequence[float] = FRACTIONS,
    on_seed: Callable[[int, int], None] | None = None,
) -> Found:
    """The split that fits best among all kinds, seeds and fractions.

    losses    [C, N], see the module. recorded: per checkpoint [R, 2 (train, test)], the values that may be
              meant (of the epochs around it), R = 0 where there are none
    first     (seed, fraction) that the run's own record names, tried with every kind before all others: a
              fit beyond doubt ends the search
    on_seed   called with (seeds done, seeds) now and then
    """
    search = _Search(p, losses, recorded)
    named = list(first)
    everywhere = (*fractions, *(fraction for _, fraction in named))
    best: list[Score] = []
    for seed, fraction in named:
        best += [search.best(kind, seed, (fraction,)) for kind in KINDS]
    if best:
        reference = [search.best(kind, seed, everywhere) for kind in KINDS for seed in (-1, -2, -3)]
        found = judge([*best, *reference])
        if found.sure:
            return found
    for count, seed in enumerate(seeds):
        best += [search.best(kind, seed, everywhere) for kind in KINDS]
        if on_seed is not None and count % 20 == 0:
            on_seed(count, len(seeds))
    return judge(best)


def judge(scores: Sequence[Score]) -> Found:
    """Choose among the best of every seed: by the recorded losses where they decide, else by the gap."""
    by_gap = sorted(scores, key=lambda score: -score.gap)
    widest, next_widest = by_gap[0], _another(by_gap)
    matching = sorted((one for one in scores if one.deviation >= 0), key=lambda score: score.deviation)
    if matching:
        closest, next_closest = matching[0], _another(matching)
        agrees = f"the losses over it are those recorded within {closest.deviation:.2%}"
        if closest.deviation <= SAME and next_closest.deviation >= APART * max(closest.deviation, 1e-6):
            reason = f"{agrees}; the next best split is {next_closest.deviation:.2%} off"
            return Found(closest, next_closest, True, reason)
    gap = f"the inputs of its training set are fitted better by {widest.gap:.1f} standard errors"
    reason = f"{gap}; {next_widest.gap:.1f} is the most of any other seed"
    sure = widest.gap >= SURE_GAP and widest.gap >= 1.3 * next_widest.gap
    return Found(widest, next_widest, sure, reason)


def _another(scores: Sequence[Score]) -> Score:
    """The first that is not of the first one's kind and seed."""
    return next((one for one in scores if one.split[:2] != scores[0].split[:2]), scores[-1])


class _Search:
    def __init__(self, p: int, losses: Array, recorded: Sequence[Array]) -> None:
        self._p, self._losses = p, losses
        self._recorded = [np.asarray(values, dtype=np.float64).reshape(-1, 2) for values in recorded]
        logs = np.log(np.maximum(losses, FLOOR))
        spread = logs.std(axis=1, keepdims=True)
        self._standard = (logs - logs.mean(axis=1, keepdims=True)) / np.where(spread > 0, spread, 1.0)

    def best(self, kind: str, seed: int, fractions: Sequence[float]) -> Score:
        """Of one seed: the fraction that fits best (seeds below 0: some fixed wrong order)."""
        rows = self._p**2
        order = (
            np.random.default_rng(-seed).permutation(rows) if seed < 0 else ordered_rows(self._p, seed, kind)
        )
        shares = [share for share in fractions if 0 < n_train_rows(self._p, share) < rows]
        count = np.array([n_train_rows(self._p, share) for share in shares])
        lead = -self._sums(self._standard, order, count) / count  # mean lead of the training inputs
        gap = (lead / np.sqrt(1 / count - 1 / rows)).max(axis=0)
        deviation = self._deviation(order, count)
        at = int(np.nanargmin(deviation)) if np.isfinite(deviation).any() else int(gap.argmax())
        if gap.max() > max(SURE_GAP, 1.3 * gap[at]) and not deviation[at] <= SAME:
            at = int(gap.argmax())
        return Score(Split(kind, seed, shares[at]), float(deviation[at]), float(gap[at]))

    def _sums(self, values: Array, order: NDArray[np.int64], count: NDArray[np.int64]) -> Array:
        """Sums over the first `count` rows of the order, [C, F]."""
        total: Array = np.cumsum(values[:, order], axis=1)[:, count - 1]
        return total

    def _deviation(self, order: NDArray[np.int64], count: NDArray[np.int64]) -> Array:
        """[F], NaN where nothing was recorded."""
        sums = self._sums(self._losses, order, count)
        rows = self._losses.shape[1]
        means = np.stack(
            [sums / count, (self._losses.sum(axis=1, keepdims=True) - sums) / (rows - count)], -1
        )
        found = []
        for mean, recorded in zip(means, self._recorded, strict=True):
            if len(recorded):
                ratio = np.log(np.maximum(mean[:, None], FLOOR)) - np.log(np.maximum(recorded, FLOOR))
                found.append(np.fmin.reduce(np.fmax.reduce(np.abs(ratio), axis=-1), axis=-1))
        return np.mean(found, axis=0) if found else np.full(len(count), np.nan)
