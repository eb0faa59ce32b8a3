"""Class centroids against explicit loops, planted rings, symmetries, dealt labels and the shipped runs."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from computing import arrays, compute, features, moved, relabelled
from grid_oracle import grid
from tiny_model import random_weights

from analyzers.fourier import basis
from analyzers.instruments.representations import centroids
from analyzers.service import AnalyzerService
from data import Workspace

SITES = ["resid_mid", "neurons", "mlp_out", "resid_post", "logits"]
P = 11


def slow_sites(p: int) -> dict[str, np.ndarray]:
    """Activations [p, p, width] from the full model, without shared code."""
    own = arrays(random_weights(p))
    seen = grid(own, p)
    resid = np.zeros((p, p, own["embed.W_E"].shape[1]))
    for a, b in itertools.product(range(p), repeat=2):
        tokens = [own["embed.W_E"][t] + own["pos_embed.W_pos"][j] for j, t in enumerate((a, b, p))]
        resid[a, b] = tokens[2]
        for head, j in itertools.product(range(len(seen["pattern"])), range(3)):
            ov = own["blocks.0.attn.W_V"][head] @ own["blocks.0.attn.W_O"][head]
            resid[a, b] += seen["pattern"][head, j, a, b] * (tokens[j] @ ov)
    written = seen["neurons"] @ own["blocks.0.mlp.W_out"]
    logits = seen["logits"] - seen["logits"].mean(axis=2, keepdims=True)
    return dict(zip(SITES, (resid, seen["neurons"], written, resid + written, logits), strict=True))


@pytest.mark.parametrize("p", [11, 13])
def test_everything_agrees_with_loops_over_the_inputs(p: int) -> None:
    found = compute("representations", features(random_weights(p), p))
    assert found["site"].tolist() == SITES  # and none that is the same for every input
    for s, values in enumerate(slow_sites(p).values()):
        members = [[values[a, (c - a) % p] for a in range(p)] for c in range(p)]
        mu = np.array([np.mean(own, axis=0) for own in members])
        spread = [np.mean([((x - mu[c]) ** 2).sum() for x in members[c]]) for c in range(p)]
        between = np.mean([((m - mu.mean(axis=0)) ** 2).sum() for m in mu])
        assert found["within"][s] == pytest.approx(np.mean(spread))
        assert found["between"][s] == pytest.approx(between)
        assert found["snr"][s] == pytest.approx(between / np.mean(spread))
        np.testing.assert_allclose(found["radius"][s], [math.dist(m, mu.mean(axis=0)) for m in mu])
        fisher = {
            (r, c): ((mu[r] - mu[c]) ** 2).sum() / (spread[r] + spread[c])
            for r, c in itertools.combinations(range(p), 2)
        }
        assert found["fisher_median"][s] == pytest.approx(np.median(list(fisher.values())))
        assert found["fisher_min"][s] == pytest.approx(min(fisher.values()))
        assert tuple(found["fisher_worst"][s]) == min(fisher, key=fisher.__getitem__)
        centred = mu - mu.mean(axis=0)
        left, size, _ = np.linalg.svd(centred, full_matrices=False)
        np.testing.assert_allclose(found["explained"][s], (size**2 / (size**2).sum())[:4], rtol=1e-6)
        np.testing.assert_allclose(np.abs(found["coordinate"][s]), np.abs(left * size)[:, :4], atol=1e-6)
        for k in range(1, (p + 1) // 2):
            block = np.stack([basis(p).cos[k - 1], basis(p).sin[k - 1]]) @ mu
            axes = np.linalg.svd(block, compute_uv=False)
            assert found["share"][s, k - 1] == pytest.approx((block**2).sum() / (centred**2).sum())
            assert found["ellipticity"][s, k - 1] == pytest.approx(axes[1] / axes[0], rel=1e-5)


def ring_model(squash: float) -> dict[str, torch.Tensor]:
    """Linear attention to a and b alike, onto which W_U puts nothing: resid_mid is not a ring of a + b."""
    weights = random_weights(P)
    weights["blocks.0.mlp.W_out"][:] = 0
    weights["embed.W_E"][:P, 0] = torch.from_numpy(basis(P).cos[2].copy())
    weights["embed.W_E"][:P, 1] = squash * torch.from_numpy(basis(P).sin[2].copy())
    return weights


def test_centroids_of_a_sum_of_functions_of_a_and_b_all_coincide() -> None:
    """Why the residual stream after attention separates nothing while attention is uniform."""
    weights = ring_model(1.0)
    weights["blocks.0.attn.W_Q"][:] = 0
    found = compute("representations", features(weights, P))
    assert found["snr"][0] < 1e-12
    assert found["within"][0] > 0
    assert np.isnan(found["snr"][2])  # the MLP writes nothing at all
    assert found["fisher_worst"][2].tolist() == [-1, -1]


@pytest.mark.parametrize(("squash", "noise"), [(1.0, 0.0), (0.5, 0.0), (1.0, 0.3)])
def test_a_planted_ring_of_classes(squash: float, noise: float) -> None:
    labels = np.add.outer(np.arange(P), np.arange(P)).ravel() % P
    rows = np.stack([basis(P).cos[3], squash * basis(P).sin[3]], axis=1)
    values = rows[labels] + noise * np.random.default_rng(0).standard_normal((P * P, 2))
    centroid, variance, count = centroids(values, labels)
    assert count.tolist() == [P] * P
    np.testing.assert_allclose(centroid, rows, atol=4 * noise / math.sqrt(P) + 1e-12)
    np.testing.assert_allclose(variance, 2 * noise**2 * (1 - 1 / P), rtol=0.8, atol=1e-12)
    if not noise:
        assert (variance == 0).all()


def test_dealt_labels_have_an_snr_and_fisher_ratio_of_one_over_p() -> None:
    """The null that the chart draws."""
    p, rng = 31, np.random.default_rng(1)
    values = rng.standard_normal((p * p, 40))
    labels = rng.permutation(np.repeat(np.arange(p), p))
    centroid, variance, _ = centroids(values, labels)
    between = ((centroid - centroid.mean(axis=0)) ** 2).sum(axis=1).mean()
    assert between / variance.mean() == pytest.approx(1 / p, rel=0.1)


def test_exchanging_a_and_b_and_permuting_neurons_changes_nothing_and_renaming_moves_k() -> None:
    weights, u = random_weights(13), 5
    order = torch.randperm(24, generator=torch.Generator().manual_seed(1))
    same = {
        **weights,
        "pos_embed.W_pos": weights["pos_embed.W_pos"][[1, 0, 2]],
        "blocks.0.mlp.W_in": weights["blocks.0.mlp.W_in"][:, order],
        "blocks.0.mlp.W_out": weights["blocks.0.mlp.W_out"][order],
    }
    one, two, three = (
        compute("representations", features(each, 13)) for each in (weights, same, relabelled(weights, 13, u))
    )
    for name in ("snr", "fisher_min", "radius", "share", "ellipticity", "coordinate"):
        np.testing.assert_allclose(two[name], one[name], rtol=1e-6, atol=1e-9, err_msg=name)
    image = [moved(k, 13, u) for k in range(1, 7)]
    np.testing.assert_allclose(three["share"][:, image], one["share"], rtol=1e-6)
    np.testing.assert_allclose(three["snr"], one["snr"])


def test_a_constant_added_to_all_logits_of_an_input_is_not_seen() -> None:
    weights = random_weights(P)
    lifted = {**weights, "unembed.W_U": weights["unembed.W_U"] + torch.randn(16, 1)}
    one, two = (compute("representations", features(each, P)) for each in (weights, lifted))
    for name in ("snr", "share", "radius"):
        np.testing.assert_allclose(two[name][4], one[name][4], rtol=1e-4)


def test_classes_of_unequal_size_and_classes_without_members() -> None:
    weights = random_weights(P)
    times = compute("representations", features(weights, P, operation="multiply"))
    assert np.isfinite(times["snr"]).all()  # 0 has 2 p - 1 inputs, the others p - 1
    labels = np.array([0, 0, 0, 1, 1, 1, 0, 1, 0])
    centroid, _, count = centroids(np.arange(18.0).reshape(9, 2), labels)
    assert count.tolist() == [5, 4, 0]
    assert np.isnan(centroid[2]).all()
    assert centroid[1].tolist() == [9.5, 10.5]


def test_nan_in_the_mlp_leaves_the_site_before_it() -> None:
    weights = random_weights(P)
    weights["blocks.0.mlp.W_in"][:] = float("nan")
    found = compute("representations", features(weights, P))
    assert np.isfinite(found["snr"][0])
    assert np.isnan(found["snr"][1:]).all()
    assert np.isnan(found["coordinate"][1:]).all()
    assert found["fisher_worst"][1:].max() == -1


def test_the_shipped_run_separates_its_classes_behind_the_mlp(
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    workspace = Workspace(tmp_path_factory.mktemp("samples") / "workspace", create=True)
    workspace.add_samples()
    found = AnalyzerService().on_demand(workspace["p113-s999-d598"], 25000, "representations")
    np.testing.assert_allclose(found["snr"], [0.03756, 0.1700, 75.20, 13.15, 102.9], rtol=0.01)
    np.testing.assert_allclose(found["fisher_min"][2:], [10.19, 2.253, 8.891], rtol=0.01)
    learned = found.sel(site="logits", freq=[9, 33, 38, 55])
    assert float(learned["share"].sum()) > 0.99
    assert (learned["ellipticity"] > 0.9).all()
