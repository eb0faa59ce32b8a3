"""Everything about a run as one table of scalars."""

from __future__ import annotations

import json
from typing import Any

from analyzers.registry import Output, analyzer
from analyzers.run import Run
from analyzers.summary.classification import LABELS
from analyzers.summary.frequencies import frequency_rows
from analyzers.summary.geometry import geometry_rows
from analyzers.summary.overview import run_rows, turn_rows
from analyzers.summary.rows import Reading
from analyzers.summary.signals import SIGNALS
from analyzers.summary.steps import STAGES
from analyzers.summary.structure import structure_rows
from analyzers.summary.structure_measures import STRUCTURE
from analyzers.summary.timing import REFERENCE, signal_rows, timed_signals, turn_of

_READS = ("turn", "phases", "key_frequencies", "neuron_commitment", "dimensionality_crossing", "path_nulls")


@analyzer(
    name="run_summary",
    version=1,
    scope="trajectory",
    kind="history",
    title="Summary of the run",
    outputs={
        "value": Output(("metric",), "float64", "Value of the metric", "see units"),
        "lower": Output(("metric",), "float64", "Lower bound of the metric", "see units"),
        "upper": Output(("metric",), "float64", "Upper bound of the metric", "see units"),
        "stage_lower": Output(
            ("signal", "stage"), "float64", "Last epoch before that share of the step", "epoch"
        ),
        "stage_upper": Output(("signal", "stage"), "float64", "First epoch from which it is passed", "epoch"),
        "lead_lower": Output(("signal",), "float64", "Least lead over the turn", "epochs"),
        "lead_upper": Output(("signal",), "float64", "Largest lead over the turn", "epochs"),
    },
    needs=tuple(sorted({*_READS, *(measure.analyzer for measure in (*SIGNALS, *STRUCTURE))})),
    formula="signals: y from its extreme y0 to its end y1 (median of the last 3), stages where y0 + 10, 50,"
    f" 90 % of (y1 - y0) is passed for good; lead = {REFERENCE} point of the test loss less the 50 % stage;"
    " at the turn: first checkpoint after its completion; converged: within 5 % of the range around the last"
    " value for good",
    source="Definition of this workbench; measures and their sources are those of the instruments read",
    protocol="intervals between checkpoints (between evaluations for the losses); every structural measure"
    " both at the turn and at the end; key frequencies of the last checkpoint",
    caveats="Signals are known at checkpoints only: a lead shorter than their spacing is not resolved. A lead"
    " is no cause. The classification applies fixed thresholds; the rules are listed with their values.",
)
def run_summary(run: Run) -> dict[str, Any]:
    """One table of scalar metrics, each with bounds, unit and definition, and the timing of signals.

    Formula: see `formula`; rules of the classification in analyzers/summary/classification.py.

    Shapes: value, lower, upper [metric]; stage_lower, stage_upper [signal, 3 (onset, middle,
    completion)]; lead_lower, lead_upper [signal]. Units: per metric, in the attribute `metrics`, a JSON list
    of objects with name, section, unit, definition, text (what it says in words) and reason (why it has no
    value). Attributes: classification, labels (JSON list: the codes), fired (JSON list of rules),
    rules (JSON list of rule, holds, value, says), signals (JSON: name -> definition), reasons (JSON: name ->
    why it has no step), verdict.

    An event has value = upper: it lies in (lower, upper]. A metric whose instrument has no result for this
    run has NaN and says why.

    Source: definition of this workbench; see the instruments that it reads.

    Limits: as good as the spacing of the checkpoints; thresholds are conventions.
    """
    reading = Reading(run)
    turn = turn_of(reading)
    signals = timed_signals(reading, turn)
    first, label, fired, rules = run_rows(reading, turn)
    rows = [
        *first,
        *turn_rows(reading, turn),
        *signal_rows(signals),
        *frequency_rows(reading),
        *geometry_rows(reading, turn),
        *structure_rows(reading, turn),
    ]
    described = [
        {
            "name": row.name,
            "section": row.section,
            "unit": row.unit,
            "definition": row.definition,
            "text": row.text,
            "reason": row.reason,
        }
        for row in rows
    ]
    return {
        "metric": [row.name for row in rows],
        "signal": [signal.name for signal in signals],
        "stage": list(STAGES),
        "value": [row.value for row in rows],
        "lower": [row.lower for row in rows],
        "upper": [row.upper for row in rows],
        "stage_lower": [[signal.step.stages[stage][0] for stage in STAGES] for signal in signals],
        "stage_upper": [[signal.step.stages[stage][1] for stage in STAGES] for signal in signals],
        "lead_lower": [signal.lead[0] for signal in signals],
        "lead_upper": [signal.lead[1] for signal in signals],
        "attrs": {
            "classification": label,
            "labels": json.dumps(LABELS),
            "verdict": turn.verdict,
            "fired": json.dumps(fired),
            "rules": json.dumps([rule.to_json() for rule in rules]),
            "metrics": json.dumps(described),
            "signals": json.dumps({signal.name: signal.definition for signal in signals}),
            "reasons": json.dumps({signal.name: signal.step.reason for signal in signals}),
        },
    }
