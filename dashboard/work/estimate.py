"""What an order would make, what is in its way, how long it should take and how much disk: before it starts.

Operations of an epoch: 6 per weight and trained example with its backward pass, 2 per weight and example for
the test loss, three tokens each. What they take is rough; see `dashboard.work.pace`.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

from dashboard.work.matrix import Matrix
from dashboard.work.obstacles import being_written, existing, recorded, shortened, state_of
from dashboard.work.orders import (
    AnalyzeOrder,
    DensifyOrder,
    ForkOrder,
    Order,
    ReplicatesOrder,
    ResumeOrder,
)
from dashboard.work.pace import epoch_pace, result_seconds
from dashboard.work.prepared import change_of, prepare, root_of, training_jobs
from data.database.jobs import JobStore
from data.errors import UnknownVariant, WorkbenchError

if TYPE_CHECKING:
    from data import Variant, VariantRecord, Workspace
    from training.run import Keep

TOKENS = 3
BYTES_PER_RESULT = 8_000  # of one analyzer at one epoch
STATES = 2  # kept per variant: weights and two moments each
HISTORY_COLUMNS = 6
LEAST_SIZE = 0.2


@dataclass(frozen=True)
class Estimate:
    """Everything a person wants to know before pressing Start, JSON-ready by `to_json`.

    makes      one entry per variant: name, epochs, checkpoints, and `there`: what of it exists
    conflicts  sentences: what stands in the way; the order would fail
    seconds    rough time, None if it cannot be told; based_on: from what it follows
    bytes      disk that it takes; free: disk that there is
    device     where it would run
    active     the id of the job that does the same already
    """

    title: str
    makes: list[dict[str, Any]]
    conflicts: list[str] = field(default_factory=list)
    seconds: float | None = None
    based_on: str = ""
    bytes: int = 0
    free: int = 0
    device: str = ""
    active: str | None = None

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


def describe(order: Order, workspace: Workspace, matrix: Matrix | None = None) -> Estimate:
    """What the order would make. Raises BadParameter or UnknownVariant for values that cannot be used.

    matrix: what is known of the results already; None: looked up now
    """
    prepared = prepare(order, workspace)
    active = JobStore(workspace.database).active()
    same = next((job.id for job in active if job.work == prepared.work), None)
    facts: dict[str, Any] = {"title": prepared.title, "active": same}
    facts["free"] = shutil.disk_usage(workspace.path).free
    if isinstance(order, AnalyzeOrder):
        return _analysis(order, workspace, matrix or Matrix(workspace), facts)
    return _training(
        order, workspace, facts, being_written(prepared.variants, prepared.work, order.kind, active)
    )


def gaps(variant: Variant) -> list[dict[str, Any]]:
    """Per standard analyzer of a variant: how many epochs lack it, and why what is stored cannot be used."""
    from analyzers.pipeline import status

    return [
        {
            "analyzer": state.analyzer,
            "complete": state.complete,
            "missing": list(state.missing_epochs),
            "reason": state.stale_reason or ("" if state.complete else "not computed yet"),
        }
        for state in status(variant)
    ]


def size(variant: Variant) -> float:
    """Work of one result, relative to p = 113; small primes cost little less than middling ones."""
    return max(LEAST_SIZE, (int(variant.params["p"]) / 113) ** 2)


def _training(order: Any, workspace: Workspace, facts: dict[str, Any], blocked: list[str]) -> Estimate:
    from training.run import choose_device

    device = choose_device(order.device)
    history = JobStore(workspace.database).history()
    cost = _costs()
    makes, conflicts = list[dict[str, Any]](), list[str]()
    seconds, size, based_on = 0.0, 0, ""
    for record, keep, first in _planned(order, workspace):
        there = _stored(workspace, record.name)
        weights, flops = cost(record)
        before = recorded(there) if there is not None and first == 0 else 0
        pace = epoch_pace(history, device.type, flops)
        based_on = based_on or pace.based_on
        seconds += max(0, keep.epochs - first - before) * pace.seconds
        size += _bytes(weights, keep)
        made = {"name": record.name, "epochs": keep.epochs, "checkpoints": len(keep.checkpoints)}
        makes.append({**made, "there": None if there is None else state_of(there)})
        if there is not None and (why := existing(record, keep, order, there)):
            conflicts.append(why)
    return Estimate(
        makes=makes,
        conflicts=[*blocked, *shortened(conflicts)],
        seconds=seconds,
        based_on=based_on,
        bytes=size,
        device=_device(device),
        **facts,
    )


def _device(device: Any) -> str:
    if device.type == "cpu":
        return f"CPU, {os.cpu_count()} cores"
    import torch

    return f"{device}, {torch.cuda.get_device_name(device)}"


def _planned(order: Order, workspace: Workspace) -> list[tuple[VariantRecord, Keep, int]]:
    """Per variant: its record, what is kept, and the epoch it starts from."""
    from training.forks import fork_checkpoints, fork_record
    from training.replay import trained_to
    from training.replicates import replicate_records
    from training.run import Keep, checkpoints_of

    if isinstance(order, ResumeOrder | DensifyOrder | ForkOrder):
        variant = workspace[order.variant]
        plan = variant.provenance.get("plan") or {}
        if isinstance(order, ForkOrder):
            epochs = trained_to(variant) if order.epochs is None else order.epochs
            record = fork_record(variant, order.at, change_of(order.change), epochs)
            saved = tuple(fork_checkpoints(order.checkpoints, order.at, epochs))
            dtype = order.checkpoint_dtype or plan.get("checkpoint_dtype", "float32")
            return [(record, Keep(epochs, saved, dtype, order.state_every), order.at)]
        kept = Keep.of_json(plan) if plan else Keep(trained_to(variant), tuple(variant.epochs))
        if isinstance(order, DensifyOrder):
            from training.checkpoint_schedule import parse_epochs

            last = trained_to(variant)
            asked = parse_epochs(order.epochs, last) if isinstance(order.epochs, str) else order.epochs
            added = tuple(sorted({*asked} - {*variant.epochs}))
            return [(variant.record, Keep(max(added, default=0) or 1, added, kept.checkpoint_dtype), 0)]
        epochs = order.epochs or kept.epochs
        return [(variant.record, Keep(epochs, kept.checkpoints, kept.checkpoint_dtype, kept.state_every), 0)]
    if isinstance(order, ReplicatesOrder):
        from training.families import get_family

        epochs = get_family(order.family).default_epochs if order.epochs is None else order.epochs
        keep = Keep(epochs, tuple(checkpoints_of(order.checkpoints or (), epochs)))
        return [(one, keep, 0) for one in replicate_records(root_of(order), order.copies, order.perturb)]
    assert not isinstance(order, AnalyzeOrder)
    return [(job.record, job.keep, 0) for job in training_jobs(order)]


def weights_and_flops(record: VariantRecord) -> tuple[int, float]:
    """The number of weights, and the operations of one epoch; all pairs of p are examples."""
    from training.families import get_family

    family = get_family(record.family)
    params, config = family.make_params(record.params), family.make_config(record.config)
    weights = sum(tensor.numel() for tensor in family.init_weights(params, config).values())
    pairs, share = int(record.params["p"]) ** 2, float(record.params.get("frac_train", 1.0))
    return weights, weights * TOKENS * pairs * (6 * share + 2 * (1 - share))


def _bytes(weights: int, keep: Keep) -> int:
    checkpoint = weights * (2 if keep.checkpoint_dtype == "float16" else 4)
    return len(keep.checkpoints) * checkpoint + STATES * 3 * 4 * weights + HISTORY_COLUMNS * 8 * keep.epochs


def _stored(workspace: Workspace, name: str) -> Variant | None:
    try:
        return workspace[name]
    except UnknownVariant:
        return None


def _costs() -> Callable[[VariantRecord], tuple[int, float]]:
    """`weights_and_flops`, asked once for variants of one shape: a sweep has many."""
    from training.run import shape_of

    @cache
    def of(shape: Any) -> tuple[int, float]:
        return weights_and_flops(records[shape])

    records: dict[Any, VariantRecord] = {}

    def cost(record: VariantRecord) -> tuple[int, float]:
        shape = shape_of(record)
        records.setdefault(shape, record)
        return of(shape)

    return cost


def _analysis(order: AnalyzeOrder, workspace: Workspace, matrix: Matrix, facts: dict[str, Any]) -> Estimate:
    lacking: dict[str, dict[str, str]] = {}
    missing: dict[str, dict[str, int]] = {}
    conflicts = []
    for name in order.variants:
        try:
            cells = matrix.lacking(workspace[name], order.analyzers or None)
        except WorkbenchError as error:
            conflicts.append(f"{name}: {error}")
            continue
        lacking[name] = {cell.analyzer: cell.reason for cell in cells}
        missing[name] = {cell.analyzer: cell.total - cell.done for cell in cells}
    asked = {analyzer for counts in missing.values() for analyzer in counts}
    standard = {name: is_standard for name, is_standard in matrix.standard().items() if name in asked}
    seconds, based_on = result_seconds(JobStore(workspace.database).history(), standard)
    makes = [{"name": name, "missing": missing[name], "reasons": lacking[name]} for name in missing]
    results = sum(sum(counts.values()) for counts in missing.values())
    work = sum(
        seconds[analyzer] * count * size(workspace[name])
        for name, counts in missing.items()
        for analyzer, count in counts.items()
    )
    return Estimate(
        makes=makes,
        conflicts=shortened(conflicts),
        seconds=work / order.workers,
        based_on=based_on,
        bytes=results * BYTES_PER_RESULT,
        device=f"CPU, {os.cpu_count()} cores",
        **facts,
    )
