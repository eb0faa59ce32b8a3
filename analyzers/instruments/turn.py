"""When the model turned from memorising to generalising."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from analyzers import turn_detection
from analyzers.registry import Output, analyzer
from analyzers.run import Run


@analyzer(
    name="turn",
    version=1,
    scope="trajectory",
    kind="history",
    title="The turn",
    outputs={
        "lower": Output(("event",), "float64", "Last evaluation before the event", "epoch"),
        "upper": Output(("event",), "float64", "First evaluation by which it had happened", "epoch"),
        "confidence": Output((), "float64", "Confidence in the turn", "1"),
        "decades": Output((), "float64", "Size of the drop of the test loss", "decades"),
    },
    formula="steepest = argmax of -d log10(test loss) / d epoch on the smoothed decreasing trend; onset and"
    " completion ="
    " where that rate passes 10 % of its maximum; memorised = train loss < 0.01 sustained",
    source="Definition of this workbench (analyzers/turn_detection.py); isotonic trend and Gaussian"
    " smoothing at 0.5, 1"
    " and 2 % of the run",
    protocol="losses noted during training; events are intervals (lower, upper] between evaluations,"
    " widened by the"
    " disagreement of the scales and by the resolution of the finest",
    caveats="A description of the test-loss curve, not of the mechanism: circuits can form long before the"
    " test loss"
    " falls. Confidence is a product of three plain shares, not a probability.",
    requires=(),
)
def turn(run: Run) -> dict[str, Any]:
    """Memorisation, onset, steepest point and completion of the drop of the test loss, as intervals of
    epochs.

    Formula: see analyzers/turn_detection.py. In short, y = log10 test loss; its decreasing (isotonic) trend
    is smoothed at three scales; the steepest point is where the trend falls fastest, onset and completion are
    where it falls at 10 % of that rate before and after; memorised is the first evaluation from which the
    training loss stays below 0.01.

    Shapes: lower, upper [event], event = memorised, onset, steepest, completion; confidence, decades scalar.
    Units: epochs, with the event in (lower, upper]; NaN in both where it did not happen, NaN in lower alone
    for "at or before the first evaluation". Attributes: verdict (turned, unfinished, at once, never, unknown,
    no history), reason (one sentence), thresholds (JSON).

    Source: definition of this workbench. Needs train_loss and test_loss in the history.

    Limits: it sees only the losses. Several drops: the largest is the turn, and the reason counts them. A
    random walk that happens to fall by a decade and to stay there cannot be told from a turn; the confidence
    is then low.
    """
    history = run.history
    epoch = history["epoch"].values
    absent = np.full(len(epoch), np.nan)
    test, train = (
        history[name].values if name in history else absent for name in ("test_loss", "train_loss")
    )
    found = turn_detection.detect_turn(epoch, test, train)
    lower, upper = zip(*(found.intervals[event] for event in turn_detection.EVENTS), strict=True)
    return {
        "event": list(turn_detection.EVENTS),
        "lower": lower,
        "upper": upper,
        "confidence": found.confidence,
        "decades": found.decades,
        "attrs": {
            "verdict": found.verdict,
            "reason": found.reason,
            "thresholds": json.dumps(
                {
                    "memorised_train_loss": turn_detection.MEMORISED,
                    "share_of_fastest_rate": turn_detection.EDGE,
                    "minimum_decades": turn_detection.MIN_DECADES,
                    "minimum_in_units_of_noise": turn_detection.MIN_NOISES,
                    "minimum_over_mean_rate": turn_detection.MIN_SPEED,
                    "scales": turn_detection.SCALES,
                }
            ),
        },
    }
