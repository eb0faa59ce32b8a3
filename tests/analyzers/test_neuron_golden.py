"""Neurons of a shipped run at its first and last checkpoint, pinned."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from analyzers.features import Features
from analyzers.registry import default_registry
from data import Workspace

NAMES = ("neuron_harmonics", "neuron_phases", "neuron_structure", "multi_scale")
KEYS = {9: 88, 33: 153, 38: 49, 55: 153}  # neurons with at least half of their variance at k


@pytest.fixture(scope="module")
def ends(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """The four instruments at both ends of p113-s999-d598."""
    workspace = Workspace(tmp_path_factory.mktemp("samples") / "workspace", create=True)
    workspace.add_samples()
    variant, registry = workspace["p113-s999-d598"], default_registry()
    found = []
    for epoch in (variant.epochs[-1], variant.epochs[0]):
        features = Features(variant.at(epoch).weights, variant.family, variant.params)
        for instrument in registry.ordered(NAMES):
            returned = instrument.compute(features, **instrument.with_defaults({}))
            features.needs[instrument.name] = {name: np.asarray(value) for name, value in returned.items()}
            if instrument.name == "neuron_frequencies":
                final = found[0] if found else features.needs
                features.finals["neuron_frequencies"] = final["neuron_frequencies"]
        found.append({**features.needs, "live": features.need("neuron_frequencies", "variance") > 0})
    return found


def test_phases_align_and_groups_are_uniform(ends: list[dict[str, Any]]) -> None:
    last, first = (found["neuron_phases"] for found in ends)
    members = dict(enumerate(last["members"].tolist(), start=1))
    for k, count in KEYS.items():
        assert abs(members[k] - count) <= 2
        assert (last["resultant"][:2, k - 1] < 0.25).all()
    assert sum(members.values()) - sum(members[k] for k in KEYS) <= 3
    assert np.nanmedian(np.abs(last["misalignment"][0])) == pytest.approx(0.039, abs=0.01)
    assert np.nanmedian(np.abs(first["misalignment"][0])) == pytest.approx(np.pi / 2, abs=0.2)
    assert np.nanmedian(np.abs(first["misalignment"][1])) == pytest.approx(np.pi / 2, abs=0.2)
    assert first["members"].sum() == 0
    np.testing.assert_array_equal(first["frequency"][1], last["frequency"][0])
    equal = np.abs(np.angle(np.exp(1j * (last["phase_a"][0] - last["phase_b"][0]))))
    assert np.nanmedian(equal) < 0.02  # both tokens are read with one phase


def test_neurons_concentrate_and_are_symmetric_from_the_start(ends: list[dict[str, Any]]) -> None:
    last, first = (found["neuron_structure"] for found in ends)
    for part in range(4):
        assert np.nanmedian(last["ipr"][part]) > 0.92
        assert np.nanmedian(first["ipr"][part]) == pytest.approx(2 / 57, rel=0.05)
    assert np.nanmedian(last["content"], axis=1) == pytest.approx([0.746, 0.115, 0.052], abs=0.01)
    assert np.nanmedian(first["commutativity"]) > 0.999  # no sign of learning
    assert np.nanmedian(last["commutativity"]) > 0.999


def test_harmonics_add_to_the_fundamental(ends: list[dict[str, Any]]) -> None:
    last, _ = (found["neuron_harmonics"] for found in ends)
    assert np.nanmedian(last["share"], axis=1) == pytest.approx([0.939, 0.960], abs=0.01)
    assert last["null_share"] == pytest.approx([0.0052, 0.0081], abs=3e-4)
    fundamental = ends[0]["neuron_frequencies"]["dominant_fraction"]
    assert (last["share"][1] >= fundamental - 1e-6).all()


def test_the_scales_of_neurons(ends: list[dict[str, Any]]) -> None:
    last, first = (found["multi_scale"] for found in ends)
    live = ends[1]["live"]
    assert np.median(first["low_frequency_ratio"][live]) == pytest.approx(0.217, abs=0.02)
    assert np.nanquantile(last["low_frequency_ratio"], [0.05, 0.5, 0.95]) == pytest.approx(
        [0.0024, 0.040, 0.969], abs=0.01
    )
    # bilinear reduction to 14 cells keeps a quarter of the variance of k = 33..55, by aliasing
    high = np.isin(ends[0]["neuron_phases"]["frequency"][0], (33, 38, 55))
    assert np.median(last["variance_preserved"][high]) == pytest.approx(0.26, abs=0.03)
    assert np.median(last["variance_preserved_area"][high]) < 0.02
