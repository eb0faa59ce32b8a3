"""One training run: epochs, records, checkpoints, states to resume from, progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from data.errors import WorkbenchError
from training.engine import RECORDED, Engine

History = dict[str, NDArray[Any]]
"""Equally long arrays over ``epoch``: epoch, train_loss, test_loss, lr, weight_norm. Entry e is of the
weights at epoch e; ``lr[e]`` is the rate of the update that follows."""

REPORT_SECONDS = 0.5
MAX_CHUNK = 2000  # epochs between two looks at the losses
STATES_KEPT = 2  # the last one, and the one before in case the last is damaged


class Diverged(WorkbenchError):
    """A loss became infinite or not a number. ``epoch`` is the first bad one."""

    def __init__(self, message: str, epoch: int) -> None:
        super().__init__(message)
        self.epoch = epoch


class Sink(Protocol):
    """Where a run is kept: a stored variant, or something in memory."""

    @property
    def name(self) -> str: ...
    @property
    def optimizer_epochs(self) -> list[int]: ...
    def save_checkpoint(self, epoch: int, weights: Mapping[str, Tensor], dtype: str = ...) -> object: ...
    def save_history(self, history: Mapping[str, Any]) -> None: ...
    def save_optimizer(self, epoch: int, tensors: Mapping[str, Tensor]) -> None: ...
    def drop_optimizer(self, epoch: int) -> None: ...


@dataclass(frozen=True)
class Plan:
    """How long to train and what to keep. A killed run loses at most ``state_every`` epochs."""

    epochs: int
    checkpoints: tuple[int, ...]
    learning_rate: Callable[[int], float]
    checkpoint_dtype: str = "float32"
    state_every: int = 1000


@dataclass(frozen=True)
class Progress:
    """Where a run stands; losses are of the last evaluated epoch."""

    epoch: int
    epochs: int
    train_loss: float
    test_loss: float
    epochs_per_second: float
    seconds_left: float


def train(
    engine: Engine,
    sink: Sink,
    plan: Plan,
    history: History | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> History:
    """Train the engine's one variant from its epoch to the last, into the sink; returns the whole history.

    history: of the epochs before the engine's, when resuming. ``on_progress`` is called about twice a second,
    and may raise to stop the run. At every moment the history is written before the state that continues it,
    so that the last state always finds the history before it complete.

    Raises ``Diverged`` for a loss that is not finite (what was good is kept), ``WorkspaceError`` when the
    sink cannot be written.
    """
    first = engine.epoch
    log, speed = _Log(plan, history, first), _Speed()
    stops = {*plan.checkpoints, *range(0, plan.epochs, plan.state_every), plan.epochs}

    def require_finite(start: int) -> None:
        bad = log.first_bad(start)
        if bad is not None:
            sink.save_history(log.history(bad))
            good = [epoch for epoch in plan.checkpoints if epoch < bad]
            kept = f"the last good checkpoint is epoch {max(good)}" if good else "no checkpoint is good"
            raise Diverged(
                f"{sink.name} diverged: its loss is not finite at epoch {bad} (learning rate "
                f"{plan.learning_rate(bad):g}); {kept}. Train it with a smaller learning rate",
                bad,
            )

    for stop in sorted(epoch for epoch in stops if epoch >= first):
        while engine.epoch < stop:
            start = engine.epoch
            count = min(stop - start, speed.chunk())
            log.add(start, engine.advance(log.learning_rate[start : start + count].tolist())[:, :, 0])
            require_finite(start)
            speed.add(count)
            if on_progress:
                on_progress(log.progress(engine.epoch - 1, speed))
        log.add(stop, engine.evaluate()[None, :, 0])
        require_finite(stop)  # so that what is written below is good
        if stop in plan.checkpoints:
            sink.save_checkpoint(stop, engine.weights(), plan.checkpoint_dtype)
        if stop == plan.epochs or (stop % plan.state_every == 0 and stop > first):
            sink.save_history(log.history(stop + 1))
            sink.save_optimizer(stop, engine.state())
            for old in sink.optimizer_epochs[:-STATES_KEPT]:
                sink.drop_optimizer(old)
    if on_progress:
        on_progress(log.progress(plan.epochs, speed))
    return log.history(plan.epochs + 1)


class _Log:
    """The history so far, with room for the whole run."""

    def __init__(self, plan: Plan, history: History | None, first: int) -> None:
        self._epochs = plan.epochs
        self.learning_rate = np.array([plan.learning_rate(epoch) for epoch in range(plan.epochs + 1)])
        self._recorded = np.full((plan.epochs + 1, len(RECORDED)), np.nan)
        if first:
            if history is None or len(history["epoch"]) < first:
                raise ValueError(f"resuming at epoch {first} needs the history before it")
            self._recorded[:first] = np.stack([history[name][:first] for name in RECORDED], axis=1)
            self.learning_rate[:first] = history["lr"][:first]

    def add(self, start: int, records: NDArray[np.float64]) -> None:
        """records [epochs, len(RECORDED)] from epoch ``start`` on; replaces what was there."""
        self._recorded[start : start + len(records)] = records
        self._end = start + len(records)

    def first_bad(self, start: int) -> int | None:
        """First epoch from ``start`` to the last added one with a value that is not finite."""
        bad = ~np.isfinite(self._recorded[start : self._end]).all(axis=1)
        return start + int(bad.argmax()) if bad.any() else None

    def history(self, end: int) -> History:
        """All columns for the epochs before ``end``."""
        columns = {name: self._recorded[:end, i].copy() for i, name in enumerate(RECORDED)}
        return {"epoch": np.arange(end), "lr": self.learning_rate[:end].copy(), **columns}

    def progress(self, epoch: int, speed: _Speed) -> Progress:
        train_loss, test_loss = self._recorded[epoch, :2].tolist()
        left = (self._epochs - epoch) / speed.epochs_per_second if speed.epochs_per_second else np.inf
        return Progress(epoch, self._epochs, train_loss, test_loss, speed.epochs_per_second, left)


class _Speed:
    """Epochs per second over the recent past, and how many epochs to do before reporting again."""

    def __init__(self) -> None:
        self._last = time.perf_counter()
        self.epochs_per_second = 0.0

    def add(self, epochs: int) -> None:
        now = time.perf_counter()
        recent = epochs / max(now - self._last, 1e-9)
        self.epochs_per_second = (
            0.7 * self.epochs_per_second + 0.3 * recent if self.epochs_per_second else recent
        )
        self._last = now

    def chunk(self) -> int:
        return min(max(1, int(self.epochs_per_second * REPORT_SECONDS)), MAX_CHUNK)
