"""Phases of training from curves, and the known story on a shipped run."""

from __future__ import annotations

import json
import math
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import xarray as xr

from analyzers.arrays import dataset_of
from analyzers.features import Features
from analyzers.registry import default_registry
from analyzers.training_phases import BOUNDARIES, Curve, Thresholds, boundaries
from data import Workspace
from data.errors import BadParameter

EPOCHS = np.arange(0, 10_001, 100)


def curves() -> tuple[Curve, Curve, Curve]:
    """Memorised by 500, circuits from 1,200 on, the test loss falls at 4,000 and is low at 6,000."""
    train = np.where(EPOCHS < 500, 1.0, 1e-4)
    test = np.where(EPOCHS < 4000, 8.0, np.where(EPOCHS < 6000, 1.0, 1e-3))
    test[10] = 9.0
    over = np.where(EPOCHS < 1200, 1.1, 50.0)
    return Curve(EPOCHS, train), Curve(EPOCHS, test), Curve(EPOCHS, over)


def bounds(found: dict[str, Any]) -> dict[str, tuple[float, float]]:
    return {name: (found[name].lower, found[name].upper) for name in BOUNDARIES}


def test_boundaries_lie_between_two_evaluations() -> None:
    found = boundaries(*curves(), Thresholds())
    assert bounds(found) == {
        "memorised": (400, 500),
        "circuit_formation": (1100, 1200),
        "cleanup": (3900, 4000),
        "cleaned": (5900, 6000),
    }
    assert "below 0.01 from epoch 500 on" in found["memorised"].reason
    assert "peak of 9" in found["cleanup"].reason


def test_a_crossing_that_does_not_last_is_none() -> None:
    train, test, over = curves()
    over.value[3] = 100.0
    test.value[20] = 1e-3
    found = bounds(boundaries(train, test, over, Thresholds()))
    assert found["circuit_formation"] == (1100, 1200)
    assert found["cleaned"] == (5900, 6000)


def test_a_test_loss_that_is_low_before_its_peak_is_no_cleanup() -> None:
    train, test, over = curves()
    test.value[:5] = 2.0
    assert bounds(boundaries(train, test, over, Thresholds()))["cleanup"] == (3900, 4000)


def test_thresholds_move_the_boundaries() -> None:
    strict = boundaries(*curves(), Thresholds(memorised=1e-5, leaves=60, falls=20, cleaned=2))
    found = bounds(strict)
    assert np.isnan(found["memorised"]).all()
    assert "not reached" in strict["memorised"].reason
    assert np.isnan(found["circuit_formation"]).all()
    assert found["cleanup"] == (5900, 6000)
    assert found["cleaned"] == (3900, 4000)


def test_what_was_so_from_the_start_has_an_open_lower_end() -> None:
    _, test, over = curves()
    found = boundaries(Curve(EPOCHS, np.full(len(EPOCHS), 1e-5)), test, over, Thresholds())["memorised"]
    assert math.isnan(found.lower)
    assert found.upper == 0
    assert "at or before the first evaluation" in found.reason


def test_nothing_is_known_without_values() -> None:
    nothing = Curve(EPOCHS, np.full(len(EPOCHS), np.nan))
    found = boundaries(nothing, nothing, nothing, Thresholds())
    for name in BOUNDARIES:
        assert np.isnan(bounds(found)[name]).all()
        assert "not known" in found[name].reason


def a_run(history: bool) -> Any:
    train, test, over = curves()
    losses = np.stack([train.value, test.value, test.value], axis=1)
    splits = ["train", "test", "all"]
    excluded = np.ones((len(EPOCHS), 2, 3))
    excluded[:, 0, 0] = over.value * train.value
    excluded[:, 1, 0] = train.value
    artifacts = {
        "logits_summary": xr.Dataset(
            {"loss": (("epoch", "split"), losses)}, coords={"epoch": EPOCHS, "split": splits}
        ),
        "progress_losses": xr.Dataset(
            {"excluded_loss": (("epoch", "protocol", "split"), excluded)},
            coords={"epoch": EPOCHS, "protocol": ["sum_directions", "block_2x2"], "split": splits},
        ).isel(epoch=slice(0, -1)),
    }
    fine = np.arange(0, 10_001, 10)
    columns = {
        "train_loss": np.where(fine < 470, 1.0, 1e-4),
        "test_loss": np.interp(fine, EPOCHS, test.value),
    }
    empty = xr.Dataset(coords={"epoch": np.zeros(0, int)})
    recorded = xr.Dataset(
        {name: ("epoch", values) for name, values in columns.items()}, coords={"epoch": fine}
    )
    return SimpleNamespace(artifact=artifacts.__getitem__, history=recorded if history else empty)


@pytest.mark.parametrize(("history", "memorised"), [(True, (460, 470)), (False, (400, 500))])
def test_the_history_is_finer_than_the_checkpoints(history: bool, memorised: tuple[int, int]) -> None:
    instrument = default_registry().get("phases")
    found = instrument.compute(a_run(history))
    assert found["boundary"] == list(BOUNDARIES)
    assert (found["lower"][0], found["upper"][0]) == memorised
    assert (found["lower"][1], found["upper"][1]) == (1100, 1200)
    assert set(json.loads(found["attrs"]["reasons"])) == set(BOUNDARIES)
    assert json.loads(found["attrs"]["thresholds"])["protocol"] == "sum_directions"
    other = instrument.compute(a_run(history), protocol="block_2x2")
    assert math.isnan(other["upper"][1])
    with pytest.raises(BadParameter, match="block_9x9"):
        instrument.compute(a_run(history), protocol="block_9x9")


# --- the known story -------------------------------------------------------------------------------------

EARLY, MIDDLE, TURNING, LAST = 2500, 7000, 11100, 25000


NAMES = ("progress_losses", "gini", "logit_fit", "clock_pizza", "neuron_logit_map", "logits_summary")


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[int, xr.Dataset]]:
    """instrument -> epoch -> result, on four checkpoints of a shipped run."""
    workspace = Workspace(tmp_path_factory.mktemp("samples") / "workspace", create=True)
    workspace.add_samples()
    variant = workspace["p113-s999-d598"]
    results: dict[str, dict[int, xr.Dataset]] = {}
    finals: dict[str, Any] = {}
    for epoch in (LAST, EARLY, MIDDLE, TURNING):
        found = Features(variant.at(epoch).weights, variant.family, variant.params)
        found.finals = finals
        for instrument in default_registry().ordered(NAMES):
            dataset = dataset_of(instrument, instrument.compute(found, **instrument.with_defaults({})), {})
            found.needs[instrument.name] = {str(name): values.values for name, values in dataset.items()}
            results.setdefault(instrument.name, {})[epoch] = dataset
            if epoch == LAST:
                finals[instrument.name] = found.needs[instrument.name]
    return results


def test_circuits_form_before_the_test_loss_falls(shipped: dict[str, dict[int, xr.Dataset]]) -> None:
    progress, losses = shipped["progress_losses"], shipped["logits_summary"]
    assert float(losses[MIDDLE]["loss"].sel(split="test")) > 5
    for protocol in ("sum_directions", "block_2x2"):
        excluded, restricted = (
            [
                float(progress[epoch][f"{name}_loss"].sel(protocol=protocol, split=split))
                for epoch in (EARLY, MIDDLE, LAST)
            ]
            for name, split in (("excluded", "train"), ("restricted", "test"))
        )
        assert excluded[1] > 20 * excluded[0]
        assert restricted[1] < 0.5 * restricted[0]
        assert restricted[2] < 1e-7 < float(losses[LAST]["loss"].sel(split="test"))


def test_the_frequencies_of_a_shipped_run_are_found(
    shipped: dict[str, dict[int, xr.Dataset]],
) -> None:
    found = shipped["key_frequencies"][LAST]
    keys = {
        str(rule): found["freq"].values[found["is_key"].sel(rule=rule) > 0].tolist()
        for rule in found["rule"].values
    }
    assert keys["neuron_blocks"] == keys["neuron_logit_map"] == [9, 33, 38, 55]
    assert keys["embedding_norm"] == [9, 33, 38, 47, 55]  # the embedding keeps one that no neuron reads
    excluded = shipped["progress_losses"][LAST]["excluded_by_frequency"].to_series()
    assert set(excluded.nlargest(4).index) == {9, 33, 38, 55}
    assert excluded.nlargest(5).iloc[-1] < 1.2e-7


def test_sparsity_rises_and_the_end_is_nearly_pure(shipped: dict[str, dict[int, xr.Dataset]]) -> None:
    for matrix in ("W_E", "W_L"):
        for per in ("component", "frequency"):
            early, middle, last = (
                float(shipped["gini"][epoch]["gini"].sel(matrix=matrix, per=per))
                for epoch in (EARLY, MIDDLE, LAST)
            )
            assert float(shipped["gini"][EARLY]["null_high"].max()) < early < middle < last
            assert last > 0.7
    fit = shipped["logit_fit"][LAST]
    assert fit["fve"].values == pytest.approx([0.984, 0.9855], abs=1e-3)
    key = fit["trig_loss"].sel(terms="key", split="all")
    assert float(key) == pytest.approx(4.85e-8, rel=0.01)
    assert float(key) < float(shipped["logits_summary"][LAST]["loss"].sel(split="all"))
    weights = shipped["neuron_logit_map"][LAST]
    assert int(weights["rank"].sel(share=0.999)) == int(weights["key_directions"]) == 8
    assert float(weights["residual"].max()) < 0.05


def test_the_shipped_run_passes_by_the_pizza_and_ends_as_a_clock(
    shipped: dict[str, dict[int, xr.Dataset]],
) -> None:
    turning, last = (shipped["clock_pizza"][epoch] for epoch in (TURNING, LAST))
    centred = {"centring": "double_centred"}
    assert float(turning["fve_pizza"].sel(centred)) > float(turning["fve_clock"].sel(centred))
    assert float(last["fve_pizza"].sel(centred)) < float(last["fve_clock"].sel(centred))
    assert [float(found["symmetricity"]) for found in (turning, last)] == pytest.approx(
        [0.875, 0.329], abs=2e-3
    )
    assert [float(found["irrelevance"][0]) for found in (turning, last)] == pytest.approx(
        [0.398, 0.834], abs=2e-3
    )
