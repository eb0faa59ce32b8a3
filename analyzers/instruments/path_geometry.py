"""How the path of the parameters bends, closes and crosses itself."""

from __future__ import annotations

from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from analyzers import paths, planar
from analyzers.registry import Output, analyzer
from analyzers.run import Run

Array = NDArray[np.float64]

PER_EPOCH = ("acceleration_cosine", "curvature", "turning_rate", "direction_to_final")
SCALARS = (
    "length",
    "chord",
    "tortuosity",
    "mean_acceleration_cosine",
    "mean_direction_to_final",
    "diffusion_exponent",
    "effective_dimension",
)
LEAST = 3  # checkpoints, without which a path has no shape


@analyzer(
    name="path_geometry",
    version=1,
    scope="trajectory",
    kind="artifacts",
    title="Geometry of the parameter trajectory",
    needs=("parameter_pca",),
    outputs={
        "acceleration_cosine": Output(
            ("group", "epoch"), "float32", "Cosine between the steps before and after a checkpoint", "1"
        ),
        "curvature": Output(("group", "epoch"), "float32", "Menger curvature", "1 / weight"),
        "turning_rate": Output(
            ("group", "epoch"), "float32", "Angle between the two steps, per epoch", "radian / epoch"
        ),
        "direction_to_final": Output(
            ("group", "epoch"),
            "float32",
            "Cosine between the next step and the way to the last checkpoint",
            "1",
        ),
        "length": Output(("group",), "float64", "Length of the path", "weight"),
        "chord": Output(("group",), "float64", "Distance between its ends", "weight"),
        "tortuosity": Output(("group",), "float64", "Length over chord", "1"),
        "mean_acceleration_cosine": Output(("group",), "float64", "Mean acceleration cosine", "1"),
        "mean_direction_to_final": Output(
            ("group",), "float64", "Mean direction to the last checkpoint", "1"
        ),
        "diffusion_exponent": Output(
            ("group",), "float64", "Growth exponent of the mean squared displacement", "1"
        ),
        "effective_dimension": Output(
            ("group",), "float64", "Dimension in which random steps would be as aligned", "1"
        ),
        "displacement": Output(
            ("group", "lag"), "float32", "Mean squared displacement over that many epochs", "weight^2"
        ),
        "crossings": Output(("group", "plane"), "float64", "Number of self-intersections", "1"),
        "area": Output(
            ("group", "plane"), "float64", "Signed area of the path closed by its chord", "weight^2"
        ),
        "normalised_area": Output(
            ("group", "plane"), "float64", "4 pi area over squared perimeter, signed", "1"
        ),
        "closure": Output(
            ("group", "plane"), "float64", "Least distance of last to first third, over the length", "1"
        ),
        "winding": Output(("group", "plane"), "float64", "Turns around the centroid, signed", "turns"),
        "crossing_group": Output(("crossing",), "int16", "Index of the crossing's group", "index"),
        "crossing_plane": Output(("crossing",), "int16", "Index of the crossing's plane", "index"),
        "crossing_epoch": Output(
            ("crossing", "passage"), "float64", "Epoch of both passages, interpolated linearly", "epoch"
        ),
        "crossing_lower": Output(("crossing", "passage"), "int64", "Last checkpoint before it", "epoch"),
        "crossing_upper": Output(("crossing", "passage"), "int64", "First checkpoint after it", "epoch"),
    },
    formula="acceleration cosine = cos(D_t, D_{t+1}), D_t = theta_{t+1} - theta_t; Menger curvature = 4 A /"
    " (a b c); direction to final = cos(D_t, theta_T - theta_t); tortuosity = sum ||D_t|| / ||theta_T -"
    " theta_0||; in a plane of two principal components: crossings of segments that are not neighbours, area"
    " = sum (x_i y_{i+1} - x_{i+1} y_i) / 2 with the chord, normalised area = 4 pi area / perimeter^2,"
    " closure = min ||P_late - P_early|| / length over the last and first third of the length, winding ="
    " turned angle about the centroid / 2 pi",
    source="Definitions of differential geometry for polygons; Menger 1930 (Math. Ann. 103, 466) for"
    " curvature; the choice of thirds, the centroid and the chord is this workbench's",
    protocol="distances of all readable checkpoints in the whole space of the group, float64; the path is the"
    " polygon through them, so events are intervals between checkpoints",
    caveats="Random walks cross themselves in the plane of PC2 and PC3, nearly always once: a crossing is no"
    " evidence by itself; read every value beside path_nulls. Values depend on which checkpoints were saved:"
    " a chord cuts corners, and a crossing between two checkpoints cannot be seen.",
    requires=(),
)
def path_geometry(run: Run) -> dict[str, Any]:
    """Shape of the polygon through a run's checkpoints, per group of parameters.

    Formula: with D_t = theta_{t+1} - theta_t, acceleration_cosine_t = cos(D_{t-1}, D_t); curvature = 4 A
    / (a b c) of the triangle of a checkpoint with its neighbours; turning_rate = arccos(acceleration
    cosine) over the epochs between the middles of both steps; direction_to_final_t = cos(D_t, theta_T -
    theta_t), left out where it must be 1. length = sum ||D_t||, chord = ||theta_T - theta_0||, tortuosity
    = length / chord. displacement(lag) = mean squared distance of pairs of checkpoints that far apart in
    epochs (bins equal on a logarithmic axis); diffusion_exponent = its slope in logarithms up to half of
    the run (1 random walk, 2 straight). effective_dimension = 1 / mean cos^2 over pairs of steps. Per
    plane of principal components 1-2, 1-3, 2-3: crossings, area, normalised_area, closure and winding as
    in the formula; area and winding are positive counter-clockwise, in the arbitrary signs of the
    components. Velocity is in parameter_pca.

    Shapes: [group, epoch], [group], [group, lag], [group, plane]; each self-intersection is an entry of
    `crossing` with its group and plane (indices), both passages' epochs and the checkpoints around them.
    Units: weights, epochs.

    Source: polygons' elementary geometry; Menger 1930.

    Limits: a group with fewer than three readable checkpoints, or that did not move, has NaN; a checkpoint
    that is not finite is left out, and the path goes on past it. Steps over unequal numbers of epochs are
    compared as they are: only turning_rate and lags are in epochs.
    """
    data = run.artifact("parameter_pca")
    epochs = data["epoch"].values
    found = [_of_group(squared(data, group), epochs) for group in data["group"].values]
    listed = [crossing for index, one in enumerate(found) for crossing in _listed(index, one, epochs)]
    columns = np.array(listed, dtype=np.float64).reshape(len(listed), 8).T
    return {
        "group": data["group"].values,
        "plane": list(paths.PLANES),
        "epoch": epochs,
        "lag": paths.lags(epochs).lag,
        "passage": ["first", "second"],
        **{name: [one[name] for one in found] for name in found[0] if name != "crossing"},
        "crossing_group": columns[0],
        "crossing_plane": columns[1],
        "crossing_epoch": columns[2:4].T,
        "crossing_lower": columns[4:6].T,
        "crossing_upper": columns[6:8].T,
    }


def squared(data: xr.Dataset, group: str) -> Array:
    """Squared distances [E, E] of the checkpoints in one group of parameters."""
    distance: Array = data["distance"].sel(group=group).values.astype(np.float64)
    return distance**2


def _of_group(distances: Array, epochs: NDArray[np.int64]) -> dict[str, Any]:
    """All outputs of one group; `crossing` holds (plane, Crossing, indices of the usable checkpoints)."""
    bins = paths.lags(epochs, paths.usable(distances))
    known = np.flatnonzero(paths.usable(distances))
    empty = np.full(len(epochs), np.nan)
    absent = np.full(len(paths.PLANES), np.nan)
    if len(known) < LEAST:
        return {
            **dict.fromkeys(PER_EPOCH, empty),
            **dict.fromkeys(SCALARS, np.nan),
            "displacement": np.full(len(bins.lag), np.nan),
            **dict.fromkeys(("crossings", "area", "normalised_area", "closure", "winding"), absent),
            "crossing": [],
        }
    own, at = distances[np.ix_(known, known)], epochs[known].astype(np.float64)
    curves = {
        "acceleration_cosine": paths.acceleration_cosine(own),
        "curvature": paths.curvature(own),
        "turning_rate": paths.turning_rate(own, at),
        "direction_to_final": paths.direction_to_final(own),
    }
    displacement = paths.mean_squared_displacement(own, bins)
    points, _ = paths.principal_coordinates(own)
    flat = [points[:, axes] for axes in paths.PLANES.values()]
    return {
        **{name: _placed(empty, known, values) for name, values in curves.items()},
        "length": paths.steps(own).sum(),
        "chord": np.sqrt(own[0, -1]),
        "tortuosity": paths.tortuosity(own),
        "mean_acceleration_cosine": paths.nanmean(curves["acceleration_cosine"]),
        "mean_direction_to_final": paths.nanmean(curves["direction_to_final"]),
        "diffusion_exponent": paths.diffusion_exponent(displacement, bins.lag),
        "effective_dimension": paths.effective_dimension(own),
        "displacement": displacement,
        "crossings": [planar.count_crossings(path) for path in flat],
        "area": [planar.area(path) for path in flat],
        "normalised_area": [planar.normalised_area(path) for path in flat],
        "closure": [planar.closure(path) for path in flat],
        "winding": [planar.winding(path) for path in flat],
        "crossing": [
            (plane, crossing, known)
            for plane, path in enumerate(flat)
            if np.isfinite(path).all()
            for crossing in planar.crossings(path)
        ],
    }


def _placed(empty: Array, known: NDArray[np.intp], values: Array) -> Array:
    whole = empty.copy()
    whole[known] = values
    return whole


def _listed(group: int, found: dict[str, Any], epochs: NDArray[np.int64]) -> list[list[float]]:
    """Rows of group, plane, epochs of both passages, checkpoints before, checkpoints after."""
    rows = []
    for plane, crossing, known in found["crossing"]:
        segments = [crossing.first, crossing.second]
        before = [float(epochs[known[segment]]) for segment in segments]
        after = [float(epochs[known[segment + 1]]) for segment in segments]
        passed = [
            low + share * (high - low) for low, high, share in zip(before, after, crossing.along, strict=True)
        ]
        rows.append([group, plane, *passed, *before, *after])
    return rows
