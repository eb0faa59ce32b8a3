"""Commitment, transient frequencies, homeless neurons, order of frequencies, and the lottery."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from scipy.stats import spearmanr
from tiny_model import random_weights

from analyzers.commitment import Commitment, commitment, order_of_groups
from analyzers.lottery import predict, rank_of_final, scores
from analyzers.registry import default_registry
from data.errors import BadParameter, WorkbenchError
from training.families import modular_addition

EPOCHS = np.array([0, 10, 40, 100, 300])


def history(rows: list[list[int]], share: float = 0.9, **given: Any) -> Commitment:
    """`rows`: per neuron the frequency at each checkpoint, 0 for a share below the threshold."""
    k = np.array(rows).T
    dominant = np.where(k > 0, k, 7)  # something is always dominant
    shares = np.where(k > 0, share, 0.2)
    return commitment(dominant, shares, EPOCHS, 8, 0.5, **given)


def test_the_histories_of_single_neurons() -> None:
    found = history(
        [
            [3, 3, 3, 3, 3],  # from the first checkpoint on
            [0, 2, 2, 5, 5],  # one switch
            [2, 0, 5, 0, 5],  # a switch across a gap, and a dip before the end
            [0, 0, 0, 0, 4],  # at the last moment
            [4, 0, 4, 4, 0],  # lost at the end
            [0, 0, 0, 0, 0],  # never
            [2, 5, 2, 5, 3],
        ]
    )
    assert found.switch_count.tolist() == [0, 1, 1, 0, 0, 0, 4]
    np.testing.assert_array_equal(found.epoch, [0, 100, 300, 300, np.nan, np.nan, 300])
    np.testing.assert_array_equal(found.lower, [np.nan, 40, 100, 100, np.nan, np.nan, 100])
    assert found.final.tolist() == [3, 5, 5, 4, 0, 0, 3]
    assert found.last.tolist() == [3, 5, 5, 4, 4, 0, 3]


def test_transient_frequencies_and_homeless_neurons() -> None:
    rows = [[6, 6, 6, 0, 0]] * 3 + [[0, 6, 6, 2, 2]] * 2 + [[2, 2, 2, 2, 0]] + [[0, 0, 2, 2, 2]] * 2
    found = history(rows, members=0.25)  # of 8 neurons: 2
    assert found.least == 2
    assert found.peak[5] == 5
    assert found.peak_epoch[5] == 10
    assert found.final_count[[1, 5]].tolist() == [4, 0]
    assert (np.flatnonzero(found.transient) + 1).tolist() == [6]
    # the first three lost 6, which died; the sixth lost 2, which lives on
    assert found.homeless.tolist() == [True] * 3 + [False] * 5
    declining = history([[6] * 5] * 3 + [[6, 6, 0, 0, 0]] * 2, members=0.8)
    assert declining.least == 4
    assert not declining.transient.any()  # 3 of 5 are left: more than half


def test_the_threshold_is_reached_by_equality_and_nan_holds_nothing() -> None:
    share = np.array([[0.5, np.nan]] * 3)
    found = commitment(np.full((3, 2), 2), share, EPOCHS[:3], 4, 0.5)
    assert found.held[:, 0].tolist() == [2, 2, 2]
    assert found.held[:, 1].tolist() == [0, 0, 0]
    assert np.isnan(found.epoch[1])


def test_one_checkpoint_is_a_history() -> None:
    found = commitment(np.array([[2, 3]]), np.array([[0.9, 0.1]]), np.array([5]), 4, 0.5)
    np.testing.assert_array_equal(found.epoch, [5, np.nan])
    assert found.switch_count.tolist() == [0, 0]


def grouped(medians: dict[int, int]) -> Commitment:
    """Two neurons per frequency that settle at the checkpoint of that index."""
    rows = [[0] * index + [k] * (5 - index) for k, index in medians.items() for _ in range(2)]
    return history(rows)


@pytest.mark.parametrize("medians", [{1: 0, 3: 2, 5: 3}, {1: 4, 2: 1, 6: 1, 8: 0}, {2: 1, 3: 3, 4: 0, 7: 2}])
def test_the_rank_correlation_is_spearmans_with_all_orders_counted(medians: dict[int, int]) -> None:
    found = order_of_groups(grouped(medians))
    keys, places = np.array(list(medians)), EPOCHS[list(medians.values())]
    assert found.groups == len(keys)
    assert found.rho == pytest.approx(spearmanr(keys, places).statistic)
    null = [abs(spearmanr(list(order), places).statistic) for order in itertools.permutations(keys)]
    assert found.p_value == pytest.approx(np.mean(np.array(null) >= abs(found.rho) - 1e-9))
    assert found.p_value >= found.least == 2 / math.factorial(len(keys))


def test_too_few_groups_have_no_order() -> None:
    assert math.isnan(order_of_groups(grouped({1: 0, 3: 2})).rho)
    assert math.isnan(order_of_groups(grouped({1: 2, 3: 2, 4: 2})).p_value)  # all at once


def test_random_commitments_have_uniform_p_values() -> None:
    rng, small = np.random.default_rng(0), 0
    for _ in range(200):
        order = rng.permutation(5)
        found = order_of_groups(grouped({k + 1: int(index) for k, index in enumerate(order)}))
        small += found.p_value <= 0.1
    assert small / 200 <= 0.14


# --- instruments -----------------------------------------------------------------------------------------


class FakeRun:
    """Artifacts and checkpoints from memory."""

    family = modular_addition.NAME

    def __init__(
        self, p: int, artifacts: dict[str, xr.Dataset], checkpoints: list[Any] | None = None
    ) -> None:
        self.params = {"p": p, "seed": 0}
        self._artifacts, self._checkpoints = artifacts, checkpoints or []

    def artifact(self, name: str) -> xr.Dataset:
        return self._artifacts[name]

    def checkpoints(self) -> Iterator[Any]:
        yield from self._checkpoints


def measured(dominant: np.ndarray, share: np.ndarray, count: int) -> xr.Dataset:
    return xr.Dataset(
        {
            "dominant_frequency": (("neuron", "epoch"), dominant.T),  # in any order of dimensions
            "dominant_fraction": (("neuron", "epoch"), share.T),
        },
        coords={"epoch": EPOCHS, "neuron": np.arange(dominant.shape[1]), "freq": np.arange(1, count + 1)},
    )


def test_the_instrument_reports_the_history() -> None:
    rng = np.random.default_rng(0)
    dominant, share = rng.integers(1, 6, (5, 30)), rng.uniform(0, 1, (5, 30))
    run = FakeRun(11, {"neuron_frequencies": measured(dominant, share, 5)})
    instrument = default_registry().get("neuron_commitment")
    found = instrument.compute(run, threshold=0.3, members=0.05)
    expected = commitment(dominant, share, EPOCHS, 5, 0.3, 0.05)
    np.testing.assert_array_equal(found["commitment_epoch"], expected.epoch)
    np.testing.assert_array_equal(found["final_count"], expected.final_count)
    assert found["n_homeless"] == expected.homeless.sum()
    assert found["n_transient"] == expected.transient.sum()
    for bad in ({"threshold": 0.0}, {"threshold": 1.5}, {"members": 0.0}):
        with pytest.raises(BadParameter, match=next(iter(bad))):
            instrument.compute(run, **bad)


def test_scores_of_the_three_rules() -> None:
    amplitude_in, amplitude_out = np.array([[2.0], [1.0]]), np.array([[1.0], [3.0]])
    wrong = np.array([[0.0], [math.pi / 3]])
    found = scores(amplitude_in, amplitude_out, wrong)
    np.testing.assert_allclose(found[:, :, 0], [[2, 1.5], [0, -math.pi / 3], [2, 3]])


def test_a_perfect_and_a_useless_prediction() -> None:
    rng = np.random.default_rng(0)
    final = rng.integers(1, 5, 200)
    every = np.ones(6, dtype=bool)
    sure = predict(np.eye(6)[:, final - 1], final, every)
    assert (sure.accuracy, sure.p_value) == (1.0, pytest.approx(1 / 2001))
    assert sure.chance == pytest.approx(0.25, abs=0.03)
    blind = [predict(rng.normal(size=(6, 200)), final, every) for _ in range(40)]
    assert np.mean([each.accuracy for each in blind]) == pytest.approx(1 / 6, abs=0.02)
    assert np.mean([each.p_value <= 0.1 for each in blind]) <= 0.25
    assert np.mean([each.chance_upper for each in blind]) > 1 / 6


def test_candidates_and_neurons_that_do_not_count() -> None:
    score = np.array([[3.0, 1.0, np.nan], [2.0, 2.0, 1.0], [1.0, 3.0, 1.0]])
    only = predict(score, np.array([2, 0, 1]), np.array([False, True, True]))
    assert only.predicted.tolist() == [2, 3, 0]
    assert only.accuracy == 1.0  # of the one neuron that has both a prediction and a final frequency
    none = predict(score, np.zeros(3, dtype=int), np.zeros(3, dtype=bool))
    assert none.predicted.tolist() == [0, 0, 0]
    assert math.isnan(none.accuracy)


def test_the_rank_of_the_final_frequency() -> None:
    score = np.array([[3.0, 1.0, np.nan], [2.0, 2.0, 1.0], [1.0, 3.0, 1.0]])
    np.testing.assert_array_equal(rank_of_final(score, np.array([1, 2, 1])), [1, 0.5, np.nan])
    np.testing.assert_array_equal(rank_of_final(score, np.array([3, 0, 2])), [0, np.nan, 0])
    noise = np.random.default_rng(0).normal(size=(20, 5000))
    assert rank_of_final(noise, np.full(5000, 4)).mean() == pytest.approx(0.5, abs=0.02)


def lottery(weights: dict[str, Any], final: np.ndarray, p: int) -> dict[str, np.ndarray]:
    committed = xr.Dataset({"final_frequency": ("neuron", final)}, coords={"neuron": np.arange(len(final))})
    arrays = {name: tensor.float().numpy() for name, tensor in weights.items()}
    later = {name: values * 0 for name, values in arrays.items()}
    run = FakeRun(p, {"neuron_commitment": committed}, [(3, arrays), (9, later)])
    found = default_registry().get("neuron_lottery").compute(run)
    return {name: np.asarray(value) for name, value in found.items()}


def test_a_rigged_lottery_is_seen_through() -> None:
    """Every neuron starts with one strong, aligned wave and ends on it."""
    p = 13
    weights = {name: torch.zeros_like(tensor) for name, tensor in random_weights(p).items()}
    angle = 2 * torch.pi * torch.arange(p) / p
    final = np.arange(24) % 4 + 2
    for k in range(1, 7):
        weights["embed.W_E"][:p, 2 * k - 2] = torch.cos(k * angle)
        weights["embed.W_E"][:p, 2 * k - 1] = -torch.sin(k * angle)
        weights["unembed.W_U"][2 * k - 2] = torch.cos(k * angle)
        weights["unembed.W_U"][2 * k - 1] = -torch.sin(k * angle)
    for head in range(2):
        weights["blocks.0.attn.W_V"][head, 8 * head : 8 * head + 8] = torch.eye(8)
        weights["blocks.0.attn.W_O"][head, :, 8 * head : 8 * head + 8] = torch.eye(8)
    rng = np.random.default_rng(1)
    for m, k in enumerate(final.tolist()):
        for other in range(1, 7):
            size, phase = (1.0, rng.uniform(-3, 3)) if other == k else (0.2, rng.uniform(-3, 3))
            wrong = 0.0 if other == k else 2.5
            for row, part in ((2 * other - 2, np.cos), (2 * other - 1, np.sin)):
                weights["blocks.0.mlp.W_in"][row, m] = size * part(phase)
                weights["blocks.0.mlp.W_out"][m, row] = size * part(2 * phase - wrong)
    found = lottery(weights, final, p)
    assert found["start_epoch"] == 3
    np.testing.assert_allclose(found["accuracy"], 1)
    np.testing.assert_allclose(found["rank"], 1)
    np.testing.assert_allclose(found["initial_misalignment"], 0, atol=1e-5)
    assert (found["initial_size"] > 3).all()
    assert (found["p_value"] < 0.01).all()


def test_an_honest_lottery_is_not_predicted() -> None:
    p = 13
    final = np.random.default_rng(5).integers(0, 7, 24)
    found = lottery(random_weights(p), final, p)
    assert (found["p_value"] > 0.005).all()
    assert (found["accuracy"] < 0.6).all()
    assert found["neurons"] == (final > 0).sum()
    assert np.isnan(found["rank"][:, final == 0]).all()


def test_a_run_without_checkpoints_has_no_lottery() -> None:
    committed = xr.Dataset({"final_frequency": ("neuron", np.ones(3, int))}, coords={"neuron": range(3)})
    with pytest.raises(WorkbenchError, match="No checkpoint"):
        default_registry().get("neuron_lottery").compute(FakeRun(11, {"neuron_commitment": committed}))
