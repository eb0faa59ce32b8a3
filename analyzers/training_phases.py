"""Boundaries of the phases of training: crossings of thresholds that last, as intervals of epochs."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers.turn_detection import first_lasting

BOUNDARIES = ("memorised", "circuit_formation", "cleanup", "cleaned")

Array = NDArray[Any]


@dataclass(frozen=True)
class Boundary:
    """It happened in (lower, upper]; NaN in both: not reached; NaN in lower alone: at or before the first."""

    lower: float
    upper: float
    reason: str


@dataclass(frozen=True)
class Thresholds:
    """memorised, cleaned: losses in nats; leaves: excluded over training loss; falls: peak over test loss."""

    memorised: float = 1e-2
    leaves: float = 2.0
    falls: float = 2.0
    cleaned: float = 1e-2


@dataclass(frozen=True)
class Curve:
    """A quantity over ascending epochs."""

    epoch: Array
    value: Array

    @property
    def known(self) -> Curve:
        """The same without the epochs at which it is not finite."""
        finite = np.isfinite(self.value)
        return Curve(self.epoch[finite], self.value[finite])


def boundaries(train: Curve, test: Curve, over: Curve, thresholds: Thresholds) -> dict[str, Boundary]:
    """Every boundary of `BOUNDARIES`, from the losses and from `over`, the excluded over the training
    loss.
    """
    train, test, over = (curve.known for curve in (train, test, over))
    peak = int(test.value.argmax()) if len(test.value) else 0
    height = float(test.value[peak]) if len(test.value) else float("nan")
    after_peak = np.arange(len(test.value)) > peak
    return {
        "memorised": _lasting(
            train,
            train.value < thresholds.memorised,
            f"the training loss stays below {thresholds.memorised:g}",
        ),
        "circuit_formation": _lasting(
            over,
            over.value > thresholds.leaves,
            f"the excluded loss stays above {thresholds.leaves:g} times the training loss",
        ),
        "cleanup": _lasting(
            test,
            after_peak & (test.value < height / thresholds.falls),
            f"the test loss stays below 1 / {thresholds.falls:g} of its peak of {height:.3g}",
        ),
        "cleaned": _lasting(
            test, test.value < thresholds.cleaned, f"the test loss stays below {thresholds.cleaned:g}"
        ),
    }


def _lasting(curve: Curve, holds: NDArray[np.bool_], condition: str) -> Boundary:
    """The first evaluation from which the condition holds for a while."""
    if not len(curve.epoch):
        return Boundary(np.nan, np.nan, f"not known: nothing tells whether {condition}")
    lower, upper = first_lasting(curve.epoch, holds)
    if np.isnan(upper):
        return Boundary(lower, upper, f"not reached: at no evaluation is it so that {condition}")
    since = "at or before the first evaluation" if np.isnan(lower) else f"from epoch {upper:,.0f} on"
    return Boundary(lower, upper, f"{condition} {since}")
