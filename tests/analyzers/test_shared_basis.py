"""One basis for several variants: gauges, relabelling, shapes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_model import CONFIG

from analyzers import shared_basis
from data import Variant, Workspace
from data.errors import BadParameter
from training.families import modular_addition

Change = Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "shared", create=True)


def add(workspace: Workspace, seed: int, p: int = 11, change: Change = lambda weights: weights) -> Variant:
    """A variant whose weights drift along one seed's way, whatever its own seed; changed before they are
    saved.
    """
    variant = workspace.create_variant(
        modular_addition.record(modular_addition.Params(p=p, seed=seed, frac_train=0.4), CONFIG)
    )
    generator = torch.Generator().manual_seed(0)
    weights = modular_addition.init_weights(modular_addition.Params(p=p, seed=0, frac_train=0.4), CONFIG)
    for epoch in (0, 10, 50, 200):
        variant.save_checkpoint(epoch, change({name: tensor.clone() for name, tensor in weights.items()}))
        weights = {
            name: tensor + 0.05 * torch.randn(tensor.shape, generator=generator)
            for name, tensor in weights.items()
        }
    return variant


def gauge(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The same function in another gauge: the residual stream rotated, neurons and heads permuted."""
    d_model = weights["unembed.W_U"].shape[0]
    turn, _ = torch.linalg.qr(torch.randn(d_model, d_model, generator=torch.Generator().manual_seed(9)))
    neurons = torch.randperm(
        weights["blocks.0.mlp.W_in"].shape[1], generator=torch.Generator().manual_seed(8)
    )
    heads = torch.randperm(len(weights["blocks.0.attn.W_Q"]), generator=torch.Generator().manual_seed(7))
    changed = {name: weights[name] @ turn for name in ("embed.W_E", "pos_embed.W_pos")}
    for name in ("W_Q", "W_K", "W_V"):
        changed[f"blocks.0.attn.{name}"] = (turn.T @ weights[f"blocks.0.attn.{name}"])[heads]
    changed["blocks.0.attn.W_O"] = (weights["blocks.0.attn.W_O"] @ turn)[heads]
    changed["blocks.0.mlp.W_in"] = (turn.T @ weights["blocks.0.mlp.W_in"])[:, neurons]
    changed["blocks.0.mlp.W_out"] = (weights["blocks.0.mlp.W_out"] @ turn)[neurons]
    changed["unembed.W_U"] = turn.T @ weights["unembed.W_U"]
    assert set(changed) == set(weights)
    return {name: tensor.contiguous() for name, tensor in changed.items()}


def relabel(k: int) -> Change:
    """Tokens and classes renamed so that what was frequency 1 becomes frequency k."""

    def change(weights: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        p = weights["unembed.W_U"].shape[1]
        image = torch.arange(p) * k % p
        weights["embed.W_E"][:p] = weights["embed.W_E"][image]
        weights["unembed.W_U"] = weights["unembed.W_U"][:, image].contiguous()
        return weights

    return change


def apart(found: object) -> float:
    """Largest distance between the same epochs of two variants, over the largest of all distances."""
    distance = found["distance"].values  # type: ignore[index]
    half = len(distance) // 2
    return float(np.diagonal(distance, half).max() / distance.max())


def test_it_agrees_with_a_singular_value_decomposition(workspace: Workspace) -> None:
    variants = [add(workspace, 1), add(workspace, 2, change=gauge)]
    found = shared_basis.fit(variants, group="W_in")
    points = np.array(
        [
            variant.at(epoch).weights["blocks.0.mlp.W_in"].double().numpy().ravel()
            for variant in variants
            for epoch in variant.epochs
        ]
    )
    left, size, _ = np.linalg.svd(points - points.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs(found["projection"])[:, :7], np.abs(left * size)[:, :7], atol=1e-6)
    np.testing.assert_allclose(found["explained_variance_ratio"][:6], (size**2 / (size**2).sum())[:6])
    np.testing.assert_allclose(
        found["distance"], np.linalg.norm(points[:, None] - points[None], axis=2), atol=1e-6
    )
    assert found["variant"].values.tolist() == [v.name for v in variants for _ in range(4)]
    assert found["epoch"].values.tolist() == [0, 10, 50, 200] * 2
    means = points.reshape(2, 4, -1).mean(axis=1) - points.mean(axis=0)
    expected = 4 * (means**2).sum() / ((points - points.mean(axis=0)) ** 2).sum()
    assert float(found["between_share"]) == pytest.approx(expected)


@pytest.mark.parametrize("features", shared_basis.FEATURES)
def test_only_invariant_features_see_through_a_gauge(workspace: Workspace, features: str) -> None:
    """The same run in two gauges: raw weights tell them apart, the invariants do not."""
    found = shared_basis.fit([add(workspace, 1), add(workspace, 2, change=gauge)], features=features)
    if features == "parameters":
        assert apart(found) > 0.9
        assert float(found["between_share"]) > 0.5
        assert found.attrs["gauge"] == "of each variant"
    else:
        assert apart(found) < 1e-4
        assert float(found["between_share"]) < 1e-6
        assert found.attrs["gauge"] == "invariant"


@pytest.mark.parametrize("features", ["gram", "fourier_power"])
def test_relabelling_lays_runs_of_different_frequencies_over_each_other(
    workspace: Workspace, features: str
) -> None:
    plain, renamed = add(workspace, 1), add(workspace, 2, change=relabel(3))
    assert apart(shared_basis.fit([plain, renamed], features=features)) > 0.05
    same = shared_basis.fit([plain, renamed], features=features, relabel={renamed.name: 3})
    assert apart(same) < 1e-4


def test_distances_of_gram_features_are_those_of_the_matrices(workspace: Workspace) -> None:
    variant = add(workspace, 1)
    found = shared_basis.fit([variant], features="gram", epochs={variant.name: [0, 200]})
    grams = []
    for epoch in (0, 200):
        weights = {name: tensor.double().numpy() for name, tensor in variant.at(epoch).weights.items()}
        W_E, W_U = weights["embed.W_E"][:11], weights["unembed.W_U"]
        grams.append(np.stack([W_E @ W_E.T, W_U.T @ W_U]))
    assert float(found["distance"][0, 1]) == pytest.approx(np.linalg.norm(grams[0] - grams[1]))


def test_bad_requests_say_what_there_is(workspace: Workspace) -> None:
    small, large = add(workspace, 1), add(workspace, 2, p=13)
    with pytest.raises(BadParameter, match=r"one p and one model size"):
        shared_basis.fit([small, large])
    with pytest.raises(BadParameter, match="fourier_power"):
        shared_basis.fit([small], features="colour")
    with pytest.raises(BadParameter, match="W_out"):
        shared_basis.fit([small], group="head")
    with pytest.raises(BadParameter, match="at least one checkpoint"):
        shared_basis.fit([])
    with pytest.raises(BadParameter, match="1 to 10"):
        shared_basis.fit([small], features="gram", relabel={small.name: 11})
