"""The local learning coefficient: how many directions of the weights the training loss holds fixed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from analyzers.features import Features
from analyzers.registry import Output, analyzer
from data.errors import BadParameter

if TYPE_CHECKING:
    import torch

    from analyzers.landscape import Landscape
    from analyzers.langevin import Potential

STEPS = (0.5, 1.0, 2.0)  # step sizes of the plateau check, in units of epsilon
MAIN = STEPS.index(1.0)
TRACE = 50  # points of a stored loss trace

OUTPUTS = {
    "llc": Output((), "float64", "Local learning coefficient", "1"),
    "llc_std": Output((), "float64", "Standard deviation over the chains", "1"),
    "llc_by_step": Output(("step_size",), "float64", "Local learning coefficient at other step sizes", "1"),
    "std_by_step": Output(
        ("step_size",), "float64", "Standard deviation over the chains at that step size", "1"
    ),
    "drift": Output((), "float64", "Second half of the draws less the first half", "1"),
    "acceptance": Output(("step_size",), "float32", "Mean Metropolis acceptance of a step", "1"),
    "distance": Output(("step_size",), "float32", "Distance from the checkpoint at the end", "weight"),
    "lost": Output(("step_size",), "float32", "Share of chains that left the numbers", "1"),
    "loss": Output((), "float64", "Mean loss of the training inputs at the checkpoint", "nat"),
    "loss_trace": Output(("chain", "draw"), "float32", "Loss along the chains, burn-in included", "nat"),
}


@analyzer(
    name="llc",
    version=1,
    scope="checkpoint",
    kind="weights",
    title="Local learning coefficient",
    outputs=OUTPUTS,
    parameters={
        "epsilon": 4e-5,
        "gamma": 1000.0,
        "n_beta": 0.0,
        "chains": 4,
        "draws": 100,
        "burn_in": 100,
        "batch": 512,
        "seed": 0,
    },
    standard=False,
    at_most=50,
    formula="lambda = n beta (E[L_n(w)] - L_n(w*)), n beta = n / ln n, w sampled around the checkpoint w* by"
    " w <- w - (epsilon / 2) (n beta grad L_m(w) + gamma (w - w*)) + N(0, epsilon)",
    source="Lau et al. 2023, arXiv:2308.12108; sampler of Welling and Teh 2011",
    protocol="all weights; L_n mean cross-entropy of the variant's own training inputs, no weight decay; 4"
    " chains from the checkpoint, 100 steps burn-in, 100 draws, random batches of 512 inputs that serve two"
    " steps each; the same with 2 chains at half and at twice the step size",
    caveats="gamma decides what counts: directions with curvature well below gamma / (n beta) add nothing, so"
    " that only values of one gamma can be compared. Trust it where the three step sizes agree (the plateau)"
    " and the drift is small. A negative value says that the checkpoint is no minimum of the training loss."
    " Acceptance falls with the number of weights at equal bias: 0.5 to 0.8 is usual here.",
)
def llc(
    features: Features,
    epsilon: float = 4e-5,
    gamma: float = 1000.0,
    n_beta: float = 0.0,
    chains: int = 4,
    draws: int = 100,
    burn_in: int = 100,
    batch: int = 512,
    seed: int = 0,
) -> dict[str, Any]:
    """Local learning coefficient of the training loss at a checkpoint, by Langevin dynamics (SGLD).

    Formula: lambda = n beta (mean loss over the draws - loss at the checkpoint), per chain; llc is the mean
    and llc_std the standard deviation over the chains. n_beta = 0 stands for n / ln n, n the number of
    training inputs. Batches are shared by the chains; batch = 0, or one not below n, means all inputs.
    llc_by_step repeats it with epsilon times 1/2, 1 and 2. drift is lambda from the second half of the draws
    less that from the first. acceptance is what Metropolis would have accepted of the steps on their batch.

    Shapes: llc, llc_std, drift, loss scalars; the by-step values [3 (step_size)]; loss_trace [chain, 50],
    means over stretches of steps of the chains at the step size itself. Units: lambda has none; half the
    number of weights for a regular minimum without localisation.

    Source: Lau et al. 2023, arXiv:2308.12108.

    Limits: on a quadratic of curvatures h_i it converges to (1/2) sum_i n beta h_i / (n beta h_i + gamma), up
    to a discretisation error of order epsilon. The defaults are chosen for p = 113 and 226,816 weights: a
    plateau from 2e-5 to 8e-5 at the checkpoints of the sample p113-s999-d598, except that twice the step size
    is 15 to 25 % high in the memorised phase. Chains end 15 away from the checkpoint, a third to a half of
    the weights' norm: what is measured is that neighbourhood, not the second derivative at its centre. Chains
    that leave the numbers are left out and counted in lost. NaN without a split or with weights that are not
    finite.
    Raises BadParameter for parameters that cannot be used.
    """
    _check(epsilon=epsilon, gamma=gamma, n_beta=n_beta, chains=chains, draws=draws, burn_in=burn_in)
    import torch

    from analyzers.landscape import Landscape
    from analyzers.langevin import inverse_temperature, learning_coefficient, sample

    task, coordinates = features.task, {"step_size": [epsilon * factor for factor in STEPS]}
    n_train = int(task.train.sum())
    if n_train < 2:
        return _nothing(chains) | coordinates
    landscape = Landscape(features.tensors, task, torch.float32)
    rows = torch.from_numpy(np.flatnonzero(task.train))
    n_beta = n_beta or inverse_temperature(n_train)
    with torch.no_grad():
        loss = float(landscape.losses(landscape.centre[None], rows).mean())
    counts = [chains if index == MAIN else max(chains // 2, 1) for index in range(len(STEPS))]
    found = sample(
        _potential(landscape, rows, batch, seed),
        landscape.centre,
        n_beta=n_beta,
        epsilon=torch.tensor(np.repeat(coordinates["step_size"], counts)),
        gamma=gamma,
        steps=burn_in + draws,
        generator=torch.Generator().manual_seed(seed),
    )
    owner = np.repeat(np.arange(len(STEPS)), counts)
    each = learning_coefficient(found.loss, loss, n_beta, burn_in)
    halves = [learning_coefficient(part, loss, n_beta, 0) for part in np.array_split(found.loss[burn_in:], 2)]
    groups = [found.finite & (owner == index) for index in range(len(STEPS))]
    main = owner == MAIN
    return coordinates | {
        "llc": _mean(each[groups[MAIN]]),
        "llc_std": _std(each[groups[MAIN]]),
        "llc_by_step": [_mean(each[group]) for group in groups],
        "std_by_step": [_std(each[group]) for group in groups],
        "drift": _mean((halves[1] - halves[0])[groups[MAIN]]),
        "acceptance": [_mean(found.acceptance[group]) for group in groups],
        "distance": [_mean(found.distance[group]) for group in groups],
        "lost": [1 - group.sum() / count for group, count in zip(groups, counts, strict=True)],
        "loss": loss,
        "loss_trace": _stretches(found.loss[:, main].T),
    }


def _potential(landscape: Landscape, rows: torch.Tensor, batch: int, seed: int) -> Potential:
    import torch

    def potential(points: torch.Tensor, number: int) -> tuple[torch.Tensor, torch.Tensor]:
        chosen = rows
        if 0 < batch < len(rows):
            generator = torch.Generator().manual_seed(2**32 * (seed + 1) + number)
            chosen = rows[torch.randperm(len(rows), generator=generator)[:batch]]
        return landscape.gradient(points, chosen)

    return potential


def _check(**given: float) -> None:
    least = {"epsilon": 0.0, "gamma": 0.0, "n_beta": 0.0, "chains": 1, "draws": 2, "burn_in": 0}
    for name, value in given.items():
        if not value >= least[name] or (name == "epsilon" and value == 0):
            raise BadParameter(f"{name}={value} is too small for a chain; see the defaults of llc.")


def _nothing(chains: int) -> dict[str, Any]:
    shapes = {"step_size": len(STEPS), "chain": chains, "draw": TRACE}
    return {
        name: np.full(tuple(shapes[dim] for dim in output.dims), np.nan) for name, output in OUTPUTS.items()
    }


def _stretches(values: np.ndarray) -> np.ndarray:
    """Means over `TRACE` stretches of the second axis; NaN for stretches beyond a shorter axis."""
    parts = np.array_split(values, TRACE, axis=1)
    return np.stack(
        [part.mean(axis=1) if part.shape[1] else np.full(len(values), np.nan) for part in parts], axis=1
    )


def _mean(values: np.ndarray) -> float:
    return float(values.mean()) if len(values) else float("nan")


def _std(values: np.ndarray) -> float:
    return float(values.std(ddof=1)) if len(values) > 1 else float("nan")
