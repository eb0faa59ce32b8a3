"""The commands of `tdw` that do the same as an order."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from dashboard.work.factors import factored
from dashboard.work.orders import (
    AnalyzeOrder,
    DensifyOrder,
    ForkOrder,
    Order,
    ReplicatesOrder,
    ResumeOrder,
    SweepOrder,
    TrainOrder,
)
from data import Workspace
from data.workspace import default_path
from training.schedules import Schedule

NAMED = (
    "p",
    "seed",
    "data_seed",
    "frac_train",
    "operation",
    "lr",
    "weight_decay",
    "lr_schedule",
    "wd_schedule",
)
GAIN = {"gain": "--gain", "frequencies": "--frequencies", "site": "--site", "ramp": "--ramp"}
GAIN |= {"start": "--gain-start", "end": "--gain-end"}


def commands(order: Order, workspace: Workspace) -> list[str]:
    """One line per command, in the order in which they are to be run; none for what they cannot express."""
    if isinstance(order, TrainOrder | ReplicatesOrder):
        lines = [_train(order)]
    elif isinstance(order, SweepOrder):
        lines = _sweep(order)
    elif isinstance(order, ForkOrder):
        lines = [["fork", order.variant, "--at", str(order.at), *_change(order.change), *_options(order)]]
    elif isinstance(order, ResumeOrder):
        lines = [["resume", order.variant, *_options(order)]]
    elif isinstance(order, DensifyOrder):
        force = ["--force"] if order.force else []
        device = _options(order, ("device",))
        lines = [["checkpoints", order.variant, "--add", _listed(order.epochs), *force, *device]]
    else:
        lines = _analyze(order, workspace)
    here = workspace.path.resolve()
    where = [] if here == default_path().resolve() else ["--workspace", str(here)]
    return [shlex.join(["tdw", *line, *where]) for line in lines]


def _train(order: TrainOrder | ReplicatesOrder) -> list[str]:
    given = {**order.params, **order.config}
    line = ["train", order.family]
    for name in NAMED:
        if given.get(name) is not None:
            line += [_flag(name), _text(given[name])]
    for name, value in given.items():
        if name not in NAMED and value is not None:
            line += ["--set", f"{name}={_text(value)}"]
    if isinstance(order, ReplicatesOrder):
        line += ["--replicates", str(order.copies), "--perturb", f"{order.perturb:g}"]
    return [*line, *_options(order), *(["--resume"] if order.go_on else [])]


def _sweep(order: SweepOrder) -> list[list[str]]:
    grid = order.grid if not order.variants else factored(order.variants)
    if grid is None or (order.grid and order.variants):
        return []
    line = ["sweep"]
    for name, values in grid.items():
        several = list(values) if isinstance(values, list | tuple) else [values]
        if len(several) == 1:
            line += ["--set", f"{name}={_text(several[0])}"]
        else:
            line += ["--grid", f"{name}={','.join(_text(one) for one in several)}"]
    if "--grid" not in line:
        line[line.index("--set")] = "--grid"
    family = [] if order.family == "modular_addition" else ["--family", order.family]
    return [[*line, *family, *_options(order), *_options(order, ("workers", "max_batch", "dask"))]]


def _analyze(order: AnalyzeOrder, workspace: Workspace) -> list[list[str]]:
    chosen = ["--analyzer", ",".join(order.analyzers)] if order.analyzers else []
    workers = ["--workers", str(order.workers)] if order.workers > 1 else []
    if len(order.variants) > 1 and {*order.variants} == {*workspace.names()}:
        return [["analyze", "--all", *chosen, *workers]]
    return [["analyze", name, *chosen, *workers] for name in order.variants]


def _change(change: Mapping[str, Any]) -> list[str]:
    line: list[str] = []
    for name, value in change.items():
        if name == "end_intervention":
            line += ["--no-gain"] if value else []
        elif name == "intervention" and value is not None:
            for part, flag in GAIN.items():
                if value.get(part) is not None and (part, value[part]) != ("ramp", 0):
                    line += [flag, _listed(value[part])]
        elif value is not None:
            line += [_flag(name), _text(value)]
    return line


def _options(
    order: Order,
    names: tuple[str, ...] = ("epochs", "checkpoints", "checkpoint_dtype", "state_every", "device", "tf32"),
) -> list[str]:
    """The options whose values are not what the order has by itself."""
    line: list[str] = []
    model = type(order).model_fields
    for name in names:
        value = getattr(order, name, None)
        if name not in model or value is None or (value == model[name].default and name != "workers"):
            continue
        line += [_flag(name)] if value is True else [_flag(name), _listed(value)]
    return line


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _listed(value: Any) -> str:
    return ",".join(_text(one) for one in value) if isinstance(value, list | tuple) else _text(value)


def _text(value: Any) -> str:
    if isinstance(value, Mapping):
        return str(Schedule.of_json(value))
    return _listed(value) if isinstance(value, list | tuple) else str(value)
