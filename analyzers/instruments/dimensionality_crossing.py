"""When the weight matrices fall below a number of dimensions, against the turn."""

from __future__ import annotations

from typing import Any

import numpy as np

from analyzers.features import Array
from analyzers.registry import Output, analyzer
from analyzers.run import Run
from data.errors import BadParameter

CONVENTIONS = {"singular values": "participation_ratio_sv", "eigenvalues": "participation_ratio_ev"}
EDGES = ("upper", "lower")
_DIMS = ("matrix", "convention", "edge")


@analyzer(
    name="dimensionality_crossing",
    version=1,
    scope="trajectory",
    kind="artifacts",
    title="Crossing of a band of dimensions",
    outputs={
        "lower": Output(_DIMS, "float64", "Last checkpoint at or above the edge", "epoch"),
        "upper": Output(_DIMS, "float64", "First checkpoint below the edge for good", "epoch"),
        "lead_min": Output(
            (*_DIMS, "event"), "float64", "Least lead of the crossing over the event", "epoch"
        ),
        "lead_max": Output((*_DIMS, "event"), "float64", "Most lead of the crossing over the event", "epoch"),
        "band": Output(("edge",), "float64", "Ends of the band", "dimensions"),
    },
    needs=("singular_values", "turn"),
    parameters={"low": 25.0, "high": 30.0},
    formula="crossing in (last checkpoint with PR >= edge, next checkpoint]; lead in [event.lower -"
    " crossing.upper, event.upper - crossing.lower]; positive: the crossing came first",
    source="The band 25 to 30, on singular values, is an observation of a user of such runs; definition of"
    " this workbench",
    protocol="participation ratios of singular_values in both conventions; events of turn; below for good,"
    " that is until the last checkpoint",
    caveats="The band belongs to the singular-value convention; on eigenvalues the same matrix has far less."
    " Weight decay lowers every ratio in time, so a crossing before the turn is expected in any run that"
    " turns: it is evidence only beside runs that do not.",
)
def dimensionality_crossing(run: Run, low: float = 25.0, high: float = 30.0) -> dict[str, Any]:
    """The interval of epochs in which each participation ratio falls below either end of a band for good.

    Formula: as above, for the edge upper (high) and lower (low) of the band, both conventions of the
    participation ratio, and each event of the turn.

    Shapes: lower, upper [matrix, 2 (singular values, eigenvalues), 2 (upper, lower)]; lead_min, lead_max
    with a last axis [event] (memorised, onset, steepest, completion); band [2]. Units: epochs; dimensions.
    NaN in both bounds: not below at the end; NaN in lower alone: below from the first checkpoint on. Leads
    are NaN where a bound is, that is also for events that did not happen.

    Source: definition of this workbench. Limits: a ratio that never was above the band (heads have few
    dimensions) has no crossing to speak of. Raises BadParameter unless 0 < low <= high.
    """
    if not 0 < low <= high:
        raise BadParameter(f"low={low}, high={high} is not a band; give 0 < low <= high, usually 25 and 30.")
    found, turn = run.artifact("singular_values"), run.artifact("turn")
    ratio = np.stack(
        [found[name].transpose("matrix", "epoch").values for name in CONVENTIONS.values()], axis=1
    )
    band = np.array([high, low])
    crossings = np.array(
        [
            [[falls_below(found["epoch"].values, values, edge) for edge in band] for values in per_matrix]
            for per_matrix in ratio
        ]
    )
    lower, upper = crossings[..., 0], crossings[..., 1]
    event_lower, event_upper = turn["lower"].values, turn["upper"].values
    return {
        "matrix": found["matrix"].values,
        "convention": list(CONVENTIONS),
        "edge": list(EDGES),
        "event": turn["event"].values,
        "lower": lower,
        "upper": upper,
        "lead_min": event_lower - upper[..., None],
        "lead_max": event_upper - lower[..., None],
        "band": band,
    }


def falls_below(epochs: Array, values: Array, edge: float) -> tuple[float, float]:
    """(last epoch with a value >= edge, first one after it); NaN where there is none, see above.

    Epochs with NaN are left out.
    """
    known = ~np.isnan(values)
    epochs, values = epochs[known], values[known]
    above = np.flatnonzero(values >= edge)
    if not len(values) or (len(above) and above[-1] == len(values) - 1):
        return float("nan"), float("nan")
    if not len(above):
        return float("nan"), float(epochs[0])
    return float(epochs[above[-1]]), float(epochs[above[-1] + 1])
