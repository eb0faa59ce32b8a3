"""The selection: the typed state that every view reads and every click writes."""

from __future__ import annotations

from dataclasses import dataclass, fields


@dataclass(frozen=True)
class Selection:
    """What the person is looking at. `frequency` is k, 1-based; every other number starts at 0.

    `pair` is the input [a, b, =] as its row n = a p + b of the grid.
    """

    variant: str
    epoch: int
    neuron: int = 0
    head: int = 0
    frequency: int = 1
    pair: int = 0


FIELDS: tuple[str, ...] = tuple(field.name for field in fields(Selection))
