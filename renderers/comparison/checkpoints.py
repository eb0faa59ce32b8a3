"""The checkpoints of a cohort for comparisons of weights: which runs have any, at which epochs, described."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from analyzers.comparison.alignment import LANDMARKS, Alignment, Refusal, align
from analyzers.comparison.gauge import Description
from analyzers.comparison.relabelling import OPERATIONS
from analyzers.instruments.gauge_invariants import described
from analyzers.planning import thinned
from analyzers.task import capabilities
from data.errors import BadParameter, CorruptFile
from renderers.comparison.cohort import Cohort

if TYPE_CHECKING:
    from data import Variant

LABELLED, MODULO = "as labelled", "modulo relabelling"
MOST_PER_RUN, FEWEST_PER_RUN, MOST = 30, 6, 240  # checkpoints that one drawing reads


@dataclass(frozen=True)
class Run:
    """A variant that takes part, with the epochs that are read of it and its place in aligned time."""

    variant: Variant
    epochs: tuple[int, ...]
    alignment: Alignment

    @property
    def name(self) -> str:
        return self.variant.name


@dataclass
class Checkpoints:
    """The runs of a cohort that have checkpoints; `left` collects the others with the reasons.

    The reference is the page's current variant, or the first run if that does not take part.
    """

    cohort: Cohort
    runs: list[Run] = field(default_factory=list)
    left: list[tuple[str, str]] = field(default_factory=list)

    @classmethod
    def of(cls, cohort: Cohort, *, aligned: bool = True) -> Checkpoints:
        """Every run of the cohort that can take part. `aligned`: it needs a place in the aligned time."""
        found = cls(cohort)
        usable = [variant for variant in cohort.variants if found._usable(variant)]
        per_run = max(FEWEST_PER_RUN, min(MOST_PER_RUN, MOST // max(len(usable), 1)))
        for variant in usable:
            placed = align(
                cohort.align if aligned else "epoch", cohort.runs.landmarks(variant, cohort.views.reader)
            )
            if isinstance(placed, Refusal):
                found.left.append((variant.name, placed.reason))
            else:
                found.runs.append(Run(variant, tuple(thinned(variant.epochs, per_run)), placed))
        return found

    def _usable(self, variant: Variant) -> bool:
        if "modular_arithmetic" not in capabilities(variant.family):
            self.left.append((variant.name, f"the family {variant.family} has no tokens mod p"))
        elif not variant.epochs:
            self.left.append((variant.name, "it has no checkpoints, only a history"))
        else:
            return True
        return False

    @property
    def reference(self) -> Run:
        """The run that the others are compared with."""
        current = self.cohort.selection.variant
        return next((run for run in self.runs if run.name == current), self.runs[0])

    def keep(self, wanted: Callable[[Run], str], least: int = 2) -> None:
        """Leave out the runs for which `wanted` gives a reason. BadParameter if fewer than `least` remain."""
        kept = []
        for run in self.runs:
            reason = wanted(run)
            if reason:
                self.left.append((run.name, reason))
            else:
                kept.append(run)
        self.runs = kept
        if len(kept) < least:
            reasons = "; ".join(f"{name}: {why}" for name, why in self.left[:3])
            raise BadParameter(
                f"Only {len(kept)} of the {len(self.cohort.variants)} selected variants can take part; it"
                f" needs {least}. {reasons}. Select others, or choose another measure or alignment."
            )

    def of_one_p(self, modulo_relabelling: bool, least: int = 2) -> None:
        """Keep the runs with the reference's p, and, modulo relabelling, those whose task allows it."""
        self.keep(lambda run: "", least)
        p, name = self.reference.variant.params["p"], self.reference.name

        def wanted(run: Run) -> str:
            own = run.variant.params["p"]
            if own != p:
                return f"its p is {own}, that of {name} {p}"
            operation = run.variant.params.get("operation", "add")
            if modulo_relabelling and operation not in OPERATIONS:
                return f"x -> u x is no symmetry of {operation}"
            return ""

        self.keep(wanted, least)

    def selected_epoch(self, run: Run) -> int:
        """The saved epoch nearest to the selected one in aligned time; the last one if none is selected."""
        reference = self.reference
        if self.cohort.selection.variant != reference.name:
            return run.variant.epochs[-1]
        at = reference.variant.nearest_epoch(self.cohort.selection.epoch)
        place = float(reference.alignment.place([at])[0])
        return run.alignment.nearest(run.variant.epochs, place)

    def describe(self, run: Run, epochs: Sequence[int]) -> tuple[list[int], list[Description]]:
        """The epochs that can be read and are finite, with their descriptions; the others are noted."""
        read: list[int] = []
        found: list[Description] = []
        for epoch in epochs:
            try:
                dataset = self.cohort.views.reader.on_demand(run.variant, epoch, "gauge_invariants")
            except CorruptFile:
                self.left.append((run.name, f"the checkpoint at epoch {epoch:,} is damaged"))
                continue
            one = described(dataset)
            if one.finite:
                read.append(epoch)
                found.append(one)
            else:
                self.left.append((run.name, f"the weights at epoch {epoch:,} are not finite"))
        return read, found


def short_names(names: Sequence[str], longest: int = 22) -> dict[str, str]:
    """Name -> what tells it from the others: the parts that not all have, cut to `longest` letters."""
    parts = {name: name.split("-") for name in names}
    common = set.intersection(*map(set, parts.values())) if len(parts) > 1 else set()
    found = {}
    for name, own in parts.items():
        text = "-".join(part for part in own if part not in common) or name
        found[name] = text if len(text) <= longest else f"{text[: longest - 1]}…"
    return found


def event_epochs(cohort: Cohort, run: Run) -> dict[str, int]:
    """Event of the turn -> the first checkpoint read at or after it, of those that happened."""
    known, epochs = cohort.runs.landmarks(run.variant, cohort.views.reader), np.array(run.epochs)
    at = {event: getattr(known, event) for event in LANDMARKS}
    return {
        event: int(epochs[np.searchsorted(epochs, epoch)])
        for event, epoch in at.items()
        if epoch <= epochs[-1]
    }


def time_tables(runs: Sequence[Run]) -> dict[str, dict[str, list[float]]]:
    """Variant -> a table from its saved epochs to aligned times, for a cursor that follows the page."""
    return {
        run.name: {
            "epoch": [float(epoch) for epoch in run.variant.epochs],
            "x": np.round(run.alignment.place(run.variant.epochs), 9).tolist(),
        }
        for run in runs
    }
