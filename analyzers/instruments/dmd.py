"""Dynamic mode decomposition of the parameters' path."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from analyzers import dynamic_modes, paths, random_paths
from analyzers.instruments.path_geometry import squared
from analyzers.registry import Output, analyzer
from analyzers.run import Run

Array = NDArray[np.float64]

RANK = 3
LEAST = 4  # checkpoints without which there is nothing to hold out
PREDICTORS = ("fit", "held out", "constant velocity", "persistence")
QUANTILES = (0.025, 0.5, 0.975)


@analyzer(
    name="dmd",
    version=1,
    scope="trajectory",
    kind="artifacts",
    title="Dynamic modes of the parameters",
    needs=("parameter_pca",),
    outputs={
        "growth": Output(("group", "mode"), "float64", "Growth rate of the mode", "1 / epoch"),
        "frequency": Output(("group", "mode"), "float64", "Frequency of the mode", "cycles / epoch"),
        "modulus": Output(("group", "mode"), "float64", "Factor of the mode per epoch, |lambda|", "1"),
        "energy": Output(
            ("group", "mode"), "float32", "Share of the squared distance from the fixed point", "1"
        ),
        "error": Output(
            ("group", "predictor", "epoch"),
            "float32",
            "Distance of the predicted from the true point",
            "weight",
        ),
        "skill": Output(("group", "predictor"), "float64", "1 - squared error over that of persistence", "1"),
        "null_growth": Output(("replicate", "mode"), "float32", "Growth rates of random walks", "1 / epoch"),
        "null_frequency": Output(
            ("replicate", "mode"), "float32", "Frequencies of random walks", "cycles / epoch"
        ),
        "null_skill": Output(("predictor", "level"), "float32", "Skill for random walks", "1"),
        "p_value": Output(
            ("group", "predictor"), "float32", "Two-sided p of the skill among random walks", "1"
        ),
    },
    formula="x_{t+1} = exp(G dt) x_t + c(dt), from dx/dt = G x + g; eigenvalues omega of G: |lambda| ="
    " exp(Re omega) per epoch, frequency = Im omega / 2 pi; (G, g) minimise sum ||x_{t+1} - flow(x_t)||^2 /"
    " dt; skill = 1 - sum ||error||^2 / dt over sum ||x_{t+1} - x_t||^2 / dt",
    source="Dynamic mode decomposition: Schmid 2010 (J. Fluid Mech. 656, 5), Tu et al. 2014; a generator for"
    " unequal steps in the spirit of Askham & Kutz 2018 (SIAM J. Appl. Dyn. Syst. 17, 380)",
    protocol="first three principal components of the parameters (fewer for few checkpoints); held out: every"
    " fifth step in turn, predicted by dynamics fitted to the others; null: 60 random walks at the same"
    " checkpoints, treated alike",
    caveats="Random walks have slow, rotating modes too: their components are smooth curves. The components"
    " are found with all checkpoints, so a held-out step is not unseen in every sense. Oscillations faster"
    " than the longest step cannot be told from slower ones.",
    requires=(),
    parameters={"replicates": 60, "seed": 0},
)
def dmd(run: Run, replicates: int, seed: int) -> dict[str, Any]:
    """Linear dynamics of the leading components of the parameters, at the true spacing of the checkpoints.

    Formula: dx/dt = G x + g with x [3] the principal components; the flow over dt epochs is exp of the
    augmented matrix times dt; G and g minimise the sum over steps of ||x_{t+1} - flow(x_t)||^2 / dt.
    Eigenvalues omega of G: growth = Re omega, modulus = exp(growth) per epoch, frequency = Im omega / (2 pi),
    both signs of a pair; energy = share of the mode in sum_t ||x_t - fixed point||^2. error: distance of
    prediction and truth at the end of each step, for the fit to all steps, for fits without the step and
    every fifth from it, for the velocity of the step before, and for no motion (persistence). skill = 1 - sum
    error^2 / dt over that of persistence on the same steps: 1 perfect, 0 no better than no motion.

    Shapes: growth, frequency, modulus, energy [group, mode]; error [group, predictor, epoch], NaN at the
    first checkpoint; skill, p_value [group, predictor]; null_growth, null_frequency [replicate, mode];
    null_skill [predictor, level 0.025, 0.5, 0.975]. Units: epochs, weights. Parameters: replicates and
    seed of the random walks.

    Source: Schmid 2010; Tu et al. 2014; Askham & Kutz 2018.

    Limits: needs four checkpoints; a component count of (checkpoints - 1) // 3 at most, three at most; NaN
    for a group that did not move. One linear system for the whole run is a coarse description of training:
    read the errors over time and the skill beside its null. A negative skill when held out means that it does
    not describe the run.
    """
    data = run.artifact("parameter_pca")
    epochs = data["epoch"].values.astype(np.float64)
    rng = np.random.default_rng(seed)
    rank = min(RANK, max(1, (len(epochs) - 1) // 3))
    null = _null(rng, epochs, int(data["parameters"].max()), replicates, rank)
    found = [_of_group(squared(data, group), epochs, rank) for group in data["group"].values]
    quantiles = [
        np.quantile(values, QUANTILES) if np.isfinite(values).all() else np.full(len(QUANTILES), np.nan)
        for values in null["skill"]
    ]
    return {
        "group": data["group"].values,
        "epoch": data["epoch"].values,
        "predictor": list(PREDICTORS),
        "level": list(QUANTILES),
        "mode": np.arange(1, rank + 1),
        **{name: [one[name] for one in found] for name in found[0]},
        "null_growth": null["eigenvalue"].real,
        "null_frequency": null["eigenvalue"].imag / (2 * np.pi),
        "null_skill": quantiles,
        "p_value": [
            [
                random_paths.p_value(value, values)
                for value, values in zip(one["skill"], null["skill"], strict=True)
            ]
            for one in found
        ],
    }


def _of_group(distances: Array, epochs: Array, rank: int) -> dict[str, Any]:
    known = paths.usable(distances)
    errors = np.full((len(PREDICTORS), len(epochs)), np.nan)
    absent = np.full(rank, np.nan)
    if known.sum() < LEAST or not distances[np.ix_(known, known)].any():
        names = ("growth", "frequency", "modulus", "energy")
        return {**dict.fromkeys(names, absent), "error": errors, "skill": [np.nan] * len(PREDICTORS)}
    points, _ = paths.principal_coordinates(distances[np.ix_(known, known)], rank)
    own = epochs[known]
    dynamics, predicted = _predictions(points, own)
    values = dynamics.eigenvalues()
    ends = np.flatnonzero(known)[1:]
    errors[:, ends] = np.linalg.norm(predicted - points[1:], axis=2)
    return {
        "growth": values.real,
        "frequency": values.imag / (2 * np.pi),
        "modulus": np.exp(values.real),
        "energy": dynamic_modes.energies(dynamics, points),
        "error": errors,
        "skill": [dynamic_modes.skill(one, points, own) for one in predicted],
    }


def _predictions(points: Array, epochs: Array) -> tuple[dynamic_modes.Dynamics, Array]:
    """The dynamics, and the end of each step as every one of `PREDICTORS` has it [predictor, E - 1, r]."""
    dynamics = dynamic_modes.fit(points, epochs)
    predicted = (
        dynamics.predict(points[:-1], np.diff(epochs)),
        dynamic_modes.held_out(points, epochs),
        dynamic_modes.constant_velocity(points, epochs),
        points[:-1],
    )
    return dynamics, np.stack(predicted)


def _null(
    rng: np.random.Generator, epochs: Array, dimension: int, replicates: int, rank: int
) -> dict[str, Array]:
    """eigenvalue [replicate, mode] and skill [predictor, replicate] of random walks."""
    values = np.full((replicates, rank), np.nan, dtype=np.complex128)
    skills = np.full((len(PREDICTORS), replicates), np.nan)
    if len(epochs) >= LEAST:
        walks = random_paths.random_walk(rng, replicates, epochs, dimension)
        for index, points in enumerate(paths.principal_coordinates(walks, rank)[0]):
            dynamics, predicted = _predictions(points, epochs)
            values[index] = dynamics.eigenvalues()
            skills[:, index] = [dynamic_modes.skill(one, points, epochs) for one in predicted]
    return {"eigenvalue": values, "skill": skills}
