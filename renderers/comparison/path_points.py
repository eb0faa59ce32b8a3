"""Points of checkpoints for principal components: raw weights, and what no gauge changes."""

from __future__ import annotations

import json

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analyzers.comparison.distances import ALL, distances, log_spectrum
from analyzers.comparison.gauge import SPECTRA, TOKEN_MATRICES, Description
from analyzers.comparison.relabelling import renamed, renamed_power
from analyzers.comparison.shared_paths import SharedBasis, common_components
from analyzers.instruments.parameter_pca import GROUPS
from data.errors import CorruptFile
from renderers.comparison.checkpoints import MODULO, Checkpoints, Run, event_epochs
from renderers.comparison.cohort import Cohort, leave_out

BOTH, RAW, FREE = "both", "raw weights", "free of gauge"
FEATURES = {"Gram matrices": "CKA", "Fourier power": "Fourier power", "singular values": ""}
_MOST_RAW = 120  # checkpoints whose raw weights are held at once


def paths(cohort: Cohort) -> xr.Dataset:
    """Positions of all checkpoints in the components of raw weights and of features free of gauge.

    `position` [point, component] with coordinates kind, variant, epoch and event along `point`; per kind its
    shares of variance, the range of random walks, and the share of variance between runs. The parameters of
    the cohort are those of the comparison: show, features, matrix, relabel, weights.
    """
    shown = cohort.params["show"]
    checkpoints = Checkpoints.of(cohort, aligned=False)
    checkpoints.of_one_p(cohort.params["relabel"] == MODULO, least=1)
    parts = []
    if shown != FREE:
        parts.append(_dataset(checkpoints, RAW, *_raw(checkpoints, cohort.params["weights"])))
    if shown != RAW:
        parts.append(_dataset(checkpoints, FREE, *_free(checkpoints, cohort)))
    data = xr.concat(parts, dim="point", data_vars="minimal")
    parents = {
        run.name: [run.variant.parent["name"], run.variant.parent["epoch"]]
        for run in checkpoints.runs
        if run.variant.parent is not None
    }
    return leave_out(data.assign_attrs(parents=json.dumps(parents)), checkpoints.left)


def _dataset(
    checkpoints: Checkpoints, kind: str, points: NDArray[np.floating], runs: list[Run], epochs: list[int]
) -> xr.Dataset:
    """The points of one panel, with what its axes and its title say."""
    names = [run.name for run in runs]
    order = [run.name for run in checkpoints.runs]
    found: SharedBasis = common_components(points, np.array([order.index(name) for name in names]))
    count = len(names)
    described = {
        f"{kind}: {name}": ("component", values)
        for name, values in (("share", found.shares), ("low", found.walk_low), ("high", found.walk_high))
    }
    marks = {run.name: event_epochs(checkpoints.cohort, run) for run in checkpoints.runs}
    events = [
        ", ".join(event for event, at in marks[name].items() if at == epoch)
        for name, epoch in zip(names, epochs, strict=True)
    ]
    return xr.Dataset(
        {
            "position": (("point", "component"), found.projection),
            **described,
            f"{kind}: between": found.between,
        },
        coords={
            "kind": ("point", [kind] * count),
            "variant": ("point", names),
            "epoch": ("point", np.array(epochs, dtype=np.int64)),
            "event": ("point", events),
            "component": [1, 2, 3],
        },
    )


def _raw(checkpoints: Checkpoints, group: str) -> tuple[NDArray[np.float32], list[Run], list[int]]:
    """Rows of all weights of a group, one per checkpoint, of the runs of the reference's size."""
    per_run = max(2, _MOST_RAW // len(checkpoints.runs))
    rows: list[NDArray[np.float32]] = []
    runs: list[Run] = []
    epochs: list[int] = []
    reference = checkpoints.reference
    for run in [reference, *(run for run in checkpoints.runs if run is not reference)]:
        step = -(-len(run.epochs) // per_run)
        for epoch in dict.fromkeys([*run.epochs[::step], run.epochs[-1]]):
            try:
                weights = run.variant.at(epoch).weights
            except CorruptFile:
                checkpoints.left.append((run.name, f"the checkpoint at epoch {epoch:,} is damaged"))
                continue
            own = [
                weights[name].numpy().ravel() for name in sorted(weights) if name.startswith(GROUPS[group])
            ]
            row = np.concatenate(own)
            if rows and len(row) != len(rows[0]):
                checkpoints.left.append((run.name, f"another size than {reference.name} (raw weights only)"))
                break
            if np.isfinite(row).all():
                rows.append(row)
                runs.append(run)
                epochs.append(epoch)
    return np.array(rows), runs, epochs


def _free(checkpoints: Checkpoints, cohort: Cohort) -> tuple[NDArray[np.float32], list[Run], list[int]]:
    """Rows of the chosen features, each matrix over the root mean square of its rows' lengths."""
    features, matrix = cohort.params["features"], cohort.params["matrix"]
    read = {run.name: checkpoints.describe(run, run.epochs) for run in checkpoints.runs}
    last = [read[run.name][1][-1] for run in checkpoints.runs if read[run.name][1]]
    units = dict.fromkeys(read, 1)
    if cohort.params["relabel"] == MODULO:
        present = [run.name for run in checkpoints.runs if read[run.name][1]]
        pairs = np.array([[present.index(checkpoints.reference.name), i] for i in range(len(present))])
        best = distances(last, pairs, FEATURES[features], matrix, True).unit
        units |= dict(zip(present, best.tolist(), strict=True))
    rows: list[list[NDArray[np.floating]]] = []
    runs: list[Run] = []
    epochs: list[int] = []
    for run in checkpoints.runs:
        for epoch, one in zip(*read[run.name], strict=True):
            rows.append(_parts(one, features, matrix, units[run.name]))
            runs.append(run)
            epochs.append(epoch)
    parts = [np.array(part, dtype=np.float32) for part in zip(*rows, strict=True)]
    for part in parts:
        part /= float(np.sqrt((part**2).sum(axis=1, dtype=np.float64).mean())) or 1.0
    return np.concatenate(parts, axis=1), runs, epochs


def _parts(one: Description, features: str, matrix: str, unit: int) -> list[NDArray[np.floating]]:
    """The rows of a description that the components are fitted to, one per matrix."""
    if features == "singular values":
        return [log_spectrum(one.singular[name]) for name in (SPECTRA if matrix == ALL else (matrix,))]
    chosen = [TOKEN_MATRICES.index(name) for name in (TOKEN_MATRICES if matrix == ALL else (matrix,))]
    if features == "Fourier power":
        shares = one.power / np.maximum(one.power.sum(axis=1, keepdims=True), 1e-300)
        return [renamed_power(shares[index], unit) for index in chosen]
    return [(renamed(one.gram[index], unit) if unit > 1 else one.gram[index]).ravel() for index in chosen]
