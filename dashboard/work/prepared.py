"""An order on a workspace: which variants it writes, what names its work, what a person reads."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dashboard.work.orders import (
    TITLES,
    AnalyzeOrder,
    DensifyOrder,
    ForkOrder,
    Order,
    ReplicatesOrder,
    ResumeOrder,
    SweepOrder,
    TrainOrder,
)
from data.files import digest

if TYPE_CHECKING:
    from data import Workspace
    from training.forks import Change
    from training.run import Job as TrainingJob

_HOW = ("go_on", "workers", "max_batch", "dask", "device", "first")  # not part of what is done


@dataclass(frozen=True)
class Prepared:
    """variants: names that are written; work: equal for equal work; title: in a few words."""

    order: Order
    variants: tuple[str, ...]
    work: str
    title: str


def prepare(order: Order, workspace: Workspace) -> Prepared:
    """Name what an order does. Raises BadParameter or UnknownVariant for values that cannot be used."""
    names = written(order, workspace)
    about = subject(order, names)
    what = {name: value for name, value in order.to_json().items() if name not in _HOW}
    if isinstance(order, AnalyzeOrder):
        what["analyzers"] = sorted(order.analyzers or [])
    return Prepared(order, tuple(names), f"{order.kind} {digest(what)[:24]}", f"{TITLES[order.kind]} {about}")


def subject(order: Order, names: list[str]) -> str:
    """What the order is about, for its title."""
    if isinstance(order, ReplicatesOrder):
        return f"{names[0].rsplit('-r', 1)[0]} ({len(names)})"
    if isinstance(order, ForkOrder):
        return f"{order.variant} at epoch {order.at:,}"
    if len(names) > 1:
        return f"{len(names)} variants"
    return names[0]


def written(order: Order, workspace: Workspace) -> list[str]:
    """The names of the variants that an order writes."""
    if isinstance(order, AnalyzeOrder):
        return [workspace[name].name for name in order.variants]
    if isinstance(order, ResumeOrder | DensifyOrder):
        return [workspace[order.variant].name]
    if isinstance(order, ForkOrder):
        from training.forks import fork_record
        from training.replay import trained_to

        parent = workspace[order.variant]
        epochs = trained_to(parent) if order.epochs is None else order.epochs
        return [fork_record(parent, order.at, change_of(order.change), epochs).name]
    if isinstance(order, ReplicatesOrder):
        from training.replicates import replicate_records

        records = replicate_records(root_of(order), order.copies, order.perturb)
        return [record.name for record in records]
    return [job.record.name for job in training_jobs(order)]


def root_of(order: TrainOrder | ReplicatesOrder) -> Any:
    """The record of the variant that an order names by its parameters."""
    from training.families import get_family

    family = get_family(order.family)
    return family.record(family.make_params(order.params), family.make_config(order.config))


def training_jobs(order: TrainOrder | SweepOrder) -> list[TrainingJob]:
    """What is to be trained, one per variant."""
    from training.run import make_job
    from training.sweeps import expand_grid, sweep_jobs

    keep = (order.epochs, order.checkpoints, order.checkpoint_dtype, order.state_every)
    if isinstance(order, TrainOrder):
        return [make_job(order.family, order.params, order.config, *keep)]
    every = [*(expand_grid(order.grid) if order.grid else []), *order.variants]
    return sweep_jobs(order.family, every, *keep)


def change_of(plain: Mapping[str, Any]) -> Change:
    """The change of a fork; BadParameter names a field that there is not."""
    from dataclasses import fields

    from data.errors import BadParameter
    from training.forks import Change
    from training.interventions import gain_of
    from training.schedules import Schedule

    known = [field.name for field in fields(Change)]
    wrong = next((name for name in plain if name not in known), None)
    if wrong is not None:
        raise BadParameter(f"a fork cannot change {wrong!r}; choose from: {', '.join(known)}")
    values = dict(plain)
    for name in ("lr_schedule", "wd_schedule"):
        given = values.get(name)
        if given is not None:
            values[name] = Schedule.parse(given) if isinstance(given, str) else Schedule.of_json(given)
    values["intervention"] = gain_of(values.get("intervention"))
    return Change(**values)
