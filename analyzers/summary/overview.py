"""The run as a whole: its kind, its losses, and the events of its turn."""

from __future__ import annotations

import json
import math

import numpy as np
import xarray as xr

from analyzers.key_frequencies import chosen
from analyzers.summary.classification import LABELS, Facts, Rule, classify, losses_stay_finite
from analyzers.summary.rows import NAN, Reading, Row, interval_row
from analyzers.summary.timing import Turn, difference
from analyzers.turn_detection import EVENTS, descents

TURN_EVENTS = {
    "memorised": "training loss below 0.01 for a while",
    "onset": "the test loss begins to fall: 10 % of its fastest rate",
    "steepest": "the test loss falls fastest",
    "completion": "the test loss has fallen: back to 10 % of its fastest rate",
}


def facts_of(reading: Reading, turn: Turn) -> Facts:
    """What the classification looks at."""
    history = reading.run.history
    last = {name: _last(history, name) for name in ("train_loss", "test_loss")}
    test = history["test_loss"].values if "test_loss" in history else np.zeros(0)
    seen = test[np.isfinite(test)]
    accuracy = reading.artifact("logits_summary")
    accuracies = {"train": np.zeros(0), "test": np.zeros(0)}
    full = NAN
    if accuracy is not None:
        accuracies = {split: accuracy["accuracy"].sel(split=split).values for split in accuracies}
        full = float(accuracy["loss"].sel(split="all").values[-1])
    progress, keys = reading.artifact("progress_losses"), reading.artifact("key_frequencies")
    restricted = NAN
    if progress is not None:
        curve = progress["restricted_loss"].sel(protocol="sum_directions", split="all")
        restricted = float(curve.values[-1])
    known = [values[np.isfinite(values)] for values in accuracies.values()]
    return Facts(
        verdict=turn.verdict,
        finite=losses_stay_finite(history),
        train_accuracy=float(accuracies["train"][-1]) if len(accuracies["train"]) else NAN,
        test_accuracy=float(accuracies["test"][-1]) if len(accuracies["test"]) else NAN,
        best_test_accuracy=float(known[1].max()) if len(known[1]) else NAN,
        onset=turn.events["onset"][1],
        trained=float(history["epoch"][-1]) if history.sizes["epoch"] else NAN,
        final_test_loss=last["test_loss"],
        least_test_loss=float(seen.min()) if len(seen) else NAN,
        restricted=restricted,
        full=full,
        keys=-1 if keys is None else len(chosen(keys["is_key"].values[-1])),
    )


_HOLDS = {True: "holds", False: "does not hold", None: "cannot be told"}


def run_rows(reading: Reading, turn: Turn) -> tuple[list[Row], str, list[str], list[Rule]]:
    """(rows, label, rules that fired, all rules)."""
    facts = facts_of(reading, turn)
    label, fired, rules = classify(facts)
    history, epochs = reading.run.history, reading.run.epochs
    test = history["test_loss"].values if "test_loss" in history else np.zeros(0)
    peak = int(np.nanargmax(test)) if np.isfinite(test).any() else -1
    rows = [
        Row(
            "classification",
            "run",
            float(LABELS.index(label)),
            "code",
            "kind of run, decided by the rules that are named; the rules follow, each with its value",
            text=f"{label}: {', '.join(fired) or 'no rule applies'}",
        ),
        Row("trained epochs", "run", facts.trained, "epochs", "optimizer steps that were recorded"),
        Row("checkpoints", "run", float(len(epochs)), "checkpoints", "epochs whose weights were saved"),
        *(
            Row(
                f"last {split} loss",
                "run",
                _last(history, f"{split}_loss"),
                "nat",
                f"last recorded {split} loss",
            )
            for split in ("train", "test")
        ),
        Row(
            "train accuracy",
            "run",
            facts.train_accuracy,
            "1",
            "share of the training inputs answered rightly at the last checkpoint",
        ),
        Row(
            "test accuracy",
            "run",
            facts.test_accuracy,
            "1",
            "share of the test inputs answered rightly at the last checkpoint",
        ),
        Row(
            "largest test loss",
            "run",
            float(test[peak]) if peak >= 0 else NAN,
            "nat",
            "largest recorded test loss",
            text=f"at epoch {int(history['epoch'][peak]):,}" if peak >= 0 else "",
        ),
        Row("smallest test loss", "run", facts.least_test_loss, "nat", "smallest recorded test loss"),
        *(
            Row(f"rule: {rule.name}", "run", rule.value, "1", rule.says, text=_HOLDS[rule.holds])
            for rule in rules
        ),
    ]
    return _reasoned(rows), label, fired, rules


def _reasoned(rows: list[Row]) -> list[Row]:
    """Rows without a value say so."""
    return [
        Row(
            row.name,
            row.section,
            row.value,
            row.unit,
            row.definition,
            text=row.text,
            reason="not recorded or not computed",
        )
        if math.isnan(row.value)
        else row
        for row in rows
    ]


def turn_rows(reading: Reading, turn: Turn) -> list[Row]:
    """The events, the delay, and every stretch in which a loss falls by a decade or more."""
    rows = [
        interval_row(
            name,
            "turn",
            turn.events[event],
            definition,
            reason=turn.reason if turn.verdict != "turned" else "",
        )
        for event, (name, definition) in {
            event: (event if event == "memorised" else f"turn, {event}", TURN_EVENTS[event])
            for event in EVENTS
        }.items()
    ]
    low, high = difference(turn.events["completion"], turn.events["memorised"])
    rows += [
        Row(
            "turn, delay",
            "turn",
            (low + high) / 2,
            "epochs",
            "completion of the turn less memorisation; the middle of the interval",
            low,
            high,
            reason="" if math.isfinite(low) else turn.reason,
        ),
        Row(
            "turn, size",
            "turn",
            turn.decades,
            "decades",
            "drop of log10 of the test loss",
            reason="" if math.isfinite(turn.decades) else turn.reason,
        ),
        Row(
            "turn, confidence",
            "turn",
            turn.confidence,
            "1",
            "product of size, lasting and agreement of scales (no probability)",
            text=turn.verdict,
        ),
    ]
    history = reading.run.history
    for split in ("train", "test"):
        if f"{split}_loss" not in history:
            continue
        found = descents(history["epoch"].values, history[f"{split}_loss"].values)
        rows.append(
            Row(
                f"descents of the {split} loss",
                "turn",
                float(len(found)),
                "descents",
                f"stretches in which the trend of the {split} loss falls by a decade or more",
            )
        )
        for number, one in enumerate(found, 1):
            rows.append(
                Row(
                    f"descent {number} of the {split} loss",
                    "turn",
                    one.steepest,
                    "epoch",
                    "fastest point, from the beginning to the end of the stretch",
                    one.onset,
                    one.completion,
                    f"{one.decades:.1f} decades",
                )
            )
    phases = reading.artifact("phases")
    if phases is not None:
        reasons = json.loads(phases.attrs.get("reasons", "{}"))
        for boundary in phases["boundary"].values.tolist():
            pair = tuple(float(phases[side].sel(boundary=boundary)) for side in ("lower", "upper"))
            rows.append(
                interval_row(
                    f"phase: {boundary.replace('_', ' ')}",
                    "turn",
                    (pair[0], pair[1]),
                    "boundary between phases of training (see phases)",
                    text=str(reasons.get(boundary, "")),
                )
            )
    return rows


def _last(history: xr.Dataset, name: str) -> float:
    if name not in history:
        return NAN
    values = history[name].values
    seen = values[~np.isnan(values)]
    return float(seen[-1]) if len(seen) else NAN
