"""Remake the sample variants that have checkpoints: ``python -m training.make_samples --workspace DIR``.

The epoch at which a run turns differs between two float32 runs of the same seed, so which checkpoints are
worth keeping is only known afterwards: every candidate is held in memory, and after looking at the test loss
a few are chosen and written. The fork is made as the command makes it, and what the samples have no room for
is removed afterwards: checkpoints, training states and most of the late history. The samples without
checkpoints are made by ``tdw sweep``, ``tdw train --replicates`` and ``tdw reduce`` (data/samples/README.md).
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import torch
from torch import Tensor

from data import Variant, Workspace
from data.errors import WorkbenchError
from training.families import get_family
from training.forks import Change, fork_variant
from training.run import Keep, OnProgress, choose_device, environment, make_engine, make_plan, stored_history
from training.schedules import Schedule
from training.starts import START_FILE
from training.thinning import Thinning, choose_epochs, choose_few, drop_all_but, thinned
from training.trainer import Progress, train

FAMILY = "modular_addition"
SAMPLES = (  # params, epochs, checkpoints
    ({"p": 113, "seed": 999}, 25_000, 25),
    ({"p": 113, "seed": 485}, 25_000, 17),
    ({"p": 101, "seed": 999}, 35_000, 17),
)
ROOT_HISTORY = Thinning(whole=0, every=1, rounded=True)
EXCURSION = 20  # epoch at which the weights of p101-s999-d598 start on their way out, before it memorises
FORK = Change(lr_schedule=Schedule.parse(f"piecewise:{EXCURSION}=1e-4,1500=1e-3"))
FORK_KEEP = 6
FORK_HISTORY = Thinning(whole=500, every=10)
CANDIDATE_EVERY = 100


def candidates(epochs: int) -> list[int]:
    """Epochs held in memory: every 100th, the powers of two, the last."""
    powers = [2**i for i in range(epochs.bit_length())]
    return sorted({*range(0, epochs, CANDIDATE_EVERY), *powers, epochs})


@dataclass
class MemorySink:
    """Keeps the checkpoints of a run in memory, in the precision in which they will be written."""

    name: str
    checkpoints: dict[int, dict[str, Tensor]] = field(default_factory=dict)
    optimizer_epochs: list[int] = field(default_factory=list)

    def save_checkpoint(self, epoch: int, weights: Mapping[str, Tensor], dtype: str = "float32") -> None:
        kind = getattr(torch, dtype)
        self.checkpoints[epoch] = {name: weight.to(kind) for name, weight in weights.items()}

    def save_history(self, history: Mapping[str, Any]) -> None:
        """The history is returned by the run itself."""

    def save_optimizer(self, epoch: int, tensors: Mapping[str, Tensor]) -> None:
        """Samples are complete: nothing resumes from here."""

    def drop_optimizer(self, epoch: int) -> None:
        """Nothing was kept."""


def make_sample(
    workspace: Workspace,
    params: Mapping[str, Any],
    epochs: int,
    checkpoints: int = 25,
    device: str = "auto",
    dtype: str = "float16",
    on_progress: Callable[[Progress], None] | None = None,
) -> str:
    """Train one sample, write that many chosen checkpoints and the loss at every epoch; returns its name."""
    family = get_family(FAMILY)
    values, config = family.make_params(params), family.make_config({})
    record = family.record(values, config)
    where = choose_device(device)
    sink = MemorySink(record.name)
    plan = make_plan(config, Keep(epochs, tuple(candidates(epochs)), dtype, state_every=epochs))
    history = train(make_engine(family, [(values, config)], where), sink, plan, None, on_progress)

    chosen = choose_epochs(history["test_loss"], list(sink.checkpoints), checkpoints)
    # state_every 1 says that the absent states are lost, so that a sample is never restarted by mistake.
    kept = {"epochs": epochs, "checkpoints": chosen, "checkpoint_dtype": dtype, "state_every": 1}
    provenance = {
        **environment(where, config.dtype, False, family.kernel_path),
        "plan": kept,
        "kept": {"history": str(ROOT_HISTORY), "states": "removed"},
    }
    variant = workspace.create_variant(replace(record, provenance=provenance))
    variant.save_history(thinned(history, ROOT_HISTORY))
    for epoch in chosen:
        variant.save_checkpoint(epoch, sink.checkpoints[epoch], dtype)
    return variant.name


def make_fork(
    parent: Variant,
    at: int = EXCURSION,
    change: Change = FORK,
    device: str = "auto",
    dtype: str = "float16",
    on_progress: OnProgress | None = None,
) -> str:
    """Train a fork and keep a few checkpoints: its start, the end of a schedule, the way down, its end."""
    epochs = max(parent.epochs)
    points = change.lr_schedule.points if change.lr_schedule else ()
    ends = [epoch for epoch, _ in points if at < epoch < epochs]
    every = max(1, epochs // 70)
    fork = fork_variant(
        parent, at, change, epochs, [*ends, *range(at, epochs, every)], device, on_progress,
        checkpoint_dtype=dtype, state_every=epochs, on_note=print,
    )  # fmt: skip
    test_loss = stored_history(fork)["test_loss"]
    slim(fork, choose_few(test_loss, fork.epochs, [at, *ends, epochs], FORK_KEEP), FORK_HISTORY)
    return fork.name


def slim(variant: Variant, checkpoints: Sequence[int], how: Thinning) -> None:
    """Keep these checkpoints of a finished variant, a thinned history and no training state; the provenance
    says so."""
    variant.save_history(thinned(stored_history(variant), how))
    drop_all_but(variant, checkpoints)
    (variant.path / START_FILE).unlink(missing_ok=True)
    # state_every 1: as in ``make_sample``
    plan = {**variant.provenance["plan"], "checkpoints": list(checkpoints), "state_every": 1}
    kept = {"history": str(how), "states": "removed"}
    variant.record = replace(variant.record, provenance={**variant.provenance, "plan": plan, "kept": kept})
    variant.write_record()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Train the sample variants into a workspace.")
    parser.add_argument("--workspace", required=True, help="folder to write to (made if missing)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    parser.add_argument(
        "--dtype", default="float16", choices=("float16", "float32"), help="of the checkpoints"
    )
    parser.add_argument("--only", help="one sample: p113-s999-d598 or another root, or fork")
    parser.add_argument("--epochs", type=int, help="train the roots for so many epochs instead of their own")
    options = parser.parse_args(arguments)
    try:
        made = _makers(Workspace(options.workspace, create=True), options)
        if options.only and options.only not in made:
            known = ", ".join(sorted(made))
            raise WorkbenchError(f"there is no sample {options.only!r}; there is: {known}")
        for name in [options.only] if options.only else made:
            made[name]()
    except WorkbenchError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


def _makers(workspace: Workspace, options: argparse.Namespace) -> dict[str, Callable[[], None]]:
    """What makes each sample, unless it is there; the fork is of the last root."""
    family, device = get_family(FAMILY), options.device
    names = [family.record(family.make_params(one[0]), family.make_config({})).name for one in SAMPLES]

    def root(params: Mapping[str, Any], epochs: int, checkpoints: int, name: str) -> None:
        if name in workspace:
            return print(f"{name} is there already")
        epochs = options.epochs or epochs
        make_sample(workspace, params, epochs, checkpoints, device, options.dtype, _Printer(name))
        return print(f"{name}: checkpoints {workspace[name].epochs}", flush=True)

    def fork() -> None:
        if names[-1] not in workspace:
            raise WorkbenchError(f"the fork starts from {names[-1]}, which is not there; make it first")
        parent = workspace[names[-1]]
        there = [other.name for other in parent.forks if other.parent and other.parent["epoch"] == EXCURSION]
        if there:
            return print(f"{there[0]} is there already")
        name = make_fork(parent, device=device, dtype=options.dtype, on_progress=_Printer("fork"))
        return print(f"{name}: checkpoints {workspace[name].epochs}", flush=True)

    roots = {
        name: functools.partial(root, *sample, name) for name, sample in zip(names, SAMPLES, strict=True)
    }
    return {**roots, "fork": fork}


class _Printer:
    """Prints about one line per twentieth of the run."""

    def __init__(self, name: str) -> None:
        self._name, self._next = name, 0.0

    def __call__(self, progress: Progress) -> None:
        if progress.epoch < self._next:
            return
        self._next = progress.epoch + progress.epochs / 20
        print(
            f"{self._name} epoch {progress.epoch}/{progress.epochs} train {progress.train_loss:.3g} "
            f"test {progress.test_loss:.3g} {progress.epochs_per_second:.0f} epochs/s, "
            f"{progress.seconds_left:.0f} s left",
            flush=True,
        )


if __name__ == "__main__":
    sys.exit(main())
