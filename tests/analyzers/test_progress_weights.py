"""Sparsity, norms and rank of the weights; neurons without a frequency, and as polynomials."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from computing import arrays, compute, features, moved, relabelled
from grid_oracle import cross_entropy, grid
from test_progress import given_keys, run
from tiny_model import random_weights

from analyzers.features import Features
from analyzers.instruments.gini import gini_coefficient
from analyzers.registry import default_registry

Weights = dict[str, torch.Tensor]


# --- Gini ------------------------------------------------------------------------------------------------


def test_the_gini_coefficient_is_half_the_relative_mean_difference() -> None:
    assert gini_coefficient(np.full(7, 3.0)) == pytest.approx(0)
    assert gini_coefficient(np.array([0, 0, 5.0, 0])) == pytest.approx(3 / 4)
    assert gini_coefficient(np.array([1.0, 3.0])) == pytest.approx(1 / 4)
    values = np.random.default_rng(0).gamma(1.0, size=20)
    differences = sum(abs(x - y) for x in values for y in values)
    assert gini_coefficient(values) == pytest.approx(differences / (2 * 20**2 * values.mean()))
    assert math.isnan(gini_coefficient(np.zeros(3)))
    assert math.isnan(gini_coefficient(np.array([1.0, np.nan])))


def fourier_norms(matrix: np.ndarray) -> tuple[list[float], list[float]]:
    """Norms of a matrix [p, d] per component and per frequency, by sums."""
    p = len(matrix)
    components, frequencies = [math.hypot(*(matrix.sum(axis=0) / math.sqrt(p)))], []
    for k in range(1, (p + 1) // 2):
        pair = []
        for f in (math.cos, math.sin):
            row = [math.sqrt(2 / p) * f(2 * math.pi * k * x / p) for x in range(p)]
            pair.append(math.hypot(*(sum(row[x] * matrix[x] for x in range(p)))))
        components += pair
        frequencies.append(math.hypot(*pair))
    return components, frequencies


def test_gini_agrees_with_sums_per_component_and_per_frequency() -> None:
    p = 11
    weights = random_weights(p)
    w = arrays(weights)
    found = compute("gini", features(weights, p))
    assert found["matrix"].tolist() == ["W_E", "W_L"]
    assert found["per"].tolist() == ["component", "frequency"]
    map_ = w["blocks.0.mlp.W_out"] @ w["unembed.W_U"]
    for row, matrix in enumerate((w["embed.W_E"][:p], map_.T)):
        for column, norms in enumerate(fourier_norms(matrix)):
            ordered, n = sorted(norms), len(norms)
            g = sum((2 * (i + 1) - n - 1) * x for i, x in enumerate(ordered)) / (n * sum(ordered))
            assert found["gini"][row, column] == pytest.approx(g)


def test_random_weights_lie_within_the_null_whose_size_is_known() -> None:
    p, d = 113, 128
    rng = torch.Generator().manual_seed(1)
    weights: Weights = {
        "embed.W_E": torch.randn(p + 1, d, generator=rng),
        "blocks.0.mlp.W_out": torch.randn(512, d, generator=rng),
        "unembed.W_U": torch.randn(d, p, generator=rng),
    }
    found = compute("gini", features(weights, p))
    assert found["null_mean"][0] == pytest.approx([0.035, 0.025], abs=0.001)
    width = found["null_high"] - found["null_low"]
    assert (found["gini"] > found["null_low"] - width).all()
    assert (found["gini"] < found["null_high"] + width).all()
    again = compute("gini", features(weights, p))
    np.testing.assert_array_equal(again["null_mean"], found["null_mean"])


def test_unequal_cosine_and_sine_raise_gini_per_component_only() -> None:
    p = 13
    weights = random_weights(p)
    wave = sum(
        torch.cos(2 * torch.pi * k * torch.arange(p) / p)[:, None] * torch.eye(16)[k] for k in range(1, 7)
    )
    weights["embed.W_E"][:p] = wave
    found = compute("gini", features(weights, p))
    assert found["gini"][0, 1] == pytest.approx(0, abs=1e-6)
    assert found["gini"][0, 0] == pytest.approx(7 / 13, abs=1e-6)


# --- norms and the neuron-logit map ----------------------------------------------------------------------


def test_weight_norms_add_up() -> None:
    weights = random_weights(11)
    found = compute("weight_norms", features(weights, 11))
    names = found["tensor"].tolist()
    assert names == ["W_K", "W_O", "W_Q", "W_V", "W_in", "W_out", "W_E", "W_pos", "W_U"] or len(names) == 9
    for name, tensor in weights.items():
        own = names.index(name.rpartition(".")[2])
        total = sum(float(x) ** 2 for x in tensor.flatten())
        assert found["norm"][own] == pytest.approx(math.sqrt(total))
        assert found["rms"][own] == pytest.approx(math.sqrt(total / tensor.numel()))
    assert found["total"] == pytest.approx(math.sqrt((found["norm"] ** 2).sum()))


def test_tensors_of_one_name_keep_their_prefix() -> None:
    from analyzers.instruments.weight_norms import short_names

    assert short_names(["a.W", "b.W", "c.V"]) == ["a.W", "b.W", "V"]


def test_the_neuron_logit_map_agrees_with_sums_and_its_spectrum() -> None:
    p = 13
    weights = random_weights(p)
    w = arrays(weights)
    map_ = w["blocks.0.mlp.W_out"] @ w["unembed.W_U"]
    found = run("neuron_logit_map", given_keys(features(weights, p), (2, 5)))
    components, _ = fourier_norms(map_.T)
    assert found["const"] == pytest.approx(components[0])
    np.testing.assert_allclose(found["cos"], components[1::2])
    np.testing.assert_allclose(found["sin"], components[2::2])
    size = np.linalg.svd(map_, compute_uv=False) ** 2
    for share, rank in zip(found["share"], found["rank"], strict=True):
        assert size[:rank].sum() >= share * size.sum() > size[: rank - 1].sum()
    rows = [
        [math.sqrt(2 / p) * f(2 * math.pi * k * x / p) for x in range(p)]
        for k in (2, 5)
        for f in (math.cos, math.sin)
    ]
    for matrix, residual in ((map_, 0), (map_ - map_.mean(axis=1, keepdims=True), 1)):
        left = matrix - matrix @ np.array(rows).T @ np.array(rows)
        assert found["residual"][residual] == pytest.approx(np.linalg.norm(left) / np.linalg.norm(matrix))
    assert found["key_directions"] == 4
    np.testing.assert_allclose(found["residual_null"], [math.sqrt(9 / 13), math.sqrt(8 / 12)])


def test_a_map_of_two_frequencies_has_rank_four_and_no_residual() -> None:
    p = 13
    weights = random_weights(p)
    x = torch.arange(p)
    weights["unembed.W_U"] = torch.zeros(16, p)
    for i, k in enumerate((2, 5)):
        weights["unembed.W_U"][2 * i] = torch.cos(2 * torch.pi * k * x / p)
        weights["unembed.W_U"][2 * i + 1] = torch.sin(2 * torch.pi * k * x / p)
    found = run("neuron_logit_map", given_keys(features(weights, p), (2, 5)))
    assert found["rank"][-1] == 4
    assert found["residual"].max() < 1e-6
    wrong = run("neuron_logit_map", given_keys(features(weights, p), (1, 3)))
    assert wrong["residual"].min() == pytest.approx(1)


def test_a_random_map_has_the_residual_of_the_null() -> None:
    p = 31
    rng = torch.Generator().manual_seed(0)
    weights = {**random_weights(p), "unembed.W_U": torch.randn(300, p, generator=rng)}
    weights["blocks.0.mlp.W_out"] = torch.randn(400, 300, generator=rng)
    found = run("neuron_logit_map", given_keys(features(weights, p), (3, 7, 11)))
    np.testing.assert_allclose(found["residual"], found["residual_null"], rtol=0.02)


# --- neurons without a frequency, and as polynomials -----------------------------------------------------


def block(values: np.ndarray, k: int, constant: bool) -> np.ndarray:
    """Projection of a map [p, p] on the 3 x 3 block of frequency k, by sums over the grid."""
    p = len(values)
    rows = {
        "const": np.full(p, 1 / math.sqrt(p)),
        "cos": np.array([math.sqrt(2 / p) * math.cos(2 * math.pi * k * x / p) for x in range(p)]),
        "sin": np.array([math.sqrt(2 / p) * math.sin(2 * math.pi * k * x / p) for x in range(p)]),
    }
    part = np.zeros_like(values)
    for first, f in rows.items():
        for second, g in rows.items():
            if constant or (first, second) != ("const", "const"):
                part += (np.outer(f, g) * values).sum() * np.outer(f, g)
    return part


def losses_with(weights: Weights, p: int, neurons: np.ndarray) -> np.ndarray:
    """Cross-entropy of every input with the neurons replaced, [p, p]."""
    w, before = arrays(weights), grid(arrays(weights), p)
    map_ = w["blocks.0.mlp.W_out"] @ w["unembed.W_U"]
    logits = before["logits"] + (neurons - before["neurons"]) @ map_
    return np.array([[cross_entropy(logits[a, b], (a + b) % p) for b in range(p)] for a in range(p)])


def means(losses: np.ndarray, found: Features) -> list[float]:
    flat = losses.ravel()
    return [flat[found.task.train].mean(), flat[found.task.test].mean(), flat.mean()]


def test_ablation_agrees_with_taking_the_block_out_of_every_neuron() -> None:
    p = 11
    weights = {name: 3 * tensor for name, tensor in random_weights(p).items()}
    neurons = grid(arrays(weights), p)["neurons"]
    found = given_keys(features(weights, p), (2,))
    found.needs["neuron_clusters"] = {"size": np.array([0, 0, 4, 0, 1])}
    result = run("frequency_ablation", found)
    assert np.isfinite(result["loss"]).all(axis=1).tolist() == [False, True, True, False, True]
    for k in (2, 3, 5):
        without = neurons - np.stack([block(neurons[..., m], k, False) for m in range(24)], axis=-1)
        np.testing.assert_allclose(
            result["loss"][k - 1], means(losses_with(weights, p, without), found), rtol=1e-8
        )
        assert result["null_low"][k - 1] <= result["null_mean"][k - 1] <= result["null_high"][k - 1]
        assert result["null_low"][k - 1] < result["null_high"][k - 1]
    np.testing.assert_allclose(
        result["model_loss"], means(losses_with(weights, p, neurons), found), rtol=1e-9
    )
    np.testing.assert_array_equal(run("frequency_ablation", found)["null_mean"], result["null_mean"])


def test_at_most_twelve_frequencies_are_ablated_the_key_ones_first() -> None:
    p = 31
    found = given_keys(features(random_weights(p), p), (1, 15))
    found.needs["neuron_clusters"] = {"size": np.arange(15)[::-1]}
    done = (
        np.flatnonzero(np.isfinite(run("frequency_ablation", found)["model_loss"][0] + found_loss(found))) + 1
    )
    assert done.tolist() == [*range(1, 12), 15]


def found_loss(found: Features) -> np.ndarray:
    return run("frequency_ablation", found)["loss"][:, 2]


def test_removing_a_frequency_that_is_not_there_does_nothing_and_so_does_its_null() -> None:
    p = 13
    weights = random_weights(p)
    weights["embed.W_E"][:p] = 0
    found = given_keys(features(weights, p), (2,))
    found.needs["neuron_clusters"] = {"size": np.zeros(6, int)}
    result = run("frequency_ablation", found)
    np.testing.assert_allclose(result["loss"][1], result["model_loss"], rtol=1e-9)
    np.testing.assert_allclose(
        [result["null_low"][1], result["null_high"][1]], result["null_mean"][1], rtol=1e-9
    )


@pytest.mark.parametrize("cluster", [{0: 2, 5: 2, 9: 4}, {m: 1 + m % 5 for m in range(24)}])
def test_substitution_agrees_with_projecting_each_neuron(cluster: dict[int, int]) -> None:
    p = 11
    weights = {name: 2 * tensor for name, tensor in random_weights(p).items()}
    neurons = grid(arrays(weights), p)["neurons"]
    assigned = np.array([cluster.get(m, 0) for m in range(24)])
    strongest = np.where(assigned, assigned, 1 + np.arange(24) % 5)
    found = features(weights, p)
    found.needs["neuron_clusters"] = {"cluster": assigned}
    found.needs["neuron_frequencies"] = {"dominant_frequency": strongest}
    result = run("polynomial_substitution", found)
    replaced = np.stack(
        [block(neurons[..., m], assigned[m], True) if assigned[m] else neurons[..., m] for m in range(24)],
        axis=-1,
    )
    expected = np.array(means(losses_with(weights, p, replaced), found))
    np.testing.assert_allclose(result["loss"], expected, rtol=1e-8)
    model = np.array(means(losses_with(weights, p, neurons), found))
    np.testing.assert_allclose(result["ratio"], expected / model, rtol=1e-8)
    assert result["substituted"] == len(cluster)
    drawn = np.random.default_rng(0).choice(24, len(cluster), replace=False)
    at_random = neurons.copy()
    for m in drawn:
        at_random[..., m] = block(neurons[..., m], strongest[m], True)
    null = np.array(means(losses_with(weights, p, at_random), found))
    np.testing.assert_allclose(result["null_loss"], null, rtol=1e-8)
    np.testing.assert_allclose(result["null_ratio"], null / model, rtol=1e-8)


def test_without_a_specialised_neuron_nothing_is_substituted() -> None:
    result = compute("polynomial_substitution", features(random_weights(31), 31))
    assert result["substituted"] == 0
    assert np.isnan(result["ratio"]).all()
    assert np.isnan(result["null_loss"]).all()


# --- symmetries and bad values ---------------------------------------------------------------------------


def test_renaming_tokens_moves_frequencies() -> None:
    p, u = 13, 5
    weights = random_weights(p)
    image = [moved(k, p, u) for k in range(1, 7)]
    one, two = (compute("gini", features(found, p)) for found in (weights, relabelled(weights, p, u)))
    np.testing.assert_allclose(two["gini"][:, 1], one["gini"][:, 1], rtol=1e-6)
    before = given_keys(features(weights, p), (1, 4))
    keys = tuple(sorted(image[k - 1] + 1 for k in (1, 4)))
    after = given_keys(features(relabelled(weights, p, u), p), keys)
    for found in (before, after):
        found.needs["neuron_clusters"] = {"size": np.zeros(6, int)}
    one, two = run("frequency_ablation", before), run("frequency_ablation", after)
    np.testing.assert_allclose(two["loss"][image, 2], one["loss"][:, 2], rtol=1e-9)
    one, two = run("neuron_logit_map", before), run("neuron_logit_map", after)
    norms = [np.hypot(found["cos"], found["sin"]) for found in (one, two)]
    np.testing.assert_allclose(norms[1][image], norms[0], rtol=1e-6)
    np.testing.assert_allclose(two["residual"], one["residual"], rtol=1e-6)


@pytest.mark.parametrize(
    "name", ["gini", "weight_norms", "neuron_logit_map", "frequency_ablation", "polynomial_substitution"]
)
def test_permuting_neurons_changes_nothing(name: str) -> None:
    p, order = 11, torch.randperm(24, generator=torch.Generator().manual_seed(3))
    weights = random_weights(p)
    permuted = {**weights, "blocks.0.mlp.W_in": weights["blocks.0.mlp.W_in"][:, order]}
    permuted["blocks.0.mlp.W_out"] = weights["blocks.0.mlp.W_out"][order]
    one, two = (compute(name, features(found, p)) for found in (weights, permuted))
    for output in default_registry().get(name).outputs:
        if not output.startswith("null"):
            np.testing.assert_allclose(two[output], one[output], rtol=1e-7, atol=1e-12, err_msg=output)


@pytest.mark.parametrize(
    "name", ["gini", "weight_norms", "neuron_logit_map", "frequency_ablation", "polynomial_substitution"]
)
def test_weights_that_are_not_numbers_do_not_stop_anything(name: str) -> None:
    weights = random_weights(11)
    weights["blocks.0.mlp.W_out"][3, 5] = float("nan")
    found = compute(name, features(weights, 11))
    undefined: dict[str, Any] = {
        "gini": found.get("gini", np.zeros((2, 1)))[1],
        "weight_norms": found.get("total"),
        "neuron_logit_map": found.get("residual"),
        "frequency_ablation": found.get("loss"),
        "polynomial_substitution": found.get("ratio"),
    }
    assert np.isnan(undefined[name]).all()
    if name == "gini":
        assert np.isfinite(found["gini"][0]).all()
    if name == "neuron_logit_map":
        assert (found["rank"] == 0).all()
