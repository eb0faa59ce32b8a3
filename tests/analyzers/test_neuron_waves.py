"""Phases, harmonics, symmetry and concentration of neurons: planted, brute force, symmetries, null."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from grid_oracle import fraction, grid
from tiny_model import random_weights

from analyzers.features import Features
from analyzers.fourier import Spectrum, grid_transform, transform
from analyzers.instruments.neuron_harmonics import harmonic_sets, harmonic_shares
from analyzers.instruments.neuron_phases import group_moments
from analyzers.instruments.neuron_structure import commutativity, participation
from analyzers.registry import default_registry
from analyzers.waves import amplitude_phase, at_frequency, resultant, resultant_null, wrapped
from data.errors import BadParameter, WorkbenchError
from training.families import modular_addition

Array = np.ndarray


def features(weights: dict[str, torch.Tensor], p: int) -> Features:
    return Features(weights, modular_addition.NAME, {"p": p, "seed": 0})


def compute(name: str, found: Features, **parameters: Any) -> dict[str, Array]:
    """The instrument's arrays; what it needs from the last checkpoint is taken from this one."""
    registry = default_registry()
    instrument = registry.get(name)
    for need in registry.ordered((*instrument.needs, *instrument.needs_final)):
        found.needs[need.name] = need.compute(found, **need.with_defaults({}))
    found.finals |= {name: found.needs[name] for name in instrument.needs_final}
    given = instrument.with_defaults(parameters)
    return {key: np.asarray(value) for key, value in instrument.compute(found, **given).items()}


def fractions_of(p: int, wave: Callable[[Array], Array], k: int) -> Array:
    """Fraction [K, 1] of the map wave(angle of a + angle of b)."""
    angle = 2 * np.pi * k * np.arange(p) / p
    return grid_transform(wave(angle[:, None] + angle[None])[..., None]).fraction


def planted(p: int, k: int, phase_a: float, phase_b: float, phase_out: float) -> dict[str, torch.Tensor]:
    """Neuron 0 reads cos(ka + phase_a) + cos(kb + phase_b) and writes cos(kc + phase_out).

    Attention is uniform (no queries), and head 0 copies to the neuron what stands in the first two
    directions of the embeddings, a third of each token; positions rotate what the tokens say.
    """
    weights = {name: torch.zeros_like(tensor).double() for name, tensor in random_weights(p).items()}
    angle = 2 * torch.pi * k * torch.arange(p, dtype=torch.float64) / p
    weights["embed.W_E"][:p, 0] = torch.cos(angle + (phase_a + phase_b) / 2)
    weights["blocks.0.attn.W_V"][0, 0, 0] = 3.0
    weights["blocks.0.attn.W_O"][0, 0, 5] = 1.0
    weights["blocks.0.mlp.W_in"][5, 0] = 1.0
    weights["blocks.0.mlp.W_out"][0, 7] = 2.0
    weights["unembed.W_U"][7] = torch.cos(angle + phase_out)
    return weights


# --- waves -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("p", [11, 13])
def test_amplitude_and_phase_of_planted_waves_and_by_sums(p: int) -> None:
    x = np.arange(p)
    for k in range(1, (p + 1) // 2):
        for phase in (-3.0, -0.5, 0.0, 1.2, math.pi):
            values = 0.7 + 2.5 * np.cos(2 * np.pi * k * x / p + phase)
            amplitude, found = amplitude_phase(transform(values), p)
            np.testing.assert_allclose(amplitude, 2.5 * (np.arange(1, len(amplitude) + 1) == k), atol=1e-12)
            assert wrapped(found[k - 1] - phase) == pytest.approx(0, abs=1e-12)
    values = np.random.default_rng(0).normal(size=p)
    amplitude, phase = amplitude_phase(transform(values), p)
    for k in range(1, (p + 1) // 2):
        total = sum(
            values[n] * complex(math.cos(2 * math.pi * k * n / p), -math.sin(2 * math.pi * k * n / p))
            for n in range(p)
        )
        assert amplitude[k - 1] == pytest.approx(2 / p * abs(total))
        assert phase[k - 1] == pytest.approx(math.atan2(total.imag, total.real))


def test_angles_are_wrapped_into_the_half_open_interval() -> None:
    assert wrapped(np.array([math.pi, -math.pi, 3 * math.pi, 0.0])).tolist() == [
        math.pi,
        math.pi,
        math.pi,
        0.0,
    ]
    angles = np.linspace(-20, 20, 401)
    found = wrapped(angles)
    assert ((found > -np.pi) & (found <= np.pi)).all()
    np.testing.assert_allclose(np.exp(1j * found), np.exp(1j * angles), atol=1e-12)


def test_own_frequencies_are_picked_by_name() -> None:
    values = np.arange(12.0).reshape(3, 4)
    np.testing.assert_array_equal(at_frequency(values, np.array([1, 3, 0, 2])), [0, 9, np.nan, 7])


def test_resultants_and_their_null() -> None:
    assert resultant(np.full(5, 2.0)) == pytest.approx(1)
    assert resultant(2 * np.pi * np.arange(7) / 7) == pytest.approx(0, abs=1e-12)
    assert math.isnan(resultant(np.zeros(0)))
    rng = np.random.default_rng(0)
    for count in (10, 60):
        drawn = [resultant(angles) for angles in rng.uniform(0, 2 * np.pi, (4000, count))]
        assert np.mean(drawn < resultant_null(np.array(count))) == pytest.approx(0.95, abs=0.015)
    assert resultant_null(np.array([0, 1])).tolist() == [1, 1]


# --- harmonics -------------------------------------------------------------------------------------------


def test_sets_of_harmonics_by_enumeration() -> None:
    p = 13
    for kind, orders in (("odd", (1, 3, 5)), ("all", (1, 2, 3, 4, 5))):
        members = harmonic_sets(p, 5, kind)
        for k in range(1, 7):
            expected = {min(j * k % p, p - j * k % p) for j in orders}
            assert set(np.flatnonzero(members[k - 1]) + 1) == expected
    assert harmonic_sets(p, 100, "all").all()  # 13 k folds to no frequency at all, and is left out
    with pytest.raises(BadParameter, match="order=0"):
        harmonic_sets(p, 0, "odd")


@pytest.mark.parametrize("k", [1, 9, 33, 55])
def test_square_and_relu_waves_have_their_published_shares(k: int) -> None:
    p = 113
    square = fractions_of(p, lambda angle: np.sign(np.cos(angle)), k)
    assert square[k - 1, 0] == pytest.approx(0.8107, abs=5e-5)
    frequency, share = harmonic_shares(square, p, 21, "odd")
    assert frequency[0] == k
    assert share[0] - square[k - 1, 0] == pytest.approx(0.1717, abs=2e-4)
    angle = 2 * np.pi * k * np.arange(p) / p
    relu = np.maximum(np.cos(angle)[:, None] + np.cos(angle)[None], 0)
    found = grid_transform(relu[..., None]).fraction
    assert found[k - 1, 0] == pytest.approx(0.962, abs=5e-4)
    odd, every = (harmonic_shares(found, p, 9, kind) for kind in ("odd", "all"))
    assert (odd[0][0], every[0][0]) == (k, k)
    assert odd[1][0] == pytest.approx(0.964, abs=1e-3)
    assert every[1][0] == pytest.approx(0.997, abs=1e-3)


def test_a_frequency_does_not_win_by_the_fundamental_of_another() -> None:
    p, fraction_of = 113, np.zeros((56, 2))
    fraction_of[27 - 1, 0] = 0.9  # 27 = 3 * 9: a harmonic of 9, which itself is weak
    fraction_of[9 - 1, 0] = 0.05
    fraction_of[[4, 39], 1] = 0.4, 0.35  # 5 alone; 40 with its third harmonic 120 = 7
    fraction_of[6, 1] = 0.2
    frequency, share = harmonic_shares(fraction_of, p, 3, "odd")
    assert frequency.tolist() == [27, 40]
    np.testing.assert_allclose(share, [0.9, 0.55])


def test_constant_and_broken_neurons_have_no_harmonics() -> None:
    fraction_of = np.zeros((5, 2))
    fraction_of[2, 1] = np.nan
    frequency, share = harmonic_shares(fraction_of, 11, 3, "all")
    assert frequency.tolist() == [0, 0]
    assert share[0] == 0
    assert math.isnan(share[1])


def test_the_null_of_the_harmonics_is_that_of_random_maps() -> None:
    p = 23
    rng = np.random.default_rng(1)
    found = features(random_weights(p), p)
    maps = grid_transform(rng.normal(size=(p, p, 1500))).fraction
    found.needs["neuron_frequencies"] = {"fraction": maps}
    instrument = default_registry().get("neuron_harmonics")
    result = instrument.compute(found, order=3)
    for share, bound in zip(result["share"], result["null_share"], strict=True):
        assert np.mean(share < bound) == pytest.approx(0.95, abs=0.02)


# --- phases ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("k", "phase", "out"), [(1, 0.4, 0.8), (3, -2.0, 1.0), (5, 1.5, -2.9)])
def test_planted_phases_are_recovered_through_the_path_that_exists(k: int, phase: float, out: float) -> None:
    p = 11
    found = compute("neuron_phases", features(planted(p, k, phase, phase, out), p))
    for row in range(2):
        assert found["frequency"][row, 0] == k
        assert found["phase_a"][row, 0] == pytest.approx(phase)
        assert found["phase_b"][row, 0] == pytest.approx(phase)
        assert found["phase_out"][row, 0] == pytest.approx(out)
        assert found["misalignment"][row, 0] == pytest.approx(float(wrapped(np.array(2 * phase - out))))
        assert found["amplitude_a"][row, 0] == pytest.approx(1)
        assert found["amplitude_out"][row, 0] == pytest.approx(2)
    assert found["frequency"][0, 1] == 0
    assert np.isnan(found["phase_a"][0, 1])


def test_aligned_phases_favour_the_right_answer_most() -> None:
    """The convention itself: the mean margin of the sum over phases is largest at misalignment 0."""
    p, k = 13, 3
    angle = 2 * np.pi * k * np.arange(p) / p
    a, b = np.meshgrid(np.arange(p), np.arange(p), indexing="ij")
    gains = {}
    for wrong in (0.0, 0.5, -0.5, 1.5, math.pi):
        logits = np.zeros((p, p, p))
        for phase in 2 * np.pi * np.arange(9) / 9:
            neuron = np.maximum(np.cos(angle + phase)[:, None] + np.cos(angle + phase)[None], 0)
            logits += neuron[..., None] * np.cos(angle + 2 * phase - wrong)
        gains[wrong] = logits[a, b, (a + b) % p].mean()
    assert gains[0.0] == max(gains.values())
    assert gains[math.pi] == min(gains.values())


@pytest.mark.parametrize("p", [11, 13])
def test_phases_agree_with_sums_over_the_full_model(p: int) -> None:
    weights = random_weights(p)
    arrays = {name: tensor.double().numpy() for name, tensor in weights.items()}
    found = compute("neuron_phases", features(weights, p))
    post = grid(arrays, p)["neurons"]
    for m in (0, 5, 17):
        k = int(found["frequency"][0, m])
        if not k:
            assert post[..., m].std() < 1e-9
            continue
        shares = [fraction(post[..., m], j) for j in range(1, (p + 1) // 2)]
        assert k == np.argmax(shares) + 1
        middle = pre_activation(arrays, p, m)
        for name, values in (("a", middle.mean(axis=1)), ("b", middle.mean(axis=0))):
            total = sum(values[n] * np.exp(-2j * np.pi * k * n / p) for n in range(p))
            assert found[f"amplitude_{name}"][0, m] == pytest.approx(2 / p * abs(total), rel=1e-6)
            assert found[f"phase_{name}"][0, m] == pytest.approx(np.angle(total), abs=1e-6)
        row = arrays["blocks.0.mlp.W_out"][m] @ arrays["unembed.W_U"]
        total = sum(row[n] * np.exp(-2j * np.pi * k * n / p) for n in range(p))
        assert found["phase_out"][0, m] == pytest.approx(np.angle(total), abs=1e-6)


def pre_activation(weights: dict[str, Array], p: int, neuron: int) -> Array:
    """By a model whose neuron has a bias that keeps the ReLU open: relu(h + c) - c is h."""
    direction = weights["blocks.0.mlp.W_in"][:, neuron]
    opened = {**weights, "blocks.0.mlp.W_in": np.stack([direction, -direction], axis=1)}
    opened["blocks.0.mlp.W_out"] = weights["blocks.0.mlp.W_out"][:2]
    both = grid(opened, p)["neurons"]
    return both[..., 0] - both[..., 1]


def test_moments_of_a_group() -> None:
    even = 2 * np.pi * np.arange(8) / 8
    phases = np.concatenate([even, np.full(3, 0.7), [np.nan]])
    held = np.array([2] * 8 + [4] * 3 + [4])
    members, moments = group_moments(phases, phases, held, 5)
    assert members.tolist() == [0, 8, 0, 3, 0]
    np.testing.assert_allclose(moments[:, 1], 0, atol=1e-12)
    np.testing.assert_allclose(moments[:, 3], 1)
    assert np.isnan(moments[:, [0, 2, 4]]).all()
    two = np.array([0.0, np.pi])
    np.testing.assert_allclose(
        group_moments(two, two, np.array([1, 1]), 1)[1][:, 0], [0, 1, 0, 1], atol=1e-12
    )


def test_shifting_tokens_turns_phases_and_keeps_the_misalignment() -> None:
    """x -> x + s for tokens and c -> c + 2 s for classes is the same task with other names."""
    p, s = 11, 3
    weights = random_weights(p)
    moved = {name: tensor.clone() for name, tensor in weights.items()}
    moved["embed.W_E"][:p] = weights["embed.W_E"][:p].roll(s, dims=0)
    moved["unembed.W_U"] = weights["unembed.W_U"].roll(2 * s, dims=1)
    one, two = (compute("neuron_phases", features(each, p)) for each in (weights, moved))
    same = (two["frequency"] == one["frequency"])[0]  # a neuron with a single active input has ties
    assert same.sum() >= 20
    one, two = (
        {
            name: found[name][:, same]
            for name in default_registry().get("neuron_phases").outputs
            if found[name].shape == (2, 24)
        }
        for found in (one, two)
    )
    angle = 2 * np.pi * one["frequency"] * s / p
    for name, factor in (("phase_a", 1), ("phase_b", 1), ("phase_out", 2)):
        expected = wrapped(one[name] - factor * angle)
        assert np.nanmax(np.abs(wrapped(two[name] - expected))) < 1e-6
        assert np.nanmax(np.abs(wrapped(two[name] - one[name]))) > 0.3
    assert np.nanmax(np.abs(wrapped(two["misalignment"] - one["misalignment"]))) < 1e-6


def test_random_weights_are_misaligned_at_random() -> None:
    p = 13
    found = [compute("neuron_phases", features(random_weights(p, seed), p)) for seed in range(6)]
    wrong = np.abs(np.concatenate([each["misalignment"][0] for each in found]))
    wrong = wrong[np.isfinite(wrong)]
    assert len(wrong) > 60
    assert np.median(wrong) == pytest.approx(np.pi / 2, abs=0.45)


# --- structure -------------------------------------------------------------------------------------------


def test_participation_of_waves_mixtures_and_noise() -> None:
    p, x = 31, np.arange(31)
    one = np.cos(2 * np.pi * 4 * x / p + 0.3)
    two = one + np.sin(2 * np.pi * 7 * x / p)
    noise = np.random.default_rng(0).normal(size=(p, 4000))
    assert participation(transform(5 + one)) == pytest.approx(1)
    assert participation(transform(two)) == pytest.approx(0.5)
    assert participation(transform(np.eye(p)[0])) == pytest.approx(1 / 15)  # all frequencies alike
    assert participation(transform(noise)).mean() == pytest.approx(2 / 16, rel=0.02)
    coefficients = np.fft.fft(two)[1:]  # the published form on the complex transform, without its constant
    published = (np.abs(coefficients) ** 4).sum() / (np.abs(coefficients) ** 2).sum() ** 2
    assert participation(transform(two)) == pytest.approx(2 * published)
    assert np.isnan(participation(Spectrum(np.zeros(1), np.zeros((3, 1)), np.zeros((3, 1))))).all()


def test_commutativity_by_definition() -> None:
    rng = np.random.default_rng(0)
    maps = rng.normal(size=(9, 9, 5)) + 3
    maps[..., 1] += maps[..., 1].T
    maps[..., 2] -= maps[..., 2].T.copy()
    maps[..., 3] = 2.0
    found = commutativity(maps, (maps.mean((0, 1)), maps.var((0, 1))))
    for m in (0, 1, 2, 4):
        centred = maps[..., m] - maps[..., m].mean()
        even = (centred + centred.T) / 2
        assert found[m] == pytest.approx((even**2).sum() / (centred**2).sum())
    assert found[1] == pytest.approx(1)
    assert found[2] == pytest.approx(0, abs=1e-12)
    assert np.isnan(found[3])
    many = rng.normal(size=(23, 23, 300))
    noise = commutativity(many, (many.mean((0, 1)), many.var((0, 1))))
    assert noise.mean() == pytest.approx(((23 * 24) / 2 - 1) / (23**2 - 1), abs=0.01)


@pytest.mark.parametrize(("wave", "component"), [("sum", 1), ("difference", 2), ("linear", 0)])
def test_content_of_planted_maps(wave: str, component: int) -> None:
    p, k = 13, 4
    angle = 2 * np.pi * k * np.arange(p) / p
    a, b = angle[:, None], angle[None]
    values = {"sum": np.cos(a + b + 0.7), "difference": np.cos(a - b - 1.1), "linear": np.sin(a) + np.cos(b)}
    found = features(random_weights(p), p)
    found.__dict__["neurons"] = values[wave][..., None] * np.ones(24)
    result = compute("neuron_structure", found)
    expected = np.zeros(3)
    expected[component] = 1
    np.testing.assert_allclose(result["content"][:, 0], expected, atol=1e-12)


def test_content_of_a_relu_neuron_and_its_parts_add_up() -> None:
    p = 113
    angle = 2 * np.pi * 9 * np.arange(p) / p
    found = features(random_weights(11), 113)
    found.__dict__["neurons"] = np.maximum(np.cos(angle)[:, None] + np.cos(angle)[None], 0)[..., None]
    neurons = compute("neuron_frequencies", found)
    from analyzers.instruments.neuron_structure import _content

    content = _content(found.neuron_spectrum, neurons["dominant_frequency"])[:, 0]
    np.testing.assert_allclose(content, [0.7447, 0.1087, 0.1087], atol=1e-3)
    assert content.sum() == pytest.approx(neurons["dominant_fraction"][0])


def test_bands_depend_on_the_names_of_tokens_and_the_rest_does_not() -> None:
    p, u = 13, 5
    weights = random_weights(p)
    image = torch.arange(p) * u % p
    changed = {name: tensor.clone() for name, tensor in weights.items()}
    changed["embed.W_E"][:p] = weights["embed.W_E"][image]
    changed["unembed.W_U"] = weights["unembed.W_U"][:, image]
    one, two = (compute("neuron_structure", features(each, p)) for each in (weights, changed))
    for name in ("ipr", "commutativity", "content"):
        np.testing.assert_allclose(two[name], one[name], rtol=1e-6, atol=1e-9)
    assert not np.allclose(two["band_share"], one["band_share"], rtol=1e-3)
    assert two["band_share"].sum() == pytest.approx(one["band_share"].sum())


def test_permuting_neurons_permutes_phases_and_structure() -> None:
    p = 11
    weights, order = random_weights(p), torch.randperm(24, generator=torch.Generator().manual_seed(3))
    moved = {**weights, "blocks.0.mlp.W_in": weights["blocks.0.mlp.W_in"][:, order]}
    moved["blocks.0.mlp.W_out"] = weights["blocks.0.mlp.W_out"][order]
    for name, outputs in (
        ("neuron_phases", ("phase_a", "phase_out", "misalignment", "amplitude_b")),
        ("neuron_structure", ("ipr", "content")),
        ("neuron_harmonics", ("frequency", "share")),
    ):
        one, two = (compute(name, features(each, p)) for each in (weights, moved))
        for output in outputs:
            np.testing.assert_allclose(two[output], one[output][:, order.numpy()], rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", ["neuron_phases", "neuron_structure", "neuron_harmonics"])
def test_a_neuron_that_is_not_a_number_spoils_only_itself(name: str) -> None:
    p = 11
    weights = random_weights(p)
    clean = compute(name, features(weights, p))
    weights["blocks.0.mlp.W_in"][3, 5] = float("nan")
    broken = compute(name, features(weights, p))
    for output, declared in default_registry().get(name).outputs.items():
        if declared.dims[-1:] == ("neuron",) and declared.dtype == "float32":
            others = np.delete(np.arange(24), 5)
            kept = broken[output][..., others]
            np.testing.assert_allclose(kept, clean[output][..., others], rtol=1e-9, equal_nan=True)
            if "out" not in output and output != "ipr":
                assert np.isnan(broken[output][..., 5]).all(), output


def test_what_the_last_checkpoint_must_provide_is_named() -> None:
    found = features(random_weights(11), 11)
    compute("neuron_frequencies", found)
    found.needs["neuron_frequencies"] = compute("neuron_frequencies", found)
    with pytest.raises(WorkbenchError, match=r"asks for neuron_frequencies without .* to its `needs_final`"):
        default_registry().get("neuron_phases").compute(found)
