"""Doing an order: the training and analysis that each kind means, with progress and cancelling.

Everything can be done again after it was stopped or killed: what is stored is left alone or gone on with.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from contextlib import nullcontext, suppress
from typing import TYPE_CHECKING, Any, Protocol

from dashboard.work.attempt import Attempt
from dashboard.work.estimate import size, weights_and_flops
from dashboard.work.orders import (
    AnalyzeOrder,
    DensifyOrder,
    ForkOrder,
    Order,
    ReplicatesOrder,
    ResumeOrder,
    SweepOrder,
    TrainOrder,
)
from dashboard.work.pace import seconds_each
from dashboard.work.pool import pool, stop_children
from dashboard.work.prepared import change_of, root_of, training_jobs
from data.errors import WorkbenchError

if TYPE_CHECKING:
    from analyzers.pipeline import Progress as AnalysisProgress
    from analyzers.pipeline import Report as AnalysisReport
    from data import Variant, Workspace
    from training.densify import Densified
    from training.run import Job as TrainingJob
    from training.sweeps import Report as SweepReport
    from training.trainer import Outcome
    from training.trainer import Progress as TrainingProgress


LISTED = 200  # failures that are kept with the job; all are in its log


class Screen(Protocol):
    """Where a person watches while it is done, beside the job's row."""

    def trained(self, state: TrainingProgress) -> None: ...
    def replayed(self, epoch: int, last: int) -> None: ...
    def analysed(self, state: AnalysisProgress) -> None: ...
    def note(self, text: str) -> None: ...
    def batch(self, done: int, batches: int, failed: Sequence[str]) -> None: ...
    def reported(self, variant: str, report: AnalysisReport) -> None: ...


class NoScreen:
    """Nobody watches."""

    def trained(self, state: TrainingProgress) -> None: ...
    def replayed(self, epoch: int, last: int) -> None: ...
    def analysed(self, state: AnalysisProgress) -> None: ...
    def note(self, text: str) -> None: ...
    def batch(self, done: int, batches: int, failed: Sequence[str]) -> None: ...
    def reported(self, variant: str, report: AnalysisReport) -> None: ...


def perform(order: Order, workspace: Workspace, attempt: Attempt, screen: Screen | None = None) -> Any:
    """Do it and return what the function behind it returns; the attempt has the end in words.

    However it ends, the catalog knows of what was made. Raises what that function raises, and `Stopped`.
    """
    work = _Work(workspace, attempt, screen or NoScreen())
    attempt.check()
    doing: dict[str, Callable[[Any], Any]] = {
        "train": work.train,
        "replicates": work.replicates,
        "sweep": work.sweep,
        "fork": work.fork,
        "resume": work.resume,
        "densify": work.densify,
        "analyze": work.analyze,
    }
    try:
        return doing[order.kind](order)
    finally:
        with suppress(WorkbenchError):  # the job is done nevertheless; whoever asks next catches up
            workspace.catalog.refresh()


class _Work:
    def __init__(self, workspace: Workspace, attempt: Attempt, screen: Screen) -> None:
        self.workspace, self.attempt, self.screen = workspace, attempt, screen
        self._speed = 0.0  # epochs per second, of all variants of a batch together

    @property
    def _again(self) -> bool:
        return self.attempt.job.attempt > 1

    def train(self, order: TrainOrder) -> Variant:
        from training.run import train_variant

        variant = train_variant(
            self.workspace,
            order.family,
            order.params,
            order.config,
            epochs=order.epochs,
            checkpoints=order.checkpoints,
            device=order.device,
            on_progress=self._trained,
            resume=order.go_on or self._again,
            checkpoint_dtype=order.checkpoint_dtype,
            state_every=order.state_every,
            tf32=order.tf32,
        )
        return self._run_ended(variant)

    def resume(self, order: ResumeOrder) -> Variant:
        from training.run import resume_variant

        variant = self.workspace[order.variant]
        return self._run_ended(resume_variant(variant, order.epochs, order.device, self._trained))

    def fork(self, order: ForkOrder) -> Variant:
        from training.forks import fork_variant
        from training.run import resume_variant

        (name,) = self.attempt.job.variants
        if self._again and name in self.workspace:
            return self._run_ended(resume_variant(self.workspace[name], None, order.device, self._trained))
        variant = fork_variant(
            self.workspace[order.variant],
            order.at,
            change_of(order.change),
            order.epochs,
            order.checkpoints,
            order.device,
            self._trained,
            on_replay=self._replayed,
            on_note=self._note,
            checkpoint_dtype=order.checkpoint_dtype,
            state_every=order.state_every,
        )
        return self._run_ended(variant)

    def densify(self, order: DensifyOrder) -> Densified:
        from training.densify import densify

        variant = self.workspace[order.variant]
        done = densify(variant, order.epochs, order.device, order.force, self._replayed)
        self.attempt.end(f"Added {len(done.added)} checkpoints to {variant.name}.", added=len(done.added))
        return done

    def replicates(self, order: ReplicatesOrder) -> list[Outcome]:
        from training.replicates import train_replicates

        outcomes = train_replicates(
            self.workspace,
            root_of(order),
            order.copies,
            order.perturb,
            order.epochs,
            order.checkpoints or (),
            order.device,
            order.tf32,
            order.go_on or self._again,
            self._trained,
            self._note,
        )
        failed = [f"{outcome.name}: {outcome.error}" for outcome in outcomes if outcome.error]
        self._many_ended(len(outcomes), 0, failed)
        return outcomes

    def sweep(self, order: SweepOrder) -> SweepReport:
        from training.run import choose_device

        jobs = training_jobs(order)
        device = choose_device(order.device)
        workers = order.workers or (1 if device.type == "cuda" else os.cpu_count() or 1)
        if order.dask is None and workers == 1:
            report = self._batches_here(order, jobs)
        else:
            report = self._batches_elsewhere(order, jobs, workers, device.type)
        self.attempt.check()
        failed = [f"{name}: {cause}" for name, cause in report.failed.items()]
        self._many_ended(len(report.trained) + len(failed), len(report.complete), failed)
        return report

    def analyze(self, order: AnalyzeOrder) -> list[AnalysisReport]:
        from analyzers.pipeline import analyze

        reports: list[AnalysisReport] = []
        names = order.analyzers or None
        count, started = len(order.variants), time.monotonic()
        with pool(order.workers, threads=1) if order.workers > 1 else nullcontext() as executor:
            for number, name in enumerate(order.variants):
                where = f"{name}: " if count > 1 else ""

                def show(state: AnalysisProgress, before: int = number, where: str = where) -> None:
                    share = (before + state.done / max(1, state.total)) / count
                    left = (time.monotonic() - started) * (1 / share - 1) if share else None
                    done, total = (state.done, state.total) if count == 1 else (share * count, count)
                    self.attempt.progress(done, total, f"{where}{_what(state)}", {"seconds_left": left})
                    self.screen.analysed(state)

                report = analyze(
                    self.workspace[name],
                    names,
                    on_progress=show,
                    should_stop=self.attempt.should_stop,
                    workers=order.workers,
                    executor=executor,
                    first=order.first,
                )
                reports.append(report)
                self.attempt.note(f"{name}: {report}.")
                for failure in report.failures:
                    self.attempt.note(f"{name}: {failure}")
                self.screen.reported(name, report)
                self.attempt.check()
        self._analysis_ended(order.variants, reports)
        return reports

    # --- what they share ---------------------------------------------------------------------------------

    def _trained(self, state: TrainingProgress) -> None:
        self._speed = state.epochs_per_second * state.variants
        self.screen.trained(state)
        self.attempt.trained(state)

    def _replayed(self, epoch: int, last: int) -> None:
        self.screen.replayed(epoch, last)
        self.attempt.progress(epoch, last, f"replaying epoch {epoch:,} of {last:,}")
        self.attempt.check()

    def _note(self, text: str) -> None:
        self.screen.note(text)
        self.attempt.note(text)

    def _run_ended(self, variant: Variant) -> Variant:
        history = variant.history
        last = int(history["epoch"][-1]) if history.sizes["epoch"] else 0
        flops = weights_and_flops(variant.record)[1]
        self.attempt.end(
            f"{variant.name} is trained to epoch {last:,}.",
            epoch=last,
            train_loss=float(history["train_loss"][-1]),
            test_loss=float(history["test_loss"][-1]),
            flops_per_second=self._speed * flops,
            flops_per_epoch=flops,
            device=variant.provenance.get("device"),
        )
        return variant

    def _many_ended(self, count: int, complete: int, failed: Sequence[str]) -> None:
        before = f", {complete} were complete before" if complete else ""
        text = f"{count - len(failed)} of {count} variants trained{before}."
        self.attempt.end(text, trained=count - len(failed), complete=complete, failed=list(failed))
        for one in failed:
            self.attempt.note(one)

    def _batches_here(self, order: SweepOrder, jobs: Sequence[TrainingJob]) -> SweepReport:
        """The batches one after the other in this process, with their losses."""
        from training.run import is_complete, train_group
        from training.sweeps import MAX_BATCH, Report, batches_of

        def is_done(job: TrainingJob) -> bool:
            if job.record.name not in self.workspace:
                return False
            there = self.workspace[job.record.name]
            return there.identity == job.record.identity and is_complete(there, job.keep)

        complete = [job.record.name for job in jobs if is_done(job)]
        left = [job for job in jobs if job.record.name not in complete]
        batches = batches_of(left, order.max_batch or MAX_BATCH)
        total = sum(max(job.keep.epochs for job in batch) for batch in batches)
        before, trained, failed, notes = 0, list[str](), dict[str, str](), list[str]()
        for number, batch in enumerate(batches, 1):
            where = f"batch {number} of {len(batches)} ({len(batch)} variants), " if len(batches) > 1 else ""

            def show(state: TrainingProgress, before: int = before, where: str = where) -> None:
                self.screen.trained(state)
                self.attempt.trained(state, before, total, where)

            def note(text: str) -> None:
                notes.append(text)
                self.attempt.note(text)

            bad: dict[str, str] = {}
            try:
                outcomes = train_group(self.workspace, batch, order.device, order.tf32, True, show, note)
                bad = {outcome.name: str(outcome.error) for outcome in outcomes if outcome.error}
            except WorkbenchError as error:
                self.attempt.check()
                bad = {job.record.name: str(error) for job in batch}
            failed |= bad
            trained += [job.record.name for job in batch if job.record.name not in bad]
            before += max(job.keep.epochs for job in batch)
            self.screen.batch(number, len(batches), sorted(bad))
        return Report(tuple(sorted(trained)), tuple(complete), dict(sorted(failed.items())), tuple(notes))

    def _batches_elsewhere(
        self, order: SweepOrder, jobs: Sequence[TrainingJob], workers: int, device: str
    ) -> SweepReport:
        """The batches in worker processes, which end with this one, or on a Dask cluster."""
        from training.sweeps import MAX_BATCH, dask_executor, run_sweep

        def show(done: int, batches: int, failed: Sequence[str]) -> None:
            self.screen.batch(done, batches, failed)
            self.attempt.progress(done, batches, f"batch {done} of {batches} ended")
            self.attempt.check()

        most = order.max_batch or MAX_BATCH
        if order.dask is None and device == "cpu":
            most = min(most, -(-len(jobs) // workers))  # enough batches for all processes
        threads = max(1, (os.cpu_count() or 1) // workers)
        self.attempt.on_stop = stop_children if order.dask is None else lambda: None
        with pool(workers, threads) if order.dask is None else dask_executor(order.dask) as executor:
            return run_sweep(self.workspace, jobs, executor, order.device, order.tf32, most, workers, show)

    def _analysis_ended(self, names: Sequence[str], reports: Sequence[AnalysisReport]) -> None:
        failures = [failure for report in reports for failure in report.failures]
        if len(reports) == 1:
            text = f"{names[0]}: {reports[0]}."
        else:
            computed = sum(sum(report.computed.values()) for report in reports)
            text = f"{len(reports)} variants: {computed} results computed."
        shown = "; ".join(str(failure) for failure in failures[:3])
        more = f"; and {len(failures) - 3} more" if len(failures) > 3 else ""
        self.attempt.end(
            f"{text} {shown}{more}".strip(),
            failures=len(failures),
            failed_results=[failure._asdict() for failure in failures[:LISTED]],
            seconds_each=seconds_each(reports, [size(self.workspace[name]) for name in names]),
            seconds=sum(report.elapsed for report in reports),
            computed=sum(sum(report.computed.values()) for report in reports),
        )


def _what(state: AnalysisProgress) -> str:
    at = "" if state.epoch is None else f", epoch {state.epoch:,}"
    return f"{state.done} of {state.total}: {state.analyzer.replace('_', ' ')}{at}"
