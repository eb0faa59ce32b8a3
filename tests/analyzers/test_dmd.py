"""Dynamic modes: linear systems with known eigenvalues at unequal steps, slow oracles, invariances, nulls."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import xarray as xr
from scipy.linalg import block_diag, expm

from analyzers import dynamic_modes
from analyzers.arrays import dataset_of
from analyzers.instruments.dmd import LEAST
from analyzers.pipeline import analyze
from analyzers.registry import default_registry
from analyzers.service import AnalyzerService
from data import Variant

DECAY, TURN, FAST = -1 / 4000, 2 * np.pi / 9000, -1 / 1500


def unequal(count: int, seed: int = 0) -> np.ndarray:
    return np.sort(np.random.default_rng(seed).choice(20_000, count, replace=False)).astype(float)


def system(seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Generator and offset of a spiral and a decay in an oblique frame."""
    rng = np.random.default_rng(seed)
    frame = rng.standard_normal((3, 3)) + 2 * np.eye(3)
    own = block_diag([[DECAY, TURN], [-TURN, DECAY]], [[FAST]])
    return frame @ own @ np.linalg.inv(frame), 1e-3 * rng.standard_normal(3)


def orbit(generator: np.ndarray, offset: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    joined = np.zeros((4, 4))
    joined[:3, :3], joined[:3, 3] = generator, offset
    start = np.array([3.0, -2.0, 4.0, 1.0])
    return np.array([(expm(joined * (epoch - epochs[0])) @ start)[:3] for epoch in epochs])


def compute(points: np.ndarray, epochs: np.ndarray, **parameters: Any) -> xr.Dataset:
    """The instrument on one group whose checkpoints lie there."""
    distance = np.linalg.norm(points[:, None] - points[None], axis=2)
    data = xr.Dataset(
        {"distance": (("group", "epoch", "other_epoch"), distance[None]), "parameters": ("group", [1000])},
        coords={"group": ["all"], "epoch": epochs.astype(int)},
    )

    class OnePath:
        def artifact(self, name: str) -> xr.Dataset:
            return data

    found = default_registry().get("dmd")
    given = {"replicates": 8, **parameters}
    return dataset_of(found, found.compute(OnePath(), **found.with_defaults(given)), {}).isel(group=0)


def test_a_linear_system_is_recovered_at_unequal_steps() -> None:
    generator, offset = system()
    epochs = unequal(40)
    assert np.diff(epochs).max() / np.diff(epochs).min() > 20
    found = dynamic_modes.fit(orbit(generator, offset, epochs), epochs)
    np.testing.assert_allclose(found.generator, generator, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose(found.offset, offset, rtol=1e-5, atol=1e-8)
    expected = [DECAY + 1j * TURN, DECAY - 1j * TURN, FAST]
    np.testing.assert_allclose(found.eigenvalues(), expected, rtol=1e-5, atol=1e-10)


def test_the_instrument_gives_growth_frequency_and_modulus_per_epoch() -> None:
    generator, offset = system()
    epochs = unequal(40)
    points = orbit(generator, offset, epochs)
    found = compute(points, epochs)
    np.testing.assert_allclose(found["growth"], [DECAY, DECAY, FAST], rtol=1e-4)
    np.testing.assert_allclose(found["frequency"], [1 / 9000, -1 / 9000, 0], rtol=1e-4, atol=1e-10)
    np.testing.assert_allclose(found["modulus"], np.exp([DECAY, DECAY, FAST]), rtol=1e-7)
    assert float(found["energy"].sum()) == pytest.approx(1)
    skill = found["skill"].to_series()
    assert skill["fit"] == pytest.approx(1, abs=1e-6)
    assert skill["held out"] == pytest.approx(1, abs=1e-4)
    assert skill["persistence"] == 0
    still = np.linalg.norm(np.diff(points, axis=0), axis=1)
    np.testing.assert_allclose(found["error"].sel(predictor="persistence")[1:], still, rtol=1e-5)
    assert np.isnan(found["error"].isel(epoch=0)).all()


def test_equal_time_steps_would_give_other_eigenvalues() -> None:
    """The schedule matters: the same points taken as equally spaced have other rates."""
    generator, offset = system()
    epochs = unequal(40)
    points = orbit(generator, offset, epochs)
    wrong = dynamic_modes.fit(points, np.linspace(epochs[0], epochs[-1], 40)).eigenvalues()
    assert abs(wrong[0] - (DECAY + 1j * TURN)) > 0.05 * TURN


def test_equal_steps_agree_with_exact_dmd() -> None:
    """With equal steps and no offset the map of one step is the least-squares matrix of the textbook."""
    generator, _ = system(3)
    epochs = np.arange(0, 6000, 200.0)
    rng = np.random.default_rng(0)
    points = orbit(generator, np.zeros(3), epochs) + 1e-3 * rng.standard_normal((30, 3))
    design = np.concatenate([points[:-1], np.ones((29, 1))], axis=1)
    matrix = np.linalg.lstsq(design, points[1:], rcond=None)[0][:3].T
    expected = np.log(np.linalg.eigvals(matrix).astype(complex)) / 200
    found = dynamic_modes.fit(points, epochs).eigenvalues()
    np.testing.assert_allclose(np.sort_complex(found), np.sort_complex(expected), rtol=1e-4, atol=1e-9)


def test_the_fit_is_a_minimum_and_better_than_its_start() -> None:
    rng = np.random.default_rng(2)
    epochs = unequal(25, seed=1)
    points = np.cumsum(rng.standard_normal((25, 3)) * np.sqrt(np.diff(epochs, prepend=0))[:, None], axis=0)
    between = np.diff(epochs)

    def cost(dynamics: dynamic_modes.Dynamics) -> float:
        wrong = dynamics.predict(points[:-1], between) - points[1:]
        return float(((wrong**2).sum(axis=1) / between).sum())

    found = dynamic_modes.fit(points, epochs)
    for _ in range(20):
        moved = dynamic_modes.Dynamics(
            found.generator * (1 + 0.01 * rng.standard_normal((3, 3))),
            found.offset * (1 + 0.01 * rng.standard_normal(3)),
        )
        assert cost(moved) >= cost(found) * (1 - 1e-9)


def test_exponentials_agree_with_the_library() -> None:
    rng = np.random.default_rng(0)
    matrices = rng.standard_normal((30, 4, 4)) * np.geomspace(1e-6, 8, 30)[:, None, None]
    np.testing.assert_allclose(dynamic_modes.exponentials(matrices), expm(matrices), rtol=1e-9, atol=1e-9)
    assert np.isnan(dynamic_modes.exponentials(np.full((2, 3, 3), np.inf))).all()
    np.testing.assert_array_equal(dynamic_modes.exponentials(np.zeros((1, 2, 2)))[0], np.eye(2))


def test_a_held_out_step_does_not_enter_its_own_prediction() -> None:
    generator, offset = system()
    epochs = unequal(20)
    points = orbit(generator, offset, epochs)
    spoilt = points.copy()
    spoilt[-1] += 100.0  # only the last step ends there
    before, after = (dynamic_modes.held_out(one, epochs) for one in (points, spoilt))
    np.testing.assert_allclose(after[-1], before[-1], atol=1e-3)
    assert np.abs(after[0] - before[0]).max() > 1  # a fit that holds the spoilt step


def test_orientation_and_scale_change_no_rate() -> None:
    generator, offset = system()
    epochs = unequal(30)
    points = orbit(generator, offset, epochs) + 0.05 * np.random.default_rng(0).standard_normal((30, 3))
    turn, _ = np.linalg.qr(np.random.default_rng(1).standard_normal((20, 20)))
    before, after = compute(points, epochs), compute(5 * points @ turn[:3] + 7, epochs)
    for name in ("growth", "frequency", "skill", "energy"):
        np.testing.assert_allclose(after[name], before[name], rtol=1e-3, atol=1e-8)
    np.testing.assert_allclose(after["error"], 5 * before["error"], rtol=1e-3, atol=1e-6)


def test_random_walks_have_slow_turning_modes_and_high_skill() -> None:
    """Why the null is needed: the components of a random walk are smooth curves that linear dynamics
    describe.
    """
    epochs = np.arange(60) * 100.0
    walk = np.cumsum(np.random.default_rng(0).standard_normal((60, 400)), axis=0)
    found = compute(walk, epochs, replicates=20)
    assert float(found["skill"].sel(predictor="fit")) > 0.7
    assert float(found["null_skill"].sel(predictor="fit", level=0.5)) > 0.8
    assert (found["null_growth"] * 5900 > -1).all()  # hardly any decay over the whole run
    assert (abs(found["null_frequency"]).max("mode") * 5900 > 0.5).all()


@pytest.mark.parametrize("points", [np.zeros((8, 3)), np.full((8, 3), np.nan), np.ones((LEAST - 1, 3))])
def test_a_path_without_motion_is_nan_and_no_error(points: np.ndarray) -> None:
    found = compute(points, np.arange(len(points)) * 100.0)
    assert np.isnan(found["growth"]).all()
    assert np.isnan(found["skill"]).all()
    assert np.isnan(found["error"]).all()


def test_a_checkpoint_that_is_not_finite_is_passed_by() -> None:
    generator, offset = system()
    epochs = unequal(30)
    points = orbit(generator, offset, epochs)
    points[11] = np.nan
    found = compute(points, epochs)
    np.testing.assert_allclose(found["growth"], [DECAY, DECAY, FAST], rtol=1e-3)
    assert np.isnan(found["error"].isel(epoch=11)).all()
    assert np.isfinite(found["error"].sel(predictor="fit").isel(epoch=12))


def test_it_runs_in_the_pipeline_on_few_checkpoints(make_variant: Callable[..., Variant]) -> None:
    variant = make_variant(p=11)
    assert analyze(variant, ["dmd"], parameters={"dmd": {"replicates": 4}}).failures == []
    found = AnalyzerService().read(variant, "dmd", replicates=4)
    assert found.sizes["mode"] == 1
    assert found.sizes["group"] == 13
    assert np.isfinite(found["modulus"]).all()
