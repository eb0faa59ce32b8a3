"""Every structural measure at the turn and at the end: at the turn it is not yet what it becomes."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from analyzers.summary.rows import NAN, UNKNOWN, Array, Interval, Reading, Row, interval_row
from analyzers.summary.steps import FLOOR
from analyzers.summary.structure_measures import STRUCTURE
from analyzers.summary.timing import Turn

CONVERGED = 0.05  # share of a measure's range within which it has to stay around its last value


def structure_rows(reading: Reading, turn: Turn) -> list[Row]:
    """Every structural measure at the turn, at the end, and the epoch from which it stays near its end."""
    rows = []
    for measure in STRUCTURE:
        epochs, values, reason = reading.curve(measure.analyzer, measure.extract)
        known = np.isfinite(values)
        reason = reason or ("" if known.any() else "it is not a number at any checkpoint")
        at_turn, low, high, why = _at(epochs, values, turn)
        rows.append(
            Row(
                f"{measure.key}, at the turn",
                "structure",
                at_turn,
                measure.unit,
                "at the first checkpoint after the turn's completion (bounds: checkpoints around it):"
                f" {measure.definition}",
                low,
                high,
                reason=reason or why,
            )
        )
        final = float(values[known][-1]) if known.any() else NAN
        text = (
            ""
            if not known.any() or known[-1]
            else f"at epoch {int(epochs[known][-1]):,}, the last at which it is known"
        )
        rows.append(
            Row(
                f"{measure.key}, final",
                "structure",
                final,
                measure.unit,
                f"at the last checkpoint: {measure.definition}",
                text=text,
                reason=reason,
            )
        )
        rows.append(
            interval_row(
                f"{measure.key}, converged",
                "structure",
                _converged(epochs[known], values[known], measure.logarithmic),
                f"epoch from which it stays within {CONVERGED:.0%} of its range around its last value",
                reason=reason,
            )
        )
    return rows


def _at(epochs: NDArray[np.int64], values: Array, turn: Turn) -> tuple[float, float, float, str]:
    """(value at the first checkpoint after the completion, least and largest of those around it, reason)."""
    low, high = turn.events["completion"]
    if not math.isfinite(high):
        return NAN, NAN, NAN, f"the turn has no completion ({turn.reason})"
    after = np.flatnonzero(epochs >= high)
    if not len(after):
        return NAN, NAN, NAN, "no checkpoint was saved after the turn"
    before = np.flatnonzero(epochs <= (0 if math.isnan(low) else low))
    around = values[before[-1] if len(before) else 0 : after[0] + 1]
    around = around[np.isfinite(around)]
    bounds = (float(around.min()), float(around.max())) if len(around) else (NAN, NAN)
    value = float(values[after[0]])
    return value, *bounds, "" if math.isfinite(value) else "it is not a number there"


def _converged(epochs: NDArray[np.int64], values: Array, logarithmic: bool) -> Interval:
    """Where the last value is reached for good; an interval between checkpoints."""
    if len(values) < 2:
        return UNKNOWN
    if logarithmic:
        values = np.log(np.maximum(values, FLOOR))
    near = np.abs(values - values[-1]) <= CONVERGED * np.ptp(values)
    away = np.flatnonzero(~near)
    if not len(away):
        return (NAN, float(epochs[0]))
    return (float(epochs[away[-1]]), float(epochs[away[-1] + 1]))
