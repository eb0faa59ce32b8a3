"""Distances between runs: what must not matter does not, the search is exact, and chance has its rate."""

from __future__ import annotations

from collections.abc import Callable
from itertools import product
from pathlib import Path

import numpy as np
import pytest
import torch
from tiny_model import CONFIG

from analyzers.comparison import nulls
from analyzers.comparison.distances import (
    ALL,
    FLOOR,
    MEASURES,
    WITH_EQUALS,
    all_pairs,
    distances,
)
from analyzers.comparison.gauge import SPECTRA, TOKEN_MATRICES, Description, balanced, describe
from analyzers.comparison.relabelling import (
    correlations,
    frequency_images,
    lines,
    renamed,
    renamed_power,
    spectrum,
    units,
)
from analyzers.comparison.shared_paths import centred_gram, common_components, walk_shares
from analyzers.features import Features
from analyzers.fourier import transform
from analyzers.instruments.gauge_invariants import described
from analyzers.service import AnalyzerService
from data import Variant
from data.errors import BadParameter
from training.families import modular_addition

Weights = dict[str, torch.Tensor]
Array = np.ndarray
ATTENTION = {name: f"blocks.0.attn.W_{name}" for name in "QKVO"}
W_IN, W_OUT = "blocks.0.mlp.W_in", "blocks.0.mlp.W_out"
SAMPLE = Path("data/samples/variants/modular_addition/p113-s999-d598/checkpoints/epoch_00025000.safetensors")


def trained_like(p: int, frequencies: tuple[int, ...] = (2, 5), seed: int = 0, noise: float = 0.3) -> Weights:
    """float64 weights whose tokens and classes lie on rings of these frequencies, with noise."""
    params = modular_addition.Params(p=p, seed=seed)
    weights = {
        name: tensor.double() for name, tensor in modular_addition.init_weights(params, CONFIG).items()
    }
    angle = 2 * torch.pi * torch.arange(p, dtype=torch.float64) / p
    waves = torch.stack([wave(k * angle) for k in frequencies for wave in (torch.cos, torch.sin)], dim=1)
    generator = torch.Generator().manual_seed(seed + 77)
    into, out = (
        torch.randn(waves.shape[1], CONFIG.d_model, generator=generator, dtype=torch.float64) for _ in "io"
    )
    weights["embed.W_E"] = noise * weights["embed.W_E"]
    weights["embed.W_E"][:p] += waves @ into
    weights["unembed.W_U"] = noise * weights["unembed.W_U"] + (waves @ out).T
    return weights


def description(weights: Weights, p: int) -> Description:
    return describe(Features(weights, modular_addition.NAME, {"p": p, "seed": 0}))


def clone(weights: Weights) -> Weights:
    return {name: tensor.clone() for name, tensor in weights.items()}


def random(*shape: int, seed: int = 5) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


# --- changes of gauge ------------------------------------------------------------------------------------


def neurons_permuted(weights: Weights) -> Weights:
    order = torch.randperm(weights[W_IN].shape[1], generator=torch.Generator().manual_seed(1))
    return {**weights, W_IN: weights[W_IN][:, order], W_OUT: weights[W_OUT][order]}


def heads_permuted(weights: Weights) -> Weights:
    return {**weights, **{name: weights[name].flip(0) for name in ATTENTION.values()}}


def stream_rotated(weights: Weights) -> Weights:
    turn, _ = torch.linalg.qr(random(CONFIG.d_model, CONFIG.d_model))
    readers = [ATTENTION[name] for name in "QKV"] + [W_IN, "unembed.W_U"]
    changed = {name: turn.T @ weights[name] for name in readers}
    writers = ["embed.W_E", "pos_embed.W_pos", ATTENTION["O"], W_OUT]
    changed |= {name: weights[name] @ turn for name in writers}
    assert set(changed) == set(weights)
    return changed


def neurons_rescaled(weights: Weights) -> Weights:
    scale = random(weights[W_IN].shape[1], seed=2).exp()
    return {**weights, W_IN: weights[W_IN] * scale, W_OUT: weights[W_OUT] / scale[:, None]}


def heads_rewritten(weights: Weights) -> Weights:
    change = random(CONFIG.n_heads, CONFIG.d_head, CONFIG.d_head, seed=3) + 3 * torch.eye(CONFIG.d_head)
    inverse = torch.linalg.inv(change)
    return {
        **weights,
        ATTENTION["Q"]: weights[ATTENTION["Q"]] @ change,
        ATTENTION["K"]: weights[ATTENTION["K"]] @ inverse.mT,
        ATTENTION["V"]: weights[ATTENTION["V"]] @ change,
        ATTENTION["O"]: inverse @ weights[ATTENTION["O"]],
    }


def offsets_moved(weights: Weights) -> Weights:
    changed, moved = clone(weights), random(CONFIG.d_model, seed=4)
    p = weights["unembed.W_U"].shape[1]
    changed["embed.W_E"][:p] += moved
    changed["pos_embed.W_pos"][:2] -= moved
    changed["unembed.W_U"] += random(CONFIG.d_model, 1, seed=6)
    return changed


CHANGES: dict[str, Callable[[Weights], Weights]] = {
    "neurons permuted": neurons_permuted,
    "heads permuted": heads_permuted,
    "stream rotated": stream_rotated,
    "neurons rescaled": neurons_rescaled,
    "heads rewritten": heads_rewritten,
    "offsets moved": offsets_moved,
}


def relabelled(weights: Weights, unit: int) -> Weights:
    """Token and class a become unit * a: their rows are moved there."""
    p = weights["unembed.W_U"].shape[1]
    changed, image = clone(weights), torch.arange(p) * unit % p
    changed["embed.W_E"][image] = weights["embed.W_E"][:p]
    changed["unembed.W_U"][:, image] = weights["unembed.W_U"]
    return changed


def parts_of(one: Description) -> dict[str, Array]:
    attention = one.attention[np.lexsort(one.attention.round(9).T)]  # heads are a set
    return {
        "gram": one.gram,
        "equals": one.equals,
        "power": one.power,
        "attention": attention,
        **one.singular,
    }


def assert_same(first: Description, second: Description, leave: tuple[str, ...] = ()) -> None:
    """Every part agrees to 1e-6 of its largest entry; smaller singular values are rounding."""
    for (name, one), other in zip(parts_of(first).items(), parts_of(second).values(), strict=True):
        if name not in leave:
            np.testing.assert_allclose(other, one, rtol=1e-6, atol=1e-6 * np.abs(one).max(), err_msg=name)


@pytest.mark.parametrize("change", CHANGES)
def test_a_description_does_not_see_the_gauge(change: str) -> None:
    weights = trained_like(13)
    changed = CHANGES[change](weights)
    before, after = (Features(one, modular_addition.NAME, {"p": 13, "seed": 0}) for one in (weights, changed))
    if change == "offsets moved":  # the same number for all classes: their differences are what counts
        logits = [one.logits - one.logits.mean(axis=1, keepdims=True) for one in (before, after)]
    else:
        logits = [before.logits, after.logits]
    np.testing.assert_allclose(logits[1], logits[0], atol=1e-9 * np.abs(logits[0]).max())  # the same function
    largest = max(float((changed[name] - tensor).abs().max()) for name, tensor in weights.items())
    assert largest > 0.1  # in other weights
    leave = ("equals",) if change == "offsets moved" else ()  # `=` may be moved against the numbers
    assert_same(describe(before), describe(after), leave)


def test_a_description_sees_what_is_no_gauge() -> None:
    """One neuron's output doubled, one head's scores doubled, one token moved: each shows where it should."""
    weights = trained_like(13)
    before = description(weights, 13)
    louder, sharper, moved = clone(weights), clone(weights), clone(weights)
    louder[W_OUT][0] *= 2
    sharper[ATTENTION["Q"]][0] *= 2
    moved["embed.W_E"][3] += 0.1
    for changed, parts in (
        (louder, {"W_out", "W_in", "W_L"}),
        (sharper, {"QK", "attention"}),
        (moved, {"W_E", "power", "equals", "gram"}),
    ):
        after = parts_of(description(changed, 13))
        seen = {
            name
            for name, part in parts_of(before).items()
            if np.abs(after[name] - part).max() > 1e-3 * np.abs(part).max()
        }
        assert parts <= seen


def test_the_description_against_loops() -> None:
    weights = trained_like(11)
    found = description(weights, 11)
    w = {name: tensor.numpy() for name, tensor in weights.items()}
    rows = {name: [] for name in TOKEN_MATRICES}
    query = w["embed.W_E"][11] + w["pos_embed.W_pos"][2]
    for x in range(11):
        rows["W_E"].append(w["embed.W_E"][x])
        rows["W_U"].append(w["unembed.W_U"][:, x])
        rows["W_L"].append(
            [
                np.linalg.norm(w[W_IN][:, n]) * (w[W_OUT][n] @ w["unembed.W_U"][:, x])
                for n in range(w[W_IN].shape[1])
            ]
        )
        rows["attention"].append(
            [
                (query @ w[ATTENTION["Q"]][h])
                @ (w["embed.W_E"][x] @ w[ATTENTION["K"]][h])
                / np.sqrt(CONFIG.d_head)
                for h in range(CONFIG.n_heads)
            ]
        )
    for index, name in enumerate(TOKEN_MATRICES):
        centred = np.array(rows[name]) - np.mean(rows[name], axis=0)
        np.testing.assert_allclose(found.gram[index], centred @ centred.T, atol=1e-9)
        np.testing.assert_allclose(found.power[index], transform(centred).energy.sum(axis=1), rtol=1e-9)
        if name in found.singular:
            values = np.linalg.svd(centred, compute_uv=False)
            np.testing.assert_allclose(found.singular[name], values, atol=1e-6 * values[0])
    for name, pair in {"QK": "QK", "OV": "VO"}.items():
        scale = np.sqrt(CONFIG.d_head) if name == "QK" else 1.0
        products = [
            first @ (second.T if name == "QK" else second) / scale
            for first, second in zip(*(w[ATTENTION[one]] for one in pair), strict=True)
        ]
        values = np.concatenate([np.linalg.svd(m, compute_uv=False)[: CONFIG.d_head] for m in products])
        np.testing.assert_allclose(found.singular[name], np.sort(values)[::-1], atol=1e-9)
    W_in, W_out = balanced(w[W_IN], w[W_OUT])
    np.testing.assert_allclose(np.linalg.norm(W_in, axis=0), np.linalg.norm(W_out, axis=1))
    np.testing.assert_allclose(W_out.T @ W_in.T, w[W_OUT].T @ w[W_IN].T)


def test_a_silent_neuron_and_a_weight_that_is_no_number() -> None:
    weights = trained_like(11)
    weights[W_IN][:, 0] = 0
    assert description(weights, 11).finite
    weights["unembed.W_U"][0, 0] = float("nan")
    broken = description(weights, 11)
    assert not broken.finite
    assert np.isnan(broken.singular["W_U"]).all()


# --- relabelling -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", [2, 5, 12])
def test_renaming_tokens_permutes_gram_matrices_and_frequencies(unit: int) -> None:
    p = 13
    weights = trained_like(p)
    plain, other = description(weights, p), description(relabelled(weights, unit), p)
    np.testing.assert_allclose(other.gram, renamed(plain.gram, unit), atol=1e-9)
    np.testing.assert_allclose(other.power, renamed_power(plain.power, unit), rtol=1e-9)
    for name in SPECTRA:
        np.testing.assert_allclose(other.singular[name], plain.singular[name], atol=1e-6)
    for index, k in product(range(4), range(1, 7)):  # k goes to +-k / unit
        image = k * pow(unit, -1, p) % p
        image = min(image, p - image)
        assert other.power[index, image - 1] == pytest.approx(plain.power[index, k - 1])


@pytest.mark.parametrize("p", [3, 5, 11, 13])
def test_lines_keep_inner_products_and_turn_renaming_into_a_shift(p: int) -> None:
    rng = np.random.default_rng(p)
    grams = [matrix @ matrix.T for matrix in rng.standard_normal((2, p, 4))]
    equals = rng.standard_normal((2, p + 1))
    for first, second in product(range(2), range(2)):
        inner = (lines(grams[first], equals[first]) * lines(grams[second], equals[second])).sum()
        whole = (grams[first] * grams[second]).sum() + 2 * (equals[first] * equals[second])[:p].sum()
        assert inner == pytest.approx(whole + equals[first][p] * equals[second][p])
    found = correlations(spectrum(lines(grams[0])), spectrum(lines(grams[1])), p - 1)
    for shift, unit in enumerate(units(p).tolist()):
        moved = np.empty((p, p))
        for x, y in product(range(p), range(p)):
            moved[unit * x % p, unit * y % p] = grams[1][x, y]
        np.testing.assert_allclose(renamed(grams[1], unit), moved)
        assert found[shift] == pytest.approx((grams[0] * moved).sum())
    assert sorted(units(p)) == list(range(1, p))
    assert np.array_equal(
        np.sort(frequency_images(p), axis=1), np.tile(np.arange((p - 1) // 2), ((p - 1) // 2, 1))
    )


def test_residues_of_a_composite_have_no_primitive_root() -> None:
    with pytest.raises(BadParameter, match="p=15 is no prime"):
        units(15)


# --- distances -------------------------------------------------------------------------------------------


def slow_distance(first: Description, second: Description, measure: str, matrix: str, unit: int) -> float:
    """One distance under one renaming, from its definition."""
    p, chosen = first.p, range(4) if matrix == ALL else [TOKEN_MATRICES.index(matrix.removesuffix(" with ="))]
    found = []
    for index in chosen:
        if measure == "Fourier power":
            shares = [one.power[index] / one.power[index].sum() for one in (first, second)]
            moved = np.empty(len(shares[1]))
            for k in range(1, len(moved) + 1):
                image = k * pow(unit, -1, p) % p
                moved[min(image, p - image) - 1] = shares[1][k - 1]
            found.append(np.abs(shares[0] - moved).sum() / 2)
            continue
        grams = [one.gram[index] for one in (first, second)]
        if matrix == WITH_EQUALS:
            grams = [
                np.block([[gram, one.equals[:p, None]], [one.equals[None, :p], one.equals[p:, None]]])
                for gram, one in zip(grams, (first, second), strict=True)
            ]
        image = [unit * x % p for x in range(p)] + list(range(p, len(grams[1])))
        moved = np.empty_like(grams[1])
        moved[np.ix_(image, image)] = grams[1]
        sizes = [np.linalg.norm(gram) for gram in (grams[0], moved)]
        if measure == "CKA":
            found.append(1 - (grams[0] * moved).sum() / (sizes[0] * sizes[1]))
        else:
            found.append(np.linalg.norm(grams[0] - moved) ** 2 / (sizes[0] * sizes[1]))
    return float(np.sqrt(np.mean(found)) if measure == "Frobenius" else np.mean(found))


@pytest.mark.parametrize("p", [11, 13])
@pytest.mark.parametrize("measure", ["CKA", "Frobenius", "Fourier power"])
def test_the_search_over_renamings_is_exact(p: int, measure: str) -> None:
    runs = [description(trained_like(p, ks, seed), p) for seed, ks in enumerate([(2, 5), (1, 3), (4, 2)])]
    for matrix in MEASURES[measure].matrices:
        best = distances(runs, all_pairs(3), measure, matrix, True)
        plain = distances(runs, all_pairs(3), measure, matrix, False)
        for at, (i, j) in enumerate(all_pairs(3)):
            every = [slow_distance(runs[i], runs[j], measure, matrix, unit) for unit in range(1, p)]
            assert plain.value[at] == pytest.approx(every[0], abs=1e-9)
            assert best.value[at] == pytest.approx(min(every), abs=1e-9)
            assert every[best.unit[at] - 1] == pytest.approx(min(every), abs=1e-9)
    assert (plain.unit == 1).all()


@pytest.mark.parametrize("p", [11, 23])
def test_a_renamed_copy_in_another_gauge_is_found(p: int) -> None:
    """Renamed, permuted, rotated, rescaled, rewritten: nothing is left of the distance, and u undoes it."""
    weights, unit = trained_like(p), 4
    copy = relabelled(weights, unit)
    for change in CHANGES.values():
        if change is not offsets_moved:
            copy = change(copy)
    runs = [description(weights, p), description(copy, p)]
    for measure, kind in MEASURES.items():
        for matrix in kind.matrices:
            best = distances(runs, all_pairs(2), measure, matrix, True)
            assert best.value[0] < 1e-6, (measure, matrix)
            if kind.renames and matrix == ALL:
                assert distances(runs, all_pairs(2), measure, matrix, False).value[0] > 0.1
                assert best.unit[0] * unit % p in ((1,) if measure != "Fourier power" else (1, p - 1))


def test_distances_are_symmetric_and_do_not_see_a_common_renaming() -> None:
    p = 13
    weights = [trained_like(p, (2, 5), 0), trained_like(p, (1, 3), 1)]
    runs = [description(one, p) for one in weights]
    renamed_runs = [description(relabelled(one, unit), p) for one, unit in zip(weights, (3, 7), strict=True)]
    for measure, kind in MEASURES.items():
        there, back = distances(runs, np.array([[0, 1], [1, 0]]), measure).value
        assert there == pytest.approx(back)
        assert there > 0.01 or not kind.renames
        assert distances(renamed_runs, all_pairs(2), measure).value[0] == pytest.approx(there)


def test_frobenius_sees_size_where_cka_does_not() -> None:
    one = description(trained_like(11), 11)
    larger = Description(one.p, 4 * one.gram, one.equals, one.power, one.singular, one.attention)
    assert distances([one, larger], all_pairs(2), "CKA").value[0] == pytest.approx(0, abs=1e-12)
    assert distances([one, larger], all_pairs(2), "Frobenius").value[0] == pytest.approx(3 / 2)


def test_singular_values_and_sorted_power_take_any_p() -> None:
    small, large = description(trained_like(11), 11), description(trained_like(13), 13)
    for name in ("singular values", "sorted Fourier power", "attention"):
        assert 0 < distances([small, large], all_pairs(2), name).value[0] < 1
    with pytest.raises(
        BadParameter, match=r"p = 11, 13\. Select runs of one p, or take one of: sorted Fourier"
    ):
        distances([small, large], all_pairs(2), "CKA")


def test_wasserstein_distance_of_spectra_of_different_length() -> None:
    """Two values against three: quantile functions compared by hand on sixths."""
    one = description(trained_like(11), 11)
    spectra = {"W_E": np.array([4.0, 1.0]), "W_U": np.array([2.0, 1.0, 0.5])}
    pair = [
        Description(one.p, one.gram, one.equals, one.power, {"W_E": values}, one.attention)
        for values in spectra.values()
    ]
    first, second = (np.log10(values / np.sqrt((values**2).mean())) for values in spectra.values())
    sixths = np.abs(np.repeat(first, 3) - np.repeat(second, 2)).mean()
    found = distances(pair, all_pairs(2), "singular values", "W_E").value[0]
    assert found == pytest.approx(sixths)
    assert np.log10(FLOOR) == pytest.approx(-3)


def test_unknown_names_are_answered_with_what_there_is() -> None:
    runs = [description(trained_like(11), 11)] * 2
    with pytest.raises(BadParameter, match="no distance 'cosine'; choose one of: CKA, Frobenius"):
        distances(runs, all_pairs(2), "cosine")
    with pytest.raises(BadParameter, match="'Fourier power' has no matrix 'QK'; choose one of: all, W_E"):
        distances(runs, all_pairs(2), "Fourier power", "QK")
    assert distances(runs, np.zeros((0, 2)), "CKA").value.shape == (0,)


# --- what chance gives -----------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def initialisations() -> list[Description]:
    """120 independent ones of p = 13."""
    made = []
    for seed in range(120):
        params = modular_addition.Params(p=13, seed=seed)
        made.append(description(modular_addition.init_weights(params, CONFIG), 13))
    return made


@pytest.mark.parametrize("measure", ["CKA", "Frobenius", "Fourier power", "singular values"])
def test_the_band_of_initialisations_covers_other_initialisations(
    measure: str, initialisations: list[Description]
) -> None:
    size = {name: getattr(CONFIG, name) for name in ("d_model", "n_heads", "d_head", "d_mlp")}
    low, high = nulls.between_initial(13, size, measure, count=40)
    assert low < high
    pairs = np.arange(120).reshape(-1, 2)  # 60 that share no run
    apart = distances(initialisations, pairs, measure).value
    inside = int(((apart >= low) & (apart <= high)).sum())
    assert inside >= 51  # binomial of 60 with 0.95: fewer has a probability of 0.002


def test_shuffled_frequencies_are_as_near_as_one_of_them() -> None:
    """A run whose frequencies are drawn at random lies among its own shuffles at the stated rate."""
    rng = np.random.default_rng(3)
    reference = np.zeros(56)
    reference[[8, 32, 37, 54]] = 0.25
    below = 0
    for trial in range(60):
        other = rng.permuted(reference)
        _, after = nulls.shuffled_powers(reference, other, count=100, seed=trial)
        image = frequency_images(113)
        own = (np.abs(reference - other[image]).sum(axis=-1) / 2).min()
        low, high = nulls.band(after)
        below += bool(low <= own <= high)
    assert below >= 52
    with pytest.raises(BadParameter, match="4 and of 5 frequencies"):
        nulls.shuffled_powers(np.ones(4), np.ones(5))


# --- stacked runs ----------------------------------------------------------------------------------------


def test_common_components_agree_with_a_singular_value_decomposition() -> None:
    rng = np.random.default_rng(0)
    points = rng.standard_normal((9, 40)).cumsum(axis=0)
    runs = np.array([0] * 4 + [1] * 5)
    found = common_components(points, runs)
    centred = points - points.mean(axis=0)
    left, size, _ = np.linalg.svd(centred, full_matrices=False)
    np.testing.assert_allclose(np.abs(found.projection), np.abs(left * size)[:, :3], rtol=1e-9)
    np.testing.assert_allclose(found.shares, (size**2 / (size**2).sum())[:3])
    means = np.array([points[runs == run].mean(axis=0) - points.mean(axis=0) for run in (0, 1)])
    between = (np.array([4, 5]) * (means**2).sum(axis=1)).sum() / (centred**2).sum()
    assert found.between == pytest.approx(between)


def test_random_walks_have_the_shares_of_random_walks() -> None:
    """Walks drawn anew, from starts of their own, fall into the range at the stated rate."""
    rng = np.random.default_rng(1)
    runs = [np.arange(12), np.arange(12, 20)]
    inside = np.zeros(3)
    for trial in range(40):
        points = np.zeros((20, 400))
        for own, start in zip(runs, rng.standard_normal((2, 400)), strict=True):
            steps = rng.standard_normal((len(own), 400))
            points[own] = start + np.cumsum(steps, axis=0) - steps[0]
        gram = centred_gram(points)
        low, high = walk_shares(gram, runs, 400, seed=trial)
        values = np.linalg.eigvalsh(gram)[::-1][:3] / np.trace(gram)
        inside += (values >= low) & (values <= high)
    assert (inside >= 31).all()  # of 40: the range itself comes from 40 walks


def test_a_straight_path_is_no_random_walk() -> None:
    points = np.outer(np.arange(10.0), np.ones(50))
    found = common_components(points, np.zeros(10, dtype=int))
    assert found.shares[0] == pytest.approx(1)
    assert found.walk_high[0] < 0.95


# --- the instrument --------------------------------------------------------------------------------------


def test_the_instrument_gives_back_the_description(make_variant: Callable[..., Variant]) -> None:
    variant = make_variant(p=13)
    found = described(AnalyzerService().on_demand(variant, 30, "gauge_invariants"))
    expected = description({n: t.double() for n, t in variant.at(30).weights.items()}, 13)
    assert found.p == 13
    assert_same(expected, found)
    assert {name: len(values) for name, values in found.singular.items()} == {
        name: len(values) for name, values in expected.singular.items()
    }


def test_a_trained_model_has_its_power_at_its_key_frequencies() -> None:
    """p113-s999-d598 learned 9, 33, 38 and 55, and eight directions carry W_L."""
    from safetensors.torch import load

    weights = load(SAMPLE.read_bytes())
    found = description({name: tensor.float() for name, tensor in weights.items()}, 113)
    for index, name in enumerate(TOKEN_MATRICES):
        most = 3 if name == "attention" else 4  # four heads read three of them
        assert set(np.argsort(found.power[index])[-most:] + 1) <= {9, 33, 38, 55}, name
    assert (found.singular["W_L"] > 0.05 * found.singular["W_L"][0]).sum() == 8
    assert found.singular["W_L"][:2] == pytest.approx([17.362, 16.680], abs=2e-3)
    np.testing.assert_allclose(found.attention[:, :2], 0.5, atol=0.01)
