"""Scales of maps, their resampling and their null: the notes' recipe, planted waves, symmetries, samples."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from grid_oracle import grid
from tiny_model import random_weights

from analyzers.features import Features
from analyzers.registry import default_registry
from analyzers.resampling import centres, resampler
from analyzers.scales import additive_ratio, independent_ratio, low_modes, scales
from data import Workspace
from data.errors import BadParameter, WorkbenchError
from training.families import modular_addition

Array = np.ndarray
RATIOS = ("low_frequency_ratio", "variance_preserved", "variance_preserved_area")


def features(weights: dict[str, torch.Tensor], p: int) -> Features:
    return Features(weights, modular_addition.NAME, {"p": p, "seed": 0})


def compute(found: Features) -> dict[str, Array]:
    registry = default_registry()
    instrument = registry.get("multi_scale")
    for need in registry.ordered(instrument.needs):
        found.needs[need.name] = need.compute(found, **need.with_defaults({}))
    return {key: np.asarray(value) for key, value in instrument.compute(found).items()}


def by_the_notes(values: Array) -> dict[str, float]:
    """The recipe of the research notes, with a transform, a mask and an image library."""
    p = len(values)
    power = np.abs(np.fft.fftshift(np.fft.fft2(values))) ** 2
    middle = p // 2
    power[middle, middle] = 0
    y, x = np.ogrid[:p, :p]
    mask = (y - middle) ** 2 + (x - middle) ** 2 <= (0.125 * p) ** 2
    image = torch.from_numpy(np.asarray(values, dtype=float))[None, None]
    small = F.interpolate(image, size=(14, 14), mode="bilinear", align_corners=False)
    back = F.interpolate(small, size=(p, p), mode="bilinear", align_corners=False)[0, 0].numpy()
    steps = np.abs(np.diff(values, axis=1)).mean(), np.abs(np.diff(values, axis=0)).mean()
    return {
        "low_frequency_ratio": power[mask].sum() / power.sum(),
        "variance_preserved": back.var() / values.var(),
        "gradient": (steps[0] + steps[1]) / 2,
    }


def wave(p: int, k: int) -> Array:
    angle = 2 * np.pi * k * np.arange(p) / p
    return np.cos(angle + 0.4)[:, None] + np.cos(angle - 1.3)[None]


# --- against the notes' recipe ---------------------------------------------------------------------------


@pytest.mark.parametrize("p", [11, 13, 29, 113])
def test_the_measures_are_those_of_the_notes(p: int) -> None:
    rng = np.random.default_rng(p)
    smooth = np.cumsum(np.cumsum(rng.normal(size=(p, p)), axis=0), axis=1)
    maps = np.stack(
        [rng.normal(size=(p, p)) + 4, smooth, np.maximum(wave(p, 3), 0), wave(p, p // 3)], axis=-1
    )
    found = scales(maps)
    for m in range(maps.shape[-1]):
        for name, value in by_the_notes(maps[..., m]).items():
            assert getattr(found, name)[m] == pytest.approx(value, rel=1e-9), name
    given = scales(maps, (maps.mean((0, 1)), maps.var((0, 1))))
    np.testing.assert_allclose(given.variance_preserved, found.variance_preserved)


@pytest.mark.parametrize("p", [11, 13])
def test_the_instrument_measures_the_full_model(p: int) -> None:
    weights = random_weights(p)
    expected = grid({name: tensor.double().numpy() for name, tensor in weights.items()}, p)
    found = compute(features(weights, p))
    for m in (0, 7, 23):
        values = expected["neurons"][..., m]
        if values.std() > 0:
            for name, value in by_the_notes(values).items():
                assert found[name][m] == pytest.approx(value, rel=1e-8), name
    for head in range(2):
        for source in range(3):
            for name, value in by_the_notes(expected["pattern"][head, source]).items():
                assert found[f"head_{name}"][head, source] == pytest.approx(value, rel=1e-6), name


def test_the_ratio_cuts_at_an_eighth_of_the_spectrum() -> None:
    p = 113
    assert low_modes(p) == 14
    found = scales(np.stack([wave(p, k) for k in (1, 9, 14, 15, 33, 55)], axis=-1))
    np.testing.assert_allclose(found.low_frequency_ratio, [1, 1, 1, 0, 0, 0], atol=1e-12)
    angle = 2 * np.pi * np.arange(p) / p
    diagonal = np.stack([np.cos(k * angle[:, None] + k * angle[None]) for k in (5, 9, 10)], axis=-1)
    np.testing.assert_allclose(scales(diagonal).low_frequency_ratio, [1, 1, 0], atol=1e-12)  # 14.1 / sqrt 2
    assert scales(np.maximum(wave(p, 9), 0)[..., None]).low_frequency_ratio[0] > 0.93


def test_averaging_areas_keeps_less_of_a_high_frequency() -> None:
    p = 113
    found = scales(np.stack([wave(p, k) for k in (3, 25, 33, 55)], axis=-1))
    assert (found.variance_preserved[1:] > 0.15).all()  # aliases
    assert (found.variance_preserved_area[1:] < 0.06).all()
    assert found.variance_preserved_area[0] > 0.6


def test_the_gradient_grows_with_the_frequency_and_the_scale() -> None:
    p = 29
    found = scales(np.stack([wave(p, 1), wave(p, 5), wave(p, 14), 3 * wave(p, 14)], axis=-1)).gradient
    assert found[0] < found[1] < found[2]
    assert found[3] == pytest.approx(3 * found[2])


def test_constant_maps_have_no_ratio_and_nan_stays_where_it_is() -> None:
    maps = np.stack([np.full((13, 13), 2.5), wave(13, 2), wave(13, 3)], axis=-1)
    maps[4, 5, 2] = np.nan
    found = scales(maps)
    for name in RATIOS:
        assert np.isnan(getattr(found, name)).tolist() == [True, False, True]
    assert found.gradient[0] == 0


# --- symmetries ------------------------------------------------------------------------------------------


def test_names_of_tokens_decide_what_is_coarse() -> None:
    p, u = 29, 11
    values = wave(p, 1)
    image = np.arange(p) * u % p
    one, two = scales(values[..., None]), scales(values[np.ix_(image, image)][..., None])
    assert one.low_frequency_ratio[0] == pytest.approx(1)
    assert two.low_frequency_ratio[0] == pytest.approx(0, abs=1e-12)
    assert two.gradient[0] > 3 * one.gradient[0]


def test_swapping_a_and_b_permuting_neurons_and_adding_a_constant_change_nothing() -> None:
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(17, 17, 6))
    one = scales(maps)
    order = rng.permutation(6)
    for other in (np.swapaxes(maps, 0, 1), maps + 7.0):
        for name in (*RATIOS, "gradient"):
            np.testing.assert_allclose(getattr(scales(other), name), getattr(one, name), rtol=1e-9)
    np.testing.assert_allclose(scales(maps[..., order]).gradient, one.gradient[order])
    np.testing.assert_allclose(scales(5 * maps).variance_preserved, one.variance_preserved)


# --- null ------------------------------------------------------------------------------------------------


def test_expected_ratios_of_random_maps() -> None:
    p, rng = 31, np.random.default_rng(0)
    independent = scales(rng.normal(size=(p, p, 400))).low_frequency_ratio
    assert independent.mean() == pytest.approx(independent_ratio(p), rel=0.03)
    additive = rng.normal(size=(p, 1, 400)) + rng.normal(size=(1, p, 400))
    assert scales(additive).low_frequency_ratio.mean() == pytest.approx(additive_ratio(p), rel=0.05)
    assert independent_ratio(113) == pytest.approx(0.049, abs=0.001)
    assert additive_ratio(113) == 0.25


class FakeRun:
    family = modular_addition.NAME

    def __init__(self, p: int, checkpoints: list[Any]) -> None:
        self.params = {"p": p, "seed": 0}
        self._checkpoints = checkpoints

    def checkpoints(self) -> Any:
        return iter(self._checkpoints)


def test_random_weights_fall_into_the_null_and_planted_ones_do_not() -> None:
    p = 31
    instrument = default_registry().get("multi_scale_null")
    arrays = {name: tensor.float().numpy() for name, tensor in random_weights(p).items()}
    found = {name: np.asarray(each) for name, each in instrument.compute(FakeRun(p, [(0, arrays)])).items()}
    quantiles = found["quantiles"][0, 0]  # low-frequency ratio of neurons
    assert (np.diff(quantiles) > 0).all()
    fresh = np.concatenate(
        [compute(features(random_weights(p, seed), p))["low_frequency_ratio"] for seed in (5, 6, 7)]
    )
    fresh = fresh[np.isfinite(fresh)]
    assert 0.75 < np.mean((fresh > quantiles[0]) & (fresh < quantiles[-1])) <= 1
    assert scales(wave(p, 1)[..., None]).low_frequency_ratio[0] > quantiles[-1]
    assert found["quantiles"].shape == (2, 4, 5)
    with pytest.raises(WorkbenchError, match="No checkpoint"):
        instrument.compute(FakeRun(p, []))


# --- resampling ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("p", "n"), [(113, 28), (113, 56), (13, 5), (11, 11), (14, 113), (7, 1)])
def test_bilinear_resampling_is_that_of_the_image_library(p: int, n: int) -> None:
    values = np.random.default_rng(0).normal(size=(p, p))
    matrix = resampler(p, n, "bilinear")
    image = torch.from_numpy(values)[None, None]
    expected = F.interpolate(image, size=(n, n), mode="bilinear", align_corners=False)[0, 0].numpy()
    np.testing.assert_allclose(matrix @ values @ matrix.T, expected, atol=1e-12)


def test_areas_are_averaged_exactly() -> None:
    values = np.random.default_rng(0).normal(size=12)
    np.testing.assert_allclose(resampler(12, 4, "area") @ values, values.reshape(4, 3).mean(axis=1))
    fine = np.repeat(np.random.default_rng(1).normal(size=13), 5)  # 13 pixels of 5 parts each
    expected = fine.reshape(5, 13).mean(axis=1)
    np.testing.assert_allclose(resampler(13, 5, "area") @ fine[::5], expected)
    for method in ("bilinear", "area"):
        np.testing.assert_allclose(resampler(113, 28, method).sum(axis=1), 1)
        np.testing.assert_array_equal(resampler(9, 9, method), np.eye(9))
    with pytest.raises(BadParameter, match="'nearest'"):
        resampler(9, 3, "nearest")


@pytest.mark.parametrize(("k", "seen"), [(25, 3), (28, 0), (29, 1), (33, 5)])
def test_bilinear_reduction_aliases_as_known(k: int, seen: int) -> None:
    """At p = 113 and 28 cells the reduced map repeats `seen` times, not k."""
    p, n = 113, 28
    kept = {}
    for method in ("bilinear", "area"):
        matrix = resampler(p, n, method)
        column = matrix @ np.cos(2 * np.pi * k * np.arange(p) / p + 0.3)
        power = np.abs(np.fft.rfft(column)) ** 2
        assert power.argmax() == seen or method == "area"
        kept[method] = column.var() / 0.5
    assert kept["area"] < max(kept["bilinear"], 0.02)


def test_reduced_maps_of_a_neuron() -> None:
    p = 13
    found = features(random_weights(p), p)
    instrument = default_registry().get("neuron_map")
    whole = instrument.compute(found, neuron=7)
    for method in ("bilinear", "area"):
        matrix = resampler(p, 6, method)
        reduced = instrument.compute(found, neuron=7, resolution=6, method=method)
        np.testing.assert_allclose(reduced["activation"], matrix @ whole["activation"] @ matrix.T)
        np.testing.assert_allclose(reduced["a"], centres(p, 6))
        assert reduced["a"][0] == pytest.approx(p / 12 - 0.5)
    for resolution in (0, 13, 56):
        same = instrument.compute(found, neuron=7, resolution=resolution)
        np.testing.assert_array_equal(same["activation"], whole["activation"])
        assert same["b"].tolist() == list(range(p))
    with pytest.raises(BadParameter, match="resolution=-1"):
        instrument.compute(found, neuron=7, resolution=-1)
    with pytest.raises(BadParameter, match="neurons 0 to 23"):
        instrument.compute(found, neuron=24)


# --- one neuron's transform ------------------------------------------------------------------------------


def test_the_block_of_a_neuron_is_its_share_of_products() -> None:
    p = 11
    found = features(random_weights(p), p)
    instrument = default_registry().get("neuron_block")
    neurons = default_registry().get("neuron_frequencies").compute(found)
    for m in (0, 7, 23):
        block = instrument.compute(found, neuron=m)
        k, values = block["frequency"], found.neurons[..., m]
        assert k == neurons["dominant_frequency"][m]
        assert np.nansum(block["block"]) == pytest.approx(neurons["dominant_fraction"][m])
        assert np.nansum(block["spectrum"]) == pytest.approx(1)
        x = np.arange(p)
        waves = {
            "const": np.full(p, p**-0.5),
            "cos": math.sqrt(2 / p) * np.cos(2 * np.pi * k * x / p),
            "sin": math.sqrt(2 / p) * np.sin(2 * np.pi * k * x / p),
        }
        for row, left in enumerate(waves.values()):
            for column, right in enumerate(waves.values()):
                if row or column:
                    coefficient = sum(left[a] * right[b] * values[a, b] for a in x for b in x)
                    expected = coefficient**2 / (p**2 * values.var())
                    assert block["block"][row, column] == pytest.approx(expected, abs=1e-12)
                    assert block["sign"][row, column] == np.sign(coefficient)
        for j in range(1, 6):
            own = np.ix_([0, j], [0, j])
            assert np.nansum(block["spectrum"][own]) == pytest.approx(neurons["fraction"][j - 1, m])


def test_a_silent_neuron_has_no_block() -> None:
    weights = random_weights(11)
    weights["blocks.0.mlp.W_in"][:, 4] = 0
    block = default_registry().get("neuron_block").compute(features(weights, 11), neuron=4)
    assert block["frequency"] == 0
    assert np.isnan(block["block"]).all()
    assert np.isnan(block["spectrum"]).all()


# --- the shipped run -------------------------------------------------------------------------------------


def test_the_heads_of_the_shipped_run_have_the_scales_of_the_notes(tmp_path: Path) -> None:
    """The notes give 0.969, 0.349, 0.014, 0.013 and gradients 0.09 to 0.33 for such a run."""
    workspace = Workspace(tmp_path / "workspace", create=True)
    workspace.add_samples()
    variant = workspace["p113-s999-d598"]
    found = Features(variant.at(variant.epochs[-1]).weights, variant.family, variant.params)
    heads = np.moveaxis(found.pattern, (2, 3), (0, 1))[:, :, :, 0]
    measured = scales(heads)
    np.testing.assert_allclose(measured.low_frequency_ratio, [0.0286, 0.0078, 0.9544, 0.3928], atol=2e-3)
    np.testing.assert_allclose(measured.gradient, [0.2987, 0.3729, 0.0935, 0.1981], atol=2e-3)
    smoothest = measured.low_frequency_ratio.argmax()
    assert smoothest == measured.gradient.argmin()
