"""What an instrument of scope "trajectory" reads: checkpoints, history and artifacts of one variant."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from data.errors import CorruptFile

if TYPE_CHECKING:
    from data import Variant


class Cancelled(Exception):
    """The person asked to stop."""


class Run:
    """One variant over all of its epochs.

    read(name)       the stored artifact of another instrument
    should_stop()    asked between checkpoints; a true answer raises `Cancelled`
    unreadable       (epoch, cause) of every checkpoint that had to be left out so far
    """

    def __init__(
        self,
        variant: Variant,
        read: Callable[[str], xr.Dataset],
        should_stop: Callable[[], bool] | None = None,
    ) -> None:
        self._variant, self._read, self._should_stop = variant, read, should_stop
        self.family: str = variant.family
        self.params: Mapping[str, Any] = variant.params
        self.epochs: list[int] = variant.epochs
        self.unreadable: list[tuple[int, str]] = []

    @property
    def history(self) -> xr.Dataset:
        """The history that was saved during training, over `epoch`."""
        return self._variant.history

    def artifact(self, analyzer: str) -> xr.Dataset:
        """Another instrument's result for this run. Raises `MissingArtifact` if it is not complete."""
        return self._read(analyzer)

    def checkpoints(self) -> Iterator[tuple[int, dict[str, NDArray[np.float32]]]]:
        """(epoch, weights) of every readable checkpoint, in order; the others are added to `unreadable`."""
        for epoch in self.epochs:
            if self._should_stop is not None and self._should_stop():
                raise Cancelled
            try:
                weights = self._variant.at(epoch).weights
            except CorruptFile as error:
                self.unreadable.append((epoch, str(error)))
                continue
            yield epoch, {name: tensor.numpy() for name, tensor in weights.items()}
