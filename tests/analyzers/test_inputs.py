"""What is answered to which input, against loops over the full model, planted errors and a run."""

from __future__ import annotations

import cmath
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from grid_oracle import cross_entropy, grid
from tiny_model import random_weights

from analyzers.features import Features
from analyzers.instruments.error_structure import concentration
from analyzers.pipeline import analyze
from analyzers.registry import default_registry
from analyzers.run import Run
from analyzers.service import AnalyzerService
from data import Variant, Workspace
from training.families import modular_addition

Weights = dict[str, torch.Tensor]

P = 11


def features(weights: Weights, **params: Any) -> Features:
    return Features(weights, modular_addition.NAME, {"p": P, "seed": 0, "frac_train": 0.37, **params})


def compute(name: str, found: Features, **parameters: Any) -> dict[str, np.ndarray]:
    instrument = default_registry().get(name)
    for need in default_registry().ordered(instrument.needs):
        found.needs.setdefault(need.name, need.compute(found, **need.with_defaults({})))
    result = instrument.compute(found, **instrument.with_defaults(parameters))
    return {key: np.asarray(value) for key, value in result.items()}


@pytest.fixture(scope="module")
def expected() -> np.ndarray:
    weights = {name: tensor.double().numpy() for name, tensor in random_weights(P).items()}
    return grid(weights, P)["logits"]


def split(seed: int = 598) -> tuple[list[int], list[int]]:
    order = torch.randperm(P * P, generator=torch.Generator().manual_seed(seed)).tolist()
    return order[: int(0.37 * P * P)], order[int(0.37 * P * P) :]


# --- every input -----------------------------------------------------------------------------------------


def test_answers_confidences_and_margins_agree_with_the_full_model(expected: np.ndarray) -> None:
    found = compute("input_outcomes", features(random_weights(P)))
    for a in range(P):
        for b in range(P):
            label, cell = (a + b) % P, expected[a, b]
            assert found["error"][a, b] == (int(np.argmax(cell)) - label) % P
            assert found["confidence"][a, b] / 255 == pytest.approx(
                math.exp(-cross_entropy(cell, label)), abs=0.51 / 255
            )
            margin = cell[label] - max(value for c, value in enumerate(cell) if c != label)
            assert found["margin"][a, b] / 10 == pytest.approx(margin, abs=0.0501)
    assert (found["error"] > 0).sum() > 50


def test_a_tie_is_an_error_and_what_is_not_a_number_is_no_answer() -> None:
    own = features(random_weights(P))
    own.__dict__["logits"] = np.zeros((P * P, P))
    own.logits[5, 0] = math.nan
    found = compute("input_outcomes", own)
    flat = found["error"].ravel()
    assert flat[5] == -1
    assert (np.delete(flat, 5) > 0).all()
    assert np.isnan(compute("residue_classes", own)["loss"][:, 5]).any()


def test_the_answer_is_that_of_the_recorded_operation(expected: np.ndarray) -> None:
    found = compute("input_outcomes", features(random_weights(P), operation="multiply"))
    assert found["error"][3, 4] == (int(np.argmax(expected[3, 4])) - 12) % P


def test_random_weights_are_right_about_once_in_p() -> None:
    p = 31
    own = Features(random_weights(p), modular_addition.NAME, {"p": p, "seed": 0})
    right = (compute("input_outcomes", own)["error"] == 0).mean()
    assert right == pytest.approx(1 / p, abs=4 * math.sqrt(p) / p**2 + 0.02)
    found = compute("error_structure", own)
    assert found["spectrum"].shape == (3, 15)
    outside = (found["spectrum"] > found["spectrum_null"][:, None]).mean()
    assert outside < 0.5  # ReLU models answer a few classes most often, so it is not 5 %


# --- classes and splits ----------------------------------------------------------------------------------


def test_residue_classes_agree_with_loops_over_the_true_split(expected: np.ndarray) -> None:
    found = compute("residue_classes", features(random_weights(P), data_seed=5))
    train, test = split(seed=5)
    for index, rows in enumerate((train, test, range(P * P))):
        for residue in range(P):
            own = [divmod(row, P) for row in rows if sum(divmod(row, P)) % P == residue]
            assert found["count"][index, residue] == len(own)
            losses = [cross_entropy(expected[a, b], residue) for a, b in own]
            right = [int(np.argmax(expected[a, b])) == residue for a, b in own]
            assert found["loss"][index, residue] == pytest.approx(np.mean(losses))
            assert found["accuracy"][index, residue] == pytest.approx(np.mean(right))


def test_swapping_a_and_b_in_the_weights_transposes_the_answers() -> None:
    weights = random_weights(P)
    swapped = {**weights, "pos_embed.W_pos": weights["pos_embed.W_pos"][[1, 0, 2]]}
    one, two = (compute("input_outcomes", features(found)) for found in (weights, swapped))
    np.testing.assert_array_equal(one["error"], two["error"].T)
    one, two = (compute("residue_classes", features(found)) for found in (weights, swapped))
    np.testing.assert_allclose(one["loss"][2], two["loss"][2])


def test_without_a_split_only_the_whole_grid_is_known() -> None:
    own = features(random_weights(P), split="unknown")
    assert np.isnan(compute("residue_classes", own)["accuracy"][:2]).all()
    collapse = compute("softmax_collapse", own)["collapsed"]
    assert np.isnan(collapse[:, :2]).all()
    assert np.isfinite(collapse[:, 2]).all()
    errors = compute("error_structure", own)
    assert errors["wrong"].tolist()[:2] == [0, 0]
    assert np.isnan(errors["spectrum"][:2]).all()


# --- errors ----------------------------------------------------------------------------------------------


def planted(error: np.ndarray) -> dict[str, np.ndarray]:
    own = features(random_weights(P))
    own.needs["input_outcomes"] = {"error": error}
    return compute("error_structure", own)


def test_the_spectrum_of_errors_agrees_with_sums() -> None:
    error = np.random.default_rng(0).integers(0, P, (P, P))
    error[0, 0] = -1
    found = planted(error)
    train, _ = split()
    wrong = [e for e in (int(error.ravel()[row]) for row in train) if e > 0]
    assert found["wrong"][0] == len(wrong)
    assert found["count"][2].sum() == P * P - 1
    for k in range(1, 6):
        mean = sum(cmath.exp(2j * math.pi * k * e / P) for e in wrong) / len(wrong)
        assert found["spectrum"][0, k - 1] == pytest.approx(abs(mean))
    assert found["spectrum_null"][0] == pytest.approx(math.sqrt(-math.log(0.05) / len(wrong)))


def test_equal_errors_concentrate_fully_and_the_null_holds_for_random_ones() -> None:
    assert concentration(np.eye(P)[4]) == pytest.approx(np.ones(5))
    rng = np.random.default_rng(1)
    counts = np.stack([np.bincount(rng.integers(1, 113, 400), minlength=113) for _ in range(300)])
    above = (concentration(counts) > math.sqrt(-math.log(0.05) / 400)).mean()
    assert above == pytest.approx(0.05, abs=0.01)


def test_mirrored_errors() -> None:
    error = np.zeros((P, P), dtype=int)
    error[2, 5] = error[5, 2] = 3  # the same wrong answer
    error[1, 7], error[7, 1] = 2, 4  # both wrong, differently
    error[0, 9] = 1  # its mirror is right
    error[4, 4] = 6  # its own mirror: does not count
    found = planted(error)
    assert found["mirrored"] == pytest.approx(4 / 5)
    assert found["mirrored_alike"] == pytest.approx(2 / 5)
    assert found["mirrored_null"] == pytest.approx(5 / (P * P - P))
    assert np.isnan(planted(np.zeros((P, P), dtype=int))["mirrored"])


# --- graduation ------------------------------------------------------------------------------------------


def run_of(error: np.ndarray, epochs: list[int], **params: Any) -> dict[str, np.ndarray]:
    class Stub:
        family = modular_addition.NAME
        params: dict[str, Any]

        def artifact(self, name: str) -> xr.Dataset:
            return xr.Dataset({"error": (("epoch", "a", "b"), error)}, coords={"epoch": epochs})

    stub = Stub()
    stub.params = {"p": P, "seed": 0, "frac_train": 0.37, **params}
    found = default_registry().get("graduation").compute(stub)
    return {key: np.asarray(value) for key, value in found.items()}


def test_graduation_is_the_start_of_the_last_stretch_of_right_answers() -> None:
    epochs = [0, 10, 30, 100]
    error = np.zeros((4, P, P), dtype=int)
    error[:, 0, 1] = [1, 2, 0, 0]  # from 30
    error[:, 0, 2] = [0, 1, 0, 0]  # relapsed once, from 30
    error[:, 0, 3] = [0, 0, 0, 7]  # wrong at the end
    error[:, 0, 4] = [-1, -1, -1, 0]  # no answer is not right
    found = run_of(error, epochs)
    assert found["graduated"][0, :5].tolist() == [0, 30, 30, -1, 100]
    assert found["before"][0, :5].tolist() == [-1, 10, 10, 100, 30]
    assert found["relapses"][0, :5].tolist() == [0, 0, 1, 1, 0]
    train, test = split()
    expected = {1: 30, 2: 30, 3: math.inf, 4: 100}
    for index, rows in enumerate((train, test)):
        for column, epoch in enumerate(epochs):
            share = np.mean([expected.get(row, 0) <= epoch for row in rows])
            assert found["share"][index, column] == pytest.approx(share)
    assert found["in_train"].ravel()[train].tolist() == [1] * len(train)
    assert found["in_train"].sum() == len(train)


def test_graduation_uses_the_recorded_split_and_knows_when_there_is_none() -> None:
    error = np.zeros((2, P, P), dtype=int)
    other = run_of(error, [0, 1], frac_train=0.8)
    assert other["in_train"].sum() == int(0.8 * P * P)
    unknown = run_of(error, [0, 1], split="unknown")
    assert (unknown["in_train"] == -1).all()
    assert np.isnan(unknown["share"]).all()


# --- softmax collapse ------------------------------------------------------------------------------------


def test_collapse_begins_at_the_margin_where_the_type_rounds() -> None:
    own = features(random_weights(P), frac_train=0.5)
    for precision, (below, beyond) in enumerate([(6.0, 11.0), (14.0, 20.0), (32.0, 41.0)]):
        for margin, collapsed in ((below, 0.0), (beyond, 1.0)):
            logits = torch.zeros(P, P, P, dtype=torch.float64)
            logits.view(-1, P)[torch.arange(P * P), torch.from_numpy(own.task.labels)] = margin
            own.__dict__["grid"] = type("Grid", (), {"logits": logits})
            assert compute("softmax_collapse", own)["collapsed"][precision].tolist() == [collapsed] * 3


# --- a shipped run ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def sample(tmp_path_factory: pytest.TempPathFactory) -> Variant:
    workspace = Workspace(tmp_path_factory.mktemp("samples") / "workspace", create=True)
    workspace.add_samples()
    return workspace["p113-s999-d598"]


def test_the_story_of_a_shipped_run(sample: Variant) -> None:
    service = AnalyzerService()
    memorised, learned = (service.on_demand(sample, epoch, "input_outcomes") for epoch in (1000, 25000))
    train = service.on_demand(sample, 1000, "logits_summary")["accuracy"]
    right = memorised["error"].values == 0
    assert right.mean() == pytest.approx(float(train.sel(split="all")), abs=1e-9)
    assert (learned["error"] == 0).all()
    assert int(learned["margin"].min()) > 100  # more than ten logits
    collapse = service.on_demand(sample, 25000, "softmax_collapse")["collapsed"]
    assert 0.4 < float(collapse.sel(precision="float32", split="train")) < 0.7
    assert float(collapse.sel(precision="float64", split="all")) == 0
    half = service.on_demand(sample, 9400, "error_structure")
    assert int(half["wrong"].sel(split="train")) == 0
    assert float(half["mirrored"]) > 1.5 * float(half["mirrored_null"])  # the model treats a and b alike
    assert float(half["mirrored_alike"]) > 0.3


def test_the_pipeline_stores_little_and_finds_graduations(make_variant: Callable[..., Variant]) -> None:
    variant = make_variant()
    assert analyze(variant, ["graduation"]).failures == []
    service = AnalyzerService()
    stored = service.read(variant, "graduation")
    assert stored["share"].dims == ("split", "epoch")
    again = (
        default_registry().get("graduation").compute(Run(variant, lambda name: service.read(variant, name)))
    )
    np.testing.assert_array_equal(stored["graduated"], again["graduated"])


def test_a_checkpoint_takes_less_than_40_kb(sample: Variant, tmp_path: Path) -> None:
    from data.datasets import write_dataset

    service = AnalyzerService()
    for epoch in (0, 1000, 9400):
        path = tmp_path / f"{epoch}.zip"
        write_dataset(path, service.on_demand(sample, epoch, "input_outcomes").expand_dims("epoch"))
        assert path.stat().st_size < 45_000, epoch
