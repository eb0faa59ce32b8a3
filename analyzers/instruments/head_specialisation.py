"""When heads commit to a frequency, agree on one, and part."""

from __future__ import annotations

from functools import cache
from math import comb
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.features import Array
from analyzers.key_frequencies import chosen
from analyzers.registry import Output, analyzer
from analyzers.run import Run
from data.errors import BadParameter

EVENTS = ("agreement", "diversification")


@analyzer(
    name="head_specialisation",
    version=1,
    scope="trajectory",
    kind="artifacts",
    title="Specialisation of the heads",
    outputs={
        "frequency": Output(("epoch", "head"), "int16", "Frequency of a specialised head (0: not yet)", "k"),
        "share": Output(("epoch", "head"), "float32", "Largest share of the map's variance", "1"),
        "specialised_lower": Output(("head",), "float64", "Last checkpoint before the final state", "epoch"),
        "specialised_upper": Output(("head",), "float64", "First checkpoint of the final state", "epoch"),
        "switches": Output(("head",), "int16", "Changes of frequency while specialised", "1"),
        "agreement": Output(
            ("epoch",), "int16", "Heads in the largest group of one frequency (0: none)", "heads"
        ),
        "agreed_frequency": Output(("epoch",), "int16", "Frequency of that group (0: none)", "k"),
        "distinct": Output(("epoch",), "int16", "Different frequencies among the heads", "1"),
        "chance": Output(("epoch",), "float32", "Probability of that agreement among independent heads", "1"),
        "lower": Output(("event",), "float64", "Last checkpoint before the event", "epoch"),
        "upper": Output(("event",), "float64", "First checkpoint after it", "epoch"),
    },
    needs=("attention_frequencies", "key_frequencies"),
    parameters={"threshold": 0.5},
    formula="specialised: largest share of the variance of the attention to a >= threshold; agreement = size"
    " of the largest group of specialised heads with one frequency; events: the first checkpoint at its"
    " maximum over the run, and the first after the last one at it",
    source="Definition of this workbench",
    protocol="attention of = to a (that to b is its mirror image, = itself gets little); events and"
    " commitments are intervals between checkpoints",
    caveats="Few heads share few frequencies, so agreement is often chance: see chance, for heads that draw"
    " independently from the run's key frequencies.",
)
def head_specialisation(run: Run, threshold: float = 0.5) -> dict[str, Any]:
    """Each head's frequency through the run, how many heads share one, and when they agreed and parted.

    Formula: frequency = dominant frequency of the attention map to a where its share >= threshold, else 0.
    The final state of a head begins at the first checkpoint from which on frequency is its final one (not 0);
    switches counts changes between successive specialised checkpoints. agreement as above (ties: the lowest
    frequency). Event agreement: agreement reaches its maximum over the run (at least 2) for the first time;
    diversification: it has left that maximum for good. chance = P(largest group >= agreement) for as many
    heads as are specialised, each with one of the run's |K*| key frequencies at random.

    Shapes: frequency, share [epoch, n_heads]; specialised_*, switches [n_heads]; agreement, agreed_frequency,
    distinct, chance [epoch]; lower, upper [2 (agreement, diversification)]. Units: k (1-based), epochs as
    intervals (lower, upper]. NaN in both: did not happen; NaN in lower: at or before the first checkpoint.

    Source: definition of this workbench. Limits: what happens between checkpoints is not seen; heads whose
    largest share is close to the threshold flicker. Raises BadParameter unless 0 < threshold <= 1.
    """
    if not 0 < threshold <= 1:
        raise BadParameter(f"threshold={threshold} is not in (0, 1]; 0.5 is usual.")
    found = run.artifact("attention_frequencies").sel(source="a")
    epochs = found["epoch"].values
    share = found["dominant_fraction"].transpose("epoch", "head").values
    frequency = np.where(share >= threshold, found["dominant_frequency"].transpose("epoch", "head").values, 0)
    learned = len(chosen(run.artifact("key_frequencies")["is_key"].isel(epoch=-1).values))
    groups = [_largest_group(row) for row in frequency]
    agreement = np.array([size for size, _ in groups])
    specialised = (frequency > 0).sum(axis=1)
    commitments = [_since(epochs, track == track[-1]) if track[-1] else _NEVER for track in frequency.T]
    events = agreement_events(epochs, agreement)
    return {
        "epoch": epochs,
        "event": list(EVENTS),
        "frequency": frequency,
        "share": share,
        "specialised_lower": [low for low, _ in commitments],
        "specialised_upper": [high for _, high in commitments],
        "switches": [_switches(track) for track in frequency.T],
        "agreement": agreement,
        "agreed_frequency": [k for _, k in groups],
        "distinct": [len(set(row[row > 0].tolist())) for row in frequency],
        "chance": [
            chance_of_agreement(int(heads), learned, int(size))
            for heads, size in zip(specialised, agreement, strict=True)
        ],
        "lower": [low for low, _ in events],
        "upper": [high for _, high in events],
    }


_NEVER = (float("nan"), float("nan"))


def _largest_group(frequency: Array) -> tuple[int, int]:
    """(size, k) of the largest group of equal frequencies > 0; (0, 0) if there is none."""
    found, count = np.unique(frequency[frequency > 0], return_counts=True)
    return (int(count.max()), int(found[count.argmax()])) if len(found) else (0, 0)


def _since(epochs: Array, holds: NDArray[np.bool_]) -> tuple[float, float]:
    """The interval in which `holds` began to hold until the end; it must hold at the end."""
    before = np.flatnonzero(~holds)
    return _between(epochs, int(before[-1]) + 1 if len(before) else 0)


def _between(epochs: Array, index: int) -> tuple[float, float]:
    """From the checkpoint before that index (NaN if there is none) to the one at it."""
    return (float(epochs[index - 1]) if index else float("nan"), float(epochs[index]))


def agreement_events(
    epochs: Array, agreement: NDArray[np.int64]
) -> tuple[tuple[float, float], tuple[float, float]]:
    """Intervals in which the agreement reached its maximum over the run, and left it for good."""
    most = agreement.max()
    if most < 2:
        return _NEVER, _NEVER
    at_most = np.flatnonzero(agreement == most)
    reached = _between(epochs, int(at_most[0]))
    left = int(at_most[-1]) + 1
    return reached, (_between(epochs, left) if left < len(epochs) else _NEVER)


def _switches(frequency: Array) -> int:
    seen = frequency[frequency > 0]
    return int((np.diff(seen) != 0).sum())


@cache
def chance_of_agreement(heads: int, frequencies: int, size: int) -> float:
    """P(at least `size` of `heads` independent uniform draws from `frequencies` are equal).

    1 for size <= 1; NaN where there is nothing to draw from.
    """
    if not heads or not frequencies or not size:
        return float("nan")
    ways = [1] + [0] * heads  # of placing n heads so that no frequency has `size` or more
    for _ in range(frequencies):
        ways = [
            sum(comb(n, placed) * ways[n - placed] for placed in range(min(size, n + 1)))
            for n in range(heads + 1)
        ]
    return 1 - ways[heads] / frequencies**heads
