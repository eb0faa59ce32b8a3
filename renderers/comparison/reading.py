"""What comparisons read of single runs, remembered: curves, landmarks, and what each view shows."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable, Sequence
from dataclasses import replace
from threading import Lock
from typing import Any, Generic, Literal, TypeVar

import numpy as np

from analyzers.comparison.alignment import Landmarks
from data.errors import MissingArtifact
from renderers.catalog import Figure, View
from renderers.comparison.curves import Curve, curves_of, from_figure, plain_figure
from renderers.comparison.maps import maps_of
from renderers.decimate import decimate_along
from renderers.service import BoundView

Kind = Literal["curves", "maps", "neuron maps", "categories", ""]
KEPT_POINTS = 2000  # of a curve, in epochs and again in their logarithm
_Kept = TypeVar("_Kept")


class RunReader:
    """Remembers the curves (about `limit` bytes) and landmarks of runs. Threads may share it."""

    def __init__(self, limit: int = 96 * 2**20) -> None:
        self._curves: _Recent[tuple[Curve, ...]] = _Recent(limit, _nbytes)
        self._landmarks: _Recent[Landmarks] = _Recent(4096, lambda _: 1)
        self._stored: _Recent[frozenset[str]] = _Recent(4096, lambda _: 1)
        self._kinds: dict[tuple[Hashable, ...], Kind] = {}

    def stored(self, variant: Any) -> frozenset[str]:
        """The analyzers of which the run has results, whatever version made them."""
        key = (str(variant.path), variant.artifacts.state())
        return self._stored.get(
            key, lambda: frozenset(analyzer for _, analyzer, _, _ in variant.artifacts.listing())
        )

    def curves(self, bound: BoundView) -> tuple[Curve, ...]:
        """`curves_of`, each with few enough points to be kept: those that show on an axis of epochs or of
        their logarithm, and those of saved epochs."""
        saved = bound.source.variant.epochs
        return self._curves.get(
            _key(bound), lambda: tuple(_thinned(curve, saved) for curve in curves_of(bound))
        )

    def landmarks(self, variant: Any, reader: Any) -> Landmarks:
        """First and last epoch of a run, and the events of its turn."""
        key = (str(variant.name), variant.token(), reader.token(variant, "turn"))
        return self._landmarks.get(key, lambda: Landmarks.of(reader.turn(variant), *run_ends(variant)))

    def kind(self, bound: BoundView) -> Kind | None:
        """What that view, so set, draws: "curves" over epochs, "maps" that can be subtracted ("neuron maps"
        only if neuron n of both is the same neuron), heatmaps of "categories" that cannot, or something else.

        None while this run lacks what it takes to find out. It is the same for every run.
        """
        key = (bound.view.name, *bound.source.params.items())
        if key not in self._kinds:
            try:
                figure = plain_figure(bound)
            except MissingArtifact:
                return None
            if not figure["data"]:
                return None
            self._kinds[key] = _kind(bound, figure)
        return self._kinds[key]


def run_ends(variant: Any) -> tuple[float, float]:
    """First and last epoch that is recorded or saved; (0, 0) if there is none."""
    recorded = variant.history["epoch"].values
    epochs = [*variant.epochs, *recorded[:1].tolist(), *recorded[-1:].tolist()]
    return float(min(epochs, default=0)), float(max(epochs, default=0))


def may_have_curves(view: View) -> bool:
    """False where the declaration alone tells that a view has no curves over epochs."""
    return not view.component and "epoch" in view.marks and "epoch" not in view.depends


def _kind(bound: BoundView, figure: Figure) -> Kind:
    if bound.view.component:
        return ""
    if may_have_curves(bound.view) and from_figure(figure):
        return "curves"
    maps = maps_of(figure, bound.source.p)
    if maps:
        by_neuron = any("neuron" in (one.x.counts, one.y.counts) for one in maps)
        return "neuron maps" if by_neuron or "neuron" in bound.view.depends else "maps"
    return "categories" if any(trace["type"] == "heatmap" for trace in figure["data"]) else ""


def _key(bound: BoundView) -> tuple[Hashable, ...]:
    """Everything that the curves of a view depend on."""
    view, source = bound.view, bound.source
    fields = (getattr(source.selection, field) for field in view.depends)
    tokens = (source.reader.token(source.variant, name) for name in view.needs)
    return (view.name, *fields, *source.params.items(), source.variant.token(), *tokens)


def _thinned(curve: Curve, saved: Sequence[int]) -> Curve:
    if len(curve.epochs) <= KEPT_POINTS:
        return curve
    kept = np.isin(curve.epochs, saved)
    for x in (curve.epochs, np.log1p(curve.epochs)):
        kept[decimate_along(x, curve.values, KEPT_POINTS)] = True
    return replace(curve, epochs=curve.epochs[kept], values=curve.values[kept])


def _nbytes(curves: Sequence[Curve]) -> int:
    return sum(curve.epochs.nbytes + curve.values.nbytes for curve in curves) + 1


class _Recent(Generic[_Kept]):
    """What was used last, up to a total size of about `limit`."""

    def __init__(self, limit: int, size: Callable[[_Kept], int]) -> None:
        self._limit, self._size, self._lock, self._total = limit, size, Lock(), 0
        self._entries: OrderedDict[tuple[Hashable, ...], _Kept] = OrderedDict()

    def get(self, key: tuple[Hashable, ...], make: Callable[[], _Kept]) -> _Kept:
        """What is kept under `key`, made now if it is not. Two threads may make the same at once."""
        with self._lock:
            if key in self._entries:
                self._entries.move_to_end(key)
                return self._entries[key]
        made = make()
        with self._lock:
            if key not in self._entries:
                self._total += self._size(made)
            self._entries[key] = made
            while len(self._entries) > 1 and self._total > self._limit:
                self._total -= self._size(self._entries.popitem(last=False)[1])
        return made
