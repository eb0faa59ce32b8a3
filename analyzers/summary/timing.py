"""When the run turned, and when every signal made its step beside it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from analyzers.summary.rows import NAN, UNKNOWN, Interval, Reading, Row, interval_row
from analyzers.summary.signals import SIGNALS
from analyzers.summary.steps import STAGES, Step, find_step
from analyzers.turn_detection import EVENTS

REFERENCE = "steepest"


@dataclass(frozen=True)
class Timed:
    """A signal's step, and by how many epochs it came before the turn (negative: after), as an interval."""

    name: str
    definition: str
    step: Step
    lead: Interval


@dataclass(frozen=True)
class Turn:
    """The events of the turn as intervals, its verdict, reason, confidence and size."""

    events: dict[str, Interval]
    verdict: str
    reason: str
    confidence: float
    decades: float


def turn_of(reading: Reading) -> Turn:
    """What the turn instrument found."""
    found = reading.artifact("turn")
    if found is None:
        return Turn(dict.fromkeys(EVENTS, UNKNOWN), "unknown", reading.why_not("turn"), NAN, NAN)
    events = {
        event: (float(found["lower"].sel(event=event)), float(found["upper"].sel(event=event)))
        for event in EVENTS
    }
    return Turn(
        events,
        str(found.attrs["verdict"]),
        str(found.attrs["reason"]),
        float(found["confidence"]),
        float(found["decades"]),
    )


def timed_signals(reading: Reading, turn: Turn) -> list[Timed]:
    """Every signal with its step and its lead over the steepest point of the test loss."""
    reference = turn.events[REFERENCE]
    stages = dict(zip(STAGES, ("onset", "steepest", "completion"), strict=True))
    own = Step({stage: turn.events[event] for stage, event in stages.items()}, reason=turn.reason)
    found = [
        Timed("test loss", "mean cross-entropy on the test inputs (history); the turn itself", own, UNKNOWN)
    ]
    for signal in SIGNALS:
        epochs, values, reason = reading.curve(signal.analyzer, signal.extract)
        if reason:
            step = Step(dict.fromkeys(STAGES, UNKNOWN), reason=reason)
        else:
            step = find_step(epochs, values, signal.rising, signal.least, signal.logarithmic)
        found.append(Timed(signal.key, signal.definition, step, difference(reference, step.stages["middle"])))
    return found


def difference(later: Interval, earlier: Interval) -> Interval:
    """The interval of later - earlier for two events in (lower, upper]; an open lower end counts as 0."""
    if not (math.isfinite(later[1]) and math.isfinite(earlier[1])):
        return UNKNOWN
    lows = [0.0 if math.isnan(low) else low for low in (later[0], earlier[0])]
    return (lows[0] - earlier[1], later[1] - lows[1])


def signal_rows(signals: list[Timed]) -> list[Row]:
    rows = []
    for signal in signals:
        name = signal.name
        middle = signal.step.stages["middle"]
        definition = f"epoch at which half of the step of this is done for good: {signal.definition}"
        rows.append(interval_row(f"{name}, step", "signals", middle, definition, reason=signal.step.reason))
        if name == "test loss":
            continue
        low, high = signal.lead
        known = math.isfinite(low)
        rows.append(
            Row(
                f"{name}, lead",
                "signals",
                (low + high) / 2 if known else NAN,
                "epochs",
                "epochs by which that comes before the test loss falls fastest; the middle of the interval",
                low,
                high,
                order_of(low, high) if known else "",
                "" if known else signal.step.reason or "there is no turn",
            )
        )
    return rows


def order_of(low: float, high: float) -> str:
    return "before the turn" if low > 0 else "after the turn" if high < 0 else "with the turn"
