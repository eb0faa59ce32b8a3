"""Clock and pizza coordinates: planted logits, finite differences, brute force and symmetries."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from computing import arrays, compute, features, relabelled
from grid_oracle import forward
from test_progress import axes, planted, run, waves
from tiny_model import random_weights

from analyzers.clock_pizza import distance_irrelevance, gradient_cosines, mean_by_distance, wave_fits
from training.fast_path import forward_grid


def pizza(p: int, alpha: dict[int, float], sign: int = 1) -> np.ndarray:
    a, b, _ = axes(p)
    return sum(
        np.abs(np.cos(np.pi * k * (a - sign * b) / p)) * waves(p, {k: size}, sign)
        for k, size in alpha.items()
    )


def cosines(weights: dict[str, torch.Tensor], triples: np.ndarray) -> np.ndarray:
    return gradient_cosines(weights, forward_grid(weights, len(weights["embed.W_E"]) - 1), triples)


def test_gradients_agree_with_finite_differences_of_the_full_model() -> None:
    p, step = 11, 1e-5
    weights = random_weights(p)
    some = np.array([[3, 7, 1], [0, 10, 5], [4, 4, 8]])
    triples = np.concatenate([some, np.zeros((8, 3), int), [[9, 2, 2]]])
    found = cosines({name: tensor.double() for name, tensor in weights.items()}, triples)
    for index in (0, 1, 2, 11):
        (a, b, c), cosine = triples[index], found[index]
        gradients = np.zeros((2, 16))
        for position in range(2):
            for d in range(16):
                ends = []
                for signed in (step, -step):
                    moved = arrays(weights)
                    moved["pos_embed.W_pos"] = moved["pos_embed.W_pos"].copy()
                    moved["pos_embed.W_pos"][position, d] += signed
                    ends.append(forward(moved, p, a, b)["logits"][2, c])
                gradients[position, d] = (ends[0] - ends[1]) / (2 * step)
        first, second = gradients
        expected = first @ second / (np.linalg.norm(first) * np.linalg.norm(second))
        assert cosine == pytest.approx(expected, rel=1e-5)


def test_swapping_the_tokens_swaps_the_gradients() -> None:
    p = 11
    weights = {name: tensor.double() for name, tensor in random_weights(p).items()}
    swapped = {**weights, "pos_embed.W_pos": weights["pos_embed.W_pos"][[1, 0, 2]]}
    triples = np.random.default_rng(0).integers(0, p, (9, 3))
    one, two = cosines(weights, triples), cosines(swapped, triples[:, [1, 0, 2]])
    np.testing.assert_allclose(two, one)


def test_a_model_that_reads_the_sum_alone_is_wholly_symmetric() -> None:
    p = 11
    weights = {name: tensor.double() for name, tensor in random_weights(p).items()}
    weights["blocks.0.attn.W_Q"] = torch.zeros_like(weights["blocks.0.attn.W_Q"])  # equal attention
    triples = np.random.default_rng(0).integers(0, p, (20, 3))
    np.testing.assert_allclose(cosines(weights, triples), 1)


@pytest.mark.parametrize("sign", [1, -1])
def test_irrelevance_is_zero_for_a_function_of_the_distance_and_one_for_noise(sign: int) -> None:
    p = 31
    a, b = np.meshgrid(np.arange(p), np.arange(p), indexing="ij")
    assert distance_irrelevance(np.cos(2 * np.pi * 3 * (a - sign * b) / p), sign) == pytest.approx(
        0, abs=1e-12
    )
    assert distance_irrelevance(np.cos(2 * np.pi * 3 * (a + sign * b) / p), sign) == pytest.approx(1)
    noise = np.random.default_rng(0).normal(size=(p, p))
    assert distance_irrelevance(noise, sign) == pytest.approx(1, abs=0.05)
    assert math.isnan(distance_irrelevance(np.ones((p, p)), sign))


def test_irrelevance_and_the_table_agree_with_loops() -> None:
    p = 7
    rng = np.random.default_rng(0)
    values, logits = rng.normal(size=(p, p)), rng.normal(size=(p, p, p))
    spreads = [np.std([values[i, (i + d) % p] for i in range(p)]) for d in range(p)]
    assert distance_irrelevance(values, 1) == pytest.approx(np.mean(spreads) / values.std())
    for sign in (1, -1):
        table = np.zeros((p, p))
        for a in range(p):
            for b in range(p):
                for c in range(p):
                    table[(a - sign * b) % p, (a + sign * b - c) % p] += logits[a, b, c] / p
        np.testing.assert_allclose(mean_by_distance(logits.reshape(p * p, p), sign), table)


def test_the_fits_are_those_of_least_squares() -> None:
    p = 7
    logits = np.random.default_rng(0).normal(size=(p, p, p))
    fits = wave_fits(mean_by_distance(logits.reshape(p * p, p), 1))
    for fit, kind in zip(fits, (waves, pizza), strict=True):
        for k in range(1, 4):
            shape = kind(p, {k: 1.0})
            alpha = (shape * logits).sum() / (shape**2).sum()
            assert fit[k - 1] == pytest.approx(alpha**2 * (shape**2).mean())
        columns = np.stack([kind(p, {k: 1.0}).ravel() for k in range(1, 4)], axis=1)
        np.testing.assert_allclose(columns.T @ columns, np.diag(np.diag(columns.T @ columns)), atol=1e-9)


@pytest.mark.parametrize(("operation", "sign"), [("add", 1), ("subtract", -1)])
def test_planted_clocks_and_pizzas_are_told_apart(operation: str, sign: int) -> None:
    p = 13
    clock = run("clock_pizza", planted(p, waves(p, {2: 3.0, 5: 2.0}, sign), operation=operation))
    np.testing.assert_allclose(clock["fve_clock"], 1)
    assert clock["fve_pizza"].max() < 0.85
    assert math.isnan(clock["irrelevance"][0])  # the right logit is the same everywhere
    slice_ = run("clock_pizza", planted(p, pizza(p, {2: 3.0, 5: 2.0}, sign), operation=operation))
    np.testing.assert_allclose(slice_["fve_pizza"], 1)
    assert slice_["fve_clock"].max() < 0.85
    assert slice_["irrelevance"][0] == pytest.approx(0, abs=1e-9)


def test_a_clock_explains_eight_over_pi_squared_of_a_pizza() -> None:
    p = 101
    found = wave_fits(mean_by_distance(pizza(p, {7: 1.0}).reshape(p * p, p), 1))
    assert found[0].sum() / found[1].sum() == pytest.approx(8 / math.pi**2, rel=1e-3)


def test_the_best_wrong_class_is_the_largest_other_logit() -> None:
    p = 5
    logits = np.zeros((p, p, p))
    logits[..., 3] = np.random.default_rng(0).normal(5, 1, (p, p))  # the best wrong one unless a + b = 3
    found = run("clock_pizza", planted(p, logits))
    other = logits[..., 3].copy()
    for a in range(p):
        other[a, (3 - a) % p] = 0
    spreads = [np.std([other[i, (i + d) % p] for i in range(p)]) for d in range(p)]
    assert found["irrelevance"][1] == pytest.approx(np.mean(spreads) / other.std())


def test_renaming_tokens_keeps_irrelevance_and_fits() -> None:
    p = 13
    weights = random_weights(p)
    one, two = (compute("clock_pizza", features(found, p)) for found in (weights, relabelled(weights, p, 5)))
    for output in ("irrelevance", "fve_clock", "fve_pizza"):
        np.testing.assert_allclose(two[output], one[output], rtol=1e-6, err_msg=output)


def test_random_logits_are_neither() -> None:
    found = run("clock_pizza", planted(31, np.random.default_rng(0).normal(size=(31, 31, 31))))
    assert max(found["fve_clock"].max(), found["fve_pizza"].max()) < 0.003
    assert found["irrelevance"] == pytest.approx([1, 1], abs=0.06)


def test_weights_that_are_not_numbers_have_no_coordinates() -> None:
    weights = random_weights(11)
    weights["blocks.0.mlp.W_in"][0, 0] = float("nan")
    found = compute("clock_pizza", features(weights, 11))
    for output in ("symmetricity", "irrelevance", "fve_clock", "fve_pizza"):
        assert np.isnan(found[output]).all(), output
