"""Run instruments over the checkpoints of a variant: what is missing, once, and safely.

Each checkpoint is loaded once for all instruments of scope "checkpoint"; what they share is computed once
(`analyzers.features`). Results are committed in small batches of whole epochs, so that a run that is stopped
or killed at any instant keeps what was finished and the next one does the rest. An instrument that fails on
one epoch, or a checkpoint that cannot be read, is reported and the others go on.
"""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xarray as xr

from analyzers import staleness
from analyzers.arrays import attributes, dataset_of, joined
from analyzers.features import Features
from analyzers.registry import Analyzer, Registry, default_registry
from analyzers.run import Cancelled, Run
from analyzers.task import capabilities
from data.errors import BadParameter, CorruptFile, MissingArtifact, UnknownEpoch, WorkbenchError

if TYPE_CHECKING:
    from data import Variant

PROBE = "grid"
INPUTS = "inputs"
BATCH_EPOCHS = 8
BATCH_SECONDS = 3.0

Parameters = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Task:
    """What one analyzer has yet to do. epochs is empty for the scope "trajectory"."""

    analyzer: str
    epochs: tuple[int, ...]
    reason: str


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
    """State of a running analysis. total counts one per analyzer and epoch, and one per trajectory."""

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
    """

    computed: dict[str, int] = field(default_factory=dict)
    skipped: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    cancelled: bool = False
    elapsed: float = 0.0
    seconds: dict[str, float] = field(default_factory=lambda: defaultdict(float))
    features: dict[str, float] = field(default_factory=lambda: defaultdict(float))

    def __str__(self) -> str:
        made, kept = sum(self.computed.values()), sum(self.skipped.values())
        text = f"{made} results computed in {self.elapsed:.1f} s, {kept} were there already"
        if self.failures:
            text += f", {len(self.failures)} could not be computed"
        return f"{text}; stopped on request" if self.cancelled else text


@dataclass(frozen=True)
class ArtifactStatus:
    """Whether an analyzer's artifact is complete, and if something stored cannot be used, why."""

    analyzer: str
    key: str
    complete: bool
    missing_epochs: tuple[int, ...]
    stale_reason: str


@dataclass(frozen=True)
class _Stage:
    """One analyzer of a plan, with what is there."""

    analyzer: Analyzer
    key: str
    parameters: Mapping[str, Any]
    marks: Mapping[int, str]  # what a current result of each epoch is marked with
    missing: tuple[int, ...]
    complete: bool
    usable: int
    stale: str


def plan(
    variant: Variant,
    analyzers: Iterable[str] | None = None,
    probe: str = PROBE,
    parameters: Parameters | None = None,
    registry: Registry | None = None,
) -> list[Task]:
    """What is missing, in the order in which it will be done.

    analyzers    names; what they need is added. None: all that are stored and apply to the variant's family
    parameters   analyzer -> its parameters, where they are not the defaults
    Raises `BadParameter` for an unknown analyzer, one that is never stored, or one that does not apply.
    """
    stages = _stages(variant, analyzers, probe, parameters, registry, staleness.CheckpointHashes())
    return [
        Task(stage.analyzer.name, stage.missing, stage.stale or "not computed yet")
        for stage in stages
        if not stage.complete
    ]


def status(
    variant: Variant,
    probe: str = PROBE,
    registry: Registry | None = None,
    hashes: staleness.CheckpointHashes | None = None,
) -> list[ArtifactStatus]:
    """The state of every stored artifact that applies to the variant, with default parameters."""
    stages = _stages(variant, None, probe, None, registry, hashes or staleness.CheckpointHashes())
    return [
        ArtifactStatus(stage.analyzer.name, stage.key, stage.complete, stage.missing, stage.stale)
        for stage in stages
    ]


def analyze(
    variant: Variant,
    analyzers: Iterable[str] | None = None,
    probe: str = PROBE,
    on_progress: Callable[[Progress], None] | None = None,
    should_stop: Callable[[], bool] | None = None,
    parameters: Parameters | None = None,
    registry: Registry | None = None,
) -> Report:
    """Compute and store what is missing; see `plan` for the arguments.

    on_progress  called after every result
    should_stop  asked before every checkpoint; a true answer ends the run, keeping what is finished
    Raises `WorkspaceError` when results cannot be written.
    """
    hashes = staleness.CheckpointHashes()
    registry = registry or default_registry()
    stages = _stages(variant, analyzers, probe, parameters, registry, hashes)
    first = _at_last_checkpoint(variant, stages, registry)
    begun = _Analysis(variant, probe, first, registry, hashes, None, should_stop).run()
    if first:  # what the last checkpoint says decides which results of the other epochs are current
        stages = _stages(variant, analyzers, probe, parameters, registry, hashes)
    report = _Analysis(variant, probe, stages, registry, hashes, on_progress, should_stop).run()
    for name, number in begun.computed.items():
        report.computed[name] = report.computed.get(name, 0) + number
        report.skipped[name] -= number
        if not report.skipped[name]:
            del report.skipped[name]
    report.elapsed += begun.elapsed
    return report


def _at_last_checkpoint(variant: Variant, stages: list[_Stage], registry: Registry) -> list[_Stage]:
    """Those stages whose result at the last checkpoint others apply to every epoch, if it is missing."""
    fixed = {name for stage in stages for name in registry.fixed_by(stage.analyzer.name)}
    if not fixed:
        return []
    last = variant.epochs[-1:]
    wanted = {found.name for found in registry.ordered(fixed)}
    return [
        replace(stage, missing=tuple(last))
        for stage in stages
        if stage.analyzer.name in wanted and set(last) & set(stage.missing)
    ]


def _stages(
    variant: Variant,
    names: Iterable[str] | None,
    probe: str,
    parameters: Parameters | None,
    registry: Registry | None,
    hashes: staleness.CheckpointHashes,
) -> list[_Stage]:
    registry = registry or default_registry()
    if probe != PROBE:
        raise BadParameter(f"There is no probe {probe!r}; there is: {PROBE}.")
    given = dict(parameters or {})
    offered = capabilities(variant.family)
    names = None if names is None else list(names)
    for name in [*(names or ()), *given]:
        asked = registry.get(name)
        if not asked.stored:
            raise BadParameter(
                f"{name} is computed whenever it is asked for and is not stored; open its view instead."
            )
        lacking = set(asked.requires) - offered
        if lacking:
            raise BadParameter(
                f"{name} does not apply to the family {variant.family!r}: it needs {', '.join(lacking)}."
            )
    if names is None:
        names = [
            found.name
            for found in registry
            if found.stored and found.standard and offered.issuperset(found.requires)
        ]
    return [
        _stage(variant, found, probe, found.with_defaults(given.get(found.name, {})), registry, hashes)
        for found in registry.ordered(names)
    ]


def _stage(
    variant: Variant,
    found: Analyzer,
    probe: str,
    parameters: Mapping[str, Any],
    registry: Registry,
    hashes: staleness.CheckpointHashes,
) -> _Stage:
    key = registry.key(found.name, probe, parameters)
    dataset = staleness.stored(variant, found, key, probe)
    stale = "" if dataset is not None else staleness.describe(variant, found, key, probe, parameters)
    if found.scope == "trajectory":
        complete = dataset is not None and dataset.attrs.get(INPUTS) == staleness.inputs_of(
            variant, found, hashes
        )
        if dataset is not None and not complete:
            stale = "the run has changed since"
        return _Stage(found, key, parameters, {}, (), complete, int(complete), stale)
    marks = staleness.expected(variant, found, registry, probe, hashes)
    usable: set[int] = set()
    if dataset is not None:
        usable = set(staleness.current(dataset, marks)["epoch"].values.tolist())
        if any(epoch in marks and epoch not in usable for epoch in dataset["epoch"].values.tolist()):
            stale = "checkpoints have changed since"
    missing = tuple(epoch for epoch in thinned(list(marks), found.at_most) if epoch not in usable)
    return _Stage(found, key, parameters, marks, missing, not missing, len(usable), stale)


def thinned(epochs: list[int], at_most: int) -> list[int]:
    """At most that many of the epochs, the first and last among them, spread evenly over log(1 + epoch).

    All of them if `at_most` is 0 or they are no more than that. Where several targets have the same nearest
    epoch, the epochs not yet chosen that are farthest from any chosen one fill up the number.
    """
    if not at_most or len(epochs) <= at_most:
        return list(epochs)
    position = np.log1p(np.array(epochs, dtype=np.float64))
    targets = np.linspace(position[0], position[-1], at_most)
    chosen = set(np.abs(position[None] - targets[:, None]).argmin(axis=1).tolist())
    while len(chosen) < at_most:
        distance = np.abs(position[:, None] - position[sorted(chosen)][None]).min(axis=1)
        chosen.add(int(distance.argmax()))
    return [epochs[index] for index in sorted(chosen)]


class _Analysis:
    """One run of the pipeline: state that lasts from its first checkpoint to its last commit."""

    def __init__(
        self,
        variant: Variant,
        probe: str,
        stages: list[_Stage],
        registry: Registry,
        hashes: staleness.CheckpointHashes,
        on_progress: Callable[[Progress], None] | None,
        should_stop: Callable[[], bool] | None,
    ) -> None:
        self._variant, self._probe, self._stages = variant, probe, stages
        self._registry, self._hashes = registry, hashes
        self._on_progress, self._should_stop = on_progress, should_stop
        self._by_name = {stage.analyzer.name: stage for stage in stages}
        self._attrs = {
            stage.analyzer.name: attributes(
                stage.analyzer, stage.key, probe, stage.parameters, variant.identity
            )
            for stage in stages
        }
        self._pending: dict[str, list[tuple[xr.Dataset, str]]] = defaultdict(list)
        self._started = self._committed = time.monotonic()
        self._done = 0
        self._total = sum(len(stage.missing) or int(not stage.complete) for stage in stages)
        self._report = Report(skipped={stage.analyzer.name: stage.usable for stage in stages if stage.usable})

    def run(self) -> Report:
        report = self._report
        try:
            self._drop_unusable()
            self._checkpoints()
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

    # --- scope "checkpoint" ------------------------------------------------------------------------------

    def _checkpoints(self) -> None:
        stages = [stage for stage in self._stages if stage.analyzer.scope == "checkpoint"]
        for epoch in sorted({epoch for stage in stages for epoch in stage.missing}):
            self._check_stop()
            self._checkpoint(epoch, [stage for stage in stages if epoch in stage.missing])
            batch = max(map(len, self._pending.values()), default=0)
            if batch >= BATCH_EPOCHS or time.monotonic() - self._committed > BATCH_SECONDS:
                self._commit()

    def _checkpoint(self, epoch: int, stages: list[_Stage]) -> None:
        try:
            self._hashes.at(self._variant, epoch)
            weights = self._variant.at(epoch).weights
        except (CorruptFile, UnknownEpoch) as error:
            self._fail("checkpoint", epoch, error)
            for stage in stages:
                self._step(stage, epoch)
            return
        features = Features(weights, self._variant.family, self._variant.params)
        failed: set[str] = set()
        for stage in stages:
            name = stage.analyzer.name
            try:
                features.needs |= {need: self._needed(need, epoch, failed) for need in stage.analyzer.needs}
                features.finals |= {need: self._final(need) for need in stage.analyzer.needs_final}
                dataset = self._timed(stage, epoch, features)
            except Exception as error:  # any instrument may fail in any way: that must not stop the others
                failed.add(name)
                self._fail(name, epoch, error)
            else:
                self._pending[name].append((dataset, stage.marks[epoch]))
            self._step(stage, epoch)
        for name, seconds in features.seconds.items():
            self._report.features[name] += seconds

    def _timed(self, stage: _Stage, epoch: int, features: Features) -> xr.Dataset:
        shared, started = sum(features.seconds.values()), time.perf_counter()
        returned = stage.analyzer.compute(features, **stage.parameters)
        dataset = dataset_of(stage.analyzer, returned, self._attrs[stage.analyzer.name], epoch)
        spent = time.perf_counter() - started
        self._report.seconds[stage.analyzer.name] += spent - (sum(features.seconds.values()) - shared)
        return dataset

    def _needed(self, name: str, epoch: int, failed: set[str]) -> Mapping[str, Any]:
        if name in failed:
            raise WorkbenchError(f"it needs {name}, which failed at this epoch.")
        for dataset, _ in reversed(self._pending[name]):
            if int(dataset["epoch"]) == epoch:
                return {str(output): values.values for output, values in dataset.data_vars.items()}
        stage = self._by_name[name]
        earlier = staleness.stored(self._variant, stage.analyzer, stage.key, self._probe)
        if earlier is None or epoch not in earlier["epoch"].values:
            raise MissingArtifact(self._variant.name, name, epoch)
        return {str(output): values.values for output, values in earlier.sel(epoch=epoch).data_vars.items()}

    def _final(self, name: str) -> Mapping[str, Any]:
        known = self._hashes(self._variant)
        found = staleness.at_last_epoch(self._variant, self._registry, name, self._probe, known)
        if found is None:
            raise MissingArtifact(self._variant.name, name, max(known))
        return {str(output): values.values for output, values in found.data_vars.items()}

    def _commit(self) -> None:
        for name in [name for name, pending in self._pending.items() if pending]:
            pending = self._pending.pop(name)
            dataset = joined(pending)
            self._variant.artifacts.commit(self._probe, name, self._by_name[name].key, dataset)
            self._count(name, len(pending))
        self._committed = time.monotonic()

    # --- scope "trajectory" ------------------------------------------------------------------------------

    def _trajectories(self) -> None:
        self._commit()
        for stage in self._stages:
            if stage.analyzer.scope != "trajectory" or stage.complete:
                continue
            self._check_stop()
            run = Run(self._variant, self._artifact, self._should_stop)
            name = stage.analyzer.name
            inputs = staleness.inputs_of(self._variant, stage.analyzer, self._hashes)
            started = time.perf_counter()
            try:
                returned = stage.analyzer.compute(run, **stage.parameters)
                dataset = dataset_of(stage.analyzer, returned, {**self._attrs[name], INPUTS: inputs})
            except Cancelled:
                raise
            except Exception as error:  # as above
                self._fail(name, None, error)
            else:
                self._report.seconds[name] += time.perf_counter() - started
                self._variant.artifacts.replace(self._probe, name, stage.key, dataset)
                self._count(name, 1)
            for epoch, cause in run.unreadable:
                self._fail("checkpoint", epoch, cause)
            self._step(stage, None)

    def _artifact(self, name: str) -> xr.Dataset:
        stage = self._by_name[name]
        dataset = staleness.stored(self._variant, stage.analyzer, stage.key, self._probe)
        if dataset is None:
            raise MissingArtifact(self._variant.name, name)
        if stage.analyzer.scope == "trajectory":
            return dataset
        return staleness.current(dataset, stage.marks)

    # --- bookkeeping -------------------------------------------------------------------------------------

    def _check_stop(self) -> None:
        if self._should_stop is not None and self._should_stop():
            raise Cancelled

    def _count(self, name: str, number: int) -> None:
        self._report.computed[name] = self._report.computed.get(name, 0) + number

    def _fail(self, name: str, epoch: int | None, cause: object) -> None:
        text = f"{type(cause).__name__}: {cause}" if isinstance(cause, Exception) else str(cause)
        if isinstance(cause, WorkbenchError):
            text = str(cause)
        failure = Failure(name, epoch, text, self._variant.name)
        if failure not in self._report.failures:
            self._report.failures.append(failure)

    def _step(self, stage: _Stage, epoch: int | None) -> None:
        self._done += 1
        if self._on_progress is not None:
            elapsed = time.monotonic() - self._started
            self._on_progress(
                Progress(self._variant.name, self._done, self._total, stage.analyzer.name, epoch, elapsed)
            )

    def _drop_unusable(self) -> None:
        """Delete files that are damaged or another variant's, so that no result is merged into them."""
        for stage in self._stages:
            place = self._probe, stage.analyzer.name, stage.key
            there = bool(self._variant.artifacts.token(*place))
            if there and staleness.stored(self._variant, stage.analyzer, stage.key, self._probe) is None:
                self._variant.artifacts.drop(*place)

    def _drop_superseded(self, stage: _Stage) -> None:
        """Delete what an older version left, now that the current one is complete."""
        for key in staleness.superseded(
            self._variant, stage.analyzer, stage.key, self._probe, stage.parameters
        ):
            self._variant.artifacts.drop(self._probe, stage.analyzer.name, key)
