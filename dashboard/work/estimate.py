"""What an order would make, what is in its way, how long it should take and how much disk: before it starts.

The times are rough. Training: floating-point operations of an epoch (6 per weight and trained example with
its backward pass, 2 per weight and example for the test loss, three tokens each) over the rate that the last
finished training in this workspace reached, or a cautious one. Analysis: seconds per result of the last
finished analysis, scaled by p^2, or a cautious one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dashboard.work.orders import (
    AnalyzeOrder,
    DensifyOrder,
    ForkOrder,
    Order,
    ReplicatesOrder,
    ResumeOrder,
)
from dashboard.work.prepared import change_of, prepare, root_of, training_jobs
from data.database.jobs import Job, JobStore
from data.errors import UnknownVariant, WorkbenchError

if TYPE_CHECKING:
    from data import Variant, VariantRecord, Workspace
    from training.run import Keep

TOKENS = 3
FLOPS_PER_SECOND = {"cpu": 2e10, "cuda": 1e13}  # where nothing was trained yet
SECONDS_PER_RESULT = 0.05  # at p = 113, where nothing was analysed yet
BYTES_PER_RESULT = 8_000  # of one analyzer at one epoch
STATES = 2  # kept per variant: weights and two moments each
HISTORY_COLUMNS = 6


@dataclass(frozen=True)
class Estimate:
    """Everything a person wants to know before pressing Start, JSON-ready by `to_json`.

    makes      one entry per variant: name, epochs, checkpoints, and `there`: what of it exists
    conflicts  sentences: what stands in the way; the order would fail
    seconds    rough time, None if it cannot be told; bytes: disk
    active     the id of the job that does the same already
    """

    title: str
    makes: list[dict[str, Any]]
    conflicts: list[str] = field(default_factory=list)
    seconds: float | None = None
    bytes: int = 0
    active: str | None = None

    def to_json(self) -> dict[str, Any]:
        return dict(vars(self))


def describe(order: Order, workspace: Workspace) -> Estimate:
    """What the order would make. Raises BadParameter or UnknownVariant for values that cannot be used."""
    prepared = prepare(order, workspace)
    store = JobStore(workspace.database)
    active = next((job.id for job in store.active() if job.work == prepared.work), None)
    if isinstance(order, AnalyzeOrder):
        return _analysis(order, workspace, prepared.title, active, store)
    planned = _planned(order, workspace)
    makes, conflicts = [], []
    flops, size = 0.0, 0
    for record, keep, first in planned:
        there = _stored(workspace, record.name)
        weights, cost = weights_and_flops(record)
        left = keep.epochs - first - (_recorded(there) if there is not None and first == 0 else 0)
        flops += max(0, left) * cost
        size += _bytes(weights, keep)
        makes.append(
            {
                "name": record.name,
                "epochs": keep.epochs,
                "checkpoints": len(keep.checkpoints),
                "there": None if there is None else _there(there),
            }
        )
        if there is not None and not _may_exist(order):
            conflicts.append(
                f"{record.name} is there already ({_there(there)}). Go on with it, delete it, or choose other"
                " values."
            )
        elif there is not None and there.identity != record.identity:
            conflicts.append(
                f"{record.name} is there with other settings. Delete it, or choose other values."
            )
    rate = _rate(store, order.device)
    return Estimate(prepared.title, makes, conflicts, flops / rate, size, active)


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
    """Work of one result, relative to p = 113."""
    return (int(variant.params["p"]) / 113) ** 2


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


def _may_exist(order: Order) -> bool:
    return order.kind in ("sweep", "resume", "densify") or bool(getattr(order, "go_on", False))


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


def _recorded(variant: Variant) -> int:
    from training.run import recorded_epochs

    return max(0, recorded_epochs(variant) - 1)


def _there(variant: Variant) -> str:
    return f"{len(variant.epochs)} checkpoints, trained to epoch {_recorded(variant):,}"


def _rate(store: JobStore, device: str) -> float:
    """Operations per second of the last training that says, else a cautious number."""
    done = (job for job in store.history() if job.state == "done" and job.result.get("flops_per_second"))
    last = next(done, None)
    if last is not None:
        return float(last.result["flops_per_second"])
    from training.run import choose_device

    return FLOPS_PER_SECOND[choose_device(device).type]


def _analysis(
    order: AnalyzeOrder, workspace: Workspace, title: str, active: str | None, store: JobStore
) -> Estimate:
    from analyzers.pipeline import plan

    makes, conflicts, results, work = [], [], 0, 0.0
    for name in order.variants:
        variant = workspace[name]
        try:
            tasks = plan(variant, order.analyzers or None)
        except WorkbenchError as error:
            conflicts.append(f"{name}: {error}")
            continue
        missing = {task.analyzer: len(task.epochs) or 1 for task in tasks}
        makes.append(
            {
                "name": name,
                "missing": missing,
                "reasons": {task.analyzer: task.reason for task in tasks},
            }
        )
        results += sum(missing.values())
        work += sum(missing.values()) * size(variant)
    return Estimate(
        title,
        makes,
        conflicts,
        work * _seconds_per_result(store.history()),
        results * BYTES_PER_RESULT,
        active,
    )


def _seconds_per_result(history: Sequence[Job]) -> float:
    for job in history:
        work = job.result.get("work")
        if job.kind == "analyze" and job.state == "done" and work:
            return float(job.result["seconds"]) / float(work)
    return SECONDS_PER_RESULT
