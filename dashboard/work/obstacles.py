"""What stands in the way of an order: sentences, each with what to do about it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dashboard.work.orders import WRITERS, DensifyOrder, Order, ResumeOrder
from data.database.jobs import Job

if TYPE_CHECKING:
    from data import Variant, VariantRecord
    from training.run import Keep

SHOWN = 5  # sentences of one kind


def being_written(names: Sequence[str], work: str, kind: str, active: Sequence[Job]) -> list[str]:
    """Other jobs that write the same variants now."""
    if kind not in WRITERS:
        return []
    found = []
    for job in active:
        shared = sorted({*names} & {*job.variants})
        if shared and job.kind in WRITERS and job.work != work:
            more = f" and {len(shared) - 1} more" if len(shared) > 1 else ""
            found.append(
                f"{shared[0]}{more} is being written by another job ({job.title}). Wait until it has ended,"
                " or cancel it."
            )
    return found


def existing(record: VariantRecord, keep: Keep, order: Order, there: Variant) -> str:
    """Why the order cannot be done beside what is stored under that name; "" if it can."""
    if isinstance(order, DensifyOrder):
        return _densify(order, keep, there)
    if isinstance(order, ResumeOrder):
        return _resume(keep, there)
    if there.identity != record.identity:
        return f"{record.name} is there with other settings. Delete it, or choose other values."
    if order.kind == "sweep" or bool(getattr(order, "go_on", False)):
        return ""
    return (
        f"{record.name} is there already ({state_of(there)}). Go on with it, delete it, or choose other"
        " values."
    )


def shortened(sentences: list[str]) -> list[str]:
    """The first of many."""
    rest = len(sentences) - SHOWN
    return sentences if rest <= 0 else [*sentences[:SHOWN], f"And {rest} more of this kind."]


def state_of(variant: Variant) -> str:
    """How far a stored variant is."""
    return f"{len(variant.epochs)} checkpoints, trained to epoch {recorded(variant):,}"


def recorded(variant: Variant) -> int:
    """The last epoch of its history."""
    from training.run import recorded_epochs

    return max(0, recorded_epochs(variant) - 1)


def _resume(keep: Keep, there: Variant) -> str:
    done = recorded(there)
    if not there.provenance.get("plan"):
        return (
            f"{there.name} has no training plan in its record (it was imported, say), so it cannot go on."
            " Fork it, or train it anew."
        )
    if keep.epochs < done or (keep.epochs == done and there.epochs[-1:] == [done]):
        return f"{there.name} is trained to epoch {done:,} already. Choose a later one."
    return ""


def _densify(order: DensifyOrder, keep: Keep, there: Variant) -> str:
    if not keep.checkpoints:
        return f"All of these epochs are stored for {there.name} already. Choose others."
    last = there.epochs[-1] if there.epochs else 0
    after = [epoch for epoch in keep.checkpoints if epoch > last]
    if after and not order.force:
        return (
            f"{len(after)} of these epochs lie after the last stored one ({last:,}), where nothing can be"
            " compared. Leave them out, or add them unverified."
        )
    return ""
