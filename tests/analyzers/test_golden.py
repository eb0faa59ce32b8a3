"""What the instruments say of the shipped runs, pinned."""

from __future__ import annotations

import numpy as np
import pytest

from analyzers.service import AnalyzerService
from data import Workspace

SIZES = {
    "p101-s999-d598": {5: 61, 35: 65, 39: 99, 41: 52, 43: 77},
    "p113-s485-d598": {27: 109, 36: 173, 53: 140},
    "p113-s999-d598": {9: 58, 33: 80, 38: 43, 55: 141},
}
TURNS = {  # (lower, upper] in epochs
    "p101-s999-d598": {"onset": (11968, 12581), "steepest": (13903, 14429), "completion": (18490, 19149)},
    "p113-s485-d598": {"onset": (7485, 7888), "steepest": (8656, 9019), "completion": (9562, 9845)},
    "p113-s999-d598": {"onset": (9050, 9687), "steepest": (10593, 10944), "completion": (15248, 15956)},
}
PARTICIPATION = {  # W_E at the last checkpoint, on singular values and on eigenvalues
    "p101-s999-d598": (13.87, 10.24),
    "p113-s485-d598": (8.96, 6.17),
    "p113-s999-d598": (12.25, 8.28),
}


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("samples") / "workspace", create=True)
    workspace.add_samples()
    return workspace


@pytest.mark.parametrize("name", SIZES)
def test_the_end_of_a_shipped_run(samples: Workspace, name: str) -> None:
    variant, service = samples[name], AnalyzerService()
    last = variant.epochs[-1]
    size = service.on_demand(variant, last, "neuron_clusters")["size"].to_series()
    assert {k for k, count in size.items() if count > 10} == set(SIZES[name])
    for k, count in SIZES[name].items():
        assert abs(size[k] - count) <= 2, k

    embedding = service.on_demand(variant, last, "embedding_fourier")
    count = len(SIZES[name])
    for matrix in ("W_E", "W_U"):
        strongest = embedding[f"{matrix}_norm"].to_series().nlargest(count)
        assert set(strongest.index) == set(SIZES[name])
    keys = list(SIZES[name])
    ratio = (embedding["W_E_cos"] / embedding["W_E_sin"]).sel(freq=keys)
    np.testing.assert_allclose(ratio, 1, atol=0.07)  # rings: cos and sin equally strong

    singular = service.on_demand(variant, last, "singular_values").sel(matrix="W_E")
    found = [float(singular[f"participation_ratio_{kind}"]) for kind in ("sv", "ev")]
    assert found == pytest.approx(PARTICIPATION[name], abs=0.01)

    attention = service.on_demand(variant, last, "attention_frequencies")
    assert set(np.unique(attention["dominant_frequency"])) <= set(keys)
    assert float(attention["mean_attention"].sel(source="=").max()) < 0.005


@pytest.mark.parametrize("name", SIZES)
def test_losses_from_the_stored_weights_are_those_of_training(samples: Workspace, name: str) -> None:
    """Float16 weights in float64 arithmetic against float32 training, on the recorded split."""
    variant, service = samples[name], AnalyzerService()
    for epoch in (0, variant.epochs[8], variant.epochs[-1]):
        found = service.on_demand(variant, epoch, "logits_summary")
        recorded = variant.history.sel(epoch=epoch)
        for split in ("train", "test"):
            assert float(found["loss"].sel(split=split)) == pytest.approx(
                float(recorded[f"{split}_loss"]), rel=2e-3
            )
    assert found["accuracy"].values.tolist() == [1.0, 1.0, 1.0]


@pytest.mark.parametrize("name", SIZES)
def test_the_turn_of_a_shipped_run(samples: Workspace, name: str) -> None:
    variant = samples[name]
    turn = AnalyzerService().summary(variant)["turn"]
    assert turn["verdict"] == "turned"
    assert turn["confidence"] > 0.9
    low, high = turn["memorised"]
    train = variant.history["train_loss"]
    assert float(train.sel(epoch=int(low))) >= 1e-2 > float(train.sel(epoch=int(high)))
    for event, expected in TURNS[name].items():
        assert turn[event] == pytest.approx(expected, abs=25), event
    test = variant.history["test_loss"]
    assert float(test.sel(epoch=int(turn["onset"][1]))) > 1
    assert float(test.sel(epoch=int(turn["completion"][0]))) < 1e-4
    middle = test.sel(epoch=slice(*map(int, turn["steepest"])))
    assert 1e-5 < float(middle.min()) < float(middle.max()) < 3
