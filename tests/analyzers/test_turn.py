"""The turn detector on curves whose truth is known, and on curves without a turn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from analyzers.turn_detection import EDGE, Turn, detect_turn

LENGTH = 25000.0
TENTH = 2 * np.arccosh(
    EDGE**-0.5
)  # a logistic falls at EDGE of its fastest rate this many widths from its middle


def memorising(t: Any) -> Any:
    """Training loss that passes 1e-2 at about a hundredth of the run and stays below."""
    return 10 ** (0.67 - 6 * (1 - np.exp(-t / (0.02 * t[-1]))))


def planted(
    middle: float = 0.45,
    width: float = 0.01,
    decades: float = 8.0,
    noise: float = 0.05,
    count: int = 2500,
    seed: int = 0,
) -> tuple[Any, Any, Any]:
    """Rise at memorisation (4.7 to 30), plateau, logistic drop; middle and width as shares of the run."""
    t = np.round(np.linspace(0, LENGTH, count))
    rise = 0.83 * np.exp(-t / (0.015 * LENGTH))
    drop = decades / (1 + np.exp(-(t / LENGTH - middle) / width))
    y = 1.5 - rise - drop + noise * np.random.default_rng(seed).standard_normal(count)
    return t, 10**y, memorising(t)


@pytest.mark.parametrize("width", [0.003, 0.01, 0.03])
@pytest.mark.parametrize("noise", [0.0, 0.1])
@pytest.mark.parametrize("count", [60, 500, 25001])
def test_a_planted_drop_lies_in_the_intervals(width: float, noise: float, count: int) -> None:
    middle = 0.45
    found = detect_turn(*planted(middle=middle, width=width, noise=noise, count=count))
    assert found.verdict == "turned"
    truth = {"onset": middle - TENTH * width, "steepest": middle, "completion": middle + TENTH * width}
    step = LENGTH / (count - 1)
    for event, share in truth.items():
        low, high = found.intervals[event]
        assert low < share * LENGTH <= high, event
        assert high - low < 0.1 * LENGTH + 2 * step
    assert found.confidence > 0.6
    assert found.decades == pytest.approx(8, abs=0.6)


def test_memorisation_is_the_evaluation_that_passes_the_threshold() -> None:
    t, test, train = planted()
    first = int((train < 1e-2).argmax())
    assert detect_turn(t, test, train).intervals["memorised"] == (t[first - 1], t[first])
    spiked = train.copy()
    spiked[first - 20] = 1e-3  # one lucky evaluation is not sustained
    assert detect_turn(t, test, spiked).intervals["memorised"] == (t[first - 1], t[first])


def test_known_from_the_first_evaluation_on_has_an_open_lower_end() -> None:
    t, test, train = planted()
    low, high = detect_turn(t, test, np.full_like(train, 1e-4)).intervals["memorised"]
    assert np.isnan(low)
    assert high == 0


def test_stretching_time_stretches_the_answer() -> None:
    t, test, train = planted()
    once, thrice = detect_turn(t, test, train), detect_turn(3 * t, test, train)
    for event, (low, high) in once.intervals.items():
        assert thrice.intervals[event] == pytest.approx((3 * low, 3 * high)), event
    assert thrice.confidence == pytest.approx(once.confidence)


def test_sparse_evaluation_widens_the_intervals() -> None:
    dense, sparse = (detect_turn(*planted(count=count)) for count in (2500, 40))
    for event in dense.intervals:
        widths = [high - low for low, high in (dense.intervals[event], sparse.intervals[event])]
        assert widths[1] > 1.5 * widths[0], event


def test_uneven_evaluations_and_gaps_are_fine() -> None:
    t, test, train = planted(count=25001)
    t_log = np.unique(np.geomspace(1, LENGTH, 200).astype(int))
    found = detect_turn(t[t_log], test[t_log], train[t_log])
    assert found.verdict == "turned"
    assert found.intervals["steepest"][0] < 0.45 * LENGTH <= found.intervals["steepest"][1]
    test[np.arange(len(test)) % 100 != 0] = np.nan  # evaluated every 100 epochs
    found = detect_turn(t, test, train)
    assert found.intervals["steepest"][0] < 0.45 * LENGTH <= found.intervals["steepest"][1]
    assert found.intervals["steepest"][0] % 100 == 0


def test_the_answer_does_not_depend_on_how_long_the_run_goes_on() -> None:
    t, test, train = planted(count=2500)
    more = np.arange(1, 47501) * 10 + LENGTH
    longer = np.concatenate([t, more]), np.concatenate([test, np.full(len(more), test[-1])])
    found = detect_turn(*longer, np.concatenate([train, np.full(len(more), train[-1])]))
    assert found.verdict == "turned"
    low, high = found.intervals["steepest"]
    assert low < 0.45 * LENGTH <= high
    assert high - low < 0.05 * LENGTH


def test_spikes_after_the_turn_are_not_turns() -> None:
    t, test, train = planted(count=25001, noise=0.02)
    for start, length in ((15000, 40), (18000, 150), (22000, 15)):
        test[start : start + length] *= 10 ** np.linspace(5, 0, length)
    found = detect_turn(t, test, train)
    assert found.verdict == "turned"
    assert found.intervals["steepest"][0] < 0.45 * LENGTH <= found.intervals["steepest"][1]
    assert found.confidence > 0.8


def test_of_several_drops_the_largest_is_the_turn_and_the_reason_says_so() -> None:
    t, test, train = planted(middle=0.3, decades=2, noise=0.02)
    test = test * 10 ** (-5 / (1 + np.exp(-(t / LENGTH - 0.7) / 0.01)))
    found = detect_turn(t, test, train)
    assert found.intervals["steepest"][0] < 0.7 * LENGTH <= found.intervals["steepest"][1]
    assert found.other_drops == 1
    assert "largest of 2 drops" in found.reason


def never(name: str, t: Any, seed: int) -> Any:
    rng = np.random.default_rng(seed)
    noise, steps = rng.standard_normal((2, len(t)))
    x = t / t[-1]
    rise = 0.8 * (1 - np.exp(-x / 0.015))
    return {
        "flat": np.zeros_like(t),
        "noise": 0.3 * noise,
        "loud noise": noise,
        "random walk": 0.3 * np.cumsum(steps) / np.sqrt(len(t)),
        "slow decay": -4 * x + 0.05 * noise,
        "power law": -1.5 * np.log10(1 + x / 0.05),
        "still memorising": rise + 0.05 * noise,
        "small drop": rise - 0.6 / (1 + np.exp(-(x - 0.5) / 0.01)),
        "spikes": 0.02 * noise - 6 * (np.abs(x - 0.6) < 0.002),
    }[name]


@pytest.mark.parametrize(
    "name",
    [
        "flat",
        "noise",
        "loud noise",
        "random walk",
        "slow decay",
        "power law",
        "still memorising",
        "small drop",
        "spikes",
    ],
)
def test_without_a_turn_the_answer_is_never(name: str) -> None:
    for seed, count in enumerate((30, 300, 3000, 25001)):
        t = np.linspace(0, LENGTH, count)
        found = detect_turn(t, 10 ** (1.0 + never(name, t, seed)), memorising(t))
        assert found.verdict == "never", (count, found)
        assert found.confidence == 0
        assert all(np.isnan(found.intervals[event]).all() for event in ("onset", "steepest", "completion"))
        assert found.reason


def test_a_run_that_generalises_at_once_is_named_so() -> None:
    t = np.arange(0, 5001.0)
    train = 10 ** (0.67 - 7 * (1 - np.exp(-t / 100)))
    found = detect_turn(t, 1.2 * train, train)
    assert found.verdict == "at once"
    assert "without a plateau" in found.reason


def test_a_run_that_ends_within_the_drop_is_unfinished() -> None:
    t, test, train = planted(middle=0.6, width=0.02, noise=0.02)
    kept = t < 0.61 * LENGTH
    found = detect_turn(t[kept], test[kept], train[kept])
    assert found.verdict == "unfinished"
    assert np.isnan(found.intervals["completion"]).all()
    assert np.isfinite(found.intervals["onset"]).all()


def test_a_run_that_is_never_memorised_says_so() -> None:
    t, test, train = planted()
    assert "training loss never" in detect_turn(t, test, np.full_like(train, 0.5)).reason


@pytest.mark.parametrize("count", range(9))
def test_tiny_histories_do_not_crash(count: int) -> None:
    t = np.arange(count) * 100.0
    test = np.array([4.7, 30, 20, 1e-6, 1e-7, 1e-7, 1e-7, 1e-7])[:count] if count < 9 else np.full(count, 1.0)
    found = detect_turn(t[: len(test)], test, test)
    assert isinstance(found, Turn)
    if len(test) < 8:
        assert found.verdict == ("no history" if count == 0 else "unknown")


def test_divergence_is_reported_with_its_epoch() -> None:
    t, test, train = planted(noise=0.0)
    late = t >= 20000
    for value in (np.nan, np.inf):
        broken = np.where(late, value, test)
        found = detect_turn(t, broken, np.where(late, np.nan, train))
        assert found.verdict == "turned"
        assert f"not finite from epoch {t[late][0]:g}" in found.reason
    early = t >= 5000
    found = detect_turn(t, np.where(early, np.nan, test), np.where(early, np.nan, train))
    assert found.verdict == "never"
    assert "not finite" in found.reason


def test_zero_losses_are_not_infinite_drops() -> None:
    t, test, train = planted(noise=0.0)
    found = detect_turn(t, np.where(t > 0.6 * LENGTH, 0.0, test), train)
    assert found.verdict == "turned"
    assert np.isfinite(found.decades)


def test_losses_that_were_never_recorded() -> None:
    t = np.arange(100.0)
    assert detect_turn(t, np.full(100, np.nan), np.full(100, np.nan)).verdict == "no history"
