"""Progress measures on the logits: planted waves, brute force, symmetries, and what is not a number."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from computing import arrays, compute, features, moved, relabelled
from grid_oracle import cross_entropy as slow_cross_entropy
from grid_oracle import grid
from tiny_model import random_weights

from analyzers.cross_entropy import cross_entropy, loss_and_margin, split_means
from analyzers.excluded_loss import losses_without
from analyzers.features import Features
from analyzers.key_frequencies import RULES, by_clusters, by_norm, chosen
from analyzers.registry import default_registry

PROTOCOLS = ("sum_directions", "block_2x2", "block_3x3")
SPLITS = ("train", "test", "all")


def keys_table(p: int, keys: tuple[int, ...], rule: str = "neuron_blocks") -> np.ndarray:
    table = np.zeros((3, (p - 1) // 2), dtype=np.int8)
    table[RULES.index(rule), [k - 1 for k in keys]] = 1
    return table


def given_keys(found: Features, last: tuple[int, ...], live: tuple[int, ...] = (1,)) -> Features:
    found.finals["key_frequencies"] = {"is_key": keys_table(found.p, last)}
    found.needs["key_frequencies"] = {"is_key": keys_table(found.p, live)}
    return found


def run(name: str, found: Features) -> dict[str, Any]:
    instrument = default_registry().get(name)
    returned = instrument.compute(found, **instrument.with_defaults({}))
    return {key: np.asarray(value) for key, value in returned.items()}


def planted(p: int, logits: np.ndarray, **params: Any) -> Features:
    """Features of a model whose logits are the given ones, [p, p, p]."""
    found = features(random_weights(p), p, **params)
    found.__dict__["logits"] = logits.reshape(p * p, p)
    return found


def axes(p: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    return np.meshgrid(np.arange(p), np.arange(p), np.arange(p), indexing="ij")


def waves(p: int, alpha: dict[int, float], sign: int = 1) -> np.ndarray:
    a, b, c = axes(p)
    return sum(size * np.cos(2 * np.pi * k * (a + sign * b - c) / p) for k, size in alpha.items())


# --- the one cross-entropy -------------------------------------------------------------------------------


def test_cross_entropy_agrees_with_exact_sums_over_any_leading_axes() -> None:
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(0, 30, (2, 7, 5)), rng.integers(0, 5, 7)
    found = cross_entropy(logits, labels)
    for i in range(2):
        for n in range(7):
            assert found[i, n] == pytest.approx(slow_cross_entropy(logits[i, n], labels[n]), rel=1e-12)
    tiny = cross_entropy(np.array([[60.0, 0, 1]]), np.array([0]))
    assert tiny[0] == pytest.approx((1 + math.e) * math.exp(-60), rel=1e-12, abs=0)
    logits.setflags(write=False)
    np.testing.assert_array_equal(cross_entropy(logits, labels), found)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_logit_that_is_not_finite_spoils_its_own_input_only(bad: float) -> None:
    for column in (0, 2):
        logits = np.zeros((3, 4))
        logits[1, column] = bad
        loss, margin = loss_and_margin(logits, np.array([0, 0, 0]))
        assert np.isnan(loss[1])
        assert np.isnan(margin[1])
        assert loss[[0, 2]] == pytest.approx(math.log(4))


def test_the_mean_of_an_empty_split_is_undefined() -> None:
    task = features(random_weights(11), 11, frac_train=1).task
    train, test, everything = split_means(np.arange(121.0), task)
    assert math.isnan(test)
    assert train == everything == 60


@pytest.mark.parametrize("scale", [1.0, 30.0, 900.0])
def test_factorised_losses_are_the_direct_ones_even_where_exponentials_underflow(scale: float) -> None:
    rng = np.random.default_rng(1)
    logits, tables = scale * rng.normal(size=(40, 7)), scale * rng.normal(size=(3, 7, 7))
    labels, residues = rng.integers(0, 7, 40), rng.integers(0, 7, 40)
    found = losses_without(logits, labels, residues, tables)
    for n in range(40):
        for m in range(3):
            expected = slow_loss(logits[n] - tables[m, residues[n]], labels[n])
            assert found[n, m] == pytest.approx(expected, rel=1e-11)


def slow_loss(logits: np.ndarray, label: int) -> float:
    """Cross-entropy of logits of any size."""
    lead = [float(value - logits[label]) for value in logits]
    top = max(lead)
    if top == 0:
        return slow_cross_entropy(logits, label)
    return top + math.log(math.fsum(math.exp(value - top) for value in lead))


# --- key frequencies -------------------------------------------------------------------------------------


def test_the_rules_have_their_thresholds() -> None:
    assert by_norm(np.array([4.0, 1.0, 1.01, 0.2])).tolist() == [True, False, True, False]
    assert not by_norm(np.array([1.0, np.nan])).any()
    assert not by_norm(np.zeros(3)).any()
    assert by_clusters(np.array([90, 10, 9, 0]), 500).tolist() == [True, False, False, False]
    assert by_clusters(np.array([90, 10, 0]), 500).tolist() == [True, True, False]
    assert not by_clusters(np.array([9, 0]), 100).any()
    assert not by_clusters(np.zeros(2, int), 0).any()


def test_the_chosen_rule_falls_back_on_the_embedding() -> None:
    table = keys_table(11, (2, 5)) + keys_table(11, (1,), "embedding_norm")
    assert chosen(table).tolist() == [2, 5]
    assert chosen(table, "embedding_norm").tolist() == [1]
    assert chosen(table, "neuron_logit_map").tolist() == [1]
    assert chosen(np.zeros((3, 5))).tolist() == []


def test_key_frequencies_of_a_planted_model_are_found_by_each_rule() -> None:
    p, k = 13, 4
    weights = {name: torch.zeros_like(tensor) for name, tensor in random_weights(p).items()}
    angle = 2 * torch.pi * k * torch.arange(p) / p
    weights["embed.W_E"][:p, 0], weights["embed.W_E"][:p, 1] = torch.cos(angle), torch.sin(angle)
    weights["embed.W_E"][:p, 2] = 0.2 * torch.cos(angle / k)
    weights["blocks.0.attn.W_V"][0, :2, :2] = weights["blocks.0.attn.W_O"][0, :2, :2] = torch.eye(2)
    weights["blocks.0.mlp.W_in"][:2, :6] = torch.randn(2, 6, generator=torch.Generator().manual_seed(0))
    weights["blocks.0.mlp.W_out"][:6, 0] = 1.0
    weights["unembed.W_U"][0] = torch.cos(3 * angle / k)
    found = compute("key_frequencies", features(weights, p))
    assert found["rule"].tolist() == list(RULES)
    keys = {
        rule: (np.flatnonzero(row) + 1).tolist() for rule, row in zip(RULES, found["is_key"], strict=True)
    }
    assert keys == {"embedding_norm": [4], "neuron_logit_map": [3], "neuron_blocks": [4]}
    np.testing.assert_allclose(
        found["strength"][:, [0, 2, 3]], [[0.2 / 2**0.5, 0, 1], [0, 1, 0], [0, 0, 1]], atol=1e-6
    )


def test_a_random_model_has_nearly_all_frequencies_by_norm_and_none_by_neurons() -> None:
    found = compute("key_frequencies", features(random_weights(31), 31))
    counts = found["is_key"].sum(axis=1)
    assert counts[0] == counts[1] == 15
    assert counts[2] == 0


# --- restricted and excluded loss ------------------------------------------------------------------------


def directions(p: int, k: int, protocol: str) -> list[np.ndarray]:
    """Unit maps [p, p] of frequency k, from their definitions."""
    w = 2 * math.pi * k / p
    one = {"cos": math.cos, "sin": math.sin}
    if protocol == "sum_directions":
        maps = [[[f(w * (a + b)) for b in range(p)] for a in range(p)] for f in one.values()]
    else:
        maps = [
            [[f(w * a) * g(w * b) for b in range(p)] for a in range(p)]
            for f in one.values()
            for g in one.values()
        ]
        if protocol == "block_3x3":
            maps += [[[f(w * a)] * p for a in range(p)] for f in one.values()]
            maps += [[[f(w * b) for b in range(p)]] * p for f in one.values()]
    return [np.array(values) / np.linalg.norm(values) for values in maps]


def projected(logits: np.ndarray, p: int, keys: tuple[int, ...], protocol: str) -> np.ndarray:
    part = np.zeros_like(logits)
    for c in range(p):
        for k in keys:
            for direction in directions(p, k, protocol):
                part[:, :, c] += (direction * logits[:, :, c]).sum() * direction
    return part


def mean_losses(logits: np.ndarray, p: int, split: dict[str, list[int]]) -> list[float]:
    return [
        float(np.mean([slow_cross_entropy(logits[divmod(n, p)], sum(divmod(n, p)) % p) for n in rows]))
        for rows in split.values()
    ]


@pytest.mark.parametrize(("p", "last", "live"), [(11, (2, 5), (1, 3, 4)), (13, (6,), (6,))])
def test_the_losses_agree_with_brute_force(p: int, last: tuple[int, ...], live: tuple[int, ...]) -> None:
    weights = {name: 3 * tensor for name, tensor in random_weights(p).items()}
    logits = grid(arrays(weights), p)["logits"]
    order = torch.randperm(p * p, generator=torch.Generator().manual_seed(5)).tolist()
    count = int(0.37 * p * p)
    split = dict(zip(SPLITS, (order[:count], order[count:], order), strict=True))
    found = run("progress_losses", given_keys(features(weights, p, frac_train=0.37, data_seed=5), last, live))
    assert found["protocol"].tolist() == list(PROTOCOLS)
    assert found["split"].tolist() == list(SPLITS)
    for i, protocol in enumerate(PROTOCOLS):
        for ending, keys in (("", last), ("_live", live)):
            part = projected(logits, p, keys, protocol)
            restricted = mean_losses(part + logits.mean((0, 1)), p, split)
            np.testing.assert_allclose(found[f"restricted_loss{ending}"][i], restricted, rtol=1e-9)
            excluded = mean_losses(logits - part, p, split)
            np.testing.assert_allclose(found[f"excluded_loss{ending}"][i], excluded, rtol=1e-9)
    single = [
        mean_losses(logits - projected(logits, p, (k,), "sum_directions"), p, split)[0]
        for k in range(1, (p + 1) // 2)
    ]
    np.testing.assert_allclose(found["excluded_by_frequency"], single, rtol=1e-9)
    assert found["max_excluded_loss"] == pytest.approx(max(single))
    assert found["max_excluded_frequency"] == np.argmax(single) + 1
    assert (np.flatnonzero(found["key_used"]) + 1).tolist() == list(last)
    assert (np.flatnonzero(found["key_used_live"]) + 1).tolist() == list(live)


@pytest.mark.parametrize(("operation", "sign"), [("add", 1), ("subtract", -1)])
def test_of_pure_waves_restricted_is_the_whole_loss_and_excluded_is_chance(operation: str, sign: int) -> None:
    p = 13
    logits = waves(p, {2: 6.0, 5: 4.0}, sign)
    found = given_keys(planted(p, logits, operation=operation), (2, 5), (2,))
    losses = run("progress_losses", found)
    model = cross_entropy(found.logits, found.task.labels)
    assert model.std() < 1e-12  # the same for every input
    np.testing.assert_allclose(losses["restricted_loss"], model.mean(), rtol=1e-9)
    np.testing.assert_allclose(losses["excluded_loss"], math.log(p), rtol=1e-12)
    alone = cross_entropy(waves(p, {5: 4.0}, sign).reshape(-1, p), found.task.labels).mean()
    np.testing.assert_allclose(losses["excluded_loss_live"], alone, rtol=1e-9)
    expected = np.full(6, model.mean())
    expected[[1, 4]] = (
        cross_entropy(waves(p, {5: 4.0}).reshape(-1, p), features({}, p).task.labels).mean(),
        (cross_entropy(waves(p, {2: 6.0}).reshape(-1, p), features({}, p).task.labels).mean()),
    )
    np.testing.assert_allclose(losses["excluded_by_frequency"], expected, rtol=1e-9)


def test_the_protocols_tell_waves_of_the_sum_from_the_rest_of_their_block() -> None:
    p, k = 13, 3
    a, b, c = axes(p)
    w = 2 * np.pi * k / p
    unbalanced = 12 * np.cos(w * a) * np.cos(w * b) * np.cos(w * c)  # half a + b, half a - b
    linear = 5 * np.cos(w * a) * np.sin(w * c)
    crossed = 4 * np.cos(w * a) * np.cos(2 * w * b) * np.sin(w * c)
    losses = run("progress_losses", given_keys(planted(p, unbalanced + linear + crossed), (3, 6), (3,)))
    halves = 6 * np.cos(w * (a + b)) * np.cos(w * c)
    labels = features({}, p).task.labels
    for i, part in enumerate((halves, unbalanced, unbalanced + linear)):
        restricted = cross_entropy(part.reshape(-1, p), labels).mean()
        excluded = cross_entropy((unbalanced + linear + crossed - part).reshape(-1, p), labels).mean()
        assert losses["restricted_loss"][i, 2] == pytest.approx(restricted)
        assert losses["excluded_loss"][i, 2] == pytest.approx(excluded)


def test_restricted_adds_the_mean_of_each_class_and_excluded_corrects_nothing() -> None:
    p = 11
    bias = 3.0 * np.arange(p)
    losses = run("progress_losses", given_keys(planted(p, waves(p, {1: 5.0}) + bias), (1,)))
    labels = features({}, p).task.labels
    whole = cross_entropy((waves(p, {1: 5.0}) + bias).reshape(-1, p), labels).mean()
    np.testing.assert_allclose(losses["restricted_loss"][:, 2], whole, rtol=1e-9)
    rest = cross_entropy(np.tile(bias, (p * p, 1)), labels).mean()
    np.testing.assert_allclose(losses["excluded_loss"][:, 2], rest, rtol=1e-9)


def test_without_key_frequencies_excluded_is_the_model() -> None:
    found = given_keys(planted(11, waves(11, {1: 5.0})), ())
    losses, model = run("progress_losses", found), cross_entropy(found.logits, found.task.labels).mean()
    np.testing.assert_allclose(losses["excluded_loss"], model)
    np.testing.assert_allclose(losses["restricted_loss"], math.log(11))


# --- the fit of the logits -------------------------------------------------------------------------------


def test_pure_waves_are_explained_wholly_with_their_coefficients() -> None:
    p, alpha = 13, {1: 3.0, 4: -0.5, 6: 1.25}
    found = run("logit_fit", given_keys(planted(p, waves(p, alpha)), (1, 6)))
    np.testing.assert_allclose(found["alpha"], [3, 0, 0, -0.5, 0, 1.25], atol=1e-12)
    np.testing.assert_allclose(found["fve"], 1)
    labels = features({}, p).task.labels
    for terms, part in zip(("all", "key"), (alpha, {1: 3.0, 6: 1.25}), strict=True):
        loss = cross_entropy(waves(p, part).reshape(-1, p), labels).mean()
        np.testing.assert_allclose(found["trig_loss"][found["terms"].tolist().index(terms)], loss, rtol=1e-9)
    share = (9 + 1.25**2) / (9 + 0.25 + 1.25**2)
    assert found["sum_share"] == found["block_share"] == pytest.approx(share)
    assert found["difference_share"] == pytest.approx(0, abs=1e-12)
    assert found["sum_content"].sum() == pytest.approx(1)


def test_what_the_softmax_ignores_lowers_the_raw_fit_only() -> None:
    p = 11
    a, b, _ = axes(p)
    constant = 2.0 * np.cos(2 * np.pi * (a + 3 * b) / p) + 1.5 * np.arange(p) * np.ones((p, p, 1)) / p
    raw, centred = run("logit_fit", given_keys(planted(p, waves(p, {2: 1.0}) + constant), (2,)))["fve"]
    assert centred == pytest.approx(1)
    assert raw == pytest.approx(0.5 / (0.5 + constant.var()))


def test_half_of_an_unbalanced_block_is_waves_of_the_difference() -> None:
    p = 13
    a, b, c = axes(p)
    w = 2 * np.pi * 2 / p
    logits = np.cos(w * a) * np.cos(w * b) * np.cos(w * c) + np.sin(w * a) * np.cos(w * b) * np.sin(w * c)
    for operation in ("add", "subtract"):
        found = run("logit_fit", given_keys(planted(p, logits, operation=operation), (2,)))
        assert found["block_share"] == pytest.approx(1)
        assert [found["sum_share"], found["difference_share"]] == pytest.approx([0.5, 0.5])
        assert found["fve"][1] == pytest.approx(0.5)


def test_the_fit_is_that_of_least_squares() -> None:
    p = 11
    weights = random_weights(p)
    logits = grid(arrays(weights), p)["logits"]
    found = run("logit_fit", given_keys(features(weights, p), (2, 4)))
    columns = np.stack([waves(p, {k: 1.0}).ravel() for k in range(1, 6)], axis=1)
    double = logits - logits.mean(2, keepdims=True)
    double -= double.mean((0, 1))
    for target, share in zip((logits - logits.mean(), double), found["fve"], strict=True):
        alpha, residual, *_ = np.linalg.lstsq(columns, target.ravel(), rcond=None)
        np.testing.assert_allclose(found["alpha"], alpha, rtol=1e-7, atol=1e-12)
        assert share == pytest.approx(1 - residual[0] / (target**2).sum(), rel=1e-6)
    for k in (2, 4):
        energy = sum((projected(double, p, (k,), protocol) ** 2).sum() for protocol in ("sum_directions",))
        block = (projected(double, p, (k,), "block_2x2") ** 2).sum()
        assert found["sum_content"][k - 1] == pytest.approx(energy / (double**2).sum())
        both = found["sum_content"][k - 1] + found["difference_content"][k - 1]
        assert both == pytest.approx(block / (double**2).sum())


def test_random_logits_are_not_waves() -> None:
    found = run(
        "logit_fit", given_keys(planted(31, np.random.default_rng(0).normal(size=(31, 31, 31))), (3, 9))
    )
    assert found["fve"].max() < 0.002
    assert found["block_share"] < 0.01


# --- symmetries ------------------------------------------------------------------------------------------

EVERYTHING = {"frac_train": 1}


def test_renaming_tokens_moves_frequencies_and_keeps_losses() -> None:
    p, u = 13, 5
    weights = random_weights(p)
    image = [moved(k, p, u) for k in range(1, 7)]
    before = given_keys(features(weights, p, **EVERYTHING), (1, 4))
    keys = tuple(sorted(image[k - 1] + 1 for k in (1, 4)))
    after = given_keys(features(relabelled(weights, p, u), p, **EVERYTHING), keys)
    one, two = run("progress_losses", before), run("progress_losses", after)
    np.testing.assert_allclose(two["excluded_by_frequency"][image], one["excluded_by_frequency"], rtol=1e-9)
    for name in ("restricted_loss", "excluded_loss"):
        np.testing.assert_allclose(two[name][:, 2], one[name][:, 2], rtol=1e-9)
    one, two = run("logit_fit", before), run("logit_fit", after)
    for name in ("alpha", "sum_content", "difference_content"):
        np.testing.assert_allclose(two[name][image], one[name], rtol=1e-6, atol=1e-12)
    np.testing.assert_allclose(two["fve"], one["fve"], rtol=1e-6)


def test_swapping_a_and_b_and_permuting_neurons_change_nothing_on_the_whole_grid() -> None:
    p = 11
    weights, order = random_weights(p), torch.randperm(24, generator=torch.Generator().manual_seed(3))
    swapped = {**weights, "pos_embed.W_pos": weights["pos_embed.W_pos"][[1, 0, 2]]}
    permuted = {**weights, "blocks.0.mlp.W_in": weights["blocks.0.mlp.W_in"][:, order]}
    permuted["blocks.0.mlp.W_out"] = weights["blocks.0.mlp.W_out"][order]
    for name in ("progress_losses", "logit_fit"):
        one, *others = (
            run(name, given_keys(features(found, p, **EVERYTHING), (2, 5), (1,)))
            for found in (weights, swapped, permuted)
        )
        for output in default_registry().get(name).outputs:
            for other in others:
                np.testing.assert_allclose(other[output], one[output], rtol=1e-8, atol=1e-12, err_msg=output)


# --- what is not a number, and what is not there ---------------------------------------------------------


@pytest.mark.parametrize("name", ["progress_losses", "logit_fit", "key_frequencies"])
def test_weights_that_are_not_numbers_give_undefined_values(name: str) -> None:
    weights = random_weights(11)
    weights["blocks.0.mlp.W_out"][3, 5] = float("nan")
    found = compute(name, features(weights, 11))
    if name == "key_frequencies":
        assert found["is_key"][1].sum() == 0
        assert found["is_key"][0].sum() > 0
        return
    floats = [output for output in found if found[output].dtype.kind == "f"]
    assert floats
    for output in floats:
        assert np.isnan(found[output]).all(), output


def test_an_unknown_split_leaves_the_whole_grid() -> None:
    found = compute("progress_losses", features(random_weights(11), 11, split="unknown"))
    for output in ("restricted_loss", "excluded_loss", "restricted_loss_live", "excluded_loss_live"):
        assert np.isnan(found[output][:, :2]).all()
        assert np.isfinite(found[output][:, 2]).all()
    assert np.isnan(found["excluded_by_frequency"]).all()
    assert found["max_excluded_frequency"] == 0
