"""The summary: steps and their timing, the classification, and the table on runs whose answers are known."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from analyzers.instruments.run_summary import run_summary
from analyzers.registry import default_registry
from analyzers.run import Run
from analyzers.service import AnalyzerService
from analyzers.summary.classification import LABELS, Facts, classify, losses_stay_finite
from analyzers.summary.signals import SIGNALS
from analyzers.summary.steps import find_step, passed
from analyzers.summary.structure_measures import STRUCTURE
from analyzers.summary.timing import difference
from analyzers.turn_detection import descents
from data import Variant
from data.errors import MissingArtifact

EPOCHS = np.arange(0, 2001, 100)
NAN = float("nan")


def step_at(epoch: float, low: float, high: float, width: float = 60.0) -> np.ndarray:
    """A logistic step between two levels."""
    return low + (high - low) / (1 + np.exp(-(EPOCHS - epoch) / width))


# --- steps -----------------------------------------------------------------------------------------------


def test_a_planted_step_is_found_between_the_checkpoints_around_it() -> None:
    found = find_step(EPOCHS, step_at(1050, 0.2, 0.9), rising=True, least=0.1)
    assert found.stages["middle"] == (1000, 1100)
    onset, completion = 1050 - 60 * np.log(9), 1050 + 60 * np.log(9)  # 10 and 90 % of a logistic
    assert found.stages["onset"][0] < onset <= found.stages["onset"][1]
    assert found.stages["completion"][0] < completion <= found.stages["completion"][1]
    assert (found.before, found.after) == pytest.approx((0.2, 0.9), abs=1e-3)


def test_falling_and_logarithmic_steps() -> None:
    fallen = find_step(EPOCHS, 10 ** step_at(650, 1.0, -7.0), rising=False, least=1.0, logarithmic=True)
    assert fallen.stages["middle"] == (600, 700)
    assert fallen.before == pytest.approx(10, rel=0.01)
    assert fallen.after == pytest.approx(1e-7, rel=0.01)
    wrong = find_step(EPOCHS, 10 ** step_at(650, 1.0, -7.0), rising=True, least=1.0, logarithmic=True)
    assert "1 would be a step" in wrong.reason
    assert math.isnan(wrong.stages["middle"][1])


def test_a_step_counts_from_the_extreme_and_a_spike_does_not_undo_it() -> None:
    values = step_at(1050, 0.0, 1.0)
    values[:5] = 0.6  # starts high, dips, then rises: as an excluded loss does
    values[-4] = 0.1  # one later spike
    assert find_step(EPOCHS, values, rising=True, least=0.1).stages["middle"] == (1000, 1100)


def test_nan_is_left_out_and_few_points_are_too_few() -> None:
    values = step_at(1050, 0.0, 1.0)
    values[10:12] = np.nan  # epochs 1000 and 1100
    assert find_step(EPOCHS, values, rising=True, least=0.1).stages["middle"] == (900, 1200)
    assert "4 are needed" in find_step(EPOCHS[:3], values[:3], rising=True, least=0.1).reason


def test_noise_has_no_step() -> None:
    noise = 0.5 + 0.01 * np.random.default_rng(0).standard_normal(len(EPOCHS))
    assert "would be a step" in find_step(EPOCHS, noise, rising=True, least=0.1).reason


def test_passing_for_good() -> None:
    at = np.arange(5)
    assert passed(at, np.array([0, 0, 1, 1, 1], dtype=bool)) == (1, 2)
    assert passed(at, np.array([0, 1, 0, 1, 1], dtype=bool)) == (2, 3)
    assert passed(at, np.ones(5, dtype=bool)) == pytest.approx((NAN, 0), nan_ok=True)
    assert all(math.isnan(bound) for bound in passed(at, np.zeros(5, dtype=bool)))


def test_differences_of_intervals_hold_every_pair() -> None:
    assert difference((1000, 1100), (300, 400)) == (600, 800)
    assert difference((300, 400), (1000, 1100)) == (-800, -600)
    assert difference((1000, 1100), (NAN, 50)) == (950, 1100)
    assert math.isnan(difference((1000, 1100), (NAN, NAN))[0])


def test_descents_of_a_loss_with_two_drops() -> None:
    t = np.arange(0, 20_001, 20)
    log = 1.0 - 2.0 / (1 + np.exp(-(t - 5000) / 150)) - 4.0 / (1 + np.exp(-(t - 14_000) / 300))
    first, second = descents(t, 10**log)
    assert first.steepest == pytest.approx(5000, abs=200)
    assert second.steepest == pytest.approx(14_000, abs=200)
    assert (first.decades, second.decades) == pytest.approx((2, 4), rel=0.1)
    assert first.onset < 5000 < first.completion < second.onset
    assert descents(t, np.full(len(t), 3.0)) == []
    assert descents(t[:5], 10 ** log[:5]) == []


# --- classification --------------------------------------------------------------------------------------

GROKKED = Facts(
    verdict="turned",
    finite=True,
    train_accuracy=1.0,
    test_accuracy=1.0,
    best_test_accuracy=1.0,
    onset=9_000,
    trained=25_000,
    final_test_loss=2e-7,
    least_test_loss=2e-7,
    restricted=1e-7,
    full=2e-7,
    keys=4,
)


@pytest.mark.parametrize(
    ("changed", "label", "rule"),
    [
        ({}, "grokked", "not turned late"),
        ({"onset": 13_000}, "grokked late", "turned late"),
        ({"verdict": "at once"}, "at once", "not turned"),
        ({"verdict": "unknown"}, "learned, no turn seen", "not turned"),
        ({"restricted": 1.5e-5}, "grokked, unclean solution", "unclean"),
        ({"keys": 1}, "grokked, unclean solution", "few frequencies"),
        ({"final_test_loss": 1e-3}, "anomalous", "rebounded"),
        ({"finite": False}, "anomalous", "not losses stay finite"),
        ({"test_accuracy": 0.5}, "anomalous", "generalised before"),
        (
            {"test_accuracy": 0.5, "best_test_accuracy": 0.5, "verdict": "unfinished"},
            "grokking, unfinished",
            "memorised",
        ),
        (
            {"test_accuracy": 0.02, "best_test_accuracy": 0.02, "verdict": "never"},
            "memorised only",
            "memorised",
        ),
        (
            {"test_accuracy": 0.02, "best_test_accuracy": 0.02, "train_accuracy": 0.1, "verdict": "never"},
            "not trained",
            "not memorised",
        ),
        ({"test_accuracy": NAN}, "unknown", ""),
    ],
)
def test_every_kind_of_run(changed: dict[str, Any], label: str, rule: str) -> None:
    found, decided, rules = classify(replace(GROKKED, **changed))
    assert found == label
    assert found in LABELS
    assert rule in decided or not rule
    assert all(one.says for one in rules)


def test_what_is_not_known_does_not_decide() -> None:
    unknown = replace(GROKKED, restricted=NAN, full=NAN, keys=-1, least_test_loss=NAN)
    label, _, rules = classify(unknown)
    assert label == "grokked"
    assert {rule.name for rule in rules if rule.holds is None} == {"unclean", "few frequencies", "rebounded"}
    json.dumps([rule.to_json() for rule in rules], allow_nan=False)


def test_finite_losses() -> None:
    def history(loss: list[float]) -> xr.Dataset:
        return xr.Dataset({"train_loss": ("epoch", loss)}, coords={"epoch": np.arange(len(loss))})

    assert losses_stay_finite(history([3.0, NAN, 1.0]))
    assert not losses_stay_finite(history([3.0, np.inf, 1.0]))
    assert not losses_stay_finite(history([3.0, *[NAN] * 60]))
    assert losses_stay_finite(xr.Dataset(coords={"epoch": np.zeros(0)}))


# --- the table -------------------------------------------------------------------------------------------


def planted(name: str) -> xr.Dataset:
    """A result of that instrument over EPOCHS with the steps that a run makes; empty outputs otherwise."""
    coords: dict[str, Any] = {"epoch": EPOCHS, "split": ["train", "test", "all"]}

    def curve(values: np.ndarray, *dims: tuple[str, list[str]]) -> xr.DataArray:
        found = xr.DataArray(values, dims=("epoch",), coords={"epoch": EPOCHS})
        for dim, labels in dims:
            found = found.expand_dims({dim: labels})
        return found

    splits = ("split", ["train", "test", "all"])
    protocols = ("protocol", ["sum_directions", "block_2x2", "block_3x3"])
    if name == "logits_summary":
        loss = 10 ** step_at(1250, 1.0, -6.0)
        return xr.Dataset(
            {"accuracy": curve(step_at(1150, 0.01, 1.0, 30), splits), "loss": curve(loss, splits)}, coords
        )
    if name == "progress_losses":
        lists = (splits, protocols)
        return xr.Dataset(
            {
                "excluded_loss": curve(10 ** step_at(450, -4.0, 1.0), *lists),
                "restricted_loss": curve(10 ** step_at(1050, 1.0, -7.0), *lists),
            }
        )
    if name == "weight_norms":
        return xr.Dataset({"total": curve(step_at(950, 60, 30))})
    if name == "key_frequencies":
        table = np.zeros((len(EPOCHS), 3, 5), dtype=np.int8)
        table[11:, :, [1, 3]] = 1  # 2 and 4, from epoch 1100 on
        table[5:8, :, 0] = 1  # 1 for a time
        return xr.Dataset(
            {"is_key": (("epoch", "rule", "freq"), table)},
            {
                "epoch": EPOCHS,
                "rule": ["embedding_norm", "neuron_logit_map", "neuron_blocks"],
                "freq": np.arange(1, 6),
            },
        )
    raise MissingArtifact("planted", name)


def summary_of(variant: Variant) -> tuple[dict[str, Any], dict[str, dict[str, Any]]]:
    """(what the instrument returns, its rows by name) for planted results beside the real history."""

    def read(name: str) -> xr.Dataset:
        return AnalyzerService().read(variant, "turn") if name == "turn" else planted(name)

    found = run_summary.compute(Run(variant, read))
    rows = {
        one["name"]: {**one, "value": value, "lower": lower, "upper": upper}
        for one, value, lower, upper in zip(
            json.loads(found["attrs"]["metrics"]), found["value"], found["lower"], found["upper"], strict=True
        )
    }
    assert list(rows) == found["metric"]
    return dict(found), rows


@pytest.fixture
def analysed(make_variant: Callable[..., Variant]) -> Variant:
    from analyzers.pipeline import analyze

    variant = make_variant()
    assert analyze(variant, ["turn"]).failures == []
    return variant


def test_the_table_of_a_planted_run(analysed: Variant) -> None:
    found, rows = summary_of(analysed)  # the test loss of its history falls around epoch 1000
    attrs = found["attrs"]
    assert attrs["classification"] == "grokked"
    assert rows["classification"]["value"] == LABELS.index("grokked")
    assert rows["turn, steepest"]["lower"] < 1000 <= rows["turn, steepest"]["upper"]
    assert rows["excluded loss, step"]["upper"] == 500
    assert rows["excluded loss, lead"]["text"] == "before the turn"
    assert rows["excluded loss, lead"]["lower"] <= 550 <= rows["excluded loss, lead"]["upper"]
    assert rows["test accuracy, lead"]["text"] == "after the turn"
    assert rows["learned frequencies"]["text"] == "2, 4"
    assert rows["learned frequencies"]["value"] == 2
    assert rows["lost frequencies"]["text"] == "1"
    assert rows["frequency 4 becomes key"]["upper"] == 1100
    assert rows["last test loss"]["value"] == pytest.approx(10**-5.5, rel=1e-3)
    assert rows["descents of the test loss"]["value"] == 1


def test_structural_measures_are_stated_at_the_turn_and_at_the_end(analysed: Variant) -> None:
    _, rows = summary_of(analysed)
    high = rows["turn, completion"]["upper"]
    after = EPOCHS[high <= EPOCHS][0]
    norms = dict(zip(EPOCHS.tolist(), step_at(950, 60, 30).tolist(), strict=True))
    assert rows["weight norm, at the turn"]["value"] == pytest.approx(norms[int(after)])
    assert rows["weight norm, at the turn"]["lower"] <= rows["weight norm, at the turn"]["value"]
    assert rows["weight norm, final"]["value"] == pytest.approx(norms[2000])
    settled = rows["weight norm, converged"]
    assert norms[settled["lower"]] - 30 > 1.5 > norms[settled["upper"]] - 30  # 5 % of 60 - 30
    for measure in STRUCTURE:
        for when in ("at the turn", "final", "converged"):
            assert f"{measure.key}, {when}" in rows


def test_what_is_missing_says_why(analysed: Variant) -> None:
    _, rows = summary_of(analysed)
    for row in rows.values():
        assert math.isfinite(row["value"]) == (row["reason"] == ""), row
    assert "gini has not been computed" in rows["Gini of W_E, final"]["reason"]
    assert "tdw" not in rows["Gini of W_E, final"]["reason"]
    assert "dimensionality_crossing" in rows["W_E below the lower edge of the band (eigenvalues)"]["reason"]


def test_a_run_that_never_turned_says_so(analysed: Variant) -> None:
    analysed.save_history(
        {"epoch": EPOCHS, "train_loss": 10 ** step_at(200, 0.5, -5), "test_loss": np.full(len(EPOCHS), 9.0)}
    )
    from analyzers.pipeline import analyze

    analyze(analysed, ["turn"])
    found, rows = summary_of(analysed)
    assert found["attrs"]["verdict"] == "never"
    assert rows["weight norm, at the turn"]["reason"].startswith("the turn has no completion")
    assert math.isfinite(rows["weight norm, final"]["value"])
    assert rows["excluded loss, lead"]["reason"] == "there is no turn"


def test_every_definition_is_there_and_names_are_unique(analysed: Variant) -> None:
    found, rows = summary_of(analysed)
    assert len(rows) == len(found["metric"])
    assert all(row["definition"] and row["unit"] for row in rows.values())
    assert found["signal"] == ["test loss", *(signal.key for signal in SIGNALS)]


def test_it_needs_what_it_reads() -> None:
    needs = set(default_registry().get("run_summary").needs)
    assert {measure.analyzer for measure in (*SIGNALS, *STRUCTURE)} < needs
    assert {"turn", "phases", "neuron_commitment", "path_nulls", "dimensionality_crossing"} <= needs


def test_the_real_instruments_feed_it(make_variant: Callable[..., Variant]) -> None:
    from analyzers.pipeline import analyze

    variant = make_variant(p=11, epochs=(0, 10, 100, 1200))
    service = AnalyzerService()
    assert service.summary(variant)["metrics"] is None
    assert analyze(variant, ["run_summary"]).failures == []
    summary = service.summary(variant)
    json.dumps(summary, allow_nan=False)
    assert summary["classification"] in LABELS
    absent = {
        name: one["reason"] for name, one in summary["metrics"].items() if "no such value" in one["reason"]
    }
    assert absent == {}
    assert summary["metrics"]["weight norm, final"]["value"] > 0
    assert summary["key_frequencies"] is not None
