"""The basis: names, orthonormality, planted functions, brute force, symmetries, and what noise gives."""

from __future__ import annotations

import numpy as np
import pytest
from grid_oracle import fraction

from analyzers.fourier import basis, dominant, grid_transform, n_frequencies, transform
from data.errors import BadParameter

PARTS = ("a_cos", "a_sin", "b_cos", "b_sin", "cos_cos", "cos_sin", "sin_cos", "sin_sin")


@pytest.mark.parametrize("p", [0, 1, 2, 4, 12])
def test_only_odd_p_from_three_has_a_basis(p: int) -> None:
    with pytest.raises(BadParameter, match=f"p={p} "):
        basis(p)


@pytest.mark.parametrize("p", [3, 11, 15, 113])
def test_rows_are_orthonormal_and_named(p: int) -> None:
    rows = basis(p)
    np.testing.assert_allclose(rows.matrix @ rows.matrix.T, np.eye(p), atol=1e-12)
    x = np.arange(p)
    for name, row in zip(rows.names, rows.matrix, strict=True):
        kind, _, k = name.partition(" ")
        expected = {"const": np.ones(p), "cos": np.cos(2 * np.pi * int(k or 0) * x / p)}.get(
            kind, np.sin(2 * np.pi * int(k or 0) * x / p)
        )
        np.testing.assert_allclose(row, expected / np.linalg.norm(expected), atol=1e-12, err_msg=name)


def test_a_planted_cosine_is_cos_and_a_planted_sine_is_sin() -> None:
    p, x = 13, np.arange(13)
    for k in range(1, n_frequencies(p) + 1):
        for kind, wave in (("cos", np.cos), ("sin", np.sin)):
            found = transform(3.0 + wave(2 * np.pi * k * x / p))
            expected = {name: np.zeros(6) for name in ("cos", "sin")}
            expected[kind][k - 1] = np.sqrt(p / 2)
            np.testing.assert_allclose(found.cos, expected["cos"], atol=1e-12)
            np.testing.assert_allclose(found.sin, expected["sin"], atol=1e-12)
            assert found.const == pytest.approx(3 * np.sqrt(p))


def test_transform_works_along_any_axis_and_keeps_energy() -> None:
    values = np.random.default_rng(0).standard_normal((4, 11, 5))
    found = transform(values, axis=1)
    assert found.cos.shape == (5, 4, 5)
    np.testing.assert_allclose(found.cos, transform(np.moveaxis(values, 1, 0)).cos)
    np.testing.assert_allclose(found.const**2 + found.energy.sum(axis=0), (values**2).sum(axis=1))


@pytest.mark.parametrize("part", PARTS)
def test_a_planted_product_has_one_coefficient(part: str) -> None:
    p, k = 11, 3
    rows = basis(p)
    row = {"cos": rows.cos[k - 1], "sin": rows.sin[k - 1]}
    first, second = part.split("_")
    if first in row:
        planted = np.outer(row[first], row[second])
    else:
        planted = np.outer(row[second], rows.const) if first == "a" else np.outer(rows.const, row[second])
    found = grid_transform(planted[..., None] + 5.0)
    for name in PARTS:
        expected = np.zeros((5, 1))
        expected[k - 1] = float(name == part)
        np.testing.assert_allclose(getattr(found, name), expected, atol=1e-12, err_msg=name)
    np.testing.assert_allclose(found.fraction[:, 0], np.eye(5)[k - 1], atol=1e-12)
    assert found.mean[0] == pytest.approx(5.0)


@pytest.mark.parametrize("p", [11, 13])
def test_fractions_agree_with_sums_over_the_grid(p: int) -> None:
    values = np.maximum(np.random.default_rng(p).standard_normal((p, p, 3)), 0)
    found = grid_transform(values).fraction
    for m in range(3):
        expected = [fraction(values[..., m], k) for k in range(1, (p - 1) // 2 + 1)]
        np.testing.assert_allclose(found[:, m], expected, rtol=1e-10)


def test_relabelling_tokens_moves_frequencies_and_swapping_inputs_moves_nothing() -> None:
    p, u = 13, 5
    values = np.random.default_rng(1).standard_normal((p, p, 4))
    before = grid_transform(values).fraction
    x = np.arange(p) * u % p
    after = grid_transform(values[np.ix_(x, x)]).fraction  # new(a, b) = old(u a, u b): k becomes u k
    for k in range(1, 7):
        image = k * u % p
        np.testing.assert_allclose(after[min(image, p - image) - 1], before[k - 1], rtol=1e-10)
    swapped = grid_transform(values.swapaxes(0, 1))
    np.testing.assert_allclose(swapped.fraction, before, rtol=1e-10)
    np.testing.assert_allclose(swapped.cos_sin, grid_transform(values).sin_cos, atol=1e-12)


def test_noise_has_the_expected_share_at_every_frequency() -> None:
    p = 31
    found = grid_transform(np.random.default_rng(2).standard_normal((p, p, 400))).fraction
    np.testing.assert_allclose(found.mean(axis=1), 8 / (p**2 - 1), rtol=0.15)
    assert found.max() < 0.06


def test_ceilings_of_perfect_neurons() -> None:
    p, k = 113, 9
    x = 2 * np.pi * k * np.arange(p) / p
    wave = np.cos(x)[:, None] + np.cos(x)[None]
    relu = grid_transform(np.maximum(wave, 0)).fraction
    assert relu[k - 1] == pytest.approx(0.962, abs=5e-4)
    assert relu[2 * k - 1] == pytest.approx(0.033, abs=5e-4)
    square = np.sign(np.cos(x[:, None] + x[None]))
    assert grid_transform(square).fraction[k - 1] == pytest.approx(0.811, abs=5e-4)


def test_constant_maps_have_no_frequency_and_nan_stays_nan() -> None:
    values = np.zeros((11, 11, 4))
    values[..., 1] = 0.1
    values[..., 2] = np.nan
    values[..., 3] = 1e6 + np.cos(2 * np.pi * 2 * np.arange(11) / 11)[:, None]
    found = grid_transform(values).fraction
    k, share = dominant(found)
    assert k.tolist() == [0, 0, 0, 2]
    np.testing.assert_array_equal(found[:, :2], 0)
    assert np.isnan(found[:, 2]).all()
    assert np.isnan(share[2])
    assert share[3] == pytest.approx(1)


def test_a_map_that_is_not_square_is_refused() -> None:
    with pytest.raises(BadParameter, match="11 x 7"):
        grid_transform(np.zeros((11, 7)))
