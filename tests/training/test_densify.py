"""Densify: added checkpoints are those of the run, and nothing is added that cannot be verified."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from data import Workspace
from data.errors import BadParameter, CorruptFile, WorkbenchError
from training.densify import ReplayDiffers, densify
from training.families import modular_addition as family
from training.forks import Change, fork_variant
from training.interventions import FrequencyGain
from training.run import train_variant

SMALL = {"d_model": 12, "n_heads": 2, "d_head": 4, "d_mlp": 16}
SPARSE = "0,10,30,40"


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "workspace", create=True)


def run(workspace, checkpoints=SPARSE, **options):
    arguments = {"epochs": 40, "device": "cpu", "state_every": 20, **options}
    return train_variant(
        workspace, family.NAME, {"p": 7, "seed": 1}, SMALL, checkpoints=checkpoints, **arguments
    )


@pytest.fixture
def dense(tmp_path):
    return run(Workspace(tmp_path / "dense", create=True), "0:40:1")


def spoil(variant, epoch):
    """As if the stored checkpoint came from another device."""
    variant.save_checkpoint(epoch, {name: w + 1e-4 for name, w in variant.at(epoch).weights.items()})


def same(one, other, epoch) -> bool:
    a, b = one.at(epoch), other.at(epoch)
    return all(torch.equal(a.weights[name], b.weights[name]) for name in a.weights)


@pytest.mark.parametrize("dtype", ["float32", "float16"])
def test_added_epochs_are_those_that_the_run_would_have_kept(workspace, tmp_path, dtype):
    sparse = run(workspace, checkpoint_dtype=dtype)
    dense = run(Workspace(tmp_path / "dense", create=True), "0:40:1", checkpoint_dtype=dtype)
    history = sparse.history.load()
    done = densify(sparse, "22:36:2")
    assert done.added == [22, 24, 26, 28, 32, 34, 36]
    assert done.already == [30]
    assert done.source == "the optimizer state at epoch 20"
    assert done.verified == [30, 40]
    assert (done.differing, done.unverified) == ([], [])
    assert sparse.epochs == [0, 10, 22, 24, 26, 28, 30, 32, 34, 36, 40]
    for epoch in sparse.epochs:
        assert same(sparse, dense, epoch)
        assert sparse.at(epoch).hash == dense.at(epoch).hash  # the very same file
    assert sparse.history.equals(history)
    assert sparse.provenance["densified"] == [{"epochs": done.added, "verified": True}]
    assert workspace[sparse.name].provenance["densified"] == sparse.provenance["densified"]
    assert densify(sparse, "22:36:2").added == []


def test_before_the_first_saved_state_it_starts_from_the_initialisation(workspace, dense):
    sparse = run(workspace)
    done = densify(sparse, [3, 5])
    assert done.source == "the initialisation (epoch 0)"
    assert done.verified == [10]
    assert same(sparse, dense, 3)
    assert same(sparse, dense, 5)


def test_a_fork_with_an_intervention_is_densified_like_any_other(workspace, tmp_path):
    gain = FrequencyGain("attn_out", (1, 2), 0.0, start=12, end=28, ramp=3)
    other = Workspace(tmp_path / "other", create=True)
    sparse, dense = (
        fork_variant(run(where), 12, Change(intervention=gain), checkpoints=kept, state_every=100)
        for where, kept in ((workspace, SPARSE), (other, "12:40:1"))
    )
    done = densify(sparse, "13:39:2")
    assert done.source == "the optimizer state at epoch 12"
    assert done.verified == [30, 40]
    assert all(same(sparse, dense, epoch) for epoch in sparse.epochs)
    with pytest.raises(BadParameter, match=r"epoch 5 is outside the run of .*; choose epochs from 12 to 40"):
        densify(sparse, "5:20:5")


def test_a_replay_that_differs_adds_nothing_and_says_why(workspace):
    sparse = run(workspace)
    made = {**sparse.provenance, "device_name": "NVIDIA H200", "torch": "2.11.0"}
    sparse.record = replace(sparse.record, provenance=made)
    spoil(sparse, 30)
    before = sparse.token()
    with pytest.raises(ReplayDiffers, match=r"differs from the stored checkpoint at epoch 30 by") as error:
        densify(sparse, "22:28:2")
    assert "device name NVIDIA H200 then" in str(error.value)
    assert "torch 2.11.0 then" in str(error.value)
    assert "Nothing was added" in str(error.value)
    assert "--force" in str(error.value)
    assert error.value.comparison.epoch == 30
    assert 0 < error.value.comparison.difference < 0.01
    assert sparse.epochs == [0, 10, 30, 40]
    assert sparse.token() == before


def test_what_was_verified_before_it_differs_stays(workspace, dense):
    sparse = run(workspace)
    spoil(sparse, 30)
    with pytest.raises(ReplayDiffers, match="2 checkpoints before it were verified and added") as error:
        densify(sparse, [4, 8, 15, 25])
    assert error.value.added == [4, 8]
    assert sparse.epochs == [0, 4, 8, 10, 30, 40]
    assert same(sparse, dense, 8)
    assert sparse.provenance["densified"] == [{"epochs": [4, 8], "verified": True}]


def test_force_adds_what_differs_and_says_so(workspace, dense):
    sparse = run(workspace)
    spoil(sparse, 30)
    done = densify(sparse, [15, 25, 35], force=True)
    assert done.added == [15, 25, 35]
    assert [one.epoch for one in done.differing] == [30]
    assert done.verified == [10, 40]
    assert same(sparse, dense, 25)
    assert sparse.provenance["densified"] == [{"epochs": [15, 25, 35], "verified": False}]


def test_epochs_after_the_last_stored_one_need_force(workspace):
    sparse = run(workspace)
    sparse.at(40).path.unlink()
    with pytest.raises(WorkbenchError, match=r"2 epochs after 30 .* cannot be verified.*--force"):
        densify(sparse, [25, 33, 35])
    assert sparse.epochs == [0, 10, 25, 30]
    done = densify(sparse, [33, 35], force=True)
    assert done.unverified == [33, 35]
    assert sparse.epochs == [0, 10, 25, 30, 33, 35]


def test_a_damaged_state_is_passed_over_and_a_damaged_checkpoint_is_named(workspace):
    sparse = run(workspace)
    path = sparse.path / "optimizer" / "epoch_00000020.safetensors"
    path.write_bytes(path.read_bytes()[:100])
    assert densify(sparse, [25]).source == "the initialisation (epoch 0)"
    stored = sparse.at(30).path
    stored.write_bytes(stored.read_bytes()[:100])
    with pytest.raises(CorruptFile, match=r"epoch_00000030\.safetensors is damaged or truncated"):
        densify(sparse, [26])
    assert sparse.epochs == [0, 10, 25, 30, 40]


def test_nothing_to_replay_from(workspace):
    sparse = run(workspace)
    for epoch in sparse.optimizer_epochs:
        sparse.drop_optimizer(epoch)
    spoil(sparse, 0)
    with pytest.raises(WorkbenchError, match=r"no training state at or before epoch 25 .* nothing to replay"):
        densify(sparse, [25])


@pytest.mark.parametrize(
    ("epochs", "message"),
    [
        ("30:50:5", "checkpoint 45 is outside this run of 40 epochs"),
        ([41], "epoch 41 is outside the run of p7-s1-d598.*choose epochs from 0 to 40"),
        ([-1], "epoch -1 is outside"),
        ([], "no epoch was given; choose epochs of p7-s1-d598"),
        ("9000:x", "'9000:x' cannot be read"),
    ],
)
def test_bad_epochs(workspace, epochs, message):
    sparse = run(workspace)
    with pytest.raises(BadParameter, match=message):
        densify(sparse, epochs)
    assert sparse.epochs == [0, 10, 30, 40]


def test_analysis_does_only_what_was_added(workspace):
    from analyzers.pipeline import analyze

    sparse = run(workspace)
    analyze(sparse, ["logits_summary"])
    densify(sparse, [25])
    analyze(sparse, ["logits_summary"])
    losses = sparse.artifact("logits_summary")["loss"].sel(split="train")
    assert losses["epoch"].values.tolist() == [0, 10, 25, 30, 40]
    assert np.allclose(losses, sparse.history["train_loss"].sel(epoch=losses["epoch"]), rtol=1e-5)
