"""Small pictures: means over areas, scales that can be undone, and waves that unwinding makes visible."""

from __future__ import annotations

import numpy as np
import pytest

from analyzers.service import AnalyzerService
from analyzers.tiles import tiles
from data import Variant
from data.errors import BadParameter

P = 23


def wave(k: int, p: int = P, phase: float = 0.3) -> np.ndarray:
    a = np.arange(p)
    return np.cos(2 * np.pi * k * a[:, None] / p + phase) + np.cos(2 * np.pi * k * a[None] / p - 1)


def undone(made: tuple[np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    tile, low, high = made
    return low[:, None, None] + tile / 255 * (high - low)[:, None, None]


def brute_force(values: np.ndarray, size: int) -> np.ndarray:
    """Mean of a piecewise constant function over each cell, by sampling it finely."""
    p = fine = len(values)
    at = ((np.arange(size * fine) + 0.5) * p / (size * fine)).astype(int)
    return values[np.ix_(at, at)].reshape(size, fine, size, fine).mean(axis=(1, 3))


def test_at_full_size_a_tile_is_the_map() -> None:
    maps = np.random.default_rng(0).normal(size=(P, P, 5))
    restored = undone(tiles(maps, P))
    step = np.ptp(maps, axis=(0, 1)) / 255
    assert (np.abs(np.moveaxis(restored, 0, 2) - maps) <= 0.51 * step).all()


@pytest.mark.parametrize("size", [2, 7, 10])
def test_cells_are_means_over_their_area(size: int) -> None:
    maps = np.random.default_rng(1).normal(size=(P, P, 3))
    restored = undone(tiles(maps, size))
    for index in range(3):
        expected = brute_force(maps[:, :, index], size)
        assert np.abs(restored[index] - expected).max() < 0.03 * np.ptp(expected)


def test_unwinding_turns_every_wave_into_the_slowest() -> None:
    ks = np.arange(1, (P - 1) // 2 + 1)
    maps = np.stack([wave(int(k)) for k in ks], axis=2)
    unwound, slow = undone(tiles(maps, 8, ks)), undone(tiles(wave(1)[:, :, None], 8))
    assert np.abs(unwound - slow).max() < 0.02
    natural = undone(tiles(maps, 8))
    assert natural[-1].std() < 0.25 * unwound[-1].std()  # the fastest wave is mostly averaged away


def test_frequency_zero_keeps_the_tokens_and_axis_zero_is_a() -> None:
    maps = np.zeros((P, P, 1))
    maps[3, :, 0] = 1
    tile = tiles(maps, P, np.array([0]))[0][0]
    assert (tile[3] == 255).all()
    assert tile.sum() == 255 * P


def test_constant_and_broken_maps_are_harmless() -> None:
    maps = np.ones((P, P, 2))
    maps[0, 0, 1] = np.nan
    tile, low, high = tiles(maps, 6)
    assert not tile.any()
    assert [low[0], high[0]] == pytest.approx([1, 1])
    assert np.isnan([low[1], high[1]]).all()


@pytest.mark.parametrize("size", [0, 1, P + 1])
def test_an_impossible_size_is_refused(size: int) -> None:
    with pytest.raises(BadParameter, match=f"size={size}"):
        tiles(np.zeros((P, P, 1)), size)


def test_tiles_of_a_variant_are_its_maps(variant: Variant) -> None:
    service = AnalyzerService()
    p, epoch = 11, 30
    made = service.on_demand(variant, epoch, "neuron_tiles", size=p)
    for neuron in (0, 5):
        truth = service.on_demand(variant, epoch, "neuron_map", neuron=neuron)["activation"].values
        low, high = (float(made[name][neuron]) for name in ("low", "high"))
        restored = low + made["tile"][neuron].values / 255 * (high - low)
        assert np.abs(restored - truth).max() <= 0.51 * (high - low) / 255 + 1e-6
    heads = service.on_demand(variant, epoch, "head_tiles", size=p, source="b")
    pattern = service.on_demand(variant, epoch, "attention_maps")["pattern"].sel(source="b").values
    assert np.abs(heads["high"].values - pattern.max(axis=(1, 2))).max() < 1e-6
    with pytest.raises(BadParameter, match="tokens='odd'"):
        service.on_demand(variant, epoch, "neuron_tiles", tokens="odd")
    with pytest.raises(BadParameter, match="source='c'"):
        service.on_demand(variant, epoch, "head_tiles", source="c")
