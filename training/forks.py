"""Forks: another run from an epoch of a stored one, with something changed, or nothing.

A fork starts from the parent's weights and AdamW moments at the fork epoch. When no state was saved there,
the parent is replayed from the nearest earlier one (see ``training.replay``), and what comes out is compared
with the parent's stored checkpoints. Parent, epoch and change are part of the fork's identity. Its
checkpoints start at the fork epoch; its history before that epoch is the one that led there (the parent's, as
it was recorded on the parent's split), so that curves and transitions of both can be read side by side.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from data import Variant, VariantRecord
from data.errors import BadParameter, WorkbenchError
from data.files import digest
from training.checkpoint_schedule import DEFAULT_EVERY, check_epochs, parse_epochs
from training.engine import RATES, RECORDED, flatten
from training.families import get_family
from training.interventions import FrequencyGain
from training.perturbation import perturbed
from training.replay import Comparison, OnReplay, nearest_start, replay, same_device, trained_to, unlike
from training.run import Job, Keep, OnProgress, Start, stored_history, train_group
from training.schedules import Schedule
from training.starts import INTERVENTION, load_start, save_start
from training.trainer import History

MAX_NAME = 120
_IN_NAME = {"lr": "lr", "weight_decay": "wd", "frac_train": "f", "data_seed": "d"}


@dataclass(frozen=True)
class Change:
    """What a fork does differently from its parent; None: as the parent.

    lr_schedule, wd_schedule: ``Schedule("constant")`` ends a schedule that the parent has. perturb: every
    weight tensor is moved by this relative size in a random direction, drawn from ``perturb_seed``.
    intervention: replaces the parent's; ``end_intervention`` goes on without it.
    """

    lr: float | None = None
    lr_schedule: Schedule | None = None
    weight_decay: float | None = None
    wd_schedule: Schedule | None = None
    frac_train: float | None = None
    data_seed: int | None = None
    perturb: float | None = None
    perturb_seed: int = 0
    intervention: FrequencyGain | None = None
    end_intervention: bool = False

    def __post_init__(self) -> None:
        size = self.perturb
        if size is not None and not 0 < size < 1:
            reason = "changes nothing" if size == 0 else "is out of range"
            raise BadParameter(f"perturb={size!r} {reason}; choose a relative size such as 1e-6")
        if self.perturb_seed < 0 or (self.perturb_seed and size is None):
            raise BadParameter(
                f"perturb_seed={self.perturb_seed} must be 0 or more and needs a perturbation, such as 1e-6"
            )
        if self.intervention is not None and self.end_intervention:
            raise BadParameter("an intervention cannot be set and ended in the same fork; choose one of them")

    def to_json(self) -> dict[str, Any]:
        """What was asked for and nothing else, as plain JSON."""
        plain: dict[str, Any] = {}
        for field in fields(self):
            value = getattr(self, field.name)
            if value is not None and value is not False and field.name != "perturb_seed":
                plain[field.name] = value.to_json() if hasattr(value, "to_json") else value
        return plain if self.perturb is None else {**plain, "perturb_seed": self.perturb_seed}

    @property
    def name(self) -> str:
        """Readable, for the name of the fork, e.g. ``lr0.0003-wd0.5``; "" if nothing changes."""
        parts = [
            f"{prefix}{getattr(self, field):.12g}"
            for field, prefix in _IN_NAME.items()
            if getattr(self, field) is not None
        ]
        for prefix, schedule in (("lr_", self.lr_schedule), ("wd_", self.wd_schedule)):
            parts += [prefix + schedule.name] if schedule is not None else []
        if self.perturb is not None:
            parts.append(f"perturb{self.perturb:g}_s{self.perturb_seed}")
        if self.intervention is not None:
            parts.append(self.intervention.name)
        return "-".join([*parts, *(["nogain"] if self.end_intervention else [])])


def fork_variant(
    variant: Variant,
    at: int,
    change: Change | None = None,
    epochs: int | None = None,
    checkpoints: str | Sequence[int] | None = None,
    device: str = "auto",
    on_progress: OnProgress | None = None,
    *,
    on_replay: OnReplay | None = None,
    on_note: Callable[[str], None] | None = None,
    checkpoint_dtype: str | None = None,
    state_every: int = 1000,
) -> Variant:
    """Train a fork of ``variant`` from epoch ``at`` to ``epochs`` (default: as far as the parent).

    checkpoints: as in ``train_variant``; what lies before ``at`` is left out, ``at`` and the last epoch are
    added. Left out: ``at``, a power of two of epochs after it, every 250, the last. device: ``auto`` is the
    kind that the parent was trained on. checkpoint_dtype: left out, the parent's. on_note(text) is told where
    the fork starts from, and whether a replay agrees with the stored checkpoints.

    Raises ``BadParameter`` for values that cannot be used, ``VariantExists``, ``WorkbenchError`` when there
    is no state to start from.
    """
    change = change or Change()
    epochs = trained_to(variant) if epochs is None else epochs
    chosen = same_device(variant, device)
    tf32 = bool(variant.provenance.get("tf32", False))
    record = fork_record(variant, at, change, epochs)
    if record.name in variant.workspace:
        variant.workspace.create_variant(record)  # raises, saying what is there
    plan = variant.provenance.get("plan", {})
    keep = Keep(
        epochs,
        tuple(fork_checkpoints(checkpoints, at, epochs)),
        checkpoint_dtype or plan.get("checkpoint_dtype", "float32"),
        state_every,
    )

    start, weights, made = _start(variant, at, chosen, on_replay, on_note)
    if change.perturb is not None:
        moved = perturbed(weights, change.perturb, change.perturb_seed)
        start = replace(start, state={**start.state, "weights": flatten(moved)})
    folder = variant.path.parent / record.name
    save_start(folder, {**start.state, **_intervention(variant, change, weights)})
    job = Job(replace(record, provenance={"start": made}), keep, lambda: start)
    (outcome,) = train_group(
        variant.workspace, [job], str(chosen), tf32, on_progress=on_progress, on_note=on_note
    )
    if outcome.error:
        raise outcome.error
    return variant.workspace[record.name]


def fork_record(variant: Variant, at: int, change: Change, epochs: int) -> VariantRecord:
    """What identifies the fork; ``BadParameter`` for an epoch or a change that cannot be."""
    last = trained_to(variant)
    if not 0 <= at <= last:
        raise BadParameter(
            f"{variant.name} was trained to epoch {last}, so it cannot be forked at epoch {at}; choose one"
            f" from 0 to {last}",
            "at",
        )
    if epochs <= at:
        raise BadParameter(
            f"a fork at epoch {at} cannot be trained to epoch {epochs}; choose epochs={at + 1} or more",
            "epochs",
        )
    family = get_family(variant.family)
    given = change.to_json()
    params, config = dict(variant.params), dict(variant.config)
    params |= {name: given[name] for name in ("frac_train", "data_seed") if name in given}
    settings = ("lr", "weight_decay", "lr_schedule", "wd_schedule")
    config |= {name: given[name] for name in settings if name in given}
    if change.end_intervention:
        if config.pop("intervention", None) is None:
            raise BadParameter(f"{variant.name} has no intervention that could end", "end_intervention")
    elif change.intervention is not None:
        change.intervention.check(int(variant.params["p"]), at, epochs)
        config["intervention"] = replace(change.intervention, measured=at).to_json()
    settled = family.make_config(config)
    settled.check_epochs(epochs)
    plain = family.record(family.make_params(params), settled)
    parent = {"name": variant.name, "identity": variant.identity, "epoch": at, "change": given}
    name = "-".join(filter(None, (variant.name, f"at{at}", change.name)))
    if len(name) > MAX_NAME:
        name = f"{variant.name[:90]}-at{at}-{digest([variant.name, given])[:8]}"
    return replace(plain, name=name, parent=parent)


def fork_checkpoints(checkpoints: str | Sequence[int] | None, at: int, epochs: int) -> list[int]:
    """The epochs that a fork keeps; see ``fork_variant``."""
    if checkpoints is None:
        powers = [at + 2**i for i in range((epochs - at).bit_length())]
        wanted = [*powers, *range(0, epochs, DEFAULT_EVERY)]
    elif isinstance(checkpoints, str):
        wanted = parse_epochs(checkpoints, epochs)
    else:
        wanted = list(checkpoints)
        check_epochs(wanted, epochs)
    return sorted({at, epochs, *(epoch for epoch in wanted if at <= epoch <= epochs)})


def _start(
    variant: Variant,
    at: int,
    device: torch.device,
    on_replay: OnReplay | None,
    on_note: Callable[[str], None] | None,
) -> tuple[Start, dict[str, Tensor], dict[str, Any]]:
    """The state at the fork epoch with the history before it, its weights by name, and how it was come by."""
    nearest, source = nearest_start(variant, at)
    records, compared = [np.empty((0, len(RECORDED)))], []
    for reached in replay(variant, nearest, [at], device, on_replay):
        records.append(reached.records)
        compared += [reached.comparison] if reached.comparison else []
    replayed = at - nearest.epoch
    how = f"Starts from {source}" + (f", replayed for {replayed} epochs to epoch {at}" if replayed else "")
    made: dict[str, Any] = {"from": source, "replayed_epochs": replayed}
    if replayed:
        how += _verdict(variant, at, device, compared, made)
    if on_note:
        on_note(f"{how}.")
    history = _history_before(variant, at)
    for i, name in enumerate(RECORDED):
        history[name][nearest.epoch :] = np.concatenate(records)[:, i]
    return Start(at, reached.engine.state(), history), reached.weights, made


def _verdict(
    variant: Variant, at: int, device: torch.device, compared: list[Comparison], made: dict[str, Any]
) -> str:
    """How the replay compares with the stored checkpoints: in words, and into the provenance."""
    if not compared:
        made["compared"] = None
        return "; no checkpoint is stored on the way to compare with"
    bad = [one for one in compared if not one.equal]
    last = compared[-1]
    made["compared"] = {"epoch": last.epoch, "equal": not bad, "relative_difference": last.difference}
    if not bad:
        return f"; it {last}"
    reason = unlike(variant, device)
    first = f"; the first to differ was epoch {bad[0].epoch}" if bad[0].epoch != last.epoch else ""
    return f"; it {last}{first}{f' ({reason})' if reason else ''}: the fork goes on from the replay"


def _history_before(variant: Variant, at: int) -> History:
    """The history of the epochs before ``at``, NaN where nothing was recorded."""
    stored, config = stored_history(variant), get_family(variant.family).make_config(variant.config)
    history: History = {name: np.full(at, np.nan) for name in (*RATES, *RECORDED)}
    history["epoch"] = np.arange(at)
    history["lr"][:] = [config.learning_rate_at(epoch) for epoch in range(at)]
    history["weight_decay"][:] = [config.weight_decay_at(epoch) for epoch in range(at)]
    known = stored["epoch"][stored["epoch"] < at]
    for name, values in stored.items():
        if name != "epoch":
            history[name][known] = values[: len(known)]
    return history


def _intervention(variant: Variant, change: Change, weights: dict[str, Tensor]) -> dict[str, Tensor]:
    """The matrix of the fork's intervention: measured now, or the parent's; nothing if there is none."""
    if change.intervention is not None:
        return {INTERVENTION: change.intervention.matrix(weights, int(variant.params["p"]))}
    if "intervention" not in variant.config or change.end_intervention:
        return {}
    kept = load_start(variant) or {}
    if INTERVENTION not in kept:
        raise WorkbenchError(f"{variant.name} has lost the directions of its intervention; fork its parent")
    return {INTERVENTION: kept[INTERVENTION]}
