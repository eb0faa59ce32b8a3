"""The work on one checkpoint: all instruments of scope "checkpoint" on one set of shared features.

It reads one file and returns results, so that it can be done in another process as well (`elsewhere`).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Set
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import xarray as xr
from numpy.typing import NDArray

from analyzers.arrays import dataset_of
from analyzers.features import Features
from analyzers.optimizer import optimizer_at
from analyzers.registry import Registry, default_registry
from analyzers.threads import one_thread
from data.errors import CorruptFile, MissingArtifact, UnknownEpoch, WorkbenchError

if TYPE_CHECKING:
    from data import Variant

Outputs = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class Step:
    """One instrument: its name, all of its parameters, and the attributes of its dataset."""

    analyzer: str
    parameters: Mapping[str, Any]
    attrs: Mapping[str, Any]


@dataclass(frozen=True)
class Work:
    """What to do at one epoch: `steps` in their order, with what they need beside each other's results.

    needs   stored results of this epoch: analyzer -> output -> array; finals: the same of the last checkpoint
    failed  instruments that have failed at this epoch before
    """

    epoch: int
    steps: tuple[Step, ...]
    needs: Mapping[str, Outputs] = field(default_factory=dict)
    finals: Mapping[str, Outputs] = field(default_factory=dict)
    failed: frozenset[str] = frozenset()


@dataclass
class Outcome:
    """What came out: a dataset or a cause of failure per step; only `unreadable` if the file is damaged.

    seconds  per instrument, without the shared features; features: per shared feature
    """

    epoch: int
    datasets: dict[str, xr.Dataset] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    unreadable: str = ""
    seconds: dict[str, float] = field(default_factory=dict)
    features: dict[str, float] = field(default_factory=dict)


def compute(
    variant: Variant, work: Work, registry: Registry, on_step: Callable[[str], None] = lambda name: None
) -> Outcome:
    """Do the work here; on_step is called with the name of every instrument when it is done, well or not."""
    outcome = Outcome(work.epoch)
    try:
        weights = variant.at(work.epoch).weights
    except (CorruptFile, UnknownEpoch) as error:
        outcome.unreadable = str(error)
        for step in work.steps:
            on_step(step.analyzer)
        return outcome
    features = Features(weights, variant.family, variant.params, optimizer=optimizer_at(variant, work.epoch))
    known = dict(work.needs)
    for step in work.steps:
        shared, started = sum(features.seconds.values()), time.perf_counter()
        try:
            found = registry.get(step.analyzer)
            failed = work.failed | outcome.failures.keys()
            features.needs = {need: _known(need, known, failed, variant, work.epoch) for need in found.needs}
            features.finals = {need: work.finals[need] for need in found.needs_final}
            features.reader = found.name
            with one_thread():  # two would mostly wait for each other: processes share checkpoints instead
                returned = found.compute(features, **step.parameters)
            dataset = dataset_of(found, returned, step.attrs, work.epoch)
        except Exception as error:  # any instrument may fail in any way: that must not stop the others
            outcome.failures[step.analyzer] = cause(error)
        else:
            spent = time.perf_counter() - started - (sum(features.seconds.values()) - shared)
            outcome.seconds[step.analyzer] = spent
            outcome.datasets[step.analyzer] = dataset
            known[step.analyzer] = outputs_of(dataset)
        on_step(step.analyzer)
    outcome.features = dict(features.seconds)
    return outcome


def elsewhere(workspace: str, name: str, work: Work) -> Outcome:
    """Do the work in a process that has to open the workspace first, with the instruments that ship."""
    from data import Workspace

    return compute(Workspace(workspace)[name], work, default_registry())


def outputs_of(dataset: xr.Dataset) -> dict[str, NDArray[Any]]:
    """The arrays of a dataset by the names of the outputs."""
    return {str(output): values.values for output, values in dataset.data_vars.items()}


def cause(error: object) -> str:
    """What went wrong, in one line."""
    if isinstance(error, Exception) and not isinstance(error, WorkbenchError):
        return f"{type(error).__name__}: {error}"
    return str(error)


def _known(
    need: str, known: Mapping[str, Outputs], failed: Set[str], variant: Variant, epoch: int
) -> Outputs:
    if need in failed:
        raise WorkbenchError(f"it needs {need}, which failed at this epoch.")
    if need not in known:
        raise MissingArtifact(variant.name, need, epoch)
    return known[need]
