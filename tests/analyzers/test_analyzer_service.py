"""Reading, computing on demand, tokens and the summary."""

from __future__ import annotations

import json

import numpy as np
import pytest

from analyzers.pipeline import analyze
from analyzers.service import AnalyzerService
from data import Variant
from data.errors import BadParameter, MissingArtifact, UnknownEpoch


def test_what_has_not_run_says_what_to_run(variant: Variant) -> None:
    service = AnalyzerService()
    assert service.token(variant, "neuron_clusters") == ""
    with pytest.raises(MissingArtifact, match=f"tdw analyze {variant.name}"):
        service.read(variant, "neuron_clusters")
    assert not any(found.complete for found in service.status(variant))


def test_the_list_can_be_written_as_json() -> None:
    listed = json.loads(json.dumps(AnalyzerService().list()))
    assert {"neuron_map", "turn"} <= {found["name"] for found in listed}
    assert all(found["formula"] and found["source"] for found in listed)


def test_on_demand_computes_one_checkpoint_and_keeps_it(variant: Variant) -> None:
    service = AnalyzerService()
    found = service.on_demand(variant, 10, "neuron_map", neuron=5)
    assert found["activation"].dims == ("a", "b")
    assert int(found["epoch"]) == 10
    assert service.on_demand(variant, 10, "neuron_map", neuron=np.int64(5)) is found
    assert service.on_demand(variant, 10, "neuron_map", neuron=6) is not found
    assert service.on_demand(variant, 30, "neuron_map", neuron=5) is not found
    variant.save_checkpoint(10, variant.at(30).weights)
    again = service.on_demand(variant, 10, "neuron_map", neuron=5)
    assert not np.allclose(again["activation"], found["activation"])


def test_on_demand_computes_what_is_needed_and_agrees_with_what_is_stored(variant: Variant) -> None:
    analyze(variant)
    service = AnalyzerService()
    now, stored = service.on_demand(variant, 30, "neuron_clusters"), service.read(variant, "neuron_clusters")
    for name in ("cluster", "size", "unassigned"):
        np.testing.assert_array_equal(now[name], stored[name].sel(epoch=30))


def test_impossible_requests_are_refused(variant: Variant) -> None:
    service = AnalyzerService()
    with pytest.raises(BadParameter, match="neurons 0 to 23"):
        service.on_demand(variant, 10, "neuron_map", neuron=500)
    with pytest.raises(UnknownEpoch, match="nearest"):
        service.on_demand(variant, 11, "neuron_map")
    with pytest.raises(BadParameter, match="the whole run"):
        service.on_demand(variant, 10, "turn")
    with pytest.raises(BadParameter, match="no analyzer"):
        service.read(variant, "neurons")


def test_the_cache_stays_small(variant: Variant) -> None:
    service = AnalyzerService(cache_bytes=3000)
    first = service.on_demand(variant, 10, "neuron_map", neuron=0)
    for neuron in range(1, 6):
        service.on_demand(variant, 10, "neuron_map", neuron=neuron)
    assert service.on_demand(variant, 10, "neuron_map", neuron=0) is not first


def test_the_summary_is_plain_and_complete(variant: Variant) -> None:
    service = AnalyzerService()
    before = json.loads(json.dumps(service.summary(variant), allow_nan=False))
    assert before["key_frequencies"] is None
    assert before["train_accuracy"] is None
    assert before["turn"]["verdict"] == "turned"
    low, high = before["turn"]["steepest"]
    assert low < 1000 <= high
    analyze(variant)
    after = service.summary(variant)
    assert after["turn"] == before["turn"]
    assert after["checkpoints"] == 4
    assert after["last_epoch"] == 100
    assert after["trained_epochs"] == 2000
    assert after["test_loss"] == pytest.approx(10**-5.5, rel=1e-3)
    assert 0 <= after["train_accuracy"] <= 1
    assert after["live_neurons"] <= 24
    assert after["key_frequencies"] == []
    assert "10 %" in after["key_frequencies_rule"]


def test_a_variant_without_anything_has_a_summary(variant: Variant) -> None:
    for epoch in variant.epochs:
        variant.at(epoch).path.unlink()
    variant.history_path.unlink()
    summary = AnalyzerService().summary(variant)
    assert summary["checkpoints"] == 0
    assert summary["turn"]["verdict"] == "no history"
    assert summary["key_frequencies"] is None
