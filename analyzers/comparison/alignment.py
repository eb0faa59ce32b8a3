"""Time of several runs laid on one axis: epochs <-> aligned time, per run.

| name | aligned time of epoch e | needs |
| --- | --- | --- |
| epoch | e | |
| log_epoch | log10(1 + e), so that epoch 0 stays | |
| turn_relative | e - onset | the onset |
| turn_scaled | e / onset | an onset after epoch 0 |
| phases | piecewise linear: start, memorised, onset, completion, end are 0, 1, 2, 3, 4 | all three |

Every map is strictly increasing on the epochs of its run, hence invertible there. A landmark that is known as
an interval (lower, upper] stands at its upper end. A run that lacks what an alignment needs is refused with
the reason (`Refusal`): it is never put somewhere by guess.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from data.errors import BadParameter

ALIGNMENTS: dict[str, str] = {
    "epoch": "epoch",
    "log_epoch": "epoch, logarithmic",
    "turn_relative": "epochs after the onset of the turn",
    "turn_scaled": "epoch / onset of the turn",
    "phases": "phase of training",
}
LANDMARKS = ("memorised", "onset", "completion")
_PHASES = ("start", *LANDMARKS, "end")

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Landmarks:
    """The epochs that alignments use: NaN for what did not happen. `reason`: why the turn is as it is."""

    start: float
    end: float
    memorised: float = math.nan
    onset: float = math.nan
    completion: float = math.nan
    reason: str = ""

    @classmethod
    def of(cls, turn: Mapping[str, Any], start: float, end: float) -> Landmarks:
        """From what `AnalyzerService.turn` says (event -> [lower, upper] or None) and the run's first and
        last epoch."""
        uppers = {
            event: math.nan if turn.get(event) is None else float(turn[event][1]) for event in LANDMARKS
        }
        return cls(float(start), float(end), **uppers, reason=str(turn.get("reason") or ""))


@dataclass(frozen=True)
class Refusal:
    """Why a run cannot be placed."""

    reason: str


@dataclass(frozen=True)
class Alignment:
    """Epochs <-> aligned time of one run: piecewise linear between knots, in e or in log10(1 + e).

    knots   epochs, ascending, from the first to the last epoch of the run
    places  aligned times of the knots, ascending
    """

    knots: tuple[float, ...]
    places: tuple[float, ...]
    logarithmic: bool = False

    def place(self, epochs: ArrayLike) -> Array:
        """Aligned times [n] of epochs [n]; NaN outside the run."""
        given = np.asarray(epochs, dtype=np.float64)
        if self.logarithmic:
            inside = (given >= self.knots[0]) & (given <= self.knots[-1])
            return np.where(inside, np.log10(1.0 + np.maximum(given, 0.0)), np.nan)
        return np.interp(given, self.knots, self.places, left=np.nan, right=np.nan)

    def epoch(self, places: ArrayLike) -> Array:
        """Epochs [n] at aligned times [n], the inverse of `place`; NaN outside the run."""
        given = np.asarray(places, dtype=np.float64)
        if self.logarithmic:
            inside = (given >= self.places[0]) & (given <= self.places[-1])
            return np.where(inside, 10.0**given - 1.0, np.nan)
        return np.interp(given, self.places, self.knots, left=np.nan, right=np.nan)

    def nearest(self, saved: Sequence[int], place: float) -> int:
        """The saved epoch whose aligned time is nearest to `place` (the earlier of two equally near ones).

        Raises BadParameter if none of them lies within the run.
        """
        ascending = np.sort(np.asarray(saved, dtype=np.int64))
        distance = np.abs(self.place(ascending) - place)
        if not np.isfinite(distance).any():
            raise BadParameter(
                f"None of the {len(ascending)} saved epochs lies between {self.knots[0]:g} and"
                f" {self.knots[-1]:g}, the first and last epoch of the run. Analyse or train it further."
            )
        return int(ascending[np.nanargmin(distance)])


def align(name: str, run: Landmarks) -> Alignment | Refusal:
    """The map of one run, or why there is none. Raises BadParameter for an unknown alignment."""
    if name not in ALIGNMENTS:
        raise BadParameter(f"align={name!r} is unknown; choose one of: {', '.join(ALIGNMENTS)}.")
    if not run.end > run.start:
        return Refusal("it has no two epochs yet: train it further")
    if name in ("epoch", "log_epoch"):
        ends = (run.start, run.end)
        logarithmic = name == "log_epoch"
        places = tuple(math.log10(1.0 + epoch) for epoch in ends) if logarithmic else ends
        return Alignment(ends, places, logarithmic)
    if math.isnan(run.onset):
        return Refusal(f"it has not turned: {run.reason or 'no onset is known'}")
    if name == "phases":
        return _by_phases(run)
    if name == "turn_relative":
        return Alignment((run.start, run.end), (run.start - run.onset, run.end - run.onset))
    if run.onset <= 0:
        return Refusal(
            "its onset is at epoch 0, by which nothing can be divided: align by epochs after the onset"
        )
    return Alignment((run.start, run.end), (run.start / run.onset, run.end / run.onset))


def _by_phases(run: Landmarks) -> Alignment | Refusal:
    lacking = [name for name in LANDMARKS if math.isnan(getattr(run, name))]
    if lacking:
        why = f" ({run.reason})" if run.reason else ""
        return Refusal(f"it has no {' and no '.join(lacking)}{why}")
    at = [float(getattr(run, name)) for name in _PHASES]
    places = list(range(len(at)))
    if at[0] == at[1]:
        at, places = at[1:], places[1:]  # memorised from the first epoch on: that phase has no epochs
    if at[-1] == at[-2]:
        at, places = at[:-1], places[:-1]  # the run ends with its turn
    if any(later <= earlier for earlier, later in pairwise(at)):
        order = ", ".join(f"{name} {getattr(run, name):,.0f}" for name in LANDMARKS)
        return Refusal(f"its landmarks do not follow each other within the run: {order}, end {run.end:,.0f}")
    return Alignment(tuple(at), tuple(float(place) for place in places))


def ticks(name: str, low: float, high: float) -> dict[str, Any]:
    """How plotly shall write an axis of aligned time from `low` to `high`: title and ticks.

    Epochs stand on a logarithmic axis at 0, 1, 3, 10, ... or, over many decades, at 0, 1, 10, 100, ...
    """
    style: dict[str, Any] = {"title": ALIGNMENTS[name]}
    if name == "log_epoch":
        steps = (1, 3) if high - low <= 3.2 else (1,)
        epochs = [0, *(step * 10**decade for decade in range(12) for step in steps)]
        shown = [epoch for epoch in epochs if low - 1e-9 <= math.log10(1 + epoch) <= high + 1e-9]
        return {
            **style,
            "tickvals": [math.log10(1 + epoch) for epoch in shown],
            "ticktext": [f"{epoch:,}" for epoch in shown],
        }
    if name == "phases":
        return {**style, "tickvals": list(range(len(_PHASES))), "ticktext": list(_PHASES)}
    return {**style, "tickformat": "~g" if name == "turn_scaled" else ",d"}
