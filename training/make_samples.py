"""Remake the sample variants: ``python -m training.make_samples --workspace DIR [--device cuda]``.

The epoch at which a run turns differs between two float32 runs of the same seed, so which checkpoints are
worth
keeping is only known afterwards: every candidate is held in memory, and after looking at the test loss a few
are chosen and written.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data import Workspace
from data.errors import WorkbenchError
from training.families import get_family
from training.run import Keep, choose_device, environment, make_engine, make_plan
from training.trainer import Progress, train

FAMILY = "modular_addition"
SAMPLES = (  # params, epochs
    ({"p": 113, "seed": 999}, 25_000),
    ({"p": 113, "seed": 485}, 25_000),
    ({"p": 101, "seed": 999}, 35_000),
)
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


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description="Train the sample variants into a workspace.")
    parser.add_argument("--workspace", required=True, help="folder to write to (made if missing)")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:1")
    parser.add_argument(
        "--dtype", default="float16", choices=("float16", "float32"), help="of the checkpoints"
    )
    parser.add_argument("--only", help="name of one sample, such as p113-s999-d598")
    parser.add_argument("--epochs", type=int, help="train all for so many epochs instead of their own")
    options = parser.parse_args(arguments)
    family = get_family(FAMILY)
    names = {family.record(family.make_params(params), family.make_config({})).name for params, _ in SAMPLES}
    if options.only and options.only not in names:
        print(f"there is no sample {options.only!r}; there is: {', '.join(sorted(names))}", file=sys.stderr)
        return 1
    try:
        workspace = Workspace(options.workspace, create=True)
        for params, epochs in SAMPLES:
            name = family.record(family.make_params(params), family.make_config({})).name
            if options.only and options.only != name:
                continue
            if name in workspace:
                print(f"{name} is there already")
                continue
            printer = _Printer(name)
            make_sample(workspace, params, options.epochs or epochs, options.device, options.dtype, printer)
            print(f"{name}: checkpoints {workspace[name].epochs}", flush=True)
    except WorkbenchError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


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
