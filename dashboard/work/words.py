"""An order in words: what a person reads of a job, as (label, value) pairs."""

from __future__ import annotations

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
from training.families import families, get_family

LISTED = 12  # values of one kind
DEVICES = {"auto": "the best there is"}


def in_words(order: Order) -> list[tuple[str, str]]:
    """What the order asks for; what it leaves at its default is left out."""
    pairs: list[tuple[str, Any]] = []
    if isinstance(order, TrainOrder | ReplicatesOrder):
        pairs += [("Family", get_family(order.family).title), *_settings({**order.params, **order.config})]
    if isinstance(order, ReplicatesOrder):
        pairs += [("Copies", order.copies), ("Perturbation", f"{order.perturb:g} (relative)")]
    if isinstance(order, SweepOrder):
        pairs += [("Family", get_family(order.family).title), *_sweep(order)]
    if isinstance(order, ForkOrder | ResumeOrder | DensifyOrder):
        pairs.append(("Variant", order.variant))
    if isinstance(order, ForkOrder):
        pairs += [("Forked at epoch", order.at), *_settings(order.change, "Changed: ")]
        pairs += [] if order.change else [("Changed", "nothing")]
    if isinstance(order, DensifyOrder):
        pairs += [("Epochs to add", order.epochs), ("Added unverified", "yes" if order.force else None)]
    elif not isinstance(order, AnalyzeOrder):
        pairs.append(("To epoch", order.epochs))
    if isinstance(order, AnalyzeOrder):
        pairs += [("Variants", order.variants), ("Analyzers", order.analyzers or "the standard set")]
        pairs.append(("Processes", order.workers if order.workers > 1 else None))
    pairs.append(("Checkpoints at", getattr(order, "checkpoints", None)))
    dtype = getattr(order, "checkpoint_dtype", None)
    pairs.append(("Checkpoints stored as", None if dtype == "float32" else dtype))
    pairs.append(("Going on with what is there", "yes" if getattr(order, "go_on", False) else None))
    device = getattr(order, "device", None)
    pairs.append(("Device", DEVICES.get(device or "", device)))
    pairs.append(("TF32", "yes" if getattr(order, "tf32", False) else None))
    return [(label, shown(value)) for label, value in pairs if value not in (None, "")]


def shown(value: Any) -> str:
    """A value as people write it; long lists are cut."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list | tuple):
        more = f" and {len(value) - LISTED} more" if len(value) > LISTED else ""
        return ", ".join(shown(one) for one in value[:LISTED]) + more
    if isinstance(value, Mapping):
        return ", ".join(f"{name.replace('_', ' ')} {shown(part)}" for name, part in value.items())
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:g}" if isinstance(value, float) else str(value)


def _settings(values: Mapping[str, Any], before: str = "") -> list[tuple[str, Any]]:
    """Seeds are names rather than numbers: written without separators."""
    labels = {one.name: one.label for family in families() for one in family.settings}
    return [
        (
            f"{before}{labels.get(name, name.replace('_', ' ').capitalize())}",
            str(value) if "seed" in name and not isinstance(value, list) else value,
        )
        for name, value in values.items()
        if value is not None
    ]


def _sweep(order: SweepOrder) -> list[tuple[str, Any]]:
    grid = {**order.grid} if not order.variants else factored(order.variants)
    if grid is not None and not (order.grid and order.variants):
        return _settings({name: _plain(value) for name, value in grid.items()})
    return [("Variants", [shown(one) for one in order.variants]), *_settings(order.grid)]


def _plain(value: Any) -> Any:
    return (
        ", ".join(f"{one:g}" if isinstance(one, float) else str(one) for one in value)
        if isinstance(value, list)
        else value
    )
