"""Training runs, one or a batch: epochs, records, checkpoints, states to resume from, progress."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from data.errors import WorkbenchError
from training.engine import RATES, RECORDED, Engine, Intervention

History = dict[str, NDArray[Any]]
"""Equally long arrays over ``epoch``: epoch, train_loss, test_loss, lr, weight_decay, weight_norm. Entry e is
of the weights at epoch e; ``lr[e]`` and ``weight_decay[e]`` are those of the update that follows."""

REPORT_SECONDS = 0.5
MAX_CHUNK = 2000  # epochs between two looks at the losses
STATES_KEPT = 2  # the last one, and the one before in case the last is damaged
WORTH_REBUILDING = 0.75  # a batch in which fewer than this share still train is made smaller


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
    """How long to train, how, and what to keep. A killed run loses at most ``state_every`` epochs."""

    epochs: int
    checkpoints: tuple[int, ...]
    learning_rate: Callable[[int], float]
    weight_decay: Callable[[int], float]
    checkpoint_dtype: str = "float32"
    state_every: int = 1000
    interventions: tuple[Intervention, ...] = ()


@dataclass(frozen=True)
class Run:
    """A plan, where its results go, and the history of the epochs before its start."""

    sink: Sink
    plan: Plan
    history: History | None = None


@dataclass(frozen=True)
class Outcome:
    """How a run ended: its whole history, and why it stopped early (None if it did not)."""

    name: str
    history: History
    error: WorkbenchError | None = None


@dataclass(frozen=True)
class Progress:
    """Where a run stands; losses are of the last evaluated epoch. For a batch, of the variant with most left
    to do, and ``variants`` is how many are training."""

    epoch: int
    epochs: int
    train_loss: float
    test_loss: float
    epochs_per_second: float
    seconds_left: float
    variants: int = 1


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
    (outcome,) = train_batch([Run(sink, plan, history)], lambda *_: engine, on_progress)
    if outcome.error:
        raise outcome.error
    return outcome.history


def train_batch(
    runs: Sequence[Run],
    build: Callable[[Sequence[int], Sequence[int] | None], Engine],
    on_progress: Callable[[Progress], None] | None = None,
) -> list[Outcome]:
    """Train runs of one shape together, each from its own epoch to its own end.

    build(members, epochs) makes an engine of the runs with these positions, each at the state it starts from;
    epochs says where they stand when it is a smaller one for those that are left, else None. A run
    that is finished or has diverged no longer changes, does not touch the others, and leaves the batch when
    enough have.

    Raises ``WorkspaceError`` when a sink cannot be written; what was stored stands.
    """
    engine = build(range(len(runs)), None)
    active = [_Active(run, engine.epochs[i]) for i, run in enumerate(runs)]
    seated, speed = list(active), _Speed()
    while True:
        _save(engine, seated)
        training = [member for member in seated if member.stops]
        if not training:
            break
        if len(training) < WORTH_REBUILDING * len(seated):
            kept = [i for i, member in enumerate(seated) if member.stops]
            states = [(engine.epochs[i], engine.state(i)) for i in kept]
            del engine  # its memory goes before the next one comes
            left = [active.index(member) for member in training]
            engine, seated = build(left, [member.epoch for member in training]), training
            for i, (epoch, state) in enumerate(states):
                engine.load_state(i, epoch, state)
        count = min(speed.chunk(), *(member.stops[0] - member.epoch for member in training))
        rates = np.stack([member.rates(count) for member in seated], axis=1)
        records = engine.advance(rates)
        for i, member in enumerate(seated):
            if member.stops:
                member.add(records[:, :, i])
        speed.add(count)
        if on_progress:
            slowest = max(training, key=lambda member: member.epochs_left)
            on_progress(slowest.progress(slowest.epoch - 1, speed, len(training)))
    if on_progress:
        slowest = max(active, key=lambda member: member.plan.epochs)
        on_progress(slowest.progress(slowest.epoch, speed, len(active)))
    return [member.outcome() for member in active]


def _save(engine: Engine, seated: Sequence[_Active]) -> None:
    """Whatever is due now: checkpoints, histories and states of the runs that are at one of their stops."""
    due = [(i, member) for i, member in enumerate(seated) if member.stops and member.stops[0] == member.epoch]
    if not due:
        return
    records = engine.evaluate()
    for i, member in due:
        member.look(records[:, i])
        if member.stops:  # it has not diverged: what is written is good
            member.save(engine, i)


class _Active:
    """A run in training. ``stops`` are the epochs at which something is due; empty when it has ended."""

    def __init__(self, run: Run, first: int) -> None:
        plan, self.sink = run.plan, run.sink
        self.plan, self.epoch, self._first = plan, first, first
        due = {*plan.checkpoints, *range(0, plan.epochs, plan.state_every), plan.epochs}
        self.stops = sorted(epoch for epoch in due if epoch >= first)
        self._error: Diverged | None = None
        epochs = range(plan.epochs + 1)
        self._rates = np.array([[plan.learning_rate(e), plan.weight_decay(e)] for e in epochs], dtype=float)
        self._recorded = np.full((plan.epochs + 1, len(RECORDED)), np.nan)
        if first:
            if run.history is None or len(run.history["epoch"]) < first:
                raise ValueError(f"resuming at epoch {first} needs the history before it")
            for columns, names in ((self._recorded, RECORDED), (self._rates, RATES)):
                for i, name in enumerate(names):
                    if name in run.history:  # histories of older versions lack the weight decay
                        columns[:first, i] = run.history[name][:first]

    @property
    def epochs_left(self) -> int:
        return self.plan.epochs - self.epoch

    def rates(self, count: int) -> NDArray[np.float64]:
        """Learning rate and weight decay of the next epochs, [count, 2]; zeros when the run has ended."""
        return self._rates[self.epoch : self.epoch + count] if self.stops else np.zeros((count, len(RATES)))

    def add(self, records: NDArray[np.float64]) -> None:
        """Records [epochs, len(RECORDED)] of the epochs from the present one on."""
        start = self.epoch
        self.epoch += len(records)
        self._recorded[start : self.epoch] = records
        bad = ~np.isfinite(records).all(axis=1)
        if bad.any():
            self._diverge(start + int(bad.argmax()))

    def look(self, record: NDArray[np.float64]) -> None:
        """The record of the present epoch, before its update."""
        self._recorded[self.epoch] = record
        if not np.isfinite(record).all():
            self._diverge(self.epoch)

    def save(self, engine: Engine, variant: int) -> None:
        stop, plan = self.stops.pop(0), self.plan
        if stop in plan.checkpoints:
            self.sink.save_checkpoint(stop, engine.weights(variant), plan.checkpoint_dtype)
        if stop == plan.epochs or (stop % plan.state_every == 0 and stop > self._first):
            self.sink.save_history(self._history(stop + 1))
            self.sink.save_optimizer(stop, engine.state(variant))
            for old in self.sink.optimizer_epochs[:-STATES_KEPT]:
                self.sink.drop_optimizer(old)

    def progress(self, epoch: int, speed: _Speed, variants: int) -> Progress:
        train_loss, test_loss = self._recorded[max(epoch, 0), :2].tolist()
        left = self.plan.epochs - epoch if self.stops else 0
        seconds = left / speed.epochs_per_second if speed.epochs_per_second else np.inf if left else 0.0
        return Progress(
            epoch, self.plan.epochs, train_loss, test_loss, speed.epochs_per_second, seconds, variants
        )

    def outcome(self) -> Outcome:
        end = self.plan.epochs + 1 if self._error is None else self._error.epoch
        return Outcome(self.sink.name, self._history(end), self._error)

    def _diverge(self, bad: int) -> None:
        self.stops = []
        self.sink.save_history(self._history(bad))
        good = [epoch for epoch in self.plan.checkpoints if self._first <= epoch < bad]
        kept = f"the last good checkpoint is epoch {max(good)}" if good else "no checkpoint is good"
        self._error = Diverged(
            f"{self.sink.name} diverged: its loss is not finite at epoch {bad} (learning rate "
            f"{self._rates[bad, 0]:g}); {kept}. Train it with a smaller learning rate",
            bad,
        )

    def _history(self, end: int) -> History:
        """All columns for the epochs before ``end``."""
        columns = {name: self._recorded[:end, i].copy() for i, name in enumerate(RECORDED)}
        rates = {name: self._rates[:end, i].copy() for i, name in enumerate(RATES)}
        return {"epoch": np.arange(end), **rates, **columns}


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
