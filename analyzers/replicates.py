"""What a set of replicates has in common, and where its runs part."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from functools import reduce
from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from analyzers.turn_detection import EVENTS

if TYPE_CHECKING:
    import xarray as xr

    from analyzers.service import AnalyzerService
    from data import Variant

SEPARATION = 0.01


def first_difference(losses: Sequence[NDArray[np.float64]], relative: float = SEPARATION) -> int | None:
    """First position at which the losses of any two runs differ by that share of the smaller one.

    losses: one array per run, over the same epochs; the common length counts. None if they never do.
    """
    shortest = min(map(len, losses), default=0)
    if len(losses) < 2 or not shortest:
        return None
    values = np.stack([run[:shortest] for run in losses])
    low, high = values.min(0), values.max(0)
    apart = high - low >= relative * low
    apart &= high > low
    return int(apart.argmax()) if apart.any() else None


def _parting(histories: Sequence[xr.Dataset], name: str) -> int | None:
    """``first_difference`` over the epochs that all histories have (some may be thinned), as an epoch."""
    if len(histories) < 2:
        return None
    common = reduce(np.intersect1d, [history["epoch"].values for history in histories])
    at = first_difference([history[name].sel(epoch=common).values for history in histories])
    return None if at is None else int(common[at])


def jaccard(sets: Sequence[Sequence[int]]) -> float | None:
    """Mean over all pairs of |A and B| / |A or B| (1 for two empty sets); None for fewer than two sets."""
    pairs = list(combinations([set(one) for one in sets], 2))
    if not pairs:
        return None
    return float(np.mean([len(a & b) / len(a | b) if a | b else 1.0 for a, b in pairs]))


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """Smallest, median, largest and (sample) standard deviation; None for no values."""
    if not values:
        return None
    numbers = np.asarray(values, dtype=float)
    deviation = float(numbers.std(ddof=1)) if len(numbers) > 1 else 0.0
    return {
        "smallest": float(numbers.min()),
        "median": float(np.median(numbers)),
        "largest": float(numbers.max()),
        "deviation": deviation,
    }


def summary(variants: Sequence[Variant], service: AnalyzerService) -> dict[str, Any]:
    """Plain scalars about runs that differ only in a minute perturbation.

    turn: per event, the spread of the upper end of its interval (epochs) over the runs in which it happened,
    and in how many; key_frequencies: per run (None where the instruments have not run), in how many runs each
    occurs, and their mean pairwise Jaccard index; train_loss_parts, test_loss_parts: first epoch at which any
    two runs differ by 1 %.
    """
    found = [service.summary(variant) for variant in variants]
    events: dict[str, Mapping[str, Any]] = {}
    for event in EVENTS:
        at = [one["turn"][event][1] for one in found if one["turn"][event] is not None]
        events[event] = {"runs": len(at), "epoch": spread(at)}
    keys = {one["variant"]: one["key_frequencies"] for one in found}
    known = [key for key in keys.values() if key is not None]
    histories = [variant.history for variant in variants if variant.history.sizes.get("epoch")]
    parts = {f"{name}_parts": _parting(histories, name) for name in ("train_loss", "test_loss")}
    return {
        "variants": [variant.name for variant in variants],
        "turn": events,
        "key_frequencies": keys,
        "key_frequency_runs": dict(sorted(Counter(k for key in known for k in key).items())),
        "key_frequency_jaccard": jaccard(known),
        **parts,
    }
