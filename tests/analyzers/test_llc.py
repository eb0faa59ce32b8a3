"""Langevin sampling against closed forms, and the learning coefficient of a tiny model."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm
from tiny_model import random_weights
from torch import Tensor

from analyzers.features import Features
from analyzers.langevin import Chains, inverse_temperature, learning_coefficient, sample
from analyzers.registry import default_registry
from data.errors import BadParameter
from training.families import modular_addition

N_BETA = inverse_temperature(4000)


def run(potential: Any, n: int, *, epsilon: float, gamma: float, chains: int, steps: int) -> Chains:
    return sample(
        potential,
        torch.zeros(n, dtype=torch.float64),
        n_beta=N_BETA,
        epsilon=torch.full((chains,), epsilon, dtype=torch.float64),
        gamma=gamma,
        steps=steps,
        generator=torch.Generator().manual_seed(0),
    )


def quadratic(curvature: Tensor) -> Any:
    def potential(points: Tensor, _: int) -> tuple[Tensor, Tensor]:
        return 0.5 * (curvature * points**2).sum(1), curvature * points

    return potential


def estimate(chains: Chains, burn_in: int) -> tuple[float, float]:
    """Mean over the chains and its standard error."""
    each = learning_coefficient(chains.loss, 0.0, N_BETA, burn_in)
    return float(each.mean()), float(each.std(ddof=1) / math.sqrt(len(each)))


def test_the_inverse_temperature_is_n_over_log_n() -> None:
    assert inverse_temperature(1000) == pytest.approx(144.765, abs=1e-3)


@pytest.mark.parametrize("dimensions", [4, 16])
def test_a_regular_minimum_has_half_of_its_dimensions(dimensions: int) -> None:
    curvature = torch.linspace(1.0, 4.0, dimensions, dtype=torch.float64)
    found = run(quadratic(curvature), dimensions, epsilon=1e-4, gamma=0.0, chains=200, steps=800)
    value, error = estimate(found, burn_in=200)
    assert error < 0.01 * dimensions
    assert value == pytest.approx(dimensions / 2, abs=4 * error + 0.02 * dimensions)


def test_directions_flatter_than_the_localisation_do_not_count() -> None:
    curvature = torch.tensor([4.0, 4.0, 0.01, 0.0, 0.0], dtype=torch.float64)
    gamma = 200.0
    found = run(quadratic(curvature), 5, epsilon=1e-4, gamma=gamma, chains=200, steps=800)
    value, error = estimate(found, burn_in=300)
    scaled = N_BETA * curvature.numpy()
    assert value == pytest.approx(0.5 * (scaled / (scaled + gamma)).sum(), abs=4 * error + 0.01)
    assert value < 1.0


def test_a_singular_minimum_has_less_than_half_of_its_dimensions() -> None:
    """L = x^2 y^2: the truth is a two-dimensional integral."""

    def potential(points: Tensor, _: int) -> tuple[Tensor, Tensor]:
        x, y = points.T
        return x**2 * y**2, torch.stack([2 * x * y**2, 2 * x**2 * y], 1)

    gamma = 10.0
    axis = np.linspace(-2.5, 2.5, 1501)
    loss = np.outer(axis**2, axis**2)
    density = np.exp(-N_BETA * loss - gamma / 2 * (axis[:, None] ** 2 + axis[None] ** 2))
    truth = N_BETA * (density * loss).sum() / density.sum()
    found = run(potential, 2, epsilon=1e-3, gamma=gamma, chains=1000, steps=1200)
    value, error = estimate(found, burn_in=600)
    assert 0.2 < truth < 0.5
    assert value == pytest.approx(truth, abs=4 * error + 0.03)


def test_a_larger_step_size_overestimates() -> None:
    curvature = torch.full((8,), 4.0, dtype=torch.float64)
    values = [
        estimate(run(quadratic(curvature), 8, epsilon=epsilon, gamma=0.0, chains=100, steps=600), 200)[0]
        for epsilon in (1e-4, 1e-3)
    ]
    bias = [1 / (1 - epsilon * N_BETA * 4 / 4) for epsilon in (1e-4, 1e-3)]  # of the discretised process
    assert values == pytest.approx([4 * factor for factor in bias], rel=0.05)


def test_a_maximum_gives_a_negative_value() -> None:
    def potential(points: Tensor, _: int) -> tuple[Tensor, Tensor]:
        return -(points**2).sum(1), -2 * points

    found = run(potential, 4, epsilon=1e-4, gamma=4 * N_BETA, chains=20, steps=200)
    assert estimate(found, burn_in=100)[0] < -0.5


def test_acceptance_is_that_of_metropolis() -> None:
    curvature, gamma, epsilon = torch.tensor([3.0, 50.0], dtype=torch.float64), 5.0, 2e-4
    visited: list[np.ndarray] = []
    base = quadratic(curvature)

    def potential(points: Tensor, number: int) -> tuple[Tensor, Tensor]:
        visited.append(points.numpy().copy())
        return base(points, number)

    found = run(potential, 2, epsilon=epsilon, gamma=gamma, chains=5, steps=6)

    def energy(w: np.ndarray) -> np.ndarray:
        return (N_BETA * curvature.numpy() * w**2 / 2 + gamma * w**2 / 2).sum(axis=1)

    def proposal(to: np.ndarray, start: np.ndarray) -> np.ndarray:
        mean = start - epsilon / 2 * (N_BETA * curvature.numpy() + gamma) * start
        return norm.logpdf(to, mean, math.sqrt(epsilon)).sum(axis=1)

    ratios = []
    for step in (0, 2, 4):
        here, there = visited[step], visited[step + 1]
        log = energy(here) - energy(there) + proposal(here, there) - proposal(there, here)
        ratios.append(np.minimum(1, np.exp(log)))
    np.testing.assert_allclose(found.acceptance, np.mean(ratios, axis=0), rtol=1e-9)
    assert found.acceptance.min() < 0.9999
    np.testing.assert_allclose(
        run(base, 2, epsilon=1e-8, gamma=gamma, chains=3, steps=4).acceptance, 1, atol=1e-4
    )


def test_each_batch_serves_two_steps_and_a_lost_chain_is_known() -> None:
    numbers = []

    def potential(points: Tensor, number: int) -> tuple[Tensor, Tensor]:
        numbers.append(number)
        loss = points.sum(1) * 0
        loss[1] = math.nan if number > 1 else 0.0
        return loss, points * 0

    found = run(potential, 3, epsilon=1e-4, gamma=1.0, chains=2, steps=6)
    assert numbers == [0, 0, 1, 1, 2, 2]
    assert found.finite.tolist() == [True, False]
    assert found.distance[0] == pytest.approx(math.sqrt(3 * 6e-4), rel=1.0)


# --- the instrument --------------------------------------------------------------------------------------


def compute(found: Features, **parameters: Any) -> dict[str, np.ndarray]:
    instrument = default_registry().get("llc")
    result = instrument.compute(found, **instrument.with_defaults(parameters))
    return {key: np.asarray(value) for key, value in result.items()}


def features(weights: dict[str, Tensor], **params: Any) -> Features:
    return Features(weights, modular_addition.NAME, {"p": 11, "seed": 0, "frac_train": 0.4, **params})


def test_the_instrument_says_the_same_every_time() -> None:
    own = features(random_weights(11))
    one, two, other = (compute(own, draws=10, burn_in=4, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one["loss_trace"], two["loss_trace"])
    assert one["llc"] != other["llc"]
    assert one["loss_trace"].shape == (4, 50)
    np.testing.assert_allclose(one["step_size"], [2e-5, 4e-5, 8e-5])
    assert one["llc"] == one["llc_by_step"][1]
    assert one["lost"].tolist() == [0, 0, 0]


def test_a_batch_of_everything_is_all_inputs() -> None:
    own = features(random_weights(11))
    one, two = (compute(own, draws=6, burn_in=2, batch=batch) for batch in (0, 48))
    np.testing.assert_array_equal(one["loss_trace"], two["loss_trace"])
    assert not np.allclose(one["llc"], compute(own, draws=6, burn_in=2, batch=20)["llc"])


def test_a_strong_pull_to_the_checkpoint_leaves_nothing_to_learn() -> None:
    """Localised to a point the loss is linear: its mean is that of the checkpoint."""
    own = features({name: 2 * tensor for name, tensor in random_weights(11).items()})
    found = compute(own, gamma=1e6, epsilon=1e-7, draws=40, burn_in=40, batch=0)
    free = compute(own, gamma=100.0, epsilon=1e-4, draws=40, burn_in=40, batch=0)
    assert abs(found["llc"]) < 0.05 * abs(free["llc"])
    assert abs(free["llc"]) > 1
    assert found["distance"].max() < free["distance"].min()


def test_nothing_is_said_without_a_split_or_numbers() -> None:
    unknown = compute(features(random_weights(11), split="unknown"), draws=4)
    assert np.isnan(unknown["llc"])
    weights = random_weights(11)
    weights["unembed.W_U"][0, 0] = float("nan")
    broken = compute(features(weights), draws=4, burn_in=2)
    assert np.isnan(broken["llc"])
    assert broken["lost"].tolist() == [1, 1, 1]


@pytest.mark.parametrize("wrong", [{"epsilon": 0.0}, {"gamma": -1.0}, {"chains": 0}, {"draws": 1}])
def test_impossible_chains_are_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(BadParameter, match=next(iter(wrong))):
        compute(features(random_weights(11)), **wrong)
