"""Add checkpoints at epochs that were not saved, by replaying the run and checking it on the way."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from data import Variant
from data.errors import BadParameter, WorkbenchError
from training.checkpoint_schedule import parse_epochs
from training.replay import Comparison, OnReplay, nearest_start, replay, same_device, trained_to, unlike


class ReplayDiffers(WorkbenchError):
    """A replay does not reproduce the stored run. ``comparison`` says where; ``added`` was added before."""

    def __init__(self, message: str, comparison: Comparison, added: list[int]) -> None:
        super().__init__(message)
        self.comparison, self.added = comparison, added


@dataclass(frozen=True)
class Densified:
    """What was added and what speaks for it.

    added, already: epochs stored now, and before. source: where the replay started. verified: the stored
    checkpoints on the way that came out bit for bit; differing: those that did not (only with ``force``).
    unverified: added epochs after the last stored one, which nothing can be compared with.
    """

    added: list[int]
    already: list[int]
    source: str
    verified: list[int]
    differing: list[Comparison]
    unverified: list[int]

    def to_json(self) -> dict[str, Any]:
        return {**vars(self), "differing": [vars(one) for one in self.differing]}


def densify(
    variant: Variant,
    epochs: str | Sequence[int],
    device: str = "auto",
    force: bool = False,
    on_replay: OnReplay | None = None,
) -> Densified:
    """Add checkpoints at these epochs (a text such as ``9000:9600:20``, or a list).

    Epochs between two stored checkpoints are written when the later one has come out of the replay bit for
    bit, in the precision in which it is stored. device: ``auto`` is the kind that the variant was trained on.
    force: write them although the replay differs, and note that in the provenance.

    Raises ``BadParameter`` for epochs outside the run, ``ReplayDiffers`` (what was verified before stays),
    ``WorkbenchError`` when there is nothing to replay from.
    """
    last = trained_to(variant)
    wanted = parse_epochs(epochs, last) if isinstance(epochs, str) else sorted(set(epochs))
    first = 0 if variant.parent is None else int(variant.parent["epoch"])
    outside = [epoch for epoch in wanted if not first <= epoch <= last]
    if outside or not wanted:
        asked = f"epoch {outside[0]} is" if outside else "no epoch was given"
        raise BadParameter(
            f"{asked} outside the run of {variant.name}; choose epochs from {first} to {last}"
            if outside
            else f"{asked}; choose epochs of {variant.name} from {first} to {last}"
        )
    stored = variant.epochs
    missing = [epoch for epoch in wanted if epoch not in stored]
    already = [epoch for epoch in wanted if epoch in stored]
    if not missing:
        return Densified([], already, "nothing: all are stored", [], [], [])
    chosen = same_device(variant, device)
    start, source = nearest_start(variant, missing[0])
    after = [epoch for epoch in stored if epoch > missing[-1]]
    dtype = str(variant.provenance.get("plan", {}).get("checkpoint_dtype", "float32"))

    added: list[int] = []
    verified: list[int] = []
    differing: list[Comparison] = []
    waiting: dict[int, dict[str, Tensor]] = {}

    def write() -> None:
        for epoch, weights in waiting.items():
            variant.save_checkpoint(epoch, weights, dtype)
            added.append(epoch)
        waiting.clear()

    for reached in replay(variant, start, [*missing, *after[:1]], chosen, on_replay):
        compared = reached.comparison
        if compared is None:
            waiting[reached.epoch] = reached.weights
            continue
        if compared.equal:
            verified.append(compared.epoch)
        elif force:
            differing.append(compared)
        else:
            _note(variant, added, verified=True)
            raise ReplayDiffers(
                _message(variant, source, compared, added, unlike(variant, chosen)), compared, added
            )
        write()
    unverified = list(waiting)
    if unverified and not force:
        _note(variant, added, verified=True)
        raise WorkbenchError(
            f"{len(unverified)} epochs after {stored[-1] if stored else first} of {variant.name} cannot be"
            " verified, since no later checkpoint is stored; add them with --force"
        )
    write()
    _note(variant, added, verified=not (differing or unverified))
    return Densified(added, already, source, verified, differing, unverified)


def _message(variant: Variant, source: str, compared: Comparison, added: list[int], reason: str) -> str:
    kept = f"{len(added)} checkpoints before it were verified and added" if added else "Nothing was added"
    why = reason or "device and build are the same as far as they were recorded"
    return (
        f"the replay of {variant.name} from {source} {compared}: {why}. {kept}. Run it where the variant was"
        " trained, or add the rest with --force, knowing that they belong to another run than the stored ones"
    )


def _note(variant: Variant, added: list[int], verified: bool) -> None:
    """Write into the provenance which checkpoints were not saved by the run itself."""
    if added:
        made = dict(variant.provenance)
        made["densified"] = [*made.get("densified", []), {"epochs": list(added), "verified": verified}]
        variant.record = replace(variant.record, provenance=made)
        variant.write_record()
