"""Which split a model was trained on: searched for, and held against what is recorded."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.errors import BadParameter
from data.importers.contents import Contents
from training.families import modular_addition as family
from training.importing.model import Model
from training.importing.records import recorded_at
from training.importing.report import Imported
from training.importing.search import Found, search

REAL_LOSS = 0.02  # relative difference from which a recorded loss counts as another than the computed one

Array = NDArray[np.float64]


def recovered(
    contents: Contents,
    model: Model,
    fixed: Mapping[str, Any],
    given: Mapping[str, Any],
    seeds: Sequence[int],
    on_progress: Callable[[int, int], None] | None,
    report: Imported,
) -> dict[str, Any]:
    """The settings of Params that give the split; `split: unknown` where nothing does."""
    if fixed["split"] == "unknown":
        report.split = "not known, as asked for"
        return {"split": "unknown"}
    if fixed["data_seed"] is not None and fixed["frac_train"] is not None:
        report.split, report.split_sure = "as asked for", True
        return {name: value for name, value in fixed.items() if value is not None}
    if any(value is not None for value in fixed.values()):
        raise BadParameter(
            "A split needs --data-seed and --frac-train together; without both it is searched for."
        )
    if not np.isfinite(model.losses).all():
        report.split = "not known: the model's losses are not all finite"
        return {"split": "unknown"}
    last = model.epochs[-1]
    recorded = []
    for at in model.index:
        train, test = (recorded_at(contents, split, model.epochs[at], last) for split in ("train", "test"))
        size = max(len(train), len(test))
        pairs = [np.pad(values, (0, size - len(values)), constant_values=np.nan) for values in (train, test)]
        recorded.append(np.stack(pairs, axis=1) if size else np.empty((0, 2)))
    seed, fraction = (given[name] for name in ("data_seed", "fraction"))
    stated = isinstance(seed, int) and seed >= 0 and isinstance(fraction, float) and 0 < fraction < 1
    p = model.converted[0].sizes.p
    found = search(
        p, model.losses, recorded, [(seed, fraction)] if stated else [], seeds, on_seed=on_progress
    )
    _check_listed_rows(contents, found, p, report)
    if not found.sure:
        report.split = f"not recovered ({found.reason}; best guess {found.best.split})"
        return {"split": "unknown"}
    kind, recovered_seed, recovered_fraction = found.best.split
    report.split, report.split_sure = f"{found.best.split} ({found.reason})", True
    if stated and (seed, fraction) != (recovered_seed, recovered_fraction):
        report.contradictions.append(
            f"The configuration says seed {seed} and fraction {fraction:g} for the split, but the losses are"
            f" those of {found.best.split}; took what the losses say."
        )
    _compare_losses(model, recorded, found, report)
    return {"split": kind, "data_seed": recovered_seed, "frac_train": recovered_fraction}


def _check_listed_rows(contents: Contents, found: Found, p: int, report: Imported) -> None:
    """The rows that the file lists, beside those of the split that was found."""
    if contents.rows is None or not found.sure:
        return
    kind, seed, fraction = found.best.split
    rows = family.split(family.Params(p=p, seed=0, data_seed=seed, frac_train=fraction, split=kind))[0]
    same = set(rows.tolist()) == set(contents.rows.tolist())
    if same:
        report.notes.append(f"The {len(rows):,} training inputs that the file lists are those of the split.")
    else:
        report.contradictions.append(
            "The training inputs that the file lists are not those that the losses point to."
        )


def _compare_losses(model: Model, recorded: Sequence[Array], found: Found, report: Imported) -> None:
    deviation = found.best.deviation
    if not np.isfinite(deviation):
        report.notes.append("No losses were recorded beside the weights.")
    elif deviation > REAL_LOSS:
        rows = family.split(
            family.Params(
                p=model.converted[0].sizes.p,
                seed=0,
                data_seed=found.best.split.seed,
                frac_train=found.best.split.fraction,
                split=found.best.split.kind,
            )
        )
        computed = [float(model.losses[-1][part].mean()) for part in rows]
        listed = recorded[-1][-1] if len(recorded[-1]) else (float("nan"),) * 2
        report.contradictions.append(
            f"The recorded last losses (train {listed[0]:.4g}, test {listed[1]:.4g}) are not those of these"
            f" weights (train {computed[0]:.4g}, test {computed[1]:.4g})."
        )
