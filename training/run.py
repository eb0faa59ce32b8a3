"""Train a variant into a workspace, or go on with one: what `tdw train` and the dashboard call."""

from __future__ import annotations

import platform
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import torch

from data import Variant, Workspace
from data.errors import BadParameter, CorruptFile, VariantExists, WorkbenchError
from training.checkpoint_schedule import complete, default_checkpoints, parse_checkpoints
from training.engine import RECORDED, Engine
from training.families import Family, get_family
from training.trainer import History, Plan, Progress, train

OnProgress = Callable[[Progress], None]


def train_variant(
    workspace: Workspace,
    family: str,
    params: Any,
    config: Any = None,
    epochs: int | None = None,
    checkpoints: str | Sequence[int] | None = None,
    device: str = "auto",
    on_progress: OnProgress | None = None,
    *,
    resume: bool = False,
    checkpoint_dtype: str = "float32",
    state_every: int = 1000,
    tf32: bool = False,
) -> Variant:
    """Train one variant and return it.

    params, config: the family's value objects, or plain mappings of them (config may be left out).
    checkpoints: epochs, or a text such as ``0,100:1000:50``; left out: powers of two, every 250, and the
    last.
    device: ``auto`` (CUDA if there is one), ``cpu``, ``cuda`` or ``cuda:1``.
    resume: go on when the variant is there already (from its last training state), instead of refusing.

    Raises ``BadParameter`` for values that cannot be used, ``VariantExists``, ``Diverged``,
    ``WorkspaceError``.
    """
    found = get_family(family)
    params = found.make_params(params) if isinstance(params, Mapping) else params
    config = found.make_config(config or {}) if config is None or isinstance(config, Mapping) else config
    epochs = found.default_epochs if epochs is None else epochs
    schedule = _schedule(checkpoints, epochs)
    if checkpoint_dtype not in ("float32", "float16"):
        raise BadParameter(f"checkpoint dtype {checkpoint_dtype!r} is not known; choose float32 or float16")
    if state_every < 1:
        raise BadParameter(f"state_every={state_every} is too small; save the state every 1 epoch or more")
    chosen = choose_device(device)

    plan: dict[str, Any] = {
        "epochs": epochs,
        "checkpoints": schedule,
        "checkpoint_dtype": checkpoint_dtype,
        "state_every": state_every,
    }
    record = found.record(params, config)
    provenance = {**environment(chosen, config.dtype, tf32, found.kernel_path), "plan": plan}
    try:
        variant = workspace.create_variant(replace(record, provenance=provenance))
    except VariantExists:
        if not resume or workspace[record.name].identity != record.identity:
            raise
        return _go_on(workspace[record.name], found, chosen, tf32, plan, on_progress)
    _run(variant, found, chosen, tf32, plan, on_progress)
    return variant


def resume_variant(
    variant: Variant,
    epochs: int | None = None,
    device: str = "auto",
    on_progress: OnProgress | None = None,
) -> Variant:
    """Go on with a variant whose training was stopped, or train it for more epochs; bit-exact on the same
    device.

    Continues from the last training state that can be read (from the initialisation if there is none yet),
    with the plan that the variant was started with. A variant that is complete is returned as it is.
    """
    plan = dict(variant.provenance.get("plan", {}))
    if not plan:
        raise WorkbenchError(
            f"{variant.name} has no training plan in its record, so it cannot go on; train it anew"
        )
    if epochs is not None and epochs != plan["epochs"]:
        later = [epoch for epoch in default_checkpoints(epochs) if epoch > plan["epochs"]]
        kept = [epoch for epoch in plan["checkpoints"] if epoch <= epochs]
        plan |= {"epochs": epochs, "checkpoints": complete([*kept, *later], epochs)}
    tf32 = bool(variant.provenance.get("tf32", False))
    return _go_on(variant, get_family(variant.family), choose_device(device), tf32, plan, on_progress)


def choose_device(name: str) -> torch.device:
    """The device of that name; ``BadParameter`` if this machine or this build of torch does not have it."""
    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
    except RuntimeError:
        device = torch.device("meta")
    if device.type not in ("cpu", "cuda"):
        raise BadParameter(f"device {name!r} is not known; choose auto, cpu, cuda or cuda:1")
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if (device.index or 0) >= count:
            raise BadParameter(
                f"device {name!r} is not there: this machine has {count} CUDA device(s) that torch "
                f"{torch.__version__} can use; choose --device cpu"
            )
    return device


def environment(device: torch.device, dtype: str, tf32: bool, kernel_path: str) -> dict[str, Any]:
    """Everything about the machine and the build that can change the last bits of a run."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    return {
        "device": device.type,
        "device_name": name,
        "dtype": dtype,
        "tf32": tf32,
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda if device.type == "cuda" else None,
        "threads": torch.get_num_threads(),
        "kernel_path": kernel_path,
        "python": platform.python_version(),
    }


def _schedule(checkpoints: str | Sequence[int] | None, epochs: int) -> list[int]:
    if epochs < 1:
        raise BadParameter(f"epochs={epochs} is too few; train for at least 1")
    if checkpoints is None:
        return default_checkpoints(epochs)
    if isinstance(checkpoints, str):
        return parse_checkpoints(checkpoints, epochs)
    return complete(list(checkpoints), epochs)


def _go_on(
    variant: Variant,
    family: Family,
    device: torch.device,
    tf32: bool,
    plan: Mapping[str, Any],
    on_progress: OnProgress | None,
) -> Variant:
    done, epochs = _recorded_epochs(variant) - 1, plan["epochs"]
    if done > epochs:
        raise BadParameter(
            f"{variant.name} is trained for {done} epochs already; choose epochs={done} or more"
        )
    if done == epochs:
        return variant
    dtype = variant.config.get("dtype", "float32")
    session = environment(device, dtype, tf32, family.kernel_path)
    sessions = [*variant.provenance.get("resumed", []), session]
    variant.record = replace(
        variant.record, provenance={**variant.provenance, "plan": dict(plan), "resumed": sessions}
    )
    variant.write_record()
    _run(variant, family, device, tf32, plan, on_progress)
    return variant


def _run(
    variant: Variant,
    family: Family,
    device: torch.device,
    tf32: bool,
    plan: Mapping[str, Any],
    on_progress: OnProgress | None,
) -> None:
    params, config = family.make_params(variant.params), family.make_config(variant.config)
    run = Plan(
        epochs=plan["epochs"],
        checkpoints=tuple(plan["checkpoints"]),
        learning_rate=lambda epoch: config.lr,
        checkpoint_dtype=plan["checkpoint_dtype"],
        state_every=plan["state_every"],
    )
    try:
        engine = make_engine(family, params, config, device, tf32)
        history = _load_last_state(variant, engine, run.state_every)
        train(engine, variant, run, history, on_progress)
    except torch.OutOfMemoryError as error:
        raise WorkbenchError(
            f"{variant.name} does not fit in the memory of {device} ({str(error).splitlines()[0]}); "
            "free some, or train with --device cpu"
        ) from error


def make_engine(family: Family, params: Any, config: Any, device: torch.device, tf32: bool = False) -> Engine:
    """An engine with one variant at epoch 0."""
    return Engine(
        [family.init_weights(params, config)],
        lambda weights, grads: family.make_step([params], weights, grads),
        device,
        betas=config.betas,
        eps=config.eps,
        weight_decay=config.weight_decay,
        tf32=tf32,
    )


def _load_last_state(variant: Variant, engine: Engine, state_every: int) -> History | None:
    """Load the last readable state and return the history that leads to it; None to start at epoch 0."""
    recorded = _recorded_epochs(variant)
    for epoch in reversed(variant.optimizer_epochs):
        if epoch > recorded:
            continue
        try:
            engine.load_state(epoch, [variant.load_optimizer(epoch)])
        except (CorruptFile, ValueError, KeyError):
            continue  # damaged: the one before it does
        return {name: np.array(variant.history[name].values) for name in ("epoch", "lr", *RECORDED)}
    if recorded > state_every + 1:
        raise WorkbenchError(
            f"{variant.name} has {recorded - 1} epochs of history but no training state that can be read, "
            "so it cannot go on; delete it and train it again"
        )
    return None


def _recorded_epochs(variant: Variant) -> int:
    return int(variant.history.sizes.get("epoch", 0))
