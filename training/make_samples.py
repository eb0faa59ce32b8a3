"""Remake the sample variants: ``python -m training.make_samples --workspace DIR [--device cuda]``.

The epoch at which a run turns differs between two float32 runs of the same seed, so which checkpoints are
worth keeping is only known afterwards: every candidate is held in memory, and after looking at the test loss
a few are chosen and written. A fork and a set of replicates are made as the commands make them, and what the
samples have no room for is removed afterwards: checkpoints, training states and most of the late history.
"""

from __future__ import annotations

import argparse
import functools
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data import Variant, Workspace
from data.errors import WorkbenchError
from training.families import get_family
from training.forks import Change, fork_variant
from training.replicates import replicate_records, train_replicates
from training.run import Keep, OnProgress, choose_device, environment, make_engine, make_plan, stored_history
from training.schedules import Schedule
from training.starts import START_FILE
from training.trainer import History, Progress, train

FAMILY = "modular_addition"
SAMPLES = (  # params, epochs
    ({"p": 113, "seed": 999}, 25_000),
    ({"p": 113, "seed": 485}, 25_000),
    ({"p": 101, "seed": 999}, 35_000),
)
EXCURSION = 20  # epoch at which the weights of p101-s999-d598 start on their way out, before it memorises
FORK = Change(lr_schedule=Schedule.parse(f"piecewise:{EXCURSION}=1e-4,1500=1e-3"))
FORK_KEEP = 6
FORK_HISTORY_EVERY = 10
COPIES, PERTURBATION = 16, 1e-6
COPIES_HISTORY_EVERY = 20
HISTORY_WHOLE = 500  # epochs of which all losses are kept, as they change fast
KEEP = 25
CANDIDATE_EVERY = 100
ALWAYS = (0, 100, 300, 1000, 9400)  # the last is the epoch that the documentation opens
ACROSS_THE_DROP = 12


def candidates(epochs: int) -> list[int]:
    """Epochs held in memory: every 100th, the powers of two, the last."""
    powers = [2**i for i in range(epochs.bit_length())]
    return sorted({*range(0, epochs, CANDIDATE_EVERY), *powers, epochs})


def choose_epochs(test_loss: NDArray[np.float64], saved: Sequence[int], count: int = KEEP) -> list[int]:
    """``count`` of the saved epochs that tell the story of a run.

    test_loss [epochs + 1]: entry e is of the weights at epoch e. When the loss falls at least a hundredfold
    after its peak, 12 epochs divide the middle 90 % of that fall (in its logarithm) into equal parts; the
    others are early ones, the peak, the plateau up to the fall, the time after it, and the end. What is left
    over, or everything when the loss never falls, is even in the logarithm of the epoch.
    """
    saved_epochs = np.array(sorted(saved))
    count = min(count, len(saved_epochs))
    last = int(saved_epochs[-1])
    level = np.log(np.maximum(test_loss[saved_epochs], 1e-12))
    peak = int(np.argmax(level))
    lowest = peak + int(np.argmin(level[peak:]))
    wanted: list[float] = [*(epoch for epoch in ALWAYS if epoch <= last), int(saved_epochs[peak]), last]
    if level[peak] - level[lowest] > np.log(100):
        start, stop = _drop(level, peak, lowest)
        first, end = float(saved_epochs[start]), float(saved_epochs[stop])
        depth = np.linspace(level[start], level[stop], ACROSS_THE_DROP)
        falling = np.minimum.accumulate(level[start : stop + 1])
        wanted += [float(saved_epochs[start + int(np.argmax(falling <= d + 1e-12))]) for d in depth]
        wanted += list(np.linspace(float(saved_epochs[peak]), first, 6)[1:-1])
        wanted += list(np.linspace(end, last, 4)[1:-1])
    chosen: set[int] = set()
    for epoch in wanted:
        _take_nearest(chosen, saved_epochs, epoch, count)
    for epoch in np.geomspace(max(1, saved_epochs[0]), max(1, last), 4 * count):
        _take_nearest(chosen, saved_epochs, float(epoch), count)
    return sorted(chosen)


def _drop(level: NDArray[np.float64], peak: int, lowest: int) -> tuple[int, int]:
    """Positions between which the level falls by the middle 90 % of its way from the peak to the lowest."""
    high = level[peak] - 0.05 * (level[peak] - level[lowest])
    low = level[lowest] + 0.05 * (level[peak] - level[lowest])
    stop = peak + int(np.argmax(level[peak:] <= low))
    start = peak + int(np.flatnonzero(level[peak : stop + 1] >= high)[-1])
    return start, stop


def _take_nearest(chosen: set[int], saved: NDArray[np.int64], epoch: float, count: int) -> None:
    """Add the nearest saved epoch that is not there yet, unless the choice is full."""
    free = np.array([e for e in saved if e not in chosen])
    if len(chosen) < count and len(free):
        chosen.add(int(free[np.argmin(np.abs(free - epoch))]))


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
    device: str = "auto",
    dtype: str = "float16",
    on_progress: Callable[[Progress], None] | None = None,
) -> str:
    """Train one sample, write its chosen checkpoints and its whole history; returns its name."""
    family = get_family(FAMILY)
    values, config = family.make_params(params), family.make_config({})
    record = family.record(values, config)
    where = choose_device(device)
    sink = MemorySink(record.name)
    plan = make_plan(config, Keep(epochs, tuple(candidates(epochs)), dtype, state_every=epochs))
    history = train(make_engine(family, [(values, config)], where), sink, plan, None, on_progress)

    chosen = choose_epochs(history["test_loss"], list(sink.checkpoints))
    # state_every 1 says that the absent states are lost, so that a sample is never restarted by mistake.
    kept = {"epochs": epochs, "checkpoints": chosen, "checkpoint_dtype": dtype, "state_every": 1}
    provenance = {**environment(where, config.dtype, False, family.kernel_path), "plan": kept}
    variant = workspace.create_variant(replace(record, provenance=provenance))
    variant.save_history(history)
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
    slim(fork, choose_few(test_loss, fork.epochs, [at, *ends, epochs], FORK_KEEP), FORK_HISTORY_EVERY)
    return fork.name


def make_copies(
    workspace: Workspace,
    root: Mapping[str, Any],
    epochs: int,
    copies: int = COPIES,
    device: str = "auto",
    on_progress: OnProgress | None = None,
) -> list[str]:
    """Train replicates of the root with these parameters; only their (thinned) histories are kept."""
    family = get_family(FAMILY)
    record = family.record(family.make_params(root), family.make_config({}))
    outcomes = train_replicates(
        workspace, record, copies, PERTURBATION, epochs, device=device, on_progress=on_progress
    )
    for outcome in outcomes:
        if outcome.error:
            raise outcome.error
        slim(workspace[outcome.name], [], COPIES_HISTORY_EVERY)
    return [outcome.name for outcome in outcomes]


def choose_few(
    test_loss: NDArray[np.float64], saved: Sequence[int], always: Sequence[int], count: int
) -> list[int]:
    """``count`` of the saved epochs: ``always``, and the others at equal steps of the logarithm of the test
    loss on its way down from the peak."""
    saved_epochs = np.array(sorted(saved))
    level = np.log(np.maximum(test_loss[saved_epochs], 1e-12))
    peak = int(np.argmax(level))
    falling = np.minimum.accumulate(level[peak:])
    chosen: set[int] = set(always)
    inner = np.linspace(falling[0], falling[-1], count - len(chosen) + 2)[1:-1]
    for depth in inner:
        _take_nearest(
            chosen, saved_epochs, float(saved_epochs[peak + int(np.argmax(falling <= depth))]), count
        )
    return sorted(chosen)


def thinned(history: History, every: int) -> History:
    """The first epochs (``HISTORY_WHOLE``), then one in ``every``, and the last."""
    epoch = history["epoch"]
    kept = (epoch <= HISTORY_WHOLE) | (epoch % every == 0) | (epoch == epoch[-1])
    return {name: values[kept] for name, values in history.items()}


def slim(variant: Variant, checkpoints: Sequence[int], every: int) -> None:
    """Keep these checkpoints of a finished variant, a thinned history and no training state; the provenance
    says so."""
    variant.save_history(thinned(stored_history(variant), every))
    for epoch in set(variant.epochs) - set(checkpoints):
        variant.drop_checkpoint(epoch)
    for epoch in variant.optimizer_epochs:
        variant.drop_optimizer(epoch)
    (variant.path / START_FILE).unlink(missing_ok=True)
    for folder in ("checkpoints", "optimizer"):
        if not any((variant.path / folder).iterdir()):
            (variant.path / folder).rmdir()
    # state_every 1: as in ``make_sample``
    plan = {**variant.provenance["plan"], "checkpoints": list(checkpoints), "state_every": 1}
    kept = {"history": f"every epoch to {HISTORY_WHOLE}, then one in {every}", "states": "removed"}
    variant.record = replace(variant.record, provenance={**variant.provenance, "plan": plan, "kept": kept})
    variant.write_record()


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Train the sample variants into a workspace.")
    parser.add_argument("--workspace", required=True, help="folder to write to (made if missing)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    parser.add_argument(
        "--dtype", default="float16", choices=("float16", "float32"), help="of the checkpoints"
    )
    parser.add_argument("--only", help="one sample: p113-s999-d598 or another root, fork, replicates")
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
    """What makes each sample, unless it is there; fork and replicates are of the last root."""
    family, device = get_family(FAMILY), options.device
    records = [family.record(family.make_params(params), family.make_config({})) for params, _ in SAMPLES]
    last, (last_params, last_epochs) = records[-1], SAMPLES[-1]

    def root(params: Mapping[str, Any], epochs: int, name: str) -> None:
        if name in workspace:
            return print(f"{name} is there already")
        epochs = options.epochs or epochs
        make_sample(workspace, params, epochs, device, options.dtype, _Printer(name))
        return print(f"{name}: checkpoints {workspace[name].epochs}", flush=True)

    def fork() -> None:
        if last.name not in workspace:
            raise WorkbenchError(f"the fork starts from {last.name}, which is not there; make it first")
        parent = workspace[last.name]
        there = [other.name for other in parent.forks if other.parent and other.parent["epoch"] == EXCURSION]
        if there:
            return print(f"{there[0]} is there already")
        name = make_fork(parent, device=device, dtype=options.dtype, on_progress=_Printer("fork"))
        return print(f"{name}: checkpoints {workspace[name].epochs}", flush=True)

    def replicates() -> None:
        names = [record.name for record in replicate_records(last, COPIES, PERTURBATION)]
        if names[0] in workspace:
            return print(f"{names[0]} is there already")
        epochs = options.epochs or last_epochs
        make_copies(workspace, last_params, epochs, device=device, on_progress=_Printer("replicates"))
        return print(f"{names[0]} to {names[-1]}: histories", flush=True)

    roots = {
        record.name: functools.partial(root, params, epochs, record.name)
        for record, (params, epochs) in zip(records, SAMPLES, strict=True)
    }
    return {**roots, "fork": fork, "replicates": replicates}


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
