"""Time of several runs on one axis, bands over runs, and the renaming that makes key frequencies coincide."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from analyzers.comparison.alignment import (
    ALIGNMENTS,
    Alignment,
    Landmarks,
    Refusal,
    align,
    ticks,
)
from analyzers.comparison.curves import (
    bands,
    common_grid,
    joint_grid,
    logarithm,
    overlap,
    relative_to_first,
    resample,
)
from analyzers.comparison.frequency_matching import (
    best_unit,
    carried_frequencies,
    carried_residues,
)
from data.errors import BadParameter

PATIENT = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # other tests run beside it
RUN = Landmarks(0.0, 1000.0, memorised=100.0, onset=400.0, completion=500.0)


def aligned(name: str, run: Landmarks = RUN) -> Alignment:
    found = align(name, run)
    assert isinstance(found, Alignment)
    return found


@st.composite
def runs(draw: st.DrawFn) -> Landmarks:
    """Any run that every alignment takes."""
    start = draw(st.integers(0, 3))
    steps = [draw(st.integers(1, 20_000)) for _ in range(4)]
    memorised, onset, completion, end = (float(start + step) for step in np.cumsum(steps))
    return Landmarks(float(start), end, memorised, onset, completion)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("epoch", [0, 100, 250, 400, 500, 750, 1000]),
        ("turn_relative", [-400, -300, -150, 0, 100, 350, 600]),
        ("turn_scaled", [0, 0.25, 0.625, 1, 1.25, 1.875, 2.5]),
        ("phases", [0, 1, 1.5, 2, 3, 3.5, 4]),
        ("log_epoch", np.log10([1, 101, 251, 401, 501, 751, 1001])),
    ],
)
def test_every_alignment_of_a_run_whose_landmarks_are_known(name: str, expected: list[float]) -> None:
    places = aligned(name).place([0, 100, 250, 400, 500, 750, 1000])
    np.testing.assert_allclose(places, expected, atol=1e-12)


@settings(PATIENT)
@given(run=runs(), name=st.sampled_from(list(ALIGNMENTS)), shares=st.lists(st.floats(0, 1), min_size=2))
def test_there_and_back_and_never_out_of_order(run: Landmarks, name: str, shares: list[float]) -> None:
    epochs = np.unique(np.round(run.start + np.array(shares) * (run.end - run.start)))
    one = aligned(name, run)
    places = one.place(epochs)
    np.testing.assert_allclose(one.epoch(places), epochs, atol=1e-6 * run.end)
    assert np.all(np.diff(places) > 0)
    assert [one.nearest(epochs.astype(int).tolist(), place) for place in places] == epochs.tolist()


@pytest.mark.parametrize("name", ALIGNMENTS)
def test_nothing_is_placed_outside_the_run(name: str) -> None:
    one = aligned(name, Landmarks(10.0, 1000.0, 100.0, 400.0, 500.0))
    assert np.isnan(one.place([9, 1001, np.nan])).all()
    assert np.isfinite(one.place([10, 1000])).all()
    low, high = one.place([10, 1000])
    assert np.isnan(one.epoch([low - 0.01, high + 0.01])).all()


@pytest.mark.parametrize(
    ("name", "run", "why"),
    [
        ("turn_relative", Landmarks(0, 50, reason="too few evaluations"), "too few evaluations"),
        ("turn_scaled", Landmarks(0, 50), "not turned"),
        ("turn_scaled", Landmarks(0, 50, onset=0.0), "onset is at epoch 0"),
        ("phases", Landmarks(0, 900, 100, 400, reason="ends within the drop"), "no completion (ends within"),
        ("phases", Landmarks(0, 900, onset=400, completion=500), "no memorised"),
        ("phases", Landmarks(0, 900, 450, 400, 500), "do not follow each other"),
        ("epoch", Landmarks(0, 0), "two epochs"),
    ],
)
def test_a_run_that_lacks_a_landmark_is_refused_with_the_reason(name: str, run: Landmarks, why: str) -> None:
    found = align(name, run)
    assert isinstance(found, Refusal)
    assert why in found.reason


def test_a_phase_without_epochs_at_either_end_is_skipped() -> None:
    at_once = aligned("phases", Landmarks(0, 900, 0, 400, 500))
    np.testing.assert_allclose(at_once.place([0, 400, 900]), [1, 2, 4])
    ends_with_turn = aligned("phases", Landmarks(0, 500, 100, 400, 500))
    np.testing.assert_allclose(ends_with_turn.place([0, 400, 500]), [0, 2, 3])


def test_landmarks_stand_at_the_upper_ends_of_what_the_turn_says() -> None:
    turn = {"memorised": [10, 20], "onset": [300.0, 350.0], "completion": None, "reason": "unfinished"}
    found = Landmarks.of(turn, 0, 999)
    assert (found.memorised, found.onset, found.start, found.end) == (20.0, 350.0, 0.0, 999.0)
    assert math.isnan(found.completion)
    assert found.reason == "unfinished"


def test_unknown_names_and_epochs_that_were_not_saved_within_the_run() -> None:
    with pytest.raises(BadParameter, match=r"'moon'.*phases"):
        align("moon", RUN)
    with pytest.raises(BadParameter, match="2 saved epochs"):
        aligned("epoch").nearest([2000, 3000], 5.0)


def test_ticks_name_epochs_and_phases() -> None:
    shown = ticks("log_epoch", 0.0, math.log10(1 + 25_000))
    assert shown["ticktext"] == ["0", "1", "10", "100", "1,000", "10,000"]
    np.testing.assert_allclose(10 ** np.array(shown["tickvals"]) - 1, [0, 1, 10, 100, 1000, 10_000])
    assert ticks("phases", 0, 4)["ticktext"] == ["start", "memorised", "onset", "completion", "end"]
    assert {ticks(name, 0, 1)["title"] for name in ALIGNMENTS} == set(ALIGNMENTS.values())


def test_values_between_points_and_those_that_hold() -> None:
    x, y = [0.0, 1.0, 3.0], [2.0, 4.0, 0.0]
    grid = [-1.0, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0]
    nan = np.nan
    np.testing.assert_array_equal(resample(x, y, grid), [nan, 2, 3, 4, 2, 0, nan])
    np.testing.assert_array_equal(resample(x, y, grid, "hv"), [nan, 2, 2, 4, 4, 0, nan])
    np.testing.assert_array_equal(resample(x, y, grid, "vh"), [nan, 2, 4, 4, 0, 0, nan])
    np.testing.assert_allclose(resample(x, [1.0, 100.0, 1e4], [0.5, 2.0], log=True), [1.0, 3.0])
    assert np.isnan(resample(x, [1.0, nan, 2.0], [0.5, 2.0])).all()
    assert np.isnan(resample([], [], [0.0])).all()
    with pytest.raises(ValueError, match="hold='sometimes'"):
        resample(x, y, grid, "sometimes")


def test_logarithms_of_what_has_none_are_undefined() -> None:
    np.testing.assert_array_equal(logarithm([10.0, 0.0, -1.0, np.nan]), [1.0, np.nan, np.nan, np.nan])


@settings(PATIENT, max_examples=60)
@given(
    rows=st.integers(1, 9).flatmap(
        lambda count: st.lists(
            st.lists(st.one_of(st.floats(-9, 9), st.just(math.nan)), min_size=4, max_size=4),
            min_size=count,
            max_size=count,
        )
    )
)
def test_bands_are_the_quartiles_of_those_that_are_there(rows: list[list[float]]) -> None:
    found = bands(rows)
    for column in range(4):
        there = sorted(row[column] for row in rows if not math.isnan(row[column]))
        assert found.count[column] == len(there)
        got = (found.lower[column], found.median[column], found.upper[column])
        if len(there) < 3 or 2 * len(there) < len(rows):
            assert np.isnan(got).all()
            continue
        for share, value in zip((0.25, 0.5, 0.75), got, strict=True):
            place = share * (len(there) - 1)
            low = int(place)
            high = min(low + 1, len(there) - 1)
            assert value == pytest.approx(there[low] + (place - low) * (there[high] - there[low]), abs=1e-9)


def test_grids_cover_all_curves_or_what_two_have_in_common() -> None:
    first, second, apart = np.array([0.0, 1.0, 4.0]), np.array([0.5, 1.0, 2.0, 9.0]), np.array([20.0, 30.0])
    np.testing.assert_array_equal(common_grid([first, second, np.zeros(0)], 4), [0, 3, 6, 9])
    np.testing.assert_array_equal(joint_grid(first, second), [0.5, 1, 2, 4])
    assert overlap(first, second) == (0.5, 4.0)
    assert overlap(first, apart) is None
    assert not len(joint_grid(first, apart))
    assert not len(common_grid([], 5))


def test_relative_values_start_at_one() -> None:
    np.testing.assert_array_equal(relative_to_first([np.nan, 0.0, 4.0, 8.0, 0.0]), [np.nan, 0, 1, 2, 0])
    assert np.isnan(relative_to_first([0.0, np.nan])).all()


@settings(PATIENT, max_examples=30)
@given(
    p=st.sampled_from([5, 13, 29, 113]),
    unit=st.integers(1, 400),
    seed=st.integers(0, 99),
    count=st.integers(1, 6),
)
def test_a_renamed_run_is_brought_back_onto_itself(p: int, unit: int, seed: int, count: int) -> None:
    unit = unit % (p - 1) + 1
    rng = np.random.default_rng(seed)
    frequencies = np.arange(1, (p - 1) // 2 + 1)
    keys = rng.permutation(frequencies)[:count]
    strength = rng.uniform(0.5, 1.0, len(frequencies)) * np.isin(frequencies, keys)
    x = np.arange(p)
    original = np.cos(2 * np.pi * np.outer(frequencies, x) / p + 0.3).T @ strength
    renamed = original[unit * x % p]  # a run that calls a what the other calls unit a
    spectra = [np.abs(np.fft.fft(one))[frequencies] for one in (original, renamed)]
    second = frequencies[spectra[1] > 1e-6]
    found = best_unit(p, keys.tolist(), second.tolist(), (spectra[0], spectra[1]))
    assert found.matched == len(keys)
    assert found.likeness == pytest.approx(1.0, abs=1e-9)
    carried = np.empty_like(spectra[1])
    carried[carried_frequencies(frequencies, found.unit, p) - 1] = spectra[1]
    np.testing.assert_allclose(carried, spectra[0], atol=1e-9)
    signs = (found.unit, p - found.unit)  # frequencies do not tell u from -u
    brought = [renamed[np.argsort(carried_residues(x, sign, p))] for sign in signs]
    assert min(np.abs(one - original).max() for one in brought) < 1e-9
    at = renamed[np.argsort(carried_residues(x, found.unit, p))]
    np.testing.assert_array_equal(at, renamed[found.unit * x % p])


def test_the_best_unit_is_that_of_an_exhaustive_search_and_chance_is_told() -> None:
    p, first, second = 29, {3, 7, 11}, {2, 5, 12, 14}
    matched = {unit: sum(min(unit * k % p, -unit * k % p) in first for k in second) for unit in range(1, 15)}
    found = best_unit(p, first, second)
    assert found.matched == max(matched.values()) == matched[found.unit]
    assert found.unit == min(unit for unit, count in matched.items() if count == found.matched)
    assert found.of == (3, 4)
    assert best_unit(p, {1}, {9}).chance == 1.0  # one frequency can always be carried onto another
    assert best_unit(113, range(1, 9), range(1, 9)).chance < 0.05
    with pytest.raises(BadParameter, match="one has none"):
        best_unit(p, set(), second)
