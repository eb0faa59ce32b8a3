"""One row of the summary, and reading what a row is made of."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analyzers.run import Run
from data.errors import MissingArtifact

SECTIONS = ("run", "turn", "signals", "frequencies", "geometry", "structure")
NAN = float("nan")
UNKNOWN = (NAN, NAN)

Array = NDArray[np.float64]
Interval = tuple[float, float]


@dataclass(frozen=True)
class Row:
    """A metric. value in (lower, upper] where it is known as an interval only; NaN where it has none.

    text    what it says in words, where that is more than the number
    reason  why there is no value; "" where there is one
    """

    name: str
    section: str
    value: float
    unit: str
    definition: str
    lower: float = NAN
    upper: float = NAN
    text: str = ""
    reason: str = ""


def interval_row(
    name: str, section: str, interval: Interval, definition: str, text: str = "", reason: str = ""
) -> Row:
    """A row for something that happened in (lower, upper] of epochs; its value is the upper end."""
    lower, upper = interval
    reason = "" if math.isfinite(upper) else reason or "it did not happen"
    return Row(name, section, upper, "epoch", definition, lower, upper, text, reason)


class Reading:
    """Reads what other instruments found about a run; remembers why something could not be read."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self._read: dict[str, xr.Dataset | str] = {}

    def artifact(self, name: str) -> xr.Dataset | None:
        """The result of an instrument, None if it has none for this run."""
        if name not in self._read:
            try:
                self._read[name] = self.run.artifact(name)
            except MissingArtifact as error:
                self._read[name] = str(error).split(" Run `tdw")[0]
        found = self._read[name]
        return found if isinstance(found, xr.Dataset) else None

    def why_not(self, name: str) -> str:
        """Why `artifact(name)` is None."""
        found = self._read.get(name)
        return found if isinstance(found, str) else ""

    def curve(
        self, name: str, extract: Callable[[xr.Dataset], xr.DataArray]
    ) -> tuple[NDArray[np.int64], Array, str]:
        """(epochs, values, reason) of a measure over the checkpoints; empty with a reason if absent."""
        found = self.artifact(name)
        if found is None:
            return np.zeros(0, dtype=np.int64), np.zeros(0), self.why_not(name)
        try:
            values = extract(found)
        except (KeyError, ValueError) as error:
            return np.zeros(0, dtype=np.int64), np.zeros(0), f"{name} has no such value ({error})"
        return found["epoch"].values, values.values.astype(np.float64), ""
