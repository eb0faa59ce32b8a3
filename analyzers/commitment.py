"""Which frequency each neuron holds over a run, when it settled, and which frequencies came and went."""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

MAJORITY = 0.5  # with more than half of the variance no other frequency can be larger
MEMBERS = 0.02  # share of the neurons that makes a frequency one of the run's
EXACT_GROUPS = 7  # up to 7! = 5,040 orders are counted out
DRAWS = 10_000


@dataclass(frozen=True)
class Commitment:
    """Of every neuron [n] and frequency [K]; epochs are NaN where there is none.

    held [epoch, n]    the frequency held (0: none): dominant with at least the threshold's share
    switch_count [n]   changes between successive held frequencies, gaps without one left out
    lower, epoch [n]   the last checkpoint before and the first of the final stretch on one held frequency
    final, last [n]    frequency held at the last checkpoint, and the last one ever held (0: none)
    homeless [n]       holds none at the end, and the last one it held has fewer than `least` neurons then
    count [epoch, K]   neurons that hold each frequency
    peak, peak_epoch, final_count [K];  transient [K]: at some time `least` or more, at the end fewer than
                       that and at most half of the peak
    least              the number of neurons that makes a frequency one of the run's
    """

    held: Array
    switch_count: Array
    lower: Array
    epoch: Array
    final: Array
    last: Array
    homeless: Array
    count: Array
    peak: Array
    peak_epoch: Array
    final_count: Array
    transient: Array
    least: int


def held_frequency(dominant: Array, share: Array, threshold: float) -> Array:
    """`dominant` where its `share` reaches the threshold, else 0."""
    with np.errstate(invalid="ignore"):
        return np.where(np.asarray(share) >= threshold, dominant, 0)


def commitment(
    dominant: Array,
    share: Array,
    epochs: Array,
    n_frequencies: int,
    threshold: float,
    members: float = MEMBERS,
) -> Commitment:
    """The history of what neurons hold, from dominant and share [epoch, n] at the checkpoints `epochs`.

    A frequency needs the share `members` of all neurons, and two at least, to be one of the run's.
    """
    least = max(2, math.ceil(members * dominant.shape[1] - 1e-9))
    held = held_frequency(dominant, share, threshold)
    count = np.stack([np.bincount(row, minlength=n_frequencies + 1)[1:] for row in held])
    final, final_count = held[-1], count[-1]
    peak = count.max(axis=0)
    transient = (peak >= least) & (final_count < least) & (2 * final_count <= peak)
    last, switches = _sequence(held)
    alive = np.concatenate([[True], final_count >= least])  # by k; 0 has nothing to lose
    differs = held != final
    before = len(held) - 1 - np.argmax(differs[::-1], axis=0)  # the last checkpoint that is not on it
    start = np.where(differs.any(axis=0), before + 1, 0)
    places = np.asarray(epochs, dtype=float)
    settled = final > 0
    return Commitment(
        held=held,
        switch_count=switches,
        lower=np.where(settled & (start > 0), places[start - 1], np.nan),
        epoch=np.where(settled, places[start], np.nan),
        final=final,
        last=last,
        homeless=(final == 0) & ~alive[last],
        count=count,
        peak=peak,
        peak_epoch=np.where(peak > 0, places[count.argmax(axis=0)], np.nan),
        final_count=final_count,
        transient=transient,
        least=least,
    )


def _sequence(held: Array) -> tuple[Array, Array]:
    """(the last frequency held, how often it changed) per neuron, from held [epoch, n]."""
    last, switches = np.zeros(held.shape[1], dtype=held.dtype), np.zeros(held.shape[1], dtype=np.int64)
    for row in held:
        switches += (row > 0) & (last > 0) & (row != last)
        last = np.where(row > 0, row, last)
    return last, switches


@dataclass(frozen=True)
class RankCorrelation:
    """Spearman's rho over the groups, its two-sided permutation p-value and the least that is possible."""

    rho: float
    p_value: float
    least: float
    groups: int


def order_of_groups(found: Commitment) -> RankCorrelation:
    """Do neurons of low k settle earlier? Rank correlation of k with the group's median commitment epoch.

    Groups are the frequencies that at least `found.least` neurons hold at the end. Neurons of one group share
    their history, so the labels of whole groups are permuted, not those of neurons: all orders of up to
    seven groups, 10,000 drawn ones otherwise. NaN with fewer than three groups.
    """
    keys = np.flatnonzero(found.final_count >= found.least) + 1
    medians = np.array([np.median(found.epoch[found.final == k]) for k in keys])
    if len(keys) < 3 or np.ptp(medians) == 0:
        return RankCorrelation(math.nan, math.nan, math.nan, len(keys))
    first, second = _centred_ranks(keys), _centred_ranks(medians)
    scale = math.sqrt((first**2).sum() * (second**2).sum())
    observed = float(first @ second) / scale
    if len(keys) <= EXACT_GROUPS:
        orders = np.array(list(itertools.permutations(range(len(keys)))))
        extra = 0
    else:
        rng = np.random.default_rng(0)
        orders = rng.permuted(np.tile(np.arange(len(keys)), (DRAWS, 1)), axis=1)
        extra = 1  # the observed order counts as one of the draws
    null = np.abs(first[orders] @ second / scale)
    total = len(orders) + extra
    p_value = (int((null >= abs(observed) - 1e-12).sum()) + extra) / total
    least = 2 / math.factorial(len(keys)) if not extra else 1 / total
    return RankCorrelation(observed, p_value, least, len(keys))


def _centred_ranks(values: Array) -> Array:
    """Ranks with ties averaged, less their mean."""
    ranks = (values[:, None] > values[None]).sum(axis=1) + 0.5 * (values[:, None] == values[None]).sum(axis=1)
    return ranks - ranks.mean()
