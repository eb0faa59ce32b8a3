"""Saved epochs of several variants as places on an aligned axis, for panels that move together."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from analyzers.comparison.alignment import Landmarks, Refusal, align
from data import Variant, Workspace
from data.errors import BadParameter
from renderers.source import Reader

MOST = 12


class AlignedTimes:
    """Answers for one workspace; a variant's are kept until it or its results change."""

    def __init__(self, workspace: Workspace, reader: Reader) -> None:
        self._workspace, self._reader = workspace, reader
        self._known: dict[tuple[str, str], tuple[str, dict[str, Any]]] = {}

    def of(self, names: Sequence[str], alignment: str) -> dict[str, dict[str, Any]]:
        """Variant -> epochs (saved, ascending) and places (aligned times, None outside the run), or a reason.

        Raises BadParameter for an unknown alignment or too many variants, UnknownVariant.
        """
        if len(names) > MOST:
            raise BadParameter(f"{len(names)} variants were asked for; {MOST} at most move together.")
        return {name: self._one(self._workspace[name], alignment) for name in dict.fromkeys(names)}

    def _one(self, variant: Variant, alignment: str) -> dict[str, Any]:
        token = variant.token() + variant.artifacts.state()
        known = self._known.get((variant.name, alignment))
        if known is None or known[0] != token:
            known = (token, self._placed(variant, alignment))
            self._known[variant.name, alignment] = known
        return known[1]

    def _placed(self, variant: Variant, alignment: str) -> dict[str, Any]:
        saved, recorded = variant.epochs, variant.history["epoch"].values
        ends = [*saved[:1], *saved[-1:], *recorded[:1].tolist(), *recorded[-1:].tolist()]
        if not saved:
            return {"epochs": [], "places": [], "reason": "it has no checkpoints"}
        placed = align(alignment, Landmarks.of(self._reader.turn(variant), min(ends), max(ends)))
        if isinstance(placed, Refusal):
            return {"epochs": saved, "places": [], "reason": placed.reason}
        places = placed.place(np.asarray(saved, dtype=np.float64))
        return {
            "epochs": saved,
            "places": [float(place) if np.isfinite(place) else None for place in places],
            "reason": "",
        }
