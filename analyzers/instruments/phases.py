"""Memorisation, circuit formation and cleanup as intervals of epochs."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import xarray as xr

from analyzers.instruments.progress_losses import PROTOCOLS
from analyzers.registry import Output, analyzer
from analyzers.run import Run
from analyzers.training_phases import BOUNDARIES, Curve, Thresholds, boundaries
from data.errors import BadParameter

_DEFAULT = Thresholds()


@analyzer(
    name="phases",
    version=1,
    scope="trajectory",
    kind="history",
    title="Phases of training",
    outputs={
        "lower": Output(("boundary",), "float64", "Last evaluation before the boundary", "epoch"),
        "upper": Output(("boundary",), "float64", "First evaluation by which it was passed", "epoch"),
    },
    needs=("progress_losses", "logits_summary"),
    parameters={
        "protocol": "sum_directions",
        "memorised": _DEFAULT.memorised,
        "leaves": _DEFAULT.leaves,
        "falls": _DEFAULT.falls,
        "cleaned": _DEFAULT.cleaned,
    },
    formula="memorised: train loss < 0.01; circuit_formation: excluded loss (train) > 2 train loss;"
    " cleanup: test loss < half of its peak; cleaned: test loss < 0.01; each from the first evaluation from"
    " which it lasts (9 of 10 evaluations over 1 % of the run, at least 3)",
    source="The three phases: Nanda et al. 2023, arXiv:2301.05217, section 5.2 (1.4k, 9.4k and 14k epochs,"
    " read off the curves); the thresholds are this workbench's",
    protocol="train and test loss of the history where it has them, else of the checkpoints; excluded and"
    " its training loss at the checkpoints, K* fixed from the last one, sum directions; intervals (lower,"
    " upper]",
    caveats="Phases overlap: circuits begin to form while the model still memorises. Circuit formation is"
    " located between checkpoints only, and rests on the frequencies of the last one.",
)
def phases(
    run: Run,
    protocol: str = "sum_directions",
    memorised: float = _DEFAULT.memorised,
    leaves: float = _DEFAULT.leaves,
    falls: float = _DEFAULT.falls,
    cleaned: float = _DEFAULT.cleaned,
) -> dict[str, Any]:
    """Four boundaries of the training, each the first evaluation from which a condition lasts.

    Formula: memorised, train loss < `memorised`; circuit_formation, excluded loss on the training inputs >
    `leaves` times the training loss; cleanup, test loss < (its peak) / `falls`, after the peak; cleaned,
    test loss < `cleaned`. A condition lasts if it holds at 9 of 10 evaluations over 1 % of the
    run, at least 3 of them. Memorisation lasts up to memorised, circuit formation from circuit_formation
    to cleanup, cleanup from cleanup to cleaned.

    Shapes: lower, upper [4 (boundary)]; the boundary lies in (lower, upper]. Units: epochs. NaN in both:
    not reached; NaN in lower alone: at or before the first evaluation. Attributes: reasons (JSON, one
    sentence per boundary), thresholds (JSON).

    Source: phases of Nanda et al. 2023, arXiv:2301.05217; see `source`.

    Limits: thresholds are conventions. Raises BadParameter for a protocol that progress_losses does not have.
    """
    if protocol not in PROTOCOLS:
        raise BadParameter(f"protocol={protocol!r} is not one of {', '.join(PROTOCOLS)}.")
    losses = run.artifact("logits_summary")["loss"]
    train = losses.sel(split="train")
    excluded = run.artifact("progress_losses")["excluded_loss"].sel(protocol=protocol, split="train")
    excluded, at_checkpoints = xr.align(excluded, train)
    with np.errstate(invalid="ignore", divide="ignore"):
        over = Curve(excluded["epoch"].values, excluded.values / at_checkpoints.values)
    thresholds = Thresholds(memorised, leaves, falls, cleaned)
    found = boundaries(
        _recorded(run, "train_loss", train),
        _recorded(run, "test_loss", losses.sel(split="test")),
        over,
        thresholds,
    )
    return {
        "boundary": list(BOUNDARIES),
        "lower": [found[name].lower for name in BOUNDARIES],
        "upper": [found[name].upper for name in BOUNDARIES],
        "attrs": {
            "reasons": json.dumps({name: found[name].reason for name in BOUNDARIES}),
            "thresholds": json.dumps({**vars(thresholds), "protocol": protocol}),
        },
    }


def _recorded(run: Run, name: str, measured: xr.DataArray) -> Curve:
    """That loss of the history, or `measured` at the checkpoints where the history has none."""
    history = run.history
    if name in history and np.isfinite(history[name].values).any():
        return Curve(history["epoch"].values, history[name].values)
    return Curve(measured["epoch"].values, measured.values)
