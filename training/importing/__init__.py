"""Variants of modular arithmetic out of checkpoints that other programs wrote.

What the weights say goes before what is written beside them: sizes, p and the operation are read off the
model, the train/test split is searched for, and the optimizer's own settings win over those of a
configuration. Everything that was done is noted, and every contradiction named.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from data import Variant, VariantRecord, Workspace
from data.errors import BadParameter, VariantExists
from data.importers.contents import Contents, read_contents
from data.importers.layouts import Converted, convert
from training.families import modular_addition as family
from training.importing.model import Model, labels, logits_of, row_losses, understood
from training.importing.records import recorded_epochs
from training.importing.report import Imported
from training.importing.search import SEEDS
from training.importing.settings import compare_sizes, model_seed, refuse, settings_of, training_config
from training.importing.split import recovered

__all__ = ["Imported", "import_run"]

Array = NDArray[np.float64]


def import_run(
    workspace: Workspace,
    path: Path,
    name: str | None = None,
    p: int | None = None,
    operation: str | None = None,
    layout: str | None = None,
    data_seed: int | None = None,
    frac_train: float | None = None,
    split: str | None = None,
    seeds: Sequence[int] = SEEDS,
    on_progress: Callable[[int, int], None] | None = None,
) -> Imported:
    """Make a variant of a file or folder; it appears in the workspace when it is complete.

    name, p, operation, layout: where what is found is not wanted or not enough. data_seed, frac_train, split
    ("randperm", "shuffle", "unknown"): together they fix the split instead of searching for it.
    Raises `BadParameter` for what cannot be imported exactly, `VariantExists` if it has been imported before.
    """
    contents = read_contents(path)
    report = Imported("", [], "", False, notes=[f"Read {_counted(contents)} from {path}.", *contents.notes])
    given = settings_of(contents)
    refuse(given)
    stated = given["p"] if isinstance(given["p"], int) else None
    candidates = [convert(one.state, p, layout) for one in contents.saved]
    sizes = candidates[-1][0].sizes
    if any(one[0].sizes != sizes for one in candidates):
        raise BadParameter(
            f"The checkpoints of {path} are of models of different sizes; import them one by one."
        )
    if p is None and stated is not None and stated != sizes.p:
        report.contradictions.append(
            f"The configuration says p={stated}, the shapes p={sizes.p}; took the shapes."
        )
    family.Params(p=sizes.p, seed=0)  # says so if p is no prime
    model = understood(contents, candidates, operation, given["operation"], report)
    compare_sizes(sizes, given, report)
    digest = _digest(model.converted)
    for other in workspace.variants(family.NAME):
        if other.config.get("imported") == digest:
            raise VariantExists(f"{path} has been imported before: it is {other.name} in {workspace.path}.")
    fixed = {"data_seed": data_seed, "frac_train": frac_train, "split": split}
    chosen = recovered(contents, model, fixed, given, seeds, on_progress, report)
    params = {
        "p": sizes.p,
        "seed": model_seed(given["seed"], report),
        "operation": model.operation,
        **chosen,
    }
    record = family.record(
        family.make_params(params), training_config(contents, sizes, digest, given, report)
    )
    if name is not None:
        record = replace(record, name=name)
    report.variant, report.epochs = record.name, model.epochs
    _store(workspace, record, contents, model, path, digest, report)
    return report


def _store(
    workspace: Workspace,
    record: VariantRecord,
    contents: Contents,
    model: Model,
    path: Path,
    digest: str,
    report: Imported,
) -> None:
    history = history_of(contents, model, family.make_params(record.params), report)
    described = {
        "from": path.name,
        "sha256": digest,
        "split": report.split,
        "notes": list(report.notes),
        "contradictions": list(report.contradictions),
    }
    with workspace.whole_variant(replace(record, provenance={"imported": described})) as variant:
        _save_all(variant, model, history)


def _save_all(variant: Variant, model: Model, history: Mapping[str, Array] | None) -> None:
    for epoch, converted in zip(model.epochs, model.converted, strict=True):
        variant.save_checkpoint(epoch, converted.weights)
    if history is not None:
        variant.save_history(history)


def history_of(
    contents: Contents, model: Model, params: family.Params, report: Imported
) -> dict[str, Array] | None:
    """Losses over epochs: the recorded ones, else those of the checkpoints where the split is known."""
    last = model.epochs[-1]
    curves = {name: values for name, values in contents.losses.items() if len(values) > 1}
    if curves:
        epochs = {name: recorded_epochs(contents, len(values), last) for name, values in curves.items()}
        every = np.unique(np.concatenate(list(epochs.values())))
        history: dict[str, Array] = {"epoch": every.astype(np.float64)}
        for name in ("train", "test"):
            column = np.full(len(every), np.nan)
            if name in curves:
                column[np.searchsorted(every, epochs[name])] = curves[name]
            history[f"{name}_loss"] = column
        listed = contents.at is not None or all(len(values) >= last for values in curves.values())
        spaced = "" if listed else "; their epochs are taken as evenly spaced up to the last"
        report.notes.append(f"Took over {max(map(len, curves.values())):,} recorded losses{spaced}.")
        return history
    parts = family.split(params)
    if params.split == "unknown" or len(model.epochs) < 2:
        return None
    right = torch.from_numpy(labels(params.p, params.operation))
    rows = [row_losses(logits_of(one), right) for one in model.converted]
    report.notes.append(f"No losses were recorded: computed them at the {len(rows)} checkpoints.")
    columns = {
        f"{name}_loss": np.array([float(losses[part].mean()) for losses in rows])
        for name, part in zip(("train", "test"), parts, strict=True)
    }
    return {"epoch": np.array(model.epochs, dtype=np.float64), **columns}


def _digest(converted: Sequence[Converted]) -> str:
    """sha256 (hex) of all weights, as they are stored."""
    found = hashlib.sha256()
    for one in converted:
        for name in sorted(one.weights):
            found.update(name.encode())
            found.update(one.weights[name].float().numpy().tobytes())
    return found.hexdigest()


def _counted(contents: Contents) -> str:
    parts = [f"{len(contents.saved)} checkpoint{'s' if len(contents.saved) > 1 else ''}"]
    kinds = {
        str(tensor.dtype).removeprefix("torch.") for one in contents.saved for tensor in one.state.values()
    }
    parts.append(
        f"({', '.join(sorted(kinds - {'bool'}))}; kept as float32)" if kinds - {"float32", "bool"} else ""
    )
    named = [
        name
        for name, there in (
            ("losses", contents.losses),
            ("configuration", contents.config),
            ("optimizer settings", contents.optimizer),
        )
        if there
    ]
    return " ".join(part for part in parts if part) + (f" with {', '.join(named)}" if named else "")
