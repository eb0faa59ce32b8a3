"""What a view may read (`Source`) and what it is drawn for (`Scene`)."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol

import numpy as np
import xarray as xr

from data.errors import BadParameter, MissingArtifact
from renderers.selection import Selection
from renderers.theme import LIGHT, Theme

Density = Literal["compact", "full"]
NARROW = 400  # pixels


class Reader(Protocol):
    """Where artifacts come from; `analyzers.service.AnalyzerService` is one."""

    def read(self, variant: Any, name: str, **params: Any) -> xr.Dataset: ...

    def on_demand(self, variant: Any, epoch: int, name: str, **params: Any) -> xr.Dataset: ...

    def token(self, variant: Any, name: str, **params: Any) -> str: ...

    def turn(self, variant: Any) -> dict[str, Any]: ...


@dataclass(frozen=True)
class Source:
    """Reads artifacts of one variant for one view. Everything it returns is shared: do not change it."""

    variant: Any
    selection: Selection
    params: Mapping[str, str]
    reader: Reader

    @property
    def history(self) -> xr.Dataset:
        """Losses and norms over every epoch (no variables if the run recorded none)."""
        history: xr.Dataset = self.variant.history
        return history

    @property
    def p(self) -> int:
        """The modulus."""
        return int(self.variant.params["p"])

    def artifact(self, name: str, **params: Any) -> xr.Dataset:
        """All stored epochs of an analyzer's result; MissingArtifact if there are none."""
        return self.reader.read(self.variant, name, **params)

    def at_epoch(self, name: str, **params: Any) -> xr.Dataset:
        """One analyzer's result at the selected epoch; MissingArtifact names the epoch if it is not there."""
        dataset = self.artifact(name, **params)
        epoch = self.selection.epoch
        if epoch not in dataset["epoch"].values:
            raise MissingArtifact(self.variant.name, name, epoch)
        return dataset.sel(epoch=epoch)

    def if_stored(self, name: str) -> xr.Dataset | None:
        """`at_epoch`, or None where that is missing: for what only adds to a view."""
        try:
            return self.at_epoch(name)
        except MissingArtifact:
            return None

    def on_demand(self, name: str, epoch: int | None = None, **params: Any) -> xr.Dataset:
        """An analyzer's result computed now from one checkpoint, by default that of the selected epoch."""
        at = self.selection.epoch if epoch is None else epoch
        dataset = self.reader.on_demand(self.variant, at, name, **params)
        return dataset.squeeze("epoch") if "epoch" in dataset.dims else dataset

    def select(self, dataset: xr.Dataset, dim: str, value: Hashable) -> xr.Dataset:
        """`dataset` at one coordinate of `dim`; BadParameter says what there is."""
        known = dataset[dim].values
        if value not in known:
            numeric = known.dtype.kind in "iuf" and known.size > 1
            there = f"{known[0]} to {known[-1]}" if numeric else ", ".join(str(item) for item in known)
            raise BadParameter(
                f"{dim} {value!r} does not exist in {self.variant.name}; it has {dim} {there}."
            )
        return dataset.sel({dim: value})


@dataclass(frozen=True)
class Event:
    """Something that happened in the run, known to lie in the interval (low, high] of epochs."""

    name: str
    label: str
    low: float
    high: float


@dataclass(frozen=True)
class Scene:
    """Everything but the data that a drawing depends on. `size`: width and height of the panel in pixels."""

    p: int
    selection: Selection
    theme: Theme = LIGHT
    density: Density = "full"
    size: tuple[int, int] | None = None
    params: Mapping[str, str] = field(default_factory=dict)
    events: tuple[Event, ...] = ()

    @property
    def compact(self) -> bool:
        """Drawn small: because the density asks for it, or the panel is too narrow for anything else."""
        return self.density == "compact" or (self.size is not None and self.size[0] < NARROW)


def events_of(turn: xr.Dataset) -> tuple[Event, ...]:
    """Events of the `turn` artifact that happened, in time order. An open lower end counts as epoch 0."""
    found = []
    for name in turn["event"].values.tolist():
        low, high = (float(turn[bound].sel(event=name)) for bound in ("lower", "upper"))
        if np.isfinite(high):
            found.append(Event(name, name, low if np.isfinite(low) else 0.0, high))
    return tuple(sorted(found, key=lambda event: (event.high, event.low)))
