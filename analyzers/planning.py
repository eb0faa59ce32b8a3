"""What has yet to be computed for a variant: every instrument beside what is stored of it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from analyzers import staleness
from analyzers.registry import Analyzer, Registry, default_registry
from analyzers.task import capabilities
from data.errors import BadParameter

if TYPE_CHECKING:
    from data import Variant

PROBE = "grid"
INPUTS = "inputs"

Parameters = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Task:
    """What one analyzer has yet to do. epochs is empty for the scope "trajectory"."""

    analyzer: str
    epochs: tuple[int, ...]
    reason: str


@dataclass(frozen=True)
class ArtifactStatus:
    """Whether an analyzer's artifact is complete, and if something stored cannot be used, why."""

    analyzer: str
    key: str
    complete: bool
    missing_epochs: tuple[int, ...]
    stale_reason: str


@dataclass(frozen=True)
class Stage:
    """One analyzer of a plan, with what is there.

    marks    what a current result of each epoch is marked with; "" while that cannot be known
    missing  epochs without one; usable: how many have one
    fixed    the instruments whose result at the last checkpoint enters into this one's at every epoch
    """

    analyzer: Analyzer
    key: str
    parameters: Mapping[str, Any]
    marks: Mapping[int, str]
    missing: tuple[int, ...]
    complete: bool
    usable: int
    stale: str
    fixed: tuple[str, ...] = ()

    @property
    def blocked(self) -> bool:
        """Nothing can be computed: what it applies to every epoch is missing at the last one."""
        return "" in self.marks.values()


def plan(
    variant: Variant,
    analyzers: Iterable[str] | None = None,
    probe: str = PROBE,
    parameters: Parameters | None = None,
    registry: Registry | None = None,
) -> list[Task]:
    """What is missing, in the order in which it will be done.

    analyzers    names; what they need is added. None: all that are standard, stored, and apply to the family
    parameters   analyzer -> its parameters, where they are not the defaults
    Raises `BadParameter` for an unknown analyzer, one that is never stored, one that does not apply, or one
    of the whole run where checkpoints were removed on purpose: what was found before stands.

    An instrument that applies results of the last checkpoint to every epoch has all epochs to do while those
    results are missing; if they turn out as before, what is stored of it stays.
    """
    found = stages(variant, analyzers, probe, parameters, registry, staleness.CheckpointHashes())
    return [
        Task(stage.analyzer.name, stage.missing, stage.stale or "not computed yet")
        for stage in found
        if not stage.complete
    ]


def status(
    variant: Variant,
    probe: str = PROBE,
    registry: Registry | None = None,
    hashes: staleness.CheckpointHashes | None = None,
) -> list[ArtifactStatus]:
    """The state of every standard stored artifact that applies to the variant, with default parameters."""
    found = stages(variant, None, probe, None, registry, hashes or staleness.CheckpointHashes())
    return [
        ArtifactStatus(stage.analyzer.name, stage.key, stage.complete, stage.missing, stage.stale)
        for stage in found
    ]


def stages(
    variant: Variant,
    names: Iterable[str] | None,
    probe: str,
    parameters: Parameters | None,
    registry: Registry | None,
    hashes: staleness.CheckpointHashes,
) -> list[Stage]:
    """The instruments that `plan` describes, each after what it needs."""
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
    removed = staleness.gone(variant)
    for name in names or ():
        if removed and not _lasts(registry.get(name)):
            raise BadParameter(
                f"{name} looks at the whole run, and {len(removed)} checkpoints of {variant.name} were"
                " removed; what was found on them is kept and stays as it is."
            )
    all_standard = names is None
    if names is None:
        names = [
            found.name
            for found in registry
            if found.stored and found.standard and offered.issuperset(found.requires)
        ]
    ordered = registry.ordered(names)
    if all_standard and not variant.epochs:  # histories only: nothing else can be measured
        ordered = [found for found in ordered if _history_only(found)]
    elif all_standard and removed:  # some came back: each can be measured, the whole run cannot
        ordered = [found for found in ordered if _lasts(found)]
    for found in ordered:
        for need in (*found.needs, *found.needs_final):
            if need in given:
                raise BadParameter(
                    f"{found.name} is defined with the default parameters of {need}; analyse {need} alone to"
                    " change them."
                )
    made: dict[str, Stage] = {}
    for found in ordered:
        settled = found.with_defaults(given.get(found.name, {}))
        key = registry.key(found.name, probe, settled)
        if found.scope == "checkpoint":
            made[found.name] = _per_checkpoint(variant, found, key, settled, probe, registry, hashes)
        else:
            waits = not all(made[need].complete for need in found.needs)
            made[found.name] = _whole_run(variant, found, key, settled, probe, hashes, waits)
    return list(made.values())


def _history_only(found: Analyzer) -> bool:
    return found.kind == "history" and not found.needs


def _lasts(found: Analyzer) -> bool:
    """Whether it can be computed although checkpoints of the run were removed."""
    return found.scope == "checkpoint" or _history_only(found)


def _per_checkpoint(
    variant: Variant,
    found: Analyzer,
    key: str,
    parameters: Mapping[str, Any],
    probe: str,
    registry: Registry,
    hashes: staleness.CheckpointHashes,
) -> Stage:
    dataset = staleness.stored(variant, found, key, probe)
    marks = staleness.expected(variant, found, registry, probe, hashes)
    fixed = registry.fixed_by(found.name)
    usable: set[int] = set()
    if dataset is None:
        stale = staleness.describe(variant, found, key, probe, parameters)
    else:
        usable = set(staleness.current(dataset, marks)["epoch"].values.tolist())
        stale = staleness.changed(dataset, marks, hashes(variant), fixed)
    missing = tuple(epoch for epoch in thinned(list(marks), found.at_most) if epoch not in usable)
    return Stage(found, key, parameters, marks, missing, not missing, len(usable), stale, fixed)


def _whole_run(
    variant: Variant,
    found: Analyzer,
    key: str,
    parameters: Mapping[str, Any],
    probe: str,
    hashes: staleness.CheckpointHashes,
    waits: bool,
) -> Stage:
    """waits: something that it needs is not complete, and may be when its turn comes: then it is made again,
    though what is stored is of the run as it is (the samples ship their summaries, not what these read)."""
    dataset = staleness.stored(variant, found, key, probe)
    stale = ""
    if dataset is None:
        stale = staleness.describe(variant, found, key, probe, parameters)
    elif dataset.attrs.get(INPUTS) != staleness.inputs_of(variant, found, hashes):
        stale = "the run has changed since"
    complete = dataset is not None and not stale and not waits
    return Stage(found, key, parameters, {}, (), complete, int(complete), stale)


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
