"""Every instrument against brute force, planted cases, symmetries of the task, and random weights."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from grid_oracle import cross_entropy, fraction, grid
from tiny_model import random_weights

from analyzers.cross_entropy import loss_and_margin
from analyzers.features import Features
from analyzers.fourier import basis
from analyzers.instruments.parameter_pca import principal_components
from analyzers.instruments.singular_values import participation_ratio
from analyzers.registry import default_registry
from data.errors import BadParameter, WorkbenchError
from training.families import modular_addition

Weights = dict[str, torch.Tensor]

FAMILY = modular_addition.NAME


def features(weights: Weights, p: int, **params: Any) -> Features:
    return Features(weights, FAMILY, {"p": p, "seed": 0, **params})


def compute(name: str, found: Features, **parameters: Any) -> dict[str, Any]:
    """The instrument's arrays, with what it needs computed first."""
    registry = default_registry()
    for need in registry.ordered(registry.get(name).needs):
        found.needs[need.name] = need.compute(found, **need.with_defaults({}))
    instrument = registry.get(name)
    return {
        key: np.asarray(value)
        for key, value in instrument.compute(found, **instrument.with_defaults(parameters)).items()
    }


def arrays(weights: Weights) -> dict[str, Any]:
    return {name: tensor.double().numpy() for name, tensor in weights.items()}


def relabelled(weights: Weights, p: int, u: int) -> Weights:
    """The same function of u a and u b: tokens and classes are renamed x -> u x."""
    image = torch.arange(p) * u % p
    changed = {name: tensor.clone() for name, tensor in weights.items()}
    changed["embed.W_E"][:p] = weights["embed.W_E"][image]
    changed["unembed.W_U"] = weights["unembed.W_U"][:, image]
    return changed


# --- against the three-token transformer in explicit loops ------------------------------------------------


@pytest.mark.parametrize("p", [11, 13])
def test_everything_on_the_grid_agrees_with_the_full_model(p: int) -> None:
    weights = random_weights(p)
    expected = grid(arrays(weights), p)
    found = features(weights, p, frac_train=0.37, data_seed=5)

    neurons = compute("neuron_frequencies", found)
    for m in (0, 7, 23):
        if expected["neurons"][..., m].std() > 0:
            shares = [fraction(expected["neurons"][..., m], k) for k in range(1, (p + 1) // 2)]
            np.testing.assert_allclose(neurons["fraction"][:, m], shares, rtol=1e-9)
            assert neurons["dominant_frequency"][m] == np.argmax(shares) + 1
            assert neurons["dominant_fraction"][m] == pytest.approx(max(shares))
    np.testing.assert_allclose(neurons["mean"], expected["neurons"].mean((0, 1)))
    np.testing.assert_allclose(neurons["variance"], expected["neurons"].var((0, 1)))
    for m in range(24):
        found_map = compute("neuron_map", found, neuron=m)["activation"]
        np.testing.assert_allclose(found_map, expected["neurons"][..., m], atol=1e-12)

    np.testing.assert_allclose(compute("attention_maps", found)["pattern"], expected["pattern"], rtol=1e-12)
    attention = compute("attention_frequencies", found)
    np.testing.assert_allclose(attention["mean_attention"], expected["pattern"].mean((2, 3)))
    np.testing.assert_allclose(attention["variance"], expected["pattern"].var((2, 3)))
    for head in range(2):
        for source in range(3):
            shares = [fraction(expected["pattern"][head, source], k) for k in range(1, (p + 1) // 2)]
            np.testing.assert_allclose(attention["fraction"][head, source], shares, rtol=1e-8)
            assert attention["dominant_frequency"][head, source] == np.argmax(shares) + 1

    logits = compute("logits_summary", found)
    order = torch.randperm(p * p, generator=torch.Generator().manual_seed(5)).tolist()
    split = {"train": order[: int(0.37 * p * p)], "test": order[int(0.37 * p * p) :], "all": order}
    assert logits["split"].tolist() == list(split)
    for s, rows in enumerate(split.values()):
        losses, margins = [], []
        for row in rows:
            a, b = divmod(row, p)
            cell, label = expected["logits"][a, b], (a + b) % p
            losses.append(cross_entropy(cell, label))
            margins.append(cell[label] - max(value for c, value in enumerate(cell) if c != label))
        assert logits["loss"][s] == pytest.approx(np.mean(losses), rel=1e-12)
        assert logits["accuracy"][s] == np.mean(np.array(margins) > 0)
        assert logits["margin_mean"][s] == pytest.approx(np.mean(margins))
        assert logits["margin_min"][s] == pytest.approx(min(margins))
        np.testing.assert_allclose(logits["margin_quantile"][s], np.quantile(margins, logits["quantile"]))


def test_the_labels_are_those_of_the_recorded_operation() -> None:
    weights, p = random_weights(11), 11
    expected = grid(arrays(weights), p)["logits"]
    found = compute("logits_summary", features(weights, p, operation="multiply"))
    losses = [cross_entropy(expected[a, b], a * b % p) for a in range(p) for b in range(p)]
    assert found["loss"][2] == pytest.approx(np.mean(losses), rel=1e-12)


# --- planted ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "k"), [("cos", 1), ("cos", 4), ("sin", 2), ("sin", 5)])
def test_a_planted_wave_of_the_embeddings_is_found_under_its_name(kind: str, k: int) -> None:
    p = 11
    weights = {name: torch.zeros_like(tensor) for name, tensor in random_weights(p).items()}
    wave = torch.from_numpy(np.array(getattr(basis(p), kind)[k - 1])).float()
    weights["embed.W_E"][:p, 3] = 2 * wave
    weights["embed.W_E"][p] = 100.0  # the row of `=` must not count
    weights["unembed.W_U"][1] = 3 * wave
    found = compute("embedding_fourier", features(weights, p))
    for matrix, size in (("W_E", 2), ("W_U", 3)):
        other = {"cos": "sin", "sin": "cos"}[kind]
        np.testing.assert_allclose(found[f"{matrix}_{kind}"], size * np.eye(5)[k - 1], atol=1e-6)
        np.testing.assert_allclose(found[f"{matrix}_{other}"], 0, atol=1e-6)
        np.testing.assert_allclose(found[f"{matrix}_norm"], size * np.eye(5)[k - 1], atol=1e-6)
        assert found[f"{matrix}_const"] == pytest.approx(0, abs=1e-6)


def test_embedding_norms_agree_with_sums_and_add_up() -> None:
    p = 13
    weights = random_weights(p)
    found = compute("embedding_fourier", features(weights, p))
    for name, matrix in (("W_E", weights["embed.W_E"][:p]), ("W_U", weights["unembed.W_U"].T)):
        values = matrix.double().numpy()
        for k in range(1, 7):
            for kind, wave in (("cos", math.cos), ("sin", math.sin)):
                row = [math.sqrt(2 / p) * wave(2 * math.pi * k * x / p) for x in range(p)]
                sums = [sum(row[x] * values[x, d] for x in range(p)) for d in range(16)]
                assert found[f"{name}_{kind}"][k - 1] == pytest.approx(math.hypot(*sums))
        total = found[f"{name}_const"] ** 2 + (found[f"{name}_norm"] ** 2).sum()
        assert total == pytest.approx((values**2).sum())


def test_clusters_follow_the_threshold() -> None:
    found = features(random_weights(11), 11)
    frequency = np.array([1, 2, 2, 5, 0])
    found.needs["neuron_frequencies"] = {
        "dominant_frequency": frequency,
        "dominant_fraction": np.array([0.9, 0.85, 0.8, 0.99, np.nan]),
    }
    instrument = default_registry().get("neuron_clusters")
    result = {name: np.asarray(value) for name, value in instrument.compute(found, threshold=0.85).items()}
    assert result["cluster"].tolist() == [1, 2, 0, 5, 0]
    assert result["size"].tolist() == [1, 1, 0, 0, 1]
    assert result["unassigned"] == 2
    with pytest.raises(BadParameter, match=r"threshold=1\.5"):
        instrument.compute(found, threshold=1.5)


def test_a_neuron_that_does_not_exist_is_refused() -> None:
    with pytest.raises(BadParameter, match="neurons 0 to 23"):
        compute("neuron_map", features(random_weights(11), 11), neuron=24)


def test_participation_ratios() -> None:
    assert participation_ratio(np.ones(7)) == pytest.approx(7)
    assert participation_ratio(np.array([3.0, 0, 0])) == pytest.approx(1)
    assert participation_ratio(np.array([2.0, 1.0])) == pytest.approx(9 / 5)
    assert participation_ratio(np.full(4, 1e-200)) == pytest.approx(4)
    assert math.isnan(participation_ratio(np.zeros(3)))


def test_singular_values_agree_with_numpy_per_matrix_and_head() -> None:
    weights = random_weights(13)
    found = compute("singular_values", features(weights, 13))
    names = found["matrix"].tolist()
    per_head = [f"{name}.{head}" for name in ("W_Q", "W_K", "W_V", "W_O") for head in range(2)]
    assert names == ["W_E", *per_head, "W_in", "W_out", "W_U"]
    own = {
        "W_E": weights["embed.W_E"][:13],
        "W_K.1": weights["blocks.0.attn.W_K"][1],
        "W_O.0": weights["blocks.0.attn.W_O"][0],
        "W_in": weights["blocks.0.mlp.W_in"],
        "W_out": weights["blocks.0.mlp.W_out"],
        "W_U": weights["unembed.W_U"],
    }
    for name, matrix in own.items():
        expected = np.linalg.svd(matrix.double().numpy(), compute_uv=False)
        row = names.index(name)
        np.testing.assert_allclose(found["singular_value"][row, : len(expected)], expected, atol=1e-12)
        assert np.isnan(found["singular_value"][row, len(expected) :]).all()
        assert found["participation_ratio_sv"][row] == pytest.approx(
            expected.sum() ** 2 / (expected**2).sum()
        )
        assert found["participation_ratio_ev"][row] == pytest.approx(
            (expected**2).sum() ** 2 / (expected**4).sum()
        )


def test_an_embedding_on_a_circle_has_two_dimensions() -> None:
    p = 13
    weights = random_weights(p)
    weights["embed.W_E"][:p] = 0
    weights["embed.W_E"][:p, 0] = torch.from_numpy(basis(p).cos[2].copy()).float()
    weights["embed.W_E"][:p, 1] = torch.from_numpy(basis(p).sin[2].copy()).float()
    found = compute("singular_values", features(weights, p))
    assert found["participation_ratio_sv"][0] == pytest.approx(2, abs=1e-5)
    assert found["participation_ratio_ev"][0] == pytest.approx(2, abs=1e-5)


def test_tiny_losses_keep_their_digits() -> None:
    logits = np.zeros((3, 5))
    logits[0, 2] = 40  # loss 4 exp(-40), far below the resolution of 1 - p
    logits[1, 3] = 800  # the right class is far behind
    logits[2] = 1e6
    loss, margin = loss_and_margin(logits, np.array([2, 0, 1]))
    np.testing.assert_allclose(loss, [4 * math.exp(-40), 800, math.log(5)], rtol=1e-12)
    np.testing.assert_allclose(margin, [40, -800, 0])


# --- symmetries ------------------------------------------------------------------------------------------


def test_permuting_neurons_permutes_their_results_and_nothing_else() -> None:
    p = 11
    weights, order = random_weights(p), torch.randperm(24, generator=torch.Generator().manual_seed(3))
    permuted = {**weights}
    permuted["blocks.0.mlp.W_in"] = weights["blocks.0.mlp.W_in"][:, order]
    permuted["blocks.0.mlp.W_out"] = weights["blocks.0.mlp.W_out"][order]
    before, after = features(weights, p), features(permuted, p)
    one, two = compute("neuron_frequencies", before), compute("neuron_frequencies", after)
    np.testing.assert_allclose(two["fraction"], one["fraction"][:, order.numpy()], atol=1e-10)
    for name in ("logits_summary", "singular_values", "embedding_fourier", "attention_frequencies"):
        one, two = compute(name, before), compute(name, after)
        for output in default_registry().get(name).outputs:
            np.testing.assert_allclose(two[output], one[output], rtol=1e-8, atol=1e-12, err_msg=output)


def test_renaming_tokens_moves_frequency_k_to_u_k() -> None:
    p, u = 13, 5
    weights = random_weights(p)
    before, after = features(weights, p), features(relabelled(weights, p, u), p)
    image = [min(k * u % p, p - k * u % p) - 1 for k in range(1, 7)]
    for name, output in (
        ("neuron_frequencies", "fraction"),
        ("embedding_fourier", "W_E_norm"),
        ("embedding_fourier", "W_U_norm"),
    ):
        np.testing.assert_allclose(
            compute(name, after)[output][image], compute(name, before)[output], rtol=1e-7, atol=1e-12
        )
    one, two = (compute("attention_frequencies", found)["fraction"] for found in (before, after))
    np.testing.assert_allclose(two[..., image], one, rtol=1e-7, atol=1e-12)
    one, two = (compute("logits_summary", found) for found in (before, after))
    assert two["loss"][2] == pytest.approx(one["loss"][2])  # the task is the same on the whole grid


def test_shifting_tokens_rotates_cos_into_sin_but_keeps_the_norm() -> None:
    p = 11
    weights = random_weights(p)
    shifted = {name: tensor.clone() for name, tensor in weights.items()}
    shifted["embed.W_E"][:p] = weights["embed.W_E"][:p].roll(3, dims=0)
    one, two = (compute("embedding_fourier", features(found, p)) for found in (weights, shifted))
    np.testing.assert_allclose(two["W_E_norm"], one["W_E_norm"])
    assert not np.allclose(two["W_E_cos"], one["W_E_cos"])


def test_swapping_a_and_b_swaps_the_sources_only() -> None:
    p = 11
    weights = random_weights(p)
    swapped = {**weights, "pos_embed.W_pos": weights["pos_embed.W_pos"][[1, 0, 2]]}
    before, after = features(weights, p), features(swapped, p)
    one, two = compute("attention_frequencies", before), compute("attention_frequencies", after)
    np.testing.assert_allclose(two["fraction"], one["fraction"][:, [1, 0, 2]], atol=1e-10)
    one, two = compute("neuron_frequencies", before), compute("neuron_frequencies", after)
    np.testing.assert_allclose(two["fraction"], one["fraction"], atol=1e-10)


# --- random weights, and what is not a number ------------------------------------------------------------


def test_random_embeddings_have_equal_norms_at_all_frequencies() -> None:
    p = 31
    generator = torch.Generator().manual_seed(0)
    weights = random_weights(p)
    weights["embed.W_E"] = torch.randn(p + 1, 4000, generator=generator)
    weights["unembed.W_U"] = torch.randn(4000, p, generator=generator)
    found = compute("embedding_fourier", features(weights, p))
    for matrix in ("W_E", "W_U"):
        np.testing.assert_allclose(found[f"{matrix}_cos"], np.sqrt(4000), rtol=0.05)
        np.testing.assert_allclose(found[f"{matrix}_norm"], np.sqrt(8000), rtol=0.04)


def test_random_weights_have_no_clean_neurons_and_chance_loss() -> None:
    p = 31
    found = features(random_weights(p), p)
    assert compute("neuron_clusters", found)["unassigned"] >= 22
    assert compute("logits_summary", found)["loss"][2] == pytest.approx(math.log(p), abs=0.3)


def test_weight_instruments_never_run_the_model() -> None:
    registry = default_registry()
    for instrument in registry:
        if instrument.scope == "checkpoint" and instrument.kind == "weights":
            found = features(random_weights(11), 11)
            found.finals["key_frequencies"] = {"is_key": np.zeros((3, 5))}  # as from another checkpoint
            compute(instrument.name, found)
            assert not {"grid", "pattern", "neurons", "logits"} & set(found.seconds), instrument.name
    found = features(random_weights(11), 11)
    for name in ("attention_frequencies", "attention_maps", "neuron_map"):
        compute(name, found)
    assert "grid" not in found.seconds


def test_nan_in_one_matrix_leaves_what_does_not_depend_on_it() -> None:
    weights = random_weights(11)
    weights["blocks.0.mlp.W_in"][3, 5] = float("nan")
    found = features(weights, 11)
    neurons = compute("neuron_frequencies", found)
    assert np.isnan(neurons["fraction"][:, 5]).all()
    assert neurons["dominant_frequency"][5] == 0
    assert np.isfinite(np.delete(neurons["fraction"], 5, axis=1)).all()
    assert compute("neuron_clusters", found)["cluster"][5] == 0
    assert np.isnan(compute("logits_summary", found)["loss"]).all()
    assert np.isfinite(compute("attention_frequencies", found)["fraction"]).all()
    assert np.isfinite(compute("embedding_fourier", found)["W_E_norm"]).all()
    singular = compute("singular_values", found)
    broken = singular["matrix"] == "W_in"
    assert np.isnan(singular["participation_ratio_ev"][broken]).all()
    assert np.isfinite(singular["participation_ratio_ev"][~broken]).all()


def test_a_need_that_was_not_declared_is_named_with_who_asks() -> None:
    found = features(random_weights(11), 11)
    clusters = default_registry().get("neuron_clusters").compute
    with pytest.raises(WorkbenchError, match="asks for neuron_frequencies without declaring it"):
        clusters(found)
    found.reader = "neuron_clusters"
    with pytest.raises(
        WorkbenchError, match=r"^neuron_clusters asks for .* Add 'neuron_frequencies' to its `needs`"
    ):
        clusters(found)
    found.needs["neuron_frequencies"] = {"other": np.zeros(3)}
    with pytest.raises(WorkbenchError, match=r"^neuron_clusters asks for the output .* which has: other"):
        clusters(found)


def test_a_family_without_arithmetic_is_refused() -> None:
    with pytest.raises(BadParameter, match="'copying'"):
        _ = Features(random_weights(11), "copying", {}).p


# --- the trajectory --------------------------------------------------------------------------------------


class FakeRun:
    """Checkpoints from memory."""

    def __init__(self, checkpoints: list[tuple[int, dict[str, Any]]]) -> None:
        self._checkpoints = checkpoints

    def checkpoints(self) -> Iterator[tuple[int, dict[str, Any]]]:
        yield from self._checkpoints


def pca(checkpoints: list[tuple[int, dict[str, Any]]]) -> dict[str, Any]:
    found = default_registry().get("parameter_pca").compute(FakeRun(checkpoints))
    return {name: np.asarray(value) for name, value in found.items()}


def drifting(count: int, seed: int = 0) -> list[tuple[int, dict[str, Any]]]:
    rng = np.random.default_rng(seed)
    start = {name: tensor.numpy() for name, tensor in random_weights(11).items()}
    epochs = np.cumsum(rng.integers(1, 50, count))
    walk, checkpoints = start, []
    for epoch in epochs:
        walk = {name: (w + 0.1 * rng.standard_normal(w.shape)).astype(np.float32) for name, w in walk.items()}
        checkpoints.append((int(epoch), walk))
    return checkpoints


MEMBERS = {
    "all": lambda name: True,
    "embedding": lambda name: "embed.W_E" in name or "W_pos" in name,
    "attention": lambda name: ".attn." in name,
    "mlp": lambda name: ".mlp." in name,
    "W_U": lambda name: name == "unembed.W_U",
    "W_E": lambda name: name == "embed.W_E",
    "W_pos": lambda name: "W_pos" in name,
    "W_Q": lambda name: "W_Q" in name,
    "W_K": lambda name: "W_K" in name,
    "W_V": lambda name: "W_V" in name,
    "W_O": lambda name: "W_O" in name,
    "W_in": lambda name: "W_in" in name,
    "W_out": lambda name: "W_out" in name,
}


@pytest.mark.parametrize("count", [2, 6, 25])
def test_pca_agrees_with_a_singular_value_decomposition(count: int) -> None:
    checkpoints = drifting(count)
    found = pca(checkpoints)
    assert found["group"].tolist() == list(MEMBERS)
    for g, member in enumerate(MEMBERS.values()):
        points = np.array(
            [
                np.concatenate([w.astype(float).ravel() for name, w in weights.items() if member(name)])
                for _, weights in checkpoints
            ]
        )
        centred = points - points.mean(axis=0)
        left, size, _ = np.linalg.svd(centred, full_matrices=False)
        kept = min(count - 1, 10)
        expected = (left * size)[:, :kept]
        projection = found["projection"][g][:, :kept]
        np.testing.assert_allclose(np.abs(projection), np.abs(expected), rtol=1e-6, atol=1e-7)
        np.testing.assert_allclose(
            found["explained_variance_ratio"][g][:kept], (size**2 / (size**2).sum())[:kept], rtol=1e-6
        )
        assert np.isnan(found["projection"][g][:, kept:]).all()
        largest = np.take_along_axis(projection, np.abs(projection).argmax(axis=0)[None], axis=0)
        assert (largest > 0).all()
        steps = np.linalg.norm(np.diff(points, axis=0), axis=1) / np.diff([epoch for epoch, _ in checkpoints])
        apart = np.linalg.norm(points[:, None] - points, axis=2)
        np.testing.assert_allclose(found["distance"][g], apart, rtol=1e-6, atol=1e-7)
        assert found["parameters"][g] == points.shape[1]
        assert np.isnan(found["velocity"][g][0])
        np.testing.assert_allclose(found["velocity"][g][1:], steps, rtol=1e-9)


def test_a_circle_has_two_equal_components_and_constant_velocity() -> None:
    base = {name: tensor.numpy() for name, tensor in random_weights(11).items()}
    checkpoints = []
    for step in range(16):
        moved = {name: w.copy() for name, w in base.items()}
        moved["unembed.W_U"][0, :2] = np.cos(np.pi * step / 8), np.sin(np.pi * step / 8)
        checkpoints.append((10 * step, moved))
    found = pca(checkpoints)
    group = found["group"].tolist().index("W_U")
    np.testing.assert_allclose(found["explained_variance_ratio"][group][:2], 0.5, atol=1e-5)
    radius = np.linalg.norm(found["projection"][group][:, :2], axis=1)
    np.testing.assert_allclose(radius, 1, atol=1e-5)
    np.testing.assert_allclose(found["velocity"][group][1:], 2 * np.sin(np.pi / 16) / 10, rtol=1e-4)
    still = found["group"].tolist().index("mlp")
    assert np.isnan(found["explained_variance_ratio"][still]).all()
    np.testing.assert_array_equal(found["velocity"][still][1:], 0)


def test_a_checkpoint_that_is_not_finite_is_left_out_of_its_groups() -> None:
    checkpoints = drifting(8)
    epoch, weights = checkpoints[3]
    broken = {**weights, "unembed.W_U": np.full_like(weights["unembed.W_U"], np.nan)}
    found = pca([*checkpoints[:3], (epoch, broken), *checkpoints[4:]])
    without = pca([*checkpoints[:3], *checkpoints[4:]])
    for group in (0, 4):
        assert np.isnan(found["projection"][group][3]).all()
        assert np.isnan(found["velocity"][group][3:5]).all()
        np.testing.assert_allclose(
            np.delete(found["projection"][group], 3, axis=0), without["projection"][group]
        )
    assert np.isfinite(found["projection"][3][:, :7]).all()


def test_few_points_have_few_components() -> None:
    projection, ratio = principal_components(np.array([[4.0]]))
    assert projection.shape == (1, 10)
    assert np.isnan(projection).all()
    assert np.isnan(ratio).all()
