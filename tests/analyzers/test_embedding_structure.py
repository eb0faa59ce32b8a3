"""Ellipticity and circularity: plants, symmetries, explicit sums, random matrices, shipped runs."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from computing import arrays, compute, features, moved, relabelled
from tiny_model import random_weights

from analyzers.fourier import basis
from analyzers.rings import circularity, random_ratio, rings
from analyzers.service import AnalyzerService
from data import Workspace

P = 13


def rotation(d: int, seed: int = 0) -> np.ndarray:
    return np.linalg.qr(np.random.default_rng(seed).standard_normal((d, d)))[0]


def ellipses(p: int, axes: dict[int, tuple[float, float]], d: int = 10) -> np.ndarray:
    """Points [p, d]: for each k an ellipse with these half axes in a plane of its own."""
    points, rows = np.zeros((p, d)), basis(p)
    for plane, (k, (cos, sin)) in enumerate(axes.items()):
        points[:, 2 * plane] = cos * rows.cos[k - 1]
        points[:, 2 * plane + 1] = sin * rows.sin[k - 1]
    return points


@pytest.mark.parametrize(("axes", "expected"), [((3, 3), 1.0), ((2, 1), 0.5), ((1, 4), 0.25), ((5, 0), 0.0)])
@pytest.mark.parametrize("shift", [0, 1, 4])
def test_a_planted_ellipse_has_its_axes_whatever_the_shift_and_the_rotation(
    axes: tuple[float, float], expected: float, shift: int
) -> None:
    points = np.roll(ellipses(P, {4: axes}), shift, axis=0) @ rotation(10)
    share, ratio, _ = rings(points)
    np.testing.assert_allclose(share, np.eye(6)[3], atol=1e-12)
    assert ratio[3] == pytest.approx(expected, abs=1e-7)


def test_the_ratio_of_cos_and_sin_depends_on_token_zero_and_ellipticity_bounds_it() -> None:
    weights = random_weights(P)
    seen = []
    for shift in range(P):
        shifted = {**weights, "embed.W_E": weights["embed.W_E"].clone()}
        shifted["embed.W_E"][:P] = weights["embed.W_E"][:P].roll(shift, dims=0)
        found = compute("ellipticity", features(shifted, P))
        seen.append({name: found[name][0] for name in ("share", "ellipticity", "cos_sin_ratio")})
    for name in ("share", "ellipticity"):
        np.testing.assert_allclose(seen[3][name], seen[0][name])
    ratios = np.array([each["cos_sin_ratio"] for each in seen])
    balance = np.minimum(ratios, 1 / ratios)
    assert (balance >= seen[0]["ellipticity"] - 1e-9).all()
    assert (ratios.max(axis=0) / ratios.min(axis=0) > 1.1).all()
    assert (balance.max(axis=0) > 0.9).all()  # for some token 0 even an ellipse looks balanced


def test_everything_agrees_with_explicit_sums() -> None:
    weights = random_weights(P)
    found = compute("ellipticity", features(weights, P))
    own = arrays(weights)
    matrices = {
        "W_E": own["embed.W_E"][:P],
        "W_U": own["unembed.W_U"].T,
        "W_L": (own["blocks.0.mlp.W_out"] @ own["unembed.W_U"]).T,
    }
    assert found["matrix"].tolist() == list(matrices)
    for index, points in enumerate(matrices.values()):
        blocks = []
        for k in range(1, 7):
            waves = [
                [wave(2 * math.pi * k * x / P) * math.sqrt(2 / P) for x in range(P)]
                for wave in (math.cos, math.sin)
            ]
            blocks.append(np.array(waves) @ points)
        total = sum((block**2).sum() for block in blocks)
        for k, block in enumerate(blocks, start=1):
            sizes = np.linalg.svd(block, compute_uv=False)
            assert found["share"][index, k - 1] == pytest.approx((block**2).sum() / total)
            assert found["ellipticity"][index, k - 1] == pytest.approx(sizes[1] / sizes[0])
            raw = math.hypot(*block[0]) / math.hypot(*block[1])
            assert found["cos_sin_ratio"][index, k - 1] == pytest.approx(raw)
        components = np.linalg.svd(points - points.mean(axis=0))[0][:, :4].T
        largest = [
            max(
                2 / P * abs(sum(v[t] * np.exp(2j * math.pi * k * t / P) for t in range(P))) ** 2
                for k in range(1, 7)
            )
            for v in components
        ]
        assert found["circularity"][index] == pytest.approx(np.mean(largest))


def test_renaming_tokens_moves_k_and_keeps_the_shape() -> None:
    weights, u = random_weights(P), 5
    one, two = (compute("ellipticity", features(each, P)) for each in (weights, relabelled(weights, P, u)))
    image = [moved(k, P, u) for k in range(1, 7)]
    for name in ("share", "ellipticity"):
        np.testing.assert_allclose(two[name][:, image], one[name], rtol=1e-6)


def test_the_row_of_the_equals_sign_and_neuron_order_do_not_count() -> None:
    weights = random_weights(P)
    changed = {name: tensor.clone() for name, tensor in weights.items()}
    changed["embed.W_E"][P] += 100
    order = torch.randperm(24, generator=torch.Generator().manual_seed(1))
    changed["blocks.0.mlp.W_in"] = weights["blocks.0.mlp.W_in"][:, order]
    changed["blocks.0.mlp.W_out"] = weights["blocks.0.mlp.W_out"][order]
    one, two = (compute("ellipticity", features(each, P)) for each in (weights, changed))
    for name in ("share", "ellipticity", "cos_sin_ratio", "circularity"):
        np.testing.assert_allclose(two[name], one[name], rtol=1e-6)


class TestCircularity:
    """What the measure of Zhong et al. sees and what it does not."""

    def test_one_ring_or_unequal_rings_have_one(self) -> None:
        assert circularity(ellipses(31, {4: (1, 1)}) @ rotation(10)) == pytest.approx(1)
        unequal = {4: (1, 1), 9: (2, 2), 11: (3, 3)}
        assert circularity(ellipses(31, unequal) @ rotation(10)) == pytest.approx(1)

    def test_it_does_not_see_that_a_ring_is_squashed_to_a_line(self) -> None:
        assert circularity(ellipses(31, {4: (1, 0)})) == pytest.approx(1)
        assert circularity(ellipses(31, {4: (2, 1)})) == pytest.approx(1)

    def test_equal_perfect_rings_have_less(self) -> None:
        equal = dict.fromkeys((2, 5, 7, 11), (1.0, 1.0))
        values = [circularity(ellipses(31, equal) @ rotation(10, seed)) for seed in range(8)]
        assert max(values) < 0.8
        assert (rings(ellipses(31, equal))[1][[1, 4, 6, 10]] > 0.999).all()

    def test_random_points_have_little(self) -> None:
        assert circularity(np.random.default_rng(0).standard_normal((101, 128))) < 0.2


def test_random_matrices_look_nearly_round_and_share_evenly() -> None:
    """The null: why ellipticity is read only where the share is well above 1 / K."""
    points = np.random.default_rng(0).standard_normal((101, 128))
    share, ratio, _ = rings(points)
    np.testing.assert_allclose(share, 1 / 50, rtol=0.4)
    assert np.median(ratio) == pytest.approx(0.90, abs=0.03)
    assert np.median(rings(np.random.default_rng(0).standard_normal((101, 512)))[1]) == pytest.approx(
        0.95, abs=0.02
    )


@pytest.mark.parametrize("width", [16, 128])
@pytest.mark.parametrize("quantile", [0.05, 0.5])
def test_the_null_of_the_ellipticity_is_that_of_drawn_blocks(width: int, quantile: float) -> None:
    blocks = np.random.default_rng(0).standard_normal((4000, 2, width))
    sizes = np.linalg.svd(blocks, compute_uv=False)
    drawn = np.quantile(sizes[:, 1] / sizes[:, 0], quantile)
    assert random_ratio(width, quantile) == pytest.approx(drawn, abs=0.015)
    found = compute("ellipticity", features(random_weights(P), P))
    assert found["null_low"].tolist() == [
        random_ratio(16, 0.05),
        random_ratio(16, 0.05),
        random_ratio(24, 0.05),
    ]


def test_zero_and_nan_matrices_have_no_value_and_leave_the_others() -> None:
    weights = random_weights(P)
    weights["embed.W_E"][3, 2] = float("nan")
    weights["blocks.0.mlp.W_out"][:] = 0
    found = compute("ellipticity", features(weights, P))
    for name in ("share", "ellipticity", "circularity"):
        assert np.isnan(found[name][[0, 2]]).all()
        assert np.isfinite(found[name][1]).all()


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("samples") / "workspace", create=True)
    workspace.add_samples()
    return workspace


@pytest.mark.parametrize(
    ("name", "epoch", "k", "share", "ratio", "raw"),
    [
        ("p101-s999-d598", 35000, 31, 0.020, 0.623, 0.690),
        ("p113-s999-d598", 25000, 47, 0.027, 0.271, 2.447),  # nearly a line, in the embedding alone
        ("p113-s999-d598", 11100, 12, 0.040, 0.539, 1.809),
        ("p113-s999-d598", 10600, 45, 0.038, 0.606, 1.129),  # squashed, though cos and sin look balanced
    ],
)
def test_the_squashed_frequencies_of_the_shipped_runs(
    samples: Workspace, name: str, epoch: int, k: int, share: float, ratio: float, raw: float
) -> None:
    """No learned frequency ends squashed in these runs; one on its way out and a weak one are."""
    own = AnalyzerService().on_demand(samples[name], epoch, "ellipticity").sel(matrix="W_E", freq=k)
    assert float(own["share"]) == pytest.approx(share, abs=0.001)
    assert float(own["ellipticity"]) == pytest.approx(ratio, abs=0.003)
    assert float(own["cos_sin_ratio"]) == pytest.approx(raw, abs=0.005)


def test_learned_frequencies_end_as_rings_in_all_three_matrices(samples: Workspace) -> None:
    found = AnalyzerService().on_demand(samples["p113-s999-d598"], 25000, "ellipticity")
    learned = found.sel(freq=[9, 33, 38, 55])
    assert (learned["ellipticity"] > 0.94).all()
    assert (learned["share"].sum("freq") > 0.95).all()
    assert (found["circularity"] > 0.97).all()
