"""Gradients, curvature and flatness against autograd through the three-token transformer, and by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tiny_model import CONFIG, random_weights

from analyzers.features import Features
from analyzers.fourier import basis
from analyzers.gradients import logit_slopes
from analyzers.lanczos import extremes, trace
from analyzers.landscape import Landscape
from analyzers.optimizer import optimizer_at
from analyzers.registry import default_registry
from analyzers.statistics import mean_interval
from analyzers.task import modular_task
from data import Variant, Workspace
from data.errors import BadParameter
from training.families import modular_addition
from training.transformer import Transformer

Weights = dict[str, torch.Tensor]

P, FRACTION = 11, 0.4
PARAMS = {"p": P, "seed": 0, "frac_train": FRACTION}


def compute(name: str, found: Features, **parameters: Any) -> dict[str, np.ndarray]:
    instrument = default_registry().get(name)
    result = instrument.compute(found, **instrument.with_defaults(parameters))
    return {key: np.asarray(value) for key, value in result.items()}


def features(weights: Weights, **params: Any) -> Features:
    return Features(weights, modular_addition.NAME, {**PARAMS, **params})


def double(weights: Weights) -> Weights:
    return {name: tensor.double() for name, tensor in weights.items()}


def reference_loss(weights: Weights, rows: np.ndarray, p: int = P) -> torch.Tensor:
    """Mean cross-entropy by the general three-token model."""
    params = modular_addition.Params(p=p, seed=0, frac_train=FRACTION)
    model = Transformer(modular_addition.transformer_config(params, CONFIG), weights)
    logits = model(torch.from_numpy(modular_addition.tokens(params)[rows]))[:, -1]
    return torch.nn.functional.cross_entropy(logits, torch.from_numpy(modular_addition.labels(params)[rows]))


def train_rows() -> np.ndarray:
    return np.flatnonzero(modular_task(modular_addition.NAME, PARAMS).train)


# --- gradient energy -------------------------------------------------------------------------------------


def test_gradient_energy_agrees_with_autograd_through_the_full_model() -> None:
    weights = double(random_weights(P))
    found = compute("gradient_energy", features(weights))
    rows = {"train": train_rows(), "grid": np.arange(P * P)}
    waves = basis(P)
    gradients = {}
    for index, (name, chosen) in enumerate(rows.items()):
        leaves = {key: tensor.clone().requires_grad_() for key, tensor in weights.items()}
        slopes = torch.autograd.grad(
            reference_loss(leaves, chosen), [leaves["embed.W_E"], leaves["unembed.W_U"]]
        )
        sites = {"W_E": slopes[0][:P].numpy(), "W_U": slopes[1].T.numpy()}
        gradients[name] = sites
        for site, gradient in sites.items():
            column = found["site"].tolist().index(site)
            total = (gradient**2).sum()
            assert found["norm"][index, column] == pytest.approx(math.sqrt(total), rel=1e-10)
            for k in range(1, 6):
                part = ((waves.cos[k - 1] @ gradient) ** 2 + (waves.sin[k - 1] @ gradient) ** 2).sum()
                assert found["energy"][index, column, k - 1] == pytest.approx(part / total, rel=1e-8)
            assert found["energy"][index, column].sum() + found["constant"][index, column] == pytest.approx(1)
    for column, site in enumerate(("W_E", "W_U")):
        one, two = (gradients[name][site].ravel() for name in rows)
        cosine = one @ two / np.linalg.norm(one) / np.linalg.norm(two)
        assert found["cosine"][column] == pytest.approx(cosine, rel=1e-8)
        k3 = [
            np.concatenate([waves.cos[2] @ gradients[name][site], waves.sin[2] @ gradients[name][site]])
            for name in rows
        ]
        cosine = k3[0] @ k3[1] / np.linalg.norm(k3[0]) / np.linalg.norm(k3[1])
        assert found["cosine_by_frequency"][column, 2] == pytest.approx(cosine, rel=1e-8)


def test_gradients_of_neurons_and_of_the_neuron_logit_map_agree_with_autograd() -> None:
    weights = double(random_weights(P))
    own = features(weights)
    found = compute("gradient_energy", own)
    labels, waves = torch.from_numpy(own.task.labels), basis(P)
    grid = own.grid
    neurons = grid.neurons.flatten(0, 1).clone().requires_grad_()
    product = torch.from_numpy(own.neuron_logit_map).clone().requires_grad_()
    logits = grid.resid_mid.flatten(0, 1) @ weights["unembed.W_U"] + neurons @ product
    each = torch.nn.functional.cross_entropy(logits, labels, reduction="none")
    for index, mask in enumerate((own.task.train, np.ones(P * P, bool))):
        loss = each[torch.from_numpy(mask)].mean()
        at_neurons, at_product = torch.autograd.grad(loss, [neurons, product], retain_graph=True)
        assert found["norm"][index, 3] == pytest.approx(float(at_neurons.norm()), rel=1e-9)
        assert found["norm"][index, 2] == pytest.approx(float(at_product.norm()), rel=1e-9)
        values = at_neurons.numpy().reshape(P, P, -1)
        for k in (1, 4):
            rows = [waves.const, waves.cos[k - 1], waves.sin[k - 1]]
            energy = sum(
                (np.einsum("a,b,abm->m", f, g, values) ** 2).sum()
                for i, f in enumerate(rows)
                for j, g in enumerate(rows)
                if (i, j) != (0, 0)
            )
            expected = energy / (values**2).sum()
            assert found["energy"][index, 3, k - 1] == pytest.approx(expected, rel=1e-7)
            part = waves.cos[k - 1] @ at_product.numpy().T, waves.sin[k - 1] @ at_product.numpy().T
            expected = sum((one**2).sum() for one in part) / float(at_product.square().sum())
            assert found["energy"][index, 2, k - 1] == pytest.approx(expected, rel=1e-8)


def test_slopes_do_not_vanish_when_the_loss_is_tiny() -> None:
    logits = torch.zeros(2, 5, dtype=torch.float64)
    logits[0, 2] = 60.0  # 1 - softmax is 0 in float64
    logits[1, 1] = 50.0  # wrong by far
    slopes = logit_slopes(logits, torch.tensor([2, 0]))
    assert float(slopes[0, 2]) == pytest.approx(-4 * math.exp(-60), rel=1e-12)
    assert float(slopes[0, 0]) == pytest.approx(math.exp(-60), rel=1e-12)
    assert float(slopes[1, 0]) == pytest.approx(-1, rel=1e-12)
    np.testing.assert_allclose(slopes.sum(1), 0, atol=1e-15)


def test_renaming_tokens_moves_the_gradient_of_the_grid_from_k_to_u_k() -> None:
    weights, u = double(random_weights(P)), 3
    image = torch.arange(P) * u % P
    renamed = {name: tensor.clone() for name, tensor in weights.items()}
    renamed["embed.W_E"][:P] = weights["embed.W_E"][image]
    renamed["unembed.W_U"] = weights["unembed.W_U"][:, image]
    one, two = (compute("gradient_energy", features(found)) for found in (weights, renamed))
    moved = [min(k * u % P, P - k * u % P) - 1 for k in range(1, 6)]
    np.testing.assert_allclose(two["energy"][1][:, moved], one["energy"][1], rtol=1e-7)


def test_without_a_split_the_train_gradient_is_not_known() -> None:
    found = compute("gradient_energy", features(random_weights(P), split="unknown"))
    assert np.isnan(found["energy"][0]).all()
    assert np.isnan(found["cosine"]).all()
    assert np.isfinite(found["energy"][1]).all()


@pytest.mark.parametrize("name", ["gradient_energy", "flatness", "sharpness"])
def test_weights_that_are_not_numbers_give_nan_and_no_error(name: str) -> None:
    weights = random_weights(P)
    weights["blocks.0.mlp.W_in"][3, 5] = float("nan")
    found = compute(name, features(weights))
    output = {"gradient_energy": "energy", "flatness": "increase", "sharpness": "largest"}[name]
    assert np.isnan(found[output]).all()


# --- the loss at many points -----------------------------------------------------------------------------


def test_losses_and_gradients_agree_with_the_full_model() -> None:
    weights, rows = double(random_weights(P)), train_rows()
    landscape = Landscape(weights, modular_task(modular_addition.NAME, PARAMS))
    other = double(random_weights(P, seed=7))
    points = torch.stack([landscape.flat(weights), landscape.flat(other)])
    losses, slopes = landscape.gradient(points, torch.from_numpy(rows))
    for index, own in enumerate((weights, other)):
        leaves = {name: tensor.clone().requires_grad_() for name, tensor in own.items()}
        loss = reference_loss(leaves, rows)
        found = dict(zip(leaves, torch.autograd.grad(loss, list(leaves.values())), strict=True))
        assert float(losses[index]) == pytest.approx(float(loss), rel=1e-12)
        np.testing.assert_allclose(slopes[index], landscape.flat(found), atol=1e-13)


def test_biases_take_part() -> None:
    from training.fast_path import BIASES, forward_grid

    generator = torch.Generator().manual_seed(3)
    weights = double(random_weights(P))
    shapes = {"b_Q": (2, 8), "b_K": (2, 8), "b_V": (2, 8), "b_O": (16,), "b_in": (24,), "b_out": (16,)}
    for name in BIASES:
        shape = shapes.get(name.rsplit(".", 1)[1], (P,))
        weights[name] = torch.randn(shape, generator=generator, dtype=torch.float64)
    task = modular_task(modular_addition.NAME, PARAMS)
    landscape, rows = Landscape(weights, task), torch.arange(P * P)
    expected = torch.nn.functional.cross_entropy(
        forward_grid(weights, P).logits.flatten(0, 1), torch.from_numpy(task.labels), reduction="none"
    )
    np.testing.assert_allclose(landscape.losses(landscape.centre[None], rows)[0], expected, rtol=1e-10)


def test_directions_have_the_norm_of_every_tensor() -> None:
    landscape = Landscape(double(random_weights(P)), modular_task(modular_addition.NAME, PARAMS))
    direction = landscape.direction(torch.Generator().manual_seed(0))
    for place in landscape.slices().values():
        assert float(direction[place].norm()) == pytest.approx(float(landscape.centre[place].norm()))
    assert not torch.equal(direction, landscape.direction(torch.Generator().manual_seed(1)))


# --- curvature -------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def tiny() -> Landscape:
    """A model with few enough weights for its whole Hessian."""
    config = modular_addition.TrainingConfig(d_model=4, n_heads=1, d_head=3, d_mlp=5)
    weights = modular_addition.init_weights(modular_addition.Params(p=5, seed=2), config)
    return Landscape(double(weights), modular_task(modular_addition.NAME, {"p": 5, "seed": 2}))


def test_lanczos_finds_the_ends_of_the_dense_hessian(tiny: Landscape) -> None:
    rows = torch.arange(25)
    dense = torch.autograd.functional.hessian(
        lambda point: tiny.losses(point[None], rows).mean(), tiny.centre
    )
    values = np.linalg.eigvalsh(dense.numpy())
    product = tiny.hessian_product(rows)
    vector = torch.randn(tiny.n_weights, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    np.testing.assert_allclose(product(vector), dense @ vector, atol=1e-12)
    found = extremes(product, tiny.n_weights, torch.Generator().manual_seed(0), tolerance=1e-10)
    assert found.largest == pytest.approx(values[-1], rel=1e-9)
    assert found.lowest >= values[0] - 1e-12
    rough = extremes(product, tiny.n_weights, torch.Generator().manual_seed(0), tolerance=1e-3)
    assert abs(rough.largest - values[-1]) <= max(rough.largest_error, 1e-12)
    assert rough.products < found.products
    estimates = trace(product, tiny.n_weights, torch.Generator().manual_seed(0), 400)
    _, low, high = mean_interval(estimates, level=0.999)
    assert low < np.trace(dense.numpy()) < high
    assert high - low < 0.5 * abs(np.trace(dense.numpy()))


def test_lanczos_on_a_small_diagonal_matrix_is_exact() -> None:
    diagonal = torch.tensor([-2.0, 0.5, 3.0], dtype=torch.float64)
    found = extremes(lambda v: diagonal * v, 3, torch.Generator().manual_seed(0), tolerance=0.0)
    assert (found.largest, found.lowest) == pytest.approx((3.0, -2.0))
    assert found.products == 3
    nothing = extremes(lambda v: v * math.nan, 3, torch.Generator().manual_seed(0))
    assert math.isnan(nothing.largest)


def stored(folder: Path, moments: bool) -> Variant:
    params = modular_addition.Params(p=P, seed=0, frac_train=FRACTION)
    variant = Workspace(folder, create=True).create_variant(modular_addition.record(params, CONFIG))
    weights = modular_addition.init_weights(params, CONFIG)
    variant.save_checkpoint(50, weights)
    if moments:
        size = sum(tensor.numel() for tensor in weights.values())
        variant.save_optimizer(50, {"exp_avg_sq": torch.full((size,), 4e-6, dtype=torch.float32)})
    return variant


def test_what_adamw_feels_needs_its_second_moments(tmp_path: Path) -> None:
    with_moments, without = stored(tmp_path / "one", True), stored(tmp_path / "two", False)
    found = [
        compute(
            "sharpness",
            Features(v.at(50).weights, v.family, v.params, optimizer=optimizer_at(v, 50)),
        )
        for v in (with_moments, without)
    ]
    assert found[0]["largest"] == found[1]["largest"]
    assert np.isnan(found[1]["preconditioned"])
    scale = math.sqrt(4e-6 / (1 - 0.98**50)) + 1e-8  # equal everywhere: it only divides
    assert found[0]["preconditioned"] == pytest.approx(found[0]["largest"] / scale, rel=2e-3)
    assert found[0]["threshold"] == pytest.approx(38_000)  # (2 + 1.8) / (0.1 * 1e-3)


def test_sharpness_refuses_a_trace_without_an_interval() -> None:
    with pytest.raises(BadParameter, match="probes=1"):
        compute("sharpness", features(random_weights(P)), probes=1)


# --- flatness --------------------------------------------------------------------------------------------


def test_flatness_agrees_with_the_full_model_along_its_own_directions() -> None:
    weights = double(random_weights(P))
    found = compute("flatness", features(weights), directions=3, seed=5)
    landscape = Landscape(weights, modular_task(modular_addition.NAME, PARAMS), torch.float32)
    generator = torch.Generator().manual_seed(5)
    moved = [landscape.centre + 0.2 * landscape.direction(generator) for _ in range(3)]
    rises = []
    for point in moved:
        named = {
            name: point[place].double().reshape(weights[name].shape)
            for name, place in landscape.slices().items()
        }
        rises.append(
            float(reference_loss(named, train_rows())) - float(reference_loss(weights, train_rows()))
        )
    column = found["radius"].tolist().index(0.2)
    assert found["increase"][0, column] == pytest.approx(np.mean(rises), rel=1e-4)
    half = 4.302653 * np.std(rises, ddof=1) / math.sqrt(3)  # Student's t, 2 degrees of freedom
    assert found["increase_high"][0, column] - np.mean(rises) == pytest.approx(half, rel=1e-3)
    assert found["negative"][0, column] == np.mean(np.array(rises) < 0)
    assert found["relative"][0, column] == pytest.approx(found["increase"][0, column] / found["loss"][0])


def test_flatness_is_the_same_every_time_and_depends_on_the_seed() -> None:
    one, two, other = (
        compute("flatness", features(random_weights(P)), directions=2, seed=seed) for seed in (0, 0, 1)
    )
    np.testing.assert_array_equal(one["increase"], two["increase"])
    assert not np.allclose(one["increase"], other["increase"])
    with pytest.raises(BadParameter, match="directions=1"):
        compute("flatness", features(random_weights(P)), directions=1)


def test_a_random_start_is_no_minimum_and_says_so_by_its_sign() -> None:
    found = compute("flatness", features(random_weights(P)), directions=10)
    assert 0 < found["negative"][0, 0] < 1
    assert (found["increase_low"][:, 0] < 0).all()


# --- a shipped run ---------------------------------------------------------------------------------------


def test_the_gradient_of_a_learned_model_lies_at_its_frequencies(tmp_path: Path) -> None:
    workspace = Workspace(tmp_path / "workspace", create=True)
    workspace.add_samples()
    variant = workspace["p113-s999-d598"]

    def energy(epoch: int) -> dict[str, np.ndarray]:
        return compute("gradient_energy", Features(variant.at(epoch).weights, variant.family, variant.params))

    start, end = energy(variant.epochs[0]), energy(variant.epochs[-1])
    keys = [k - 1 for k in (9, 33, 38, 55)]
    (train_start, grid_start), (train_end, grid_end) = (
        found["energy"][:, 0][:, keys].sum(axis=1) for found in (start, end)
    )
    assert train_start < 0.15
    assert grid_start < 0.15  # 8 of 113 rows have 0.07 of a gradient without structure
    assert train_end > 0.9  # it holds the embedding against weight decay
    assert 0.2 < grid_end < 0.4
    assert (end["norm"] > 1e-10).all()  # late gradients keep their digits
    memorised = energy(1000)
    assert memorised["cosine"][0] < -0.3  # training pulls against the other inputs
