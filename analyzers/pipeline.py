"""Run instruments over the checkpoints of a variant: what is missing, once, and safely.

Each checkpoint is loaded once for all instruments of scope "checkpoint"; what they share is computed once
(`analyzers.features`). Results are committed in batches of whole epochs, as often as a tenth of the time
allows, so that a run that is stopped keeps what was finished, one that is killed all but the last seconds,
and the next one does the rest. An instrument that fails on one epoch, or a checkpoint that cannot be read,
is reported and the others go on. Checkpoints may be worked on by other processes
(`analyzers.checkpoint_work`); only this one writes.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Executor, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

import xarray as xr

from analyzers import staleness
from analyzers.arrays import attributes, dataset_of, joined
from analyzers.checkpoint_work import Outcome, Outputs, Step, Work, cause, compute, elsewhere, outputs_of
from analyzers.planning import INPUTS, PROBE, ArtifactStatus, Parameters, Stage, plan, stages, status
from analyzers.registry import Registry, default_registry
from analyzers.run import Cancelled, Run
from analyzers.threads import one_thread
from data.errors import BadParameter, MissingArtifact, WorkbenchError

if TYPE_CHECKING:
    from data import Variant

__all__ = ["INPUTS", "PROBE", "ArtifactStatus", "Failure", "Progress", "Report", "analyze", "plan", "status"]

BATCH_EPOCHS = 64
BATCH_SECONDS = 3.0
COMMIT_SHARE = 0.1  # of the time; a commit rewrites the files of all instruments
WAIT = 0.2  # seconds between two questions whether to stop, while other processes work


class Failure(NamedTuple):
    """What could not be computed: epoch None for a trajectory, analyzer "checkpoint" if that is damaged."""

    analyzer: str
    epoch: int | None
    cause: str
    variant: str

    def __str__(self) -> str:
        at = "" if self.epoch is None else f" at epoch {self.epoch}"
        return f"{self.analyzer}{at}: {self.cause}"


@dataclass(frozen=True)
class Progress:
    """State of a running analysis. total counts one per analyzer and epoch, and one per trajectory.

    It may fall once the last checkpoint is done: see `plan`.
    """

    variant: str
    done: int
    total: int
    analyzer: str
    epoch: int | None
    elapsed: float

    def __str__(self) -> str:
        at = "" if self.epoch is None else f" at epoch {self.epoch}"
        return f"{self.done} of {self.total}: {self.analyzer}{at}"


@dataclass
class Report:
    """What an analysis did.

    computed   results per analyzer (epochs, or 1 for a trajectory), stored for good
    skipped    results per analyzer that were there already
    failures   what could not be computed, and why
    cancelled  the person stopped it
    seconds    time per analyzer, without the shared features; features: time per shared feature
    note       why there was less to do than one may think; "" mostly
    """

    computed: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    cancelled: bool = False
    elapsed: float = 0.0
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    features: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    note: str = ""

    def __str__(self) -> str:
        made, kept = sum(self.computed.values()), sum(self.skipped.values())
        text = f"{made} results computed in {self.elapsed:.1f} s, {kept} were there already"
        if self.failures:
            text += f", {len(self.failures)} could not be computed"
        text += "; stopped on request" if self.cancelled else ""
        return f"{text}. {self.note}" if self.note else text


def analyze(
    variant: Variant,
    analyzers: Iterable[str] | None = None,
    probe: str = PROBE,
    on_progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    parameters: Parameters | None = None,
    registry: Registry | None = None,
    workers: int = 1,
    executor: Executor | None = None,
    first: Iterable[int] = (),
) -> Report:
    """Compute and store what is missing; see `plan` for the arguments.

    on_progress  called after every result
    should_stop  asked before every checkpoint; a true answer ends the run, keeping what is finished
    workers      processes that work on checkpoints, each on one thread; 1: this one
    executor     where to work on them instead (its workers must see the same workspace); the caller closes it
    first        epochs that somebody waits for: they are done before the others, and stored at once. Next
                 comes the last checkpoint, which is looked at most, then the others in their order.
    Raises `WorkspaceError` when results cannot be written, `WorkbenchError` when a worker is lost,
    `BadParameter` for a registry of one's own with workers, which have the instruments that ship.
    """
    if (workers > 1 or executor is not None) and registry not in (None, default_registry()):
        raise BadParameter("Workers know the instruments that ship only: give no registry, or no workers.")
    analysis = _Analysis(variant, analyzers, probe, on_progress, should_stop, parameters, registry)
    return analysis.run(workers, executor, tuple(first))


class _Analysis:
    """One run of the pipeline: state that lasts from its first checkpoint to its last commit."""

    def __init__(
        self,
        variant: Variant,
        analyzers: Iterable[str] | None,
        probe: str,
        on_progress: Callable[[Progress], None] | None,
        should_stop: Callable[[], bool] | None,
        parameters: Parameters | None,
        registry: Registry | None,
    ) -> None:
        self._variant, self._probe = variant, probe
        self._on_progress, self._should_stop = on_progress, should_stop
        self._registry = registry or default_registry()
        self._hashes = staleness.CheckpointHashes()
        self._pending: dict[str, list[tuple[xr.Dataset, str]]] = defaultdict(list)
        self._finals: dict[str, Outputs] = {}
        self._report = Report()
        self._started = time.monotonic()
        self._commit_due = self._started + BATCH_SECONDS
        self._done = 0
        names = None if analyzers is None else list(analyzers)
        self._planned = lambda: stages(variant, names, probe, parameters, self._registry, self._hashes)
        self._set_stages(self._planned())

    def run(self, workers: int, executor: Executor | None, first: tuple[int, ...]) -> Report:
        report = self._report
        report.note = _left_alone(self._variant)
        try:
            self._drop_unusable()
            self._last_checkpoint()
            self._checkpoints(workers, executor, first)
            self._trajectories()
        except Cancelled:
            report.cancelled = True
        finally:
            self._commit()
        for stage in self._stages:
            if not report.cancelled and not any(
                failed.analyzer == stage.analyzer.name for failed in report.failures
            ):
                self._drop_superseded(stage)
        report.elapsed = time.monotonic() - self._started
        return report

    def _set_stages(self, found: list[Stage]) -> None:
        self._stages = found
        self._by_name = {stage.analyzer.name: stage for stage in found}
        self._total = self._done + sum(len(stage.missing) or int(not stage.complete) for stage in found)
        there = {
            name: stage.usable - self._report.computed.get(name, 0) for name, stage in self._by_name.items()
        }
        self._report.skipped = {name: number for name, number in there.items() if number}

    # --- scope "checkpoint" ------------------------------------------------------------------------------

    def _last_checkpoint(self) -> None:
        """What others apply to every epoch comes first: it decides which stored results are current."""
        fixed = {name for stage in self._stages for name in stage.fixed}
        wanted = {found.name for found in self._registry.ordered(fixed)}
        last = set(self._variant.epochs[-1:])
        first = [stage for stage in self._stages if stage.analyzer.name in wanted and last & {*stage.missing}]
        if first:
            self._check_stop()
            (epoch,) = last
            self._absorb(self._compute(epoch, first), first)
            self._commit()
            failed = {failure.analyzer for failure in self._report.failures}
            if "checkpoint" in failed:
                failed = wanted
            self._set_stages(
                [
                    replace(stage, missing=tuple(at for at in stage.missing if at != epoch))
                    if stage.analyzer.name in failed
                    else stage
                    for stage in self._planned()
                ]
            )
        for name in fixed:
            known = self._hashes(self._variant)
            found = staleness.at_last_epoch(self._variant, self._registry, name, self._probe, known)
            if found is not None:
                self._finals[name] = outputs_of(found)

    def _checkpoints(self, workers: int, executor: Executor | None, first: tuple[int, ...]) -> None:
        every = [stage for stage in self._stages if stage.analyzer.scope == "checkpoint"]
        for stage in every:
            if stage.blocked and stage.missing:
                absent = ", ".join(name for name in stage.fixed if name not in self._finals)
                reason = f"it applies {absent} of the last checkpoint to every epoch, and that is missing."
                self._fail(stage.analyzer.name, max(stage.marks), reason)
                for epoch in stage.missing:
                    self._step(stage.analyzer.name, epoch)
        todo = [stage for stage in every if not stage.blocked]
        ahead = (*first, *self._variant.epochs[-1:])
        missing = {epoch for stage in todo for epoch in stage.missing}
        epochs = [*dict.fromkeys(at for at in ahead if at in missing), *sorted(missing - {*ahead})]
        due = {epoch: [stage for stage in todo if epoch in stage.missing] for epoch in epochs}
        if executor is None and (workers <= 1 or len(epochs) < 2):
            for epoch, at in due.items():
                self._check_stop()
                self._absorb(self._compute(epoch, at), at)
                if epoch in ahead:
                    self._commit()
        else:
            with _open(executor, min(workers, len(epochs))) as (pool, most):
                self._distribute(pool, most, due)

    def _distribute(self, pool: Executor, most: int, due: Mapping[int, list[Stage]]) -> None:
        """Have the checkpoints worked on by `pool`, at most `most` of them underway."""
        place = str(self._variant.workspace.path), self._variant.name
        waiting, running = iter(due.items()), dict[Future[Outcome], list[Stage]]()
        try:
            while True:
                self._check_stop()
                for epoch, at in waiting:
                    running[pool.submit(elsewhere, *place, self._work(epoch, at))] = at
                    if len(running) >= most:
                        break
                if not running:
                    return
                done, _ = wait(running, WAIT, FIRST_COMPLETED)
                for future in done:
                    at = running.pop(future)
                    outcome = future.result()
                    self._absorb(outcome, at)
                    for stage in at:
                        self._step(stage.analyzer.name, outcome.epoch)
        except BrokenProcessPool as error:
            raise WorkbenchError(
                "A worker process ended unexpectedly (out of memory?). What was finished is kept; run the"
                " analysis again, with fewer workers."
            ) from error
        finally:
            for future in running:
                future.cancel()

    def _compute(self, epoch: int, at: list[Stage]) -> Outcome:
        return compute(
            self._variant, self._work(epoch, at), self._registry, lambda name: self._step(name, epoch)
        )

    def _work(self, epoch: int, at: list[Stage]) -> Work:
        steps = tuple(
            Step(
                stage.analyzer.name,
                stage.parameters,
                attributes(stage.analyzer, stage.key, self._probe, stage.parameters, self._variant.identity),
            )
            for stage in at
        )
        names = {step.analyzer for step in steps}
        needed = {need for stage in at for need in stage.analyzer.needs} - names
        needs = {need: found for need in sorted(needed) if (found := self._stored_at(need, epoch))}
        finals = {name for stage in at for name in stage.analyzer.needs_final}
        failed = {failure.analyzer for failure in self._report.failures if failure.epoch == epoch}
        return Work(
            epoch,
            steps,
            needs,
            {name: self._finals[name] for name in sorted(finals)},
            failed=frozenset(failed),
        )

    def _absorb(self, outcome: Outcome, at: list[Stage]) -> None:
        epoch = outcome.epoch
        if outcome.unreadable:
            self._fail("checkpoint", epoch, outcome.unreadable)
        for name, reason in outcome.failures.items():
            self._fail(name, epoch, reason)
        for stage in at:
            name = stage.analyzer.name
            if name in outcome.datasets:
                self._pending[name].append((outcome.datasets[name], stage.marks[epoch]))
                self._report.seconds[name] += outcome.seconds[name]
        for name, seconds in outcome.features.items():
            self._report.features[name] += seconds
        batch = max(map(len, self._pending.values()), default=0)
        if batch >= BATCH_EPOCHS or time.monotonic() > self._commit_due:
            self._commit()

    def _stored_at(self, name: str, epoch: int) -> Outputs:
        """The current stored outputs at one epoch, empty if there are none."""
        stage = self._by_name[name]
        earlier = staleness.stored(self._variant, stage.analyzer, stage.key, self._probe)
        if earlier is None:
            return {}
        earlier = staleness.current(earlier, stage.marks)
        return outputs_of(earlier.sel(epoch=epoch)) if epoch in earlier["epoch"].values else {}

    def _commit(self) -> None:
        started = time.monotonic()
        for name in [name for name, pending in self._pending.items() if pending]:
            pending = self._pending.pop(name)
            self._variant.artifacts.commit(self._probe, name, self._by_name[name].key, joined(pending))
            self._count(name, len(pending))
        now = time.monotonic()
        self._commit_due = now + max(BATCH_SECONDS, (now - started) / COMMIT_SHARE)

    # --- scope "trajectory" ------------------------------------------------------------------------------

    def _trajectories(self) -> None:
        self._commit()
        for stage in self._stages:
            if stage.analyzer.scope != "trajectory" or stage.complete:
                continue
            self._check_stop()
            run = Run(self._variant, self._artifact, self._should_stop)
            name = stage.analyzer.name
            attrs = attributes(
                stage.analyzer, stage.key, self._probe, stage.parameters, self._variant.identity
            )
            inputs = staleness.inputs_of(self._variant, stage.analyzer, self._hashes)
            started = time.perf_counter()
            try:
                with one_thread():
                    returned = stage.analyzer.compute(run, **stage.parameters)
                dataset = dataset_of(stage.analyzer, returned, {**attrs, INPUTS: inputs})
            except Cancelled:
                raise
            except Exception as error:  # as at a checkpoint
                self._fail(name, None, cause(error))
            else:
                self._report.seconds[name] += time.perf_counter() - started
                self._variant.artifacts.replace(self._probe, name, stage.key, dataset)
                self._count(name, 1)
            for epoch, reason in run.unreadable:
                self._fail("checkpoint", epoch, reason)
            self._step(name, None)

    def _artifact(self, name: str) -> xr.Dataset:
        stage = self._by_name[name]
        dataset = staleness.stored(self._variant, stage.analyzer, stage.key, self._probe)
        if dataset is not None and stage.analyzer.scope == "checkpoint":
            dataset = staleness.current(dataset, stage.marks)
        if dataset is None or not dataset.sizes.get("epoch", 1):
            causes = [failure.cause for failure in self._report.failures if failure.analyzer == name]
            raise MissingArtifact(self._variant.name, name, detail=causes[0] if causes else "")
        return dataset

    # --- bookkeeping -------------------------------------------------------------------------------------

    def _check_stop(self) -> None:
        if self._should_stop is not None and self._should_stop():
            raise Cancelled

    def _count(self, name: str, number: int) -> None:
        self._report.computed[name] = self._report.computed.get(name, 0) + number

    def _fail(self, name: str, epoch: int | None, reason: str) -> None:
        failure = Failure(name, epoch, reason, self._variant.name)
        if failure not in self._report.failures:
            self._report.failures.append(failure)

    def _step(self, name: str, epoch: int | None) -> None:
        self._done += 1
        if self._on_progress is not None:
            elapsed = time.monotonic() - self._started
            self._on_progress(Progress(self._variant.name, self._done, self._total, name, epoch, elapsed))

    def _drop_unusable(self) -> None:
        """Delete files that are damaged or another variant's, so that no result is merged into them."""
        for stage in self._stages:
            place = self._probe, stage.analyzer.name, stage.key
            there = bool(self._variant.artifacts.token(*place))
            if there and staleness.stored(self._variant, stage.analyzer, stage.key, self._probe) is None:
                self._variant.artifacts.drop(*place)

    def _drop_superseded(self, stage: Stage) -> None:
        """Delete what an older version left, now that the current one is complete."""
        for key in staleness.superseded(
            self._variant, stage.analyzer, stage.key, self._probe, stage.parameters
        ):
            self._variant.artifacts.drop(self._probe, stage.analyzer.name, key)


def _left_alone(variant: Variant) -> str:
    """What cannot be analysed of this variant and why; "" if everything can."""
    removed = staleness.gone(variant)
    if removed:
        return (
            f"{len(removed)} checkpoints were removed after they had been measured:"
            f" {len(variant.artifacts.listing())} results are kept as they are"
        )
    return "" if variant.epochs else "There are no checkpoints: only the history can be analysed"


@contextmanager
def _open(executor: Executor | None, workers: int) -> Iterator[tuple[Executor, int]]:
    """An executor, and how many checkpoints to give it at a time: two per worker, so that none waits."""
    if executor is not None:
        yield executor, 2 * (os.cpu_count() or 1)
        return
    context = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(workers, context) as pool:
        yield pool, 2 * workers
