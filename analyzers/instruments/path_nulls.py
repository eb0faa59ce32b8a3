"""What random paths at the same checkpoints look like, so that a shape can be judged."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers import paths, random_paths
from analyzers.instruments.path_geometry import LEAST, squared
from analyzers.registry import Output, analyzer
from analyzers.run import Run

Array = NDArray[np.float64]

NULLS = ("random walk", "OU process", "matched steps")
QUANTILES = (0.025, 0.5, 0.975)
RELAXATION = 1 / 6  # of the run: 200 steps of a process that keeps 0.97 per step


@analyzer(
    name="path_nulls",
    version=1,
    scope="trajectory",
    kind="artifacts",
    title="Random paths beside the parameter trajectory",
    needs=("parameter_pca",),
    outputs={
        "observed": Output(("group", "measure"), "float64", "Value of the run", "as the measure"),
        "band": Output(
            ("null", "group", "measure", "level"), "float32", "Values of random paths", "as the measure"
        ),
        "p_value": Output(("null", "group", "measure"), "float32", "Two-sided p of the run's value", "1"),
        **{
            f"{curve}_band": Output(
                ("null", "group", "level", "lag" if curve == "displacement" else "epoch"),
                "float32",
                f"{curve.replace('_', ' ').capitalize()} of random paths",
                {"curvature": "1 / weight", "displacement": "weight^2"}.get(curve, "1"),
            )
            for curve in paths.CURVES
        },
        "dimension": Output(("null", "group"), "int64", "Dimensions of the random paths", "1"),
    },
    formula="p = min(1, 2 min(1 + #{null <= x}, 1 + #{null >= x}) / (1 + n)); random walk: independent"
    " Gaussian increments with variance in proportion to the epochs between checkpoints; OU process:"
    " stationary, relaxation time 1/6 of the run; matched steps: the run's own step lengths in independent"
    " random directions",
    source="Monte-Carlo tests (Davison & Hinkley 1997, Bootstrap Methods, ch. 4); explained variance of"
    " random walks: Antognini & Sohl-Dickstein 2018 (arXiv:1806.08805)",
    protocol="the same functions as for the run, at the same checkpoints; as many dimensions as the group"
    " has parameters (or as many as asked for); walk and OU process scaled to the run's length; 200 paths,"
    " fixed seed",
    caveats="In so many dimensions random paths hardly differ from each other, so that a small p says no"
    " more than that the run is no such process. The tests are many and not independent: no correction is"
    " made. Surrogates with randomised phases are left out: they need equal time steps and a stationary"
    " series, and a run has neither.",
    requires=(),
    parameters={"replicates": 200, "seed": 0, "dimension": 0},
)
def path_nulls(run: Run, replicates: int, seed: int, dimension: int) -> dict[str, Any]:
    """Bands and p-values of every scalar of the path's geometry, and bands of its curves, under three nulls.

    Formula: x of the run against x of n random paths, p = min(1, 2 min(1 + #{x_i <= x}, 1 + #{x_i >= x}) / (1
    + n)). Random walk: increments N(0, epochs between) per dimension. OU process: stationary, x' = k x +
    sqrt(1 - k^2) N(0, 1) with k = exp(-epochs between / (duration / 6)). Matched steps: the run's own step
    lengths, directions independent and uniform. Increments enter by their Gram matrix (Wishart), so that the
    number of dimensions may be that of the parameters. Walk and process are scaled to the length of the run,
    which matters only for curvature and displacement.

    Shapes: observed [group, measure], band [null, group, measure, level], p_value [null, group, measure],
    <curve>_band [null, group, level, epoch or lag], level = 0.025, 0.5, 0.975; measures: shares of the
    first three components, tortuosity, mean cosines of acceleration and of direction to the end, diffusion
    exponent, and per plane crossings, |normalised area|, closure, |winding|. Units: as the measure; p in [2 /
    (1 + n), 1]. Parameters: replicates n, seed, dimension (0: the number of parameters).

    Source: Monte-Carlo tests, Davison & Hinkley 1997.

    Limits: nulls are isotropic and Gaussian; noise in few directions scatters far more (choose a small
    dimension to see it; path_geometry gives the effective dimension of the run's steps). p is per measure,
    without correction for the number of tests. NaN where the run has NaN.
    """
    data = run.artifact("parameter_pca")
    epochs = data["epoch"].values
    total = dimension or int(data["parameters"].max())
    own = [dimension or int(count) for count in data["parameters"].values]
    shared: dict[bytes, dict[str, dict[str, Array]]] = {}
    found = []
    for index, group in enumerate(data["group"].values):
        distances = squared(data, group)
        known = paths.usable(distances)
        path = distances[np.ix_(known, known)]
        if known.sum() < LEAST or not path.any():
            found.append(_absent(len(epochs), len(paths.lags(epochs).lag)))
            continue
        bins = paths.lags(epochs, known)
        if known.tobytes() not in shared:
            rng = np.random.default_rng([seed, 0])
            at = epochs[known].astype(np.float64)
            time = RELAXATION * float(at[-1] - at[0])
            drawn = (
                random_paths.random_walk(rng, replicates, at, total),
                random_paths.ou_process(rng, replicates, at, total, time),
            )
            shared[known.tobytes()] = {
                null: _unit(paths.measures(one, bins), paths.steps(one).sum(axis=-1))
                for null, one in zip(NULLS, drawn, strict=False)
            }
        length = paths.steps(path).sum()
        rng = np.random.default_rng([seed, 1 + index])
        walks = random_paths.matched_walk(rng, replicates, paths.steps(path), own[index])
        nulls = {
            **{null: _scaled(values, length) for null, values in shared[known.tobytes()].items()},
            NULLS[-1]: paths.measures(walks, bins),
        }
        found.append(_compared(paths.measures(path, bins), nulls, known))
    joined = {name: [one[name] for one in found] for name in found[0]}
    return {
        "group": data["group"].values,
        "null": list(NULLS),
        "measure": list(paths.MEASURES),
        "level": list(QUANTILES),
        "epoch": epochs,
        "lag": paths.lags(epochs).lag,
        "dimension": [[total] * len(found), [total] * len(found), own],
        **{
            name: values if name == "observed" else np.swapaxes(np.array(values), 0, 1)
            for name, values in joined.items()
        },
    }


def _unit(values: dict[str, Array], length: Array) -> dict[str, Array]:
    """The measures of paths of those lengths [n], as of paths of length 1."""
    return _scaled(values, 1 / length[:, None])


def _scaled(values: dict[str, Array], factor: Array | float) -> dict[str, Array]:
    """The measures after all distances were multiplied by `factor`."""
    return {
        **values,
        "curvature": values["curvature"] / factor,
        "displacement": values["displacement"] * factor**2,
    }


def _compared(
    observed: dict[str, Array], nulls: dict[str, dict[str, Array]], known: NDArray[np.bool_]
) -> dict[str, Any]:
    """All outputs of one group, the null first."""
    curves = {}
    for curve in paths.CURVES:
        bands = np.array([_quantiles(values[curve]) for values in nulls.values()])
        if curve != "displacement":
            placed = np.full((*bands.shape[:2], len(known)), np.nan)
            placed[..., known] = bands
            bands = placed
        curves[f"{curve}_band"] = bands
    return {
        "observed": [float(observed[name]) for name in paths.MEASURES],
        "band": [[_quantiles(values[name]) for name in paths.MEASURES] for values in nulls.values()],
        "p_value": [
            [random_paths.p_value(float(observed[name]), values[name]) for name in paths.MEASURES]
            for values in nulls.values()
        ],
        **curves,
    }


def _quantiles(values: Array) -> Array:
    """[quantile, ...] over the first axis; NaN wherever a path has NaN."""
    return np.quantile(values, QUANTILES, axis=0)


def _absent(epochs: int, lags: int) -> dict[str, Any]:
    """The outputs of a group without a path."""
    nulls, measures, quantiles = len(NULLS), len(paths.MEASURES), len(QUANTILES)
    return {
        "observed": np.full(measures, np.nan),
        "band": np.full((nulls, measures, quantiles), np.nan),
        "p_value": np.full((nulls, measures), np.nan),
        **{
            f"{curve}_band": np.full((nulls, quantiles, lags if curve == "displacement" else epochs), np.nan)
            for curve in paths.CURVES
        },
    }
