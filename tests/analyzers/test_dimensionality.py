"""Ranks, gaps and crossings: planted spectra, explicit formulas, random matrices and the shipped runs."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from computing import arrays, compute, features, run_of
from tiny_model import random_weights

from analyzers.features import Features
from analyzers.instruments.dimensionality_crossing import falls_below
from analyzers.key_frequencies import DEFAULT, RULES
from analyzers.pipeline import analyze
from analyzers.registry import default_registry
from analyzers.service import AnalyzerService
from data import Workspace
from data.errors import BadParameter, WorkbenchError

P = 13


def summary(spectra: list[list[float]], keys: tuple[int, ...] = (2, 5)) -> dict[str, Any]:
    """spectral_summary of made-up spectra, one per matrix of the tiny model, the last ones repeated."""
    found = features(random_weights(P), P)
    count = len(found.matrices)
    table = np.full((count, max(map(len, spectra))), np.nan)
    for row, values in zip(table, [*spectra, *[spectra[-1]] * (count - len(spectra))], strict=True):
        row[: len(values)] = values
    is_key = np.zeros((len(RULES), 6))
    is_key[RULES.index(DEFAULT), [k - 1 for k in keys]] = 1
    found.needs["singular_values"] = {"singular_value": table}
    found.finals["key_frequencies"] = {"is_key": is_key}
    result = default_registry().get("spectral_summary").compute(found)
    return {name: np.asarray(value) for name, value in result.items()}


def test_a_planted_spectrum_of_two_rings_over_noise() -> None:
    found = summary([[8, 8, 6, 5.7, 0.5, 0.4, 0.1, 0.01]])
    assert found["key_index"] == 4
    assert found["gap_at_keys"][0] == pytest.approx(5.7 / 0.5)
    assert found["largest_gap"][0] == pytest.approx(5.7 / 0.5)
    assert found["largest_gap_index"][0] == 4
    assert found["pairs"][0] == 2
    assert found["stable_rank"][0] == pytest.approx((64 + 64 + 36 + 5.7**2 + 0.25 + 0.16 + 0.01 + 1e-4) / 64)


@pytest.mark.parametrize("n", [1, 4, 7])
def test_equal_values_count_as_dimensions_in_both_ranks(n: int) -> None:
    found = summary([[3.0] * n + [0.0] * 3])
    assert found["stable_rank"][0] == pytest.approx(n)
    assert found["effective_rank"][0] == pytest.approx(n)


def test_pairs_are_disjoint_and_looked_for_among_the_key_directions_only() -> None:
    spectra = [
        [4, 4, 4, 4, 1, 1],
        [4, 4, 4, 1, 1, 1],
        [4, 3, 2, 1, 1, 1],
        [4, 3, 2.8, 1, 1, 1],
        [4.0],
    ]
    assert summary(spectra)["pairs"][:5].tolist() == [2, 1, 0, 1, 0]


def test_the_lower_end_of_the_spectrum_and_rounding_make_no_gap() -> None:
    found = summary([[4, 3, 2, 1, 0.9, 0.01], [5, 4, 3, 1e-9, 1e-10, 0], [2, 0, 0, 0], [0, 0, 0, 0]])
    assert found["largest_gap_index"][:4].tolist() == [3, 2, 0, 0]
    assert math.isnan(found["gap_at_keys"][1])
    assert found["stable_rank"][2] == 1
    assert np.isnan(found["effective_rank"][3])
    assert found["pairs"][3] == 0


def test_without_key_frequencies_there_is_no_place_for_the_gap() -> None:
    found = summary([[4, 3, 2, 1]], keys=())
    assert found["key_index"] == 0
    assert np.isnan(found["gap_at_keys"]).all()
    assert np.isfinite(found["stable_rank"]).all()
    beyond = summary([[4, 3, 2, 1]], keys=(1, 2, 3))
    assert np.isnan(beyond["gap_at_keys"]).all()


def test_it_agrees_with_the_matrices_themselves() -> None:
    weights = random_weights(P)
    found = compute("spectral_summary", features(weights, P))
    own = arrays(weights)
    for name, matrix in {
        "W_E": own["embed.W_E"][:P],
        "W_V.1": own["blocks.0.attn.W_V"][1],
        "W_U": own["unembed.W_U"],
    }.items():
        row = found["matrix"].tolist().index(name)
        s = np.linalg.svd(matrix, compute_uv=False)
        assert found["stable_rank"][row] == pytest.approx(
            np.linalg.norm(matrix) ** 2 / np.linalg.norm(matrix, 2) ** 2
        )
        q = s / s.sum()
        assert found["effective_rank"][row] == pytest.approx(math.exp(-sum(x * math.log(x) for x in q)))
        k = int(found["key_index"])
        gap = s[k - 1] / s[k] if 0 < k < len(s) else math.nan
        assert found["gap_at_keys"][row] == pytest.approx(gap, nan_ok=True)
    assert np.isfinite(found["gap_at_keys"]).any()


def test_ranks_do_not_change_under_rotations_and_neuron_order() -> None:
    weights = random_weights(P)
    order = torch.randperm(24, generator=torch.Generator().manual_seed(2))
    turned = {**weights, "blocks.0.mlp.W_in": weights["blocks.0.mlp.W_in"][:, order] * 3}
    one, two = (compute("spectral_summary", features(each, P)) for each in (weights, turned))
    for name in ("stable_rank", "effective_rank", "largest_gap"):
        np.testing.assert_allclose(two[name], one[name], rtol=1e-6)


def test_a_random_matrix_has_no_gap_and_near_equal_neighbours_everywhere() -> None:
    """The null of both: pairs alone are no evidence."""
    s = np.linalg.svd(np.random.default_rng(0).standard_normal((113, 128)), compute_uv=False)
    found = summary([s.tolist()])
    assert found["gap_at_keys"][0] < 1.1
    assert found["largest_gap"][0] < 1.1
    assert found["pairs"][0] == 2


def test_a_nan_matrix_is_left_out() -> None:
    weights = random_weights(P)
    weights["unembed.W_U"][0, 0] = float("nan")
    found = features(weights, P)
    is_key = np.zeros((len(RULES), 6))
    found.finals["key_frequencies"] = {"is_key": is_key}
    found.needs["singular_values"] = default_registry().get("singular_values").compute(found)
    result = default_registry().get("spectral_summary").compute(found)
    assert np.isnan(result["stable_rank"][-1])
    assert np.isfinite(result["stable_rank"][:-1]).all()
    with pytest.raises(WorkbenchError, match="key_frequencies"):
        default_registry().get("spectral_summary").compute(
            Features(weights, "modular_addition", {"p": P, "seed": 0})
        )


# --- crossing ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([40, 35, 29, 20], (10, 20)),
        ([40, 29, 31, 20], (20, 30)),  # for good
        ([40, 30, 29, 20], (10, 20)),  # at the edge is not below
        ([20, 20, 20, 20], (np.nan, 0)),
        ([40, 20, 20, 31], (np.nan, np.nan)),
        ([40, np.nan, 20, 20], (0, 20)),
        ([np.nan] * 4, (np.nan, np.nan)),
    ],
)
def test_the_interval_of_a_crossing(values: list[float], expected: tuple[float, float]) -> None:
    found = falls_below(np.array([0, 10, 20, 30]), np.array(values, dtype=float), 30.0)
    np.testing.assert_array_equal(found, expected)


def crossing(**parameters: float) -> dict[str, Any]:
    epochs, dims = [0, 10, 20, 30], ("epoch", "matrix")
    ratios = xr.Dataset(
        {
            "participation_ratio_sv": (dims, np.array([[80, 30], [40, 29], [28, 28], [10, 27]])),
            "participation_ratio_ev": (dims, np.array([[60, 20], [24, 20], [9, 20], [5, 20]])),
        },
        coords={"epoch": epochs, "matrix": ["W_E", "W_Q.0"]},
    ).astype(float)
    turn = xr.Dataset(
        {"lower": ("event", [2.0, 21.0, np.nan]), "upper": ("event", [4.0, 25.0, np.nan])},
        coords={"event": ["memorised", "onset", "completion"]},
    )
    result = (
        default_registry()
        .get("dimensionality_crossing")
        .compute(run_of({"singular_values": ratios, "turn": turn}), **parameters)
    )
    return {name: np.asarray(value) for name, value in result.items()}


def test_crossings_and_leads_of_a_planted_run() -> None:
    found = crossing()
    assert found["convention"].tolist() == ["singular values", "eigenvalues"]
    assert found["edge"].tolist() == ["upper", "lower"]
    assert found["band"].tolist() == [30, 25]
    assert found["lower"][0].tolist() == [[10, 20], [0, 0]]
    assert found["upper"][0].tolist() == [[20, 30], [10, 10]]
    onset = found["event"].tolist().index("onset")
    assert found["lead_min"][0, 0, :, onset].tolist() == [1, -9]  # 21 - 20, 21 - 30
    assert found["lead_max"][0, 0, :, onset].tolist() == [15, 5]  # 25 - 10, 25 - 20
    assert np.isnan(found["lead_min"][..., -1]).all()
    assert found["upper"][1, 0].tolist()[0] == 10
    assert np.isnan(found["upper"][1, 0, 1])  # never below 25
    np.testing.assert_array_equal(found["lower"][1, 1], [np.nan, np.nan])  # below from the start
    assert found["upper"][1, 1].tolist() == [0, 0]


def test_the_band_is_a_parameter() -> None:
    assert crossing(low=35.0, high=50.0)["upper"][0, 0].tolist() == [10, 20]
    for low, high in ((0.0, 5.0), (6.0, 5.0)):
        with pytest.raises(BadParameter, match="not a band"):
            crossing(low=low, high=high)


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Any:
    workspace = Workspace(tmp_path_factory.mktemp("samples") / "workspace", create=True)
    workspace.add_samples()
    variant = workspace["p113-s999-d598"]
    analyze(variant, ["dimensionality_crossing"])
    return variant


def test_the_mlp_of_a_shipped_run_crosses_the_band_after_the_onset(shipped: Any) -> None:
    found = AnalyzerService().read(shipped, "dimensionality_crossing").sel(convention="singular values")
    intervals = {
        "W_E": [(7000, 9400), (10800, 11100)],
        "W_in": [(10800, 11100), (11600, 12400)],
        "W_out": [(11100, 11600), (11600, 12400)],
        "W_U": [(11600, 12400), (11600, 12400)],
    }
    for matrix, expected in intervals.items():
        own = found.sel(matrix=matrix)
        assert list(zip(own["lower"].values, own["upper"].values, strict=True)) == expected
    mlp = found.sel(matrix=["W_in", "W_out", "W_U"], edge="upper", event="onset")
    assert (mlp["lead_max"] < 0).all()  # not a precondition of the onset


def test_the_spectral_gap_of_a_shipped_run_opens(shipped: Any) -> None:
    service = AnalyzerService()
    first, last = (
        service.on_demand(shipped, epoch, "spectral_summary").sel(matrix="W_U") for epoch in (0, 25000)
    )
    assert int(last["key_index"]) == int(first["key_index"]) == 8
    assert float(first["gap_at_keys"]) < 1.1
    assert int(last["largest_gap_index"]) == 8
    assert float(last["gap_at_keys"]) == pytest.approx(float(last["largest_gap"]))
    assert int(last["pairs"]) == 4
    assert float(last["stable_rank"]) < float(last["effective_rank"]) < 18
