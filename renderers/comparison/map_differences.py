"""A minus B for heatmaps: axes brought together, then subtracted cell by cell."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import xarray as xr

from analyzers.comparison.alignment import Alignment
from analyzers.comparison.curves import joint_grid, resample
from analyzers.comparison.frequency_matching import carried_frequencies, carried_residues
from data.errors import BadParameter
from renderers.comparison.maps import Map, MapAxis


def subtract(
    first: Sequence[Map],
    second: Sequence[Map],
    alignments: tuple[Alignment, Alignment] | None = None,
    unit: int = 1,
    p: int = 0,
) -> xr.Dataset:
    """a, b and difference = a - b [map, y, x] on the axes that both have.

    Epochs become aligned times: every one at which either map has a column, in the stretch that both cover,
    the other map interpolated. Frequencies and residues of `second` are renamed by `unit` (of `p`) first (see
    analyzers.comparison.frequency_matching). Other axes must agree: BadParameter says what does not.
    """
    if [one.name for one in first] != [one.name for one in second]:
        raise BadParameter(
            f"A shows {len(first)} maps and B {len(second)}: they cannot be subtracted. Choose another view."
        )
    subtracted = [
        _subtracted(one, renamed(other, unit, p), alignments)
        for one, other in zip(first, second, strict=True)
    ]
    x, y = subtracted[0][2:]
    values = {
        "a": np.stack([found[0] for found in subtracted]),
        "b": np.stack([found[1] for found in subtracted]),
    }
    values["difference"] = values["a"] - values["b"]
    return xr.Dataset(
        {name: (("map", "y", "x"), array) for name, array in values.items()},
        coords={"map": [one.name for one in first], "x": x, "y": y},
    )


def renamed(one: Map, unit: int, p: int) -> Map:
    """The map after its run's tokens were renamed by `unit`."""
    if unit == 1:
        return one
    x, columns = _renamed(one.x, unit, p)
    y, rows = _renamed(one.y, unit, p)
    return replace(one, x=x, y=y, z=one.z[np.ix_(rows, columns)])


def _renamed(axis: MapAxis, unit: int, p: int) -> tuple[MapAxis, np.ndarray]:
    """The axis with its new names in order, and which old place each has."""
    values = axis.values
    if axis.counts == "frequency":
        values = carried_frequencies(values, unit, p)
    elif axis.counts == "residue":
        values = carried_residues(values, unit, p)
    order = np.argsort(values, kind="stable")
    return replace(axis, values=values[order]), order


def _subtracted(
    first: Map, second: Map, alignments: tuple[Alignment, Alignment] | None
) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """z of both on common axes, and the values of these."""
    a, b, x = _joined(first.x, second.x, first.z, second.z, alignments)
    a, b, y = _joined(first.y, second.y, a.T, b.T, alignments)
    return a.T, b.T, x, y


def _joined(
    first: MapAxis,
    second: MapAxis,
    a: np.ndarray,
    b: np.ndarray,
    alignments: tuple[Alignment, Alignment] | None,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Both arrays [other axis, this axis] on one version of this axis."""
    if first.counts != second.counts:
        raise BadParameter(f"The axis {first.title!r} counts {first.counts} in A and {second.counts} in B.")
    if first.counts == "epoch" and alignments is not None:
        places = [one.place(axis.values) for one, axis in zip(alignments, (first, second), strict=True)]
        grid = joint_grid(*(own[np.isfinite(own)] for own in places))
        if not len(grid):
            raise BadParameter(
                "The runs do not overlap in aligned time. Choose another alignment, or other variants."
            )
        return _over_time(a, places[0], grid), _over_time(b, places[1], grid), grid
    if not np.array_equal(first.values, second.values):
        raise BadParameter(
            f"The axis {first.title!r} has {len(first.values)} entries in A, {len(second.values)} in B, which"
            " do not agree: nothing can be subtracted. Choose variants of one architecture, or another view."
        )
    return a, b, first.values


def _over_time(z: np.ndarray, places: np.ndarray, grid: np.ndarray) -> np.ndarray:
    known = np.isfinite(places)
    return np.stack([resample(places[known], row[known], grid) for row in z])
