"""Scores of the = query, value paths, head ablation and specialisation, against explicit loops and plants."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from computing import Weights, arrays, compute, features, moved, relabelled, run_of
from grid_oracle import cross_entropy, grid
from tiny_model import random_weights

from analyzers.cross_entropy import split_means
from analyzers.fourier import basis
from analyzers.instruments.head_specialisation import chance_of_agreement
from analyzers.key_frequencies import RULES
from analyzers.registry import default_registry
from analyzers.service import AnalyzerService
from data import Workspace
from data.errors import BadParameter
from training.fast_path import BIASES, head_output, logits_of

P = 11
HEADS = 2


def lively(p: int, seed: int = 0) -> Weights:
    """Random weights whose heads attend by the input."""
    weights = random_weights(p, seed)
    for name in ("W_Q", "W_K"):
        weights[f"blocks.0.attn.{name}"] = 2.5 * weights[f"blocks.0.attn.{name}"]
    return weights


# --- what the query of = sees ------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [11, 13])
def test_the_softmax_of_the_scores_is_the_attention_of_the_full_model(p: int) -> None:
    weights = lively(p)
    expected = grid(arrays(weights), p)["pattern"]
    found = compute("query_scores", features(weights, p))
    assert np.ptp(expected[0, 0]) > 0.1
    for head, a, b in itertools.product(range(HEADS), range(p), range(p)):
        scores = [found["score"][head, 0, a], found["score"][head, 1, b], found["self_score"][head]]
        weight = np.exp(scores) / np.exp(scores).sum()
        np.testing.assert_allclose(weight, expected[head, :, a, b], rtol=1e-9)
    np.testing.assert_allclose(found["self_attention"], expected[:, 2].mean((1, 2)))


def test_amplitudes_rebuild_the_scores_by_their_names() -> None:
    found = compute("query_scores", features(lively(P), P))
    x = np.arange(P)
    for head, source in itertools.product(range(HEADS), range(2)):
        score = found["score"][head, source]
        rebuilt = score.mean() + sum(
            found["cos"][head, k - 1] * np.cos(2 * np.pi * k * x / P)
            + found["sin"][head, k - 1] * np.sin(2 * np.pi * k * x / P)
            for k in range(1, 6)
        )
        np.testing.assert_allclose(rebuilt, score, rtol=1e-9, atol=1e-12)
        energy = found["cos"][head] ** 2 + found["sin"][head] ** 2
        np.testing.assert_allclose(found["share"][head], energy / energy.sum())
        assert found["dominant_frequency"][head] == energy.argmax() + 1
        assert found["dominant_share"][head] == pytest.approx((energy / energy.sum()).max())


@pytest.mark.parametrize(("kind", "k"), [("cos", 2), ("sin", 5)])
def test_a_planted_score_is_found_under_its_name_with_its_amplitude(kind: str, k: int) -> None:
    weights = {name: torch.zeros_like(tensor) for name, tensor in random_weights(P).items()}
    weights["embed.W_E"][:P, 0] = torch.from_numpy(math.sqrt(P / 2) * getattr(basis(P), kind)[k - 1])
    weights["embed.W_E"][P, 1] = 1.0
    weights["blocks.0.attn.W_Q"][1, 1, 3] = 3.0
    weights["blocks.0.attn.W_K"][1, 0, 3] = 2.0
    weights["pos_embed.W_pos"][1, 0] = 0.5
    found = compute("query_scores", features(weights, P))
    amplitude = 6 / math.sqrt(8)  # d_head = 8
    np.testing.assert_allclose(found[kind][1], amplitude * np.eye(5)[k - 1], atol=1e-6)
    np.testing.assert_allclose(found["sin" if kind == "cos" else "cos"][1], 0, atol=1e-6)
    np.testing.assert_allclose(found["score"][1, 1] - found["score"][1, 0], amplitude / 2, atol=1e-6)
    assert found["dominant_frequency"].tolist() == [0, k]
    assert found["dominant_share"][1] == pytest.approx(1)


def test_small_scores_pass_the_softmax_in_a_straight_line_and_large_ones_do_not() -> None:
    def linearity(size: float, to_itself: float) -> float:
        weights = {name: torch.zeros_like(tensor) for name, tensor in random_weights(P).items()}
        weights["embed.W_E"][:P, 0] = torch.from_numpy(basis(P).cos[1].copy())
        weights["embed.W_E"][P, 1] = 1.0
        weights["blocks.0.attn.W_Q"][0, 1, 3] = 1.0
        weights["blocks.0.attn.W_K"][0, :2, 3] = torch.tensor([size, to_itself])
        return float(compute("query_scores", features(weights, P))["linearity"][0])

    assert linearity(0.1, to_itself=-80) > 0.9999
    assert linearity(200, to_itself=-80) < 0.9
    assert linearity(0.1, to_itself=0) == pytest.approx(0.9, abs=0.01)  # = takes a third of the attention
    weights = lively(P)
    found = features(weights, P)
    result = compute("query_scores", found)
    for head in range(HEADS):
        to_a = grid(arrays(weights), P)["pattern"][head, 0]
        lead = result["score"][head, 0][:, None] - result["score"][head, 1][None]
        assert result["linearity"][head] == pytest.approx(np.corrcoef(lead.ravel(), to_a.ravel())[0, 1] ** 2)


def test_shifting_tokens_keeps_shares_and_renaming_moves_them() -> None:
    weights = lively(13)
    shifted = {**weights, "embed.W_E": weights["embed.W_E"].clone()}
    shifted["embed.W_E"][:13] = weights["embed.W_E"][:13].roll(4, dims=0)
    one, two, three = (
        compute("query_scores", features(each, 13)) for each in (weights, shifted, relabelled(weights, 13, 5))
    )
    np.testing.assert_allclose(two["share"], one["share"])
    assert not np.allclose(two["cos"], one["cos"])
    image = [moved(k, 13, 5) for k in range(1, 7)]
    np.testing.assert_allclose(three["share"][:, image], one["share"], rtol=1e-6)


def test_exchanging_the_places_exchanges_the_scores_and_a_query_bias_counts() -> None:
    weights = lively(P)
    swapped = {**weights, "pos_embed.W_pos": weights["pos_embed.W_pos"][[1, 0, 2]]}
    one, two = (compute("query_scores", features(each, P)) for each in (weights, swapped))
    np.testing.assert_allclose(two["score"], one["score"][:, ::-1], rtol=1e-6)
    biased = {**weights, "blocks.0.attn.b_Q": torch.ones(HEADS, 8)}
    found = features(biased, P)
    three = compute("query_scores", found)
    assert not np.allclose(three["score"], one["score"])
    scores = [three["score"][:, 0, 4], three["score"][:, 1, 7], three["self_score"]]
    np.testing.assert_allclose(np.exp(scores[0]) / np.exp(scores).sum(axis=0), found.pattern[:, 0, 4, 7])


def test_a_nan_of_one_head_stays_there() -> None:
    weights = lively(P)
    weights["blocks.0.attn.W_K"][0, 0, 0] = float("nan")
    found = compute("query_scores", features(weights, P))
    assert np.isnan(found["share"][0]).all()
    assert found["dominant_frequency"][0] == 0
    assert np.isfinite(found["share"][1]).all()


# --- value paths -------------------------------------------------------------------------------------------


def test_value_paths_agree_with_sums_over_tokens() -> None:
    weights = random_weights(P)
    own = arrays(weights)
    found = compute("value_paths", features(weights, P))
    for t, end in enumerate((own["blocks.0.mlp.W_in"], own["unembed.W_U"])):
        for head in range(HEADS):
            ov = own["blocks.0.attn.W_V"][head] @ own["blocks.0.attn.W_O"][head]
            path = own["embed.W_E"][:P] @ ov @ end
            if t == 1:
                path = path - path.mean(axis=1, keepdims=True)
            energy = []
            for k in range(1, 6):
                angle = [2 * math.pi * k * x / P for x in range(P)]
                rows = [[math.sqrt(2 / P) * f(each) for each in angle] for f in (math.cos, math.sin)]
                energy.append(sum((sum(row[x] * path[x] for x in range(P)) ** 2).sum() for row in rows))
            np.testing.assert_allclose(found["energy"][t, head], energy)
            np.testing.assert_allclose(found["share"][t, head], np.array(energy) / sum(energy))
            centred = path - path.mean(axis=0)
            assert found["total"][t, head] == pytest.approx((centred**2).sum())


def test_tokens_reach_the_neurons_through_the_heads_only() -> None:
    weights = random_weights(P)
    weights["blocks.0.attn.W_V"][0] = 0
    found = compute("value_paths", features(weights, P))
    assert found["total"][:, 0].tolist() == [0, 0]  # though W_E W_in is not zero
    assert np.isnan(found["share"][:, 0]).all()
    assert (found["total"][:, 1] > 0).all()


def test_a_planted_value_path_has_its_frequency_and_class_constants_do_not_count() -> None:
    weights = random_weights(P)
    weights["embed.W_E"][:P, 0] = torch.from_numpy(basis(P).sin[2].copy()).float()
    weights["blocks.0.attn.W_V"][1] = 0
    weights["blocks.0.attn.W_V"][1, 0, 4] = 1
    found = compute("value_paths", features(weights, P))
    for target in range(2):
        np.testing.assert_allclose(found["share"][target, 1], np.eye(5)[2], atol=1e-9)
    lifted = {**weights, "unembed.W_U": weights["unembed.W_U"] + torch.randn(16, 1)}
    again = compute("value_paths", features(lifted, P))
    np.testing.assert_allclose(again["energy"][1], found["energy"][1], rtol=1e-3)


def test_random_paths_share_evenly() -> None:
    weights = random_weights(101, seed=2)
    share = compute("value_paths", features(weights, 101))["share"]
    assert (share.max(axis=2) < 0.12).all()


# --- ablation ----------------------------------------------------------------------------------------------


def slow_ablation(own: dict[str, Any], p: int, removed: set[int], mean: bool) -> np.ndarray:
    """Cross-entropy per input without some heads, by loops: [p * p]."""
    pattern = grid(own, p)["pattern"]
    resid = [
        [own["embed.W_E"][token] + own["pos_embed.W_pos"][j] for j, token in enumerate((a, b, p))]
        for a, b in itertools.product(range(p), repeat=2)
    ]
    outputs = np.zeros((len(pattern), p * p, own["embed.W_E"].shape[1]))
    for head, n in itertools.product(range(len(pattern)), range(p * p)):
        ov = own["blocks.0.attn.W_V"][head] @ own["blocks.0.attn.W_O"][head]
        for j in range(3):
            outputs[head, n] += pattern[head, j, n // p, n % p] * (resid[n][j] @ ov)
    for head in removed:
        outputs[head] = outputs[head].mean(axis=0) if mean else 0
    losses = []
    for n in range(p * p):
        middle = resid[n][2] + outputs[:, n].sum(axis=0)
        neurons = np.maximum(middle @ own["blocks.0.mlp.W_in"], 0)
        logits = (middle + neurons @ own["blocks.0.mlp.W_out"]) @ own["unembed.W_U"]
        losses.append(cross_entropy(logits, (n // p + n % p) % p))
    return np.array(losses)


def test_ablations_agree_with_the_model_in_loops() -> None:
    weights = lively(P)
    found_features = features(weights, P, frac_train=0.4, data_seed=3)
    found = compute("head_ablation", found_features)
    assert found["ablation"].tolist() == ["zero", "mean"]
    assert found["split"].tolist() == ["train", "test", "all"]
    train = found_features.task.train
    for index, mean in enumerate((False, True)):
        for removed in ({0}, {1}, {0, 1}):
            losses = slow_ablation(arrays(weights), P, removed, mean)
            expected = [losses[train].mean(), losses[~train].mean(), losses.mean()]
            got = found["loss_all_heads"][index] if len(removed) == 2 else found["loss"][min(removed), index]
            np.testing.assert_allclose(got, expected, rtol=1e-5)
    assert (found["loss_all_heads"][:, 2] >= math.log(P)).all()


def test_a_head_that_writes_nothing_is_not_missed_and_one_that_writes_a_constant_is_by_zero_only() -> None:
    weights = lively(P)
    weights["blocks.0.attn.W_O"][0] = 0
    whole = compute("logits_summary", features(weights, P))["loss"]
    found = compute("head_ablation", features(weights, P))
    for ablation in range(2):
        np.testing.assert_allclose(found["loss"][0, ablation], whole, rtol=1e-5)
    weights = lively(P)
    for name in ("embed.W_E", "pos_embed.W_pos"):  # every token has a 1 there: attention sums to 1
        weights[name][:, 7] = 1.0 if name == "embed.W_E" else 0.0
    weights["blocks.0.attn.W_V"][1] = 0
    weights["blocks.0.attn.W_V"][1, 7, 2] = 5.0
    whole = compute("logits_summary", features(weights, P))["loss"]
    found = compute("head_ablation", features(weights, P))
    np.testing.assert_allclose(found["loss"][1, 1], whole, rtol=1e-4)
    assert abs(found["loss"][1, 0, 2] - whole[2]) > 0.01


def test_exchanging_heads_exchanges_their_rows() -> None:
    weights = lively(P)
    other = {name: tensor.flip(0) if ".attn." in name else tensor for name, tensor in weights.items()}
    one, two = (compute("head_ablation", features(each, P)) for each in (weights, other))
    np.testing.assert_allclose(two["loss"], one["loss"][::-1], rtol=1e-5)


def test_biases_take_part_in_an_ablation() -> None:
    generator = torch.Generator().manual_seed(3)
    weights = {name: tensor.double() for name, tensor in lively(P).items()}
    shapes = {"b_Q": "W_Q", "b_V": "W_V", "b_O": "W_O", "b_in": "W_in", "b_out": "W_out", "b_U": "W_U"}
    for name in BIASES:
        place, _, short = name.rpartition(".")
        if short in shapes:
            like = weights[f"{place}.{shapes[short]}"]
            shape = like.shape[:1] + like.shape[2:] if short in ("b_Q", "b_V") else like.shape[-1:]
            weights[name] = torch.randn(shape, generator=generator, dtype=torch.float64)
    found_features = features(weights, P)
    pattern = found_features.grid.pattern
    found = compute("head_ablation", found_features)
    for head in range(len(pattern)):
        output = head_output(weights, P, pattern, head)
        without = found_features.grid.resid_mid - output
        for index, resid in enumerate((without, without + output.mean((0, 1)))):
            logits = logits_of(weights, resid).flatten(0, 1).numpy()
            pairs = zip(logits, found_features.task.labels, strict=True)
            losses = np.array([cross_entropy(*pair) for pair in pairs])
            expected = split_means(losses, found_features.task)
            np.testing.assert_allclose(found["loss"][head, index], expected, rtol=1e-5)


def test_an_empty_split_and_nan_weights_have_no_loss() -> None:
    weights = lively(P)
    found = compute("head_ablation", features(weights, P, frac_train=0.999999))
    assert np.isfinite(found["loss"][..., 0]).all()
    weights["blocks.0.mlp.W_in"][0, 0] = float("nan")
    assert np.isnan(compute("head_ablation", features(weights, P))["loss"]).all()


# --- specialisation ----------------------------------------------------------------------------------------


def attention(frequency: list[list[int]], share: list[list[float]], keys: tuple[int, ...]) -> Any:
    """A run whose heads had these dominant frequencies and shares: rows are heads, columns checkpoints."""
    epochs = [0, 10, 30, 60, 100, 200][: len(frequency[0])]
    measured = xr.Dataset(
        {
            "dominant_frequency": (("epoch", "head", "source"), np.array(frequency).T[..., None]),
            "dominant_fraction": (("epoch", "head", "source"), np.array(share).T[..., None]),
        },
        coords={"epoch": epochs, "source": ["a"]},
    )
    is_key = np.zeros((len(epochs), len(RULES), 6))
    is_key[-1, :, [k - 1 for k in keys]] = 1
    key = xr.Dataset({"is_key": (("epoch", "rule", "freq"), is_key)}, coords={"epoch": epochs})
    return run_of({"attention_frequencies": measured, "key_frequencies": key})


def specialisation(*given: Any, **parameters: Any) -> dict[str, Any]:
    found = default_registry().get("head_specialisation").compute(attention(*given), **parameters)
    return {name: np.asarray(value) for name, value in found.items()}


STORY = (
    [[1, 2, 2, 2, 5, 5], [3, 2, 2, 2, 2, 2], [4, 4, 2, 2, 2, 2]],
    [[0.2, 0.6, 0.7, 0.8, 0.8, 0.9], [0.1, 0.2, 0.6, 0.9, 0.9, 0.9], [0.9, 0.4, 0.5, 0.9, 0.9, 0.9]],
    (2, 5),
)


def test_consensus_and_diversification_of_a_planted_story() -> None:
    found = specialisation(*STORY)
    assert found["frequency"].T.tolist() == [[0, 2, 2, 2, 5, 5], [0, 0, 2, 2, 2, 2], [4, 0, 2, 2, 2, 2]]
    assert found["agreement"].tolist() == [1, 1, 3, 3, 2, 2]
    assert found["agreed_frequency"].tolist() == [4, 2, 2, 2, 2, 2]
    assert found["distinct"].tolist() == [1, 1, 1, 1, 2, 2]
    assert found["event"].tolist() == ["agreement", "diversification"]
    assert found["lower"].tolist() == [10, 60]
    assert found["upper"].tolist() == [30, 100]
    assert found["specialised_lower"].tolist() == [60, 10, 10]
    assert found["specialised_upper"].tolist() == [100, 30, 30]
    assert found["switches"].tolist() == [1, 0, 1]
    np.testing.assert_allclose(found["chance"], [1, 1, 0.25, 0.25, 1, 1])


def test_what_never_happened_and_what_was_there_at_once() -> None:
    frequency, _, keys = STORY
    never = specialisation(frequency, np.zeros((3, 6)).tolist(), keys)
    for name in ("lower", "upper", "specialised_upper", "chance"):
        assert np.isnan(never[name]).all()
    assert never["agreement"].tolist() == [0] * 6
    ever = specialisation([[3] * 4, [3] * 4], np.ones((2, 4)).tolist(), (3,))
    assert np.isnan(ever["lower"][0])
    assert ever["upper"][0] == 0
    assert np.isnan(ever["upper"][1])
    assert np.isnan(ever["specialised_lower"]).all()
    assert ever["specialised_upper"].tolist() == [0, 0]
    assert ever["chance"].tolist() == [1] * 4
    with pytest.raises(BadParameter, match=r"threshold=1\.2"):
        specialisation(*STORY, threshold=1.2)
    assert specialisation(*STORY, threshold=0.85)["frequency"].T.tolist()[0] == [0, 0, 0, 0, 0, 5]


@pytest.mark.parametrize(("heads", "frequencies"), [(2, 2), (4, 4), (3, 5), (5, 2)])
def test_the_chance_of_agreement_is_that_of_counting(heads: int, frequencies: int) -> None:
    draws = list(itertools.product(range(frequencies), repeat=heads))
    for size in range(1, heads + 2):
        hits = sum(max(map(draw.count, draw)) >= size for draw in draws)
        assert chance_of_agreement(heads, frequencies, size) == pytest.approx(hits / len(draws))


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("samples") / "workspace", create=True)
    workspace.add_samples()
    return workspace


def test_the_heads_of_a_shipped_run(samples: Workspace) -> None:
    variant, service = samples["p113-s999-d598"], AnalyzerService()
    scores = service.on_demand(variant, 25000, "query_scores")
    assert scores["dominant_frequency"].values.tolist() == [38, 55, 9, 9]
    np.testing.assert_allclose(scores["dominant_share"], [0.952, 0.982, 0.971, 0.395], atol=0.002)
    assert (scores["self_attention"] < 0.003).all()  # = does not look at itself, and
    assert (scores["linearity"] > 0.97).all()  # the softmax works as a straight line
    paths = service.on_demand(variant, 25000, "value_paths")["share"].sel(head=1, freq=55)
    np.testing.assert_allclose(paths, [0.837, 0.974], atol=0.003)


def test_every_head_of_a_shipped_run_is_needed(samples: Workspace) -> None:
    found = AnalyzerService().on_demand(samples["p113-s999-d598"], 25000, "head_ablation")
    lost = found["loss"].sel(ablation="zero", split="all")
    np.testing.assert_allclose(lost, [0.3048, 3.8886, 1.1141, 1.5276], rtol=0.002)
    np.testing.assert_allclose(found["loss_all_heads"].sel(split="all"), [31.34, 17.59], rtol=0.002)


def test_three_heads_of_a_shipped_run_agree_at_its_turn_and_part_after_it(samples: Workspace) -> None:
    variant, service = samples["p113-s485-d598"], AnalyzerService()
    epochs = [8900, 9100, 9400, 9600, 14700, 25000]
    measured = [
        service.on_demand(variant, epoch, "attention_frequencies")[
            ["dominant_frequency", "dominant_fraction"]
        ]
        for epoch in epochs
    ]
    key = service.on_demand(variant, 25000, "key_frequencies")[["is_key"]].expand_dims("epoch")
    artifacts = {"attention_frequencies": xr.concat(measured, "epoch"), "key_frequencies": key}
    found = default_registry().get("head_specialisation").compute(run_of(artifacts))
    assert np.array(found["agreement"]).tolist() == [1, 1, 3, 3, 1, 2]
    assert found["agreed_frequency"][2:4] == [36, 36]
    assert found["lower"] == [9100, 9600]
    assert found["upper"] == [9400, 14700]
    assert found["frequency"][-1].tolist() == [36, 53, 36, 27]
    assert found["chance"][2] == pytest.approx(1 / 3)  # 4 heads, 3 frequencies: no wonder
