"""Go through a part of a stored run again, for epochs that were not kept: what forks and densify build on.

A run is replayed from the nearest state that can be had: a saved optimizer state, the start of a fork, or
the initialisation of a variant that was made from a seed. Every stored checkpoint on the way is compared with
what comes out; on the same device and build they are equal bit for bit.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data import Variant
from data.errors import CorruptFile, WorkbenchError
from training.engine import RECORDED, STATE, Engine, initial_state
from training.families import get_family
from training.perturbation import perturbed
from training.run import Start, choose_device, environment, make_engine, stored_start
from training.starts import load_start, stored_tensors

OnReplay = Callable[[int, int], None]
"""Called with the present epoch and the last one."""

_CHUNK = 200  # epochs between two reports
_DECISIVE = ("device_name", "torch", "cuda", "dtype", "tf32", "triton", "threads", "kernel_path")


@dataclass(frozen=True)
class Comparison:
    """A replayed epoch beside the stored checkpoint: equal bit for bit, or how far apart.

    difference: norm of the difference of all weights over the norm of the stored ones.
    """

    epoch: int
    equal: bool
    difference: float

    def __str__(self) -> str:
        if self.equal:
            return f"equals the stored checkpoint at epoch {self.epoch} bit for bit"
        return f"differs from the stored checkpoint at epoch {self.epoch} by {self.difference:.2g} (relative)"


@dataclass(frozen=True)
class Replayed:
    """One epoch of a replay.

    weights: by name, on the CPU. records [epochs, 3 (RECORDED)]: of the epochs since the one before.
    comparison: None where no checkpoint is stored. engine: stands at this epoch until the next is asked for.
    """

    epoch: int
    weights: dict[str, Tensor]
    records: NDArray[np.float64]
    comparison: Comparison | None
    engine: Engine


def trained_to(variant: Variant) -> int:
    """The last epoch that is known of the variant's run; ``WorkbenchError`` if it has not been trained."""
    history = variant.history["epoch"].values
    known = [*history[-1:].tolist(), *variant.epochs[-1:], *variant.optimizer_epochs[-1:]]
    if not known:
        raise WorkbenchError(f"{variant.name} has not been trained yet; `tdw resume {variant.name}` does")
    return int(max(known))


def nearest_start(variant: Variant, epoch: int) -> tuple[Start, str]:
    """The latest state at or before ``epoch`` from which the run can be continued, and what it is in words.

    Raises ``WorkbenchError`` when there is none: no readable state, and not made from a seed.
    """
    found = stored_start(variant, epoch)
    if found is not None:
        return found, f"the optimizer state at epoch {found.epoch}"
    if variant.parent is not None:
        kept, at = load_start(variant), int(variant.parent["epoch"])
        if kept is not None and at <= epoch:
            return Start(at, {name: kept[name] for name in STATE}), f"the fork at epoch {at}"
        if kept is None and is_replicate(variant):
            change, weights = variant.parent["change"], _seeded(variant)
            moved = perturbed(weights, change["perturb"], change["perturb_seed"])
            return Start(0, initial_state(moved)), "its perturbed initialisation (epoch 0)"
    else:
        initial = _initialisation(variant)
        if initial is not None:
            return Start(0, initial_state(initial)), "the initialisation (epoch 0)"
    saved = ", ".join(map(str, variant.optimizer_epochs)) or "none"
    raise WorkbenchError(
        f"{variant.name} has no training state at or before epoch {epoch} (saved: {saved}) and nothing to"
        " replay from, since its first weights are not those of its seed; choose an epoch after a saved"
        " state, or train the variant here"
    )


def replay(
    variant: Variant,
    start: Start,
    wanted: Sequence[int],
    device: torch.device,
    on_replay: OnReplay | None = None,
) -> Iterator[Replayed]:
    """Train on from ``start`` as the variant did; yields the wanted epochs and the stored ones on the way.

    Raises ``WorkbenchError`` if a loss is not finite.
    """
    family = get_family(variant.family)
    params, config = family.make_params(variant.params), family.make_config(variant.config)
    tf32 = bool(variant.provenance.get("tf32", False))
    engine = make_engine(family, [(params, config)], device, tf32, [family.interventions(variant)])
    try:
        engine.load_state(0, start.epoch, start.state)
    except (KeyError, ValueError) as error:
        raise CorruptFile(
            f"the training state of {variant.name} at epoch {start.epoch} cannot be used: {error}"
        ) from error
    last, epoch = max(wanted), start.epoch
    stored = [at for at in variant.epochs if start.epoch < at <= last]
    for stop in sorted({*wanted, *stored}):
        records = [np.empty((0, len(RECORDED)))]
        while epoch < stop:
            chunk = range(epoch, min(stop, epoch + _CHUNK))
            rates = np.array([[[config.learning_rate_at(e), config.weight_decay_at(e)]] for e in chunk])
            records.append(engine.advance(rates)[:, :, 0])
            if not np.isfinite(records[-1]).all():
                raise WorkbenchError(
                    f"the replay of {variant.name} has a loss that is not finite between epochs {epoch} and"
                    f" {chunk.stop}, so it cannot go on"
                )
            epoch = chunk.stop
            if on_replay:
                on_replay(epoch, last)
        weights = engine.weights()
        compared = compare(variant, stop, weights) if stop in stored else None
        yield Replayed(stop, weights, np.concatenate(records), compared, engine)


def compare(variant: Variant, epoch: int, weights: Mapping[str, Tensor]) -> Comparison:
    """The weights beside the stored checkpoint, both in the precision in which it is stored."""
    stored = stored_tensors(variant.at(epoch).path)
    if {name: tensor.shape for name, tensor in stored.items()} != {n: w.shape for n, w in weights.items()}:
        return Comparison(epoch, False, float("inf"))
    squares, difference, equal = 0.0, 0.0, True
    for name, before in stored.items():
        now = weights[name].to(before.dtype)
        equal = equal and torch.equal(now, before)
        squares += float(before.double().square().sum())
        difference += float((now.double() - before.double()).square().sum())
    return Comparison(epoch, equal, (difference / squares) ** 0.5 if squares else difference**0.5)


def same_device(variant: Variant, name: str) -> torch.device:
    """The device of that name; for ``auto``, of the kind that the variant was trained on if there is one."""
    if name != "auto":
        return choose_device(name)
    trained_on_cpu = variant.provenance.get("device") == "cpu"
    return choose_device("cpu" if trained_on_cpu else "auto")


def unlike(variant: Variant, device: torch.device) -> str:
    """What differs between where the variant was trained and here, in words; "" if nothing is known to."""
    made, family = variant.provenance, get_family(variant.family)
    here = environment(device, str(made.get("dtype")), bool(made.get("tf32")), family.kernel_path)
    found = [
        f"{name.replace('_', ' ')} {made[name]} then, {here[name]} now"
        for name in _DECISIVE
        if name in made and made[name] != here[name]
    ]
    batch = made.get("batch", {}).get("variants", 1)
    if batch > 1:
        found.append(f"trained in a batch of {batch}")
    return "; ".join(found)


def is_replicate(variant: Variant) -> bool:
    """Whether the variant differs from its parent by a perturbation of the first weights and nothing else."""
    parent = variant.parent
    return (
        parent is not None and parent["epoch"] == 0 and set(parent["change"]) == {"perturb", "perturb_seed"}
    )


def _initialisation(variant: Variant) -> dict[str, Tensor] | None:
    """The weights that the variant's seed gives; None if its stored ones, or its making, are others."""
    weights = _seeded(variant)
    if 0 in variant.epochs:
        return weights if compare(variant, 0, weights).equal else None
    return weights if "plan" in variant.provenance else None


def _seeded(variant: Variant) -> dict[str, Tensor]:
    family = get_family(variant.family)
    return family.init_weights(family.make_params(variant.params), family.make_config(variant.config))
