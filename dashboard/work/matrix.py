"""What every variant has of every instrument, remembered: looking it up means to read all checkpoints once.

What is known of a variant is kept under everything that it depends on (the variant, its checkpoints, history
and stored results, the versions of the instruments), in memory and in the workspace's cache folder.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import diskcache

from analyzers.planning import PROBE, Stage, stages
from analyzers.registry import Registry, default_registry
from analyzers.staleness import CheckpointHashes
from analyzers.task import capabilities
from data.errors import BadParameter, WorkbenchError
from data.files import digest

if TYPE_CHECKING:
    from data import Variant, Workspace

COMPLETE, PARTIAL, MISSING = "complete", "partial", "missing"
STALE, ABSENT, UNCHECKED = "stale", "absent", "unchecked"
GROUPS = {
    "history": "Run",
    "weights": "Weights",
    "activations": "Activations",
    "attention": "Attention",
    "outputs": "Outputs",
    "artifacts": "Derived",
}
KEPT = 256 * 2**20  # bytes of the cache on disk
FORMAT = 2  # goes up when what is remembered gets another meaning


@dataclass(frozen=True)
class Cell:
    """One analyzer of one variant: `done` of `total` results are current.

    state: complete, partial (some epochs), missing (nothing), stale (what is stored cannot be used), absent
    (does not apply), unchecked (something of the right version is stored). reason: why, in words.
    """

    analyzer: str
    state: str
    done: int = 0
    total: int = 0
    reason: str = ""


class Matrix:
    """The instruments' results of one workspace. Threads may share it."""

    def __init__(self, workspace: Workspace, registry: Registry | None = None) -> None:
        self._workspace = workspace
        self._registry = registry or default_registry()
        self._hashes = CheckpointHashes()
        self._memory: dict[str, tuple[str, tuple[Cell, ...]]] = {}

    def standard(self) -> dict[str, bool]:
        """Every stored analyzer, and whether it is one of the standard set."""
        return {found.name: found.standard for found in self._stored}

    def columns(self) -> list[dict[str, Any]]:
        """What there is to compute, in the order in which it is shown, JSON-ready."""
        return [
            {
                "name": found.name,
                "title": found.title,
                "group": GROUPS[found.kind],
                "standard": found.standard,
                "whole": found.scope == "trajectory",
                "at_most": found.at_most,
                "needs": list(found.needs),
            }
            for found in self._stored
        ]

    def known(self, variant: Variant) -> tuple[Cell, ...] | None:
        """The cells as they were looked up before, None if something has changed since."""
        token = self._token(variant)
        remembered = self._memory.get(variant.name)
        if remembered is not None and remembered[0] == token:
            return remembered[1]
        on_disk = self._disk.get(token)
        if on_disk is None:
            return None
        cells = tuple(Cell(*one) for one in on_disk)
        self._memory[variant.name] = token, cells
        return cells

    def cells(self, variant: Variant) -> tuple[Cell, ...]:
        """The cells as they are, one per column; looked up where they are not known."""
        known = self.known(variant)
        if known is not None:
            return known
        token = self._token(variant)
        cells = self._looked_up(variant)
        self._memory[variant.name] = token, cells
        self._disk.set(token, [tuple(asdict(cell).values()) for cell in cells])
        return cells

    def at_a_glance(self, variant: Variant) -> tuple[Cell, ...]:
        """The cells without opening anything: whether a file of the right version is there."""
        there = {(analyzer, key) for probe, analyzer, key, _ in variant.artifacts.listing() if probe == PROBE}
        any_version = {analyzer for analyzer, _ in there}
        offered = capabilities(variant.family)
        cells = []
        for found in self._stored:
            total = 1 if found.scope == "trajectory" else len(variant.epochs)
            if not offered.issuperset(found.requires):
                cells.append(Cell(found.name, ABSENT, reason=f"does not apply to {variant.family}"))
            elif (found.name, self._keys[found.name]) in there:
                cells.append(Cell(found.name, UNCHECKED, 0, total, "something is stored; not checked yet"))
            elif found.name in any_version:
                reason = "what is stored was made by another version"
                cells.append(Cell(found.name, STALE, 0, total, reason))
            else:
                cells.append(Cell(found.name, MISSING, 0, total, "not computed yet"))
        return tuple(cells)

    def lacking(self, variant: Variant, names: Sequence[str] | None) -> list[Cell]:
        """The cells with something to do, of these analyzers (None: the standard ones) and what they need.

        Raises BadParameter for one that is not known or does not apply.
        """
        cells = {cell.analyzer: cell for cell in self.cells(variant)}
        for name in names or ():
            found = self._registry.get(name)
            if found.name not in cells:
                raise BadParameter(
                    f"{name} is computed whenever it is asked for and is not stored; open its view instead."
                )
            if cells[name].state == ABSENT:
                raise BadParameter(f"{name}: {cells[name].reason}.")
        wanted = names or [name for name, is_standard in self.standard().items() if is_standard]
        ordered = [cells[found.name] for found in self._registry.ordered(wanted) if found.name in cells]
        return [cell for cell in ordered if cell.state not in (COMPLETE, ABSENT)]

    # --- private -----------------------------------------------------------------------------------------

    @cached_property
    def _stored(self) -> list[Any]:
        order = list(GROUPS)
        stored = [found for found in self._registry if found.stored]
        return sorted(stored, key=lambda found: (order.index(found.kind), not found.standard, found.name))

    @cached_property
    def _keys(self) -> dict[str, str]:
        return {found.name: self._registry.key(found.name, PROBE) for found in self._stored}

    @cached_property
    def _versions(self) -> str:
        return digest([FORMAT, sorted(self._keys.items())])[:16]

    @cached_property
    def _disk(self) -> diskcache.Cache:
        return diskcache.Cache(str(self._workspace.path / ".cache" / "results"), size_limit=KEPT)

    def _token(self, variant: Variant) -> str:
        state = variant.artifacts.state()
        return digest([variant.name, variant.identity, variant.token(), state, self._versions])

    def _looked_up(self, variant: Variant) -> tuple[Cell, ...]:
        found = {stage.analyzer.name: stage for stage in self._stages(variant, None)}
        refused: dict[str, str] = {}
        for analyzer in self._stored:
            if analyzer.name in found or analyzer.standard:
                continue
            try:
                found |= {stage.analyzer.name: stage for stage in self._stages(variant, [analyzer.name])}
            except WorkbenchError as error:
                refused[analyzer.name] = str(error)
        return tuple(self._cell(variant, one.name, found.get(one.name), refused) for one in self._stored)

    def _stages(self, variant: Variant, names: Iterable[str] | None) -> list[Stage]:
        return stages(variant, names, PROBE, None, self._registry, self._hashes)

    def _cell(self, variant: Variant, name: str, stage: Stage | None, refused: dict[str, str]) -> Cell:
        if stage is None:
            without = "it has no checkpoints" if not variant.epochs else f"does not apply to {variant.name}"
            return Cell(name, ABSENT, reason=refused.get(name, without))
        whole = stage.analyzer.scope == "trajectory"
        if not whole and not variant.epochs:
            return Cell(name, ABSENT, reason="it has no checkpoints")
        done = stage.usable
        total = 1 if whole else done + len(stage.missing)
        if stage.complete:
            return Cell(name, COMPLETE, done, total)
        if stage.stale:
            return Cell(name, STALE, 0 if whole else done, total, stage.stale)
        return Cell(name, PARTIAL if done else MISSING, done, total, "not computed yet")
