"""Variants that train in one batch: each is its own run, whatever happens to the others."""

from __future__ import annotations

import os

import numpy as np
import pytest
import torch

from data import Workspace
from data.errors import BadParameter, VariantExists, WorkbenchError, WorkspaceError
from training import run as run_module
from training.engine import Engine
from training.families import modular_addition as family
from training.run import make_job, resume_variant, train_group, train_variant
from training.trainer import Diverged

SMALL = {"d_model": 16, "n_heads": 2, "d_head": 8, "d_mlp": 32}


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "workspace", create=True)


@pytest.fixture
def alone(tmp_path):
    return Workspace(tmp_path / "alone", create=True)


def job(seed, epochs=40, dtype="float64", state_every=10, p=11, **config):
    values = {**SMALL, "dtype": dtype, **config}
    return make_job(family.NAME, {"p": p, "seed": seed}, values, epochs, state_every=state_every)


def group(workspace, jobs, **options):
    return train_group(workspace, jobs, device="cpu", **options)


def singles(workspace, jobs):
    return [group(workspace, [one])[0] for one in jobs]


def agree(workspace, alone, name, tolerance=1e-9):
    """The stored results of a variant are those of its single run."""
    one, other = workspace[name], alone[name]
    assert one.identity == other.identity
    assert one.epochs == other.epochs
    for column in ("train_loss", "test_loss", "lr", "weight_decay", "weight_norm"):
        assert np.allclose(one.history[column], other.history[column], rtol=tolerance, atol=0), column
    for epoch in one.epochs:
        a, b = one.at(epoch).weights, other.at(epoch).weights
        assert all(torch.allclose(a[key], b[key], rtol=1e-5, atol=1e-7) for key in a)
    return True


def test_a_batch_of_eight_is_eight_single_runs(workspace, alone):
    jobs = [job(seed, epochs=50, lr=1e-3 * (1 + seed % 3), weight_decay=0.5 * seed) for seed in range(8)]
    together = group(workspace, jobs)
    for one, single in zip(together, singles(alone, jobs), strict=True):
        assert one.error is None
        assert one.name == single.name
        assert agree(workspace, alone, one.name)
    batches = [workspace[one.name].provenance["batch"] for one in together]
    assert [batch["variants"] for batch in batches] == [8] * 8
    assert [batch["seat"] for batch in batches] == list(range(8))
    assert len({batch["members"] for batch in batches}) == 1
    assert {alone[one.name].provenance["batch"]["variants"] for one in together} == {1}
    assert all("batch_changes" not in workspace[one.name].provenance for one in together)


def test_float32_losses_of_a_batch_agree_for_thirty_epochs(workspace, alone):
    jobs = [make_job(family.NAME, {"p": 59, "seed": seed}, {}, 30) for seed in range(3)]
    for one, single in zip(group(workspace, jobs), singles(alone, jobs), strict=True):
        for column in ("train_loss", "test_loss"):
            assert np.allclose(one.history[column], single.history[column], rtol=1e-4, atol=0)


def test_a_variant_that_diverges_is_stopped_and_the_others_go_on(workspace, alone, monkeypatch):
    jobs = [job(seed) for seed in range(4)]
    singles(alone, jobs)
    original = Engine._update
    monkeypatch.setattr(Engine, "advance", one_call_per_epoch(Engine.advance))
    monkeypatch.setattr(Engine, "_update", lambda self: poison_at(self, original))
    outcomes = group(workspace, jobs)
    assert [outcome.error is None for outcome in outcomes] == [True, True, False, True]
    error = outcomes[2].error
    assert isinstance(error, Diverged)
    assert error.epoch == 24
    assert "not finite at epoch 24" in str(error)
    assert "last good checkpoint is epoch 16" in str(error)
    assert workspace[outcomes[2].name].epochs == [0, 1, 2, 4, 8, 16]
    assert np.isfinite(workspace[outcomes[2].name].history.to_array()).all()
    for i in (0, 1, 3):
        assert agree(workspace, alone, outcomes[i].name)


def one_call_per_epoch(advance):
    def slow(self, rates):
        return np.concatenate([advance(self, rates[i : i + 1]) for i in range(len(rates))])

    return slow


def poison_at(engine, update):
    """After the 24th update of a batch of four, one weight of its third variant is not a number."""
    update(engine)
    if engine.variants == 4 and engine.epochs[0] == 23:
        engine._weights[2, 5] = torch.nan


def test_variants_of_different_length_do_not_touch_each_other(workspace, alone):
    """Finished variants leave the batch (here in steps), and the others go on."""
    jobs = [job(seed, epochs=epochs) for seed, epochs in enumerate((5, 40, 12, 7, 40))]
    singles(alone, jobs)
    for outcome in group(workspace, jobs):
        assert outcome.error is None
        assert agree(workspace, alone, outcome.name)


def test_a_batch_is_made_smaller_when_variants_are_finished(workspace, monkeypatch):
    sizes = []
    original = run_module.make_engine

    def counting(found, many, *rest):
        sizes.append(len(many))
        return original(found, many, *rest)

    monkeypatch.setattr(run_module, "make_engine", counting)
    group(workspace, [job(seed, epochs=epochs) for seed, epochs in enumerate((5, 40, 12, 7, 40))])
    assert sizes == [5, 3, 2]
    changes = [
        workspace[f"p11-s{seed}-d598-dm16-h2-dh8-mlp32-float64"].provenance.get("batch_changes")
        for seed in range(5)
    ]
    assert changes[0] is changes[3] is None
    assert [(change["from_epoch"], change["variants"], change["seat"]) for change in changes[4]] == [
        (7, 3, 2),
        (12, 2, 1),
    ]
    assert changes[1][0]["members"] == changes[2][0]["members"] == changes[4][0]["members"]


def test_a_group_that_was_killed_goes_on(workspace, alone):
    jobs = [job(seed) for seed in range(3)]
    singles(alone, jobs)

    class Killed(Exception):
        pass

    def kill(progress):
        if progress.epoch >= 23:
            raise Killed

    with pytest.raises(Killed):
        group(workspace, jobs, on_progress=kill)
    resume_variant(workspace[jobs[1].record.name], device="cpu")  # one of them went on by itself
    with pytest.raises(VariantExists):
        group(workspace, jobs)
    outcomes = group(workspace, jobs, resume=True)
    for outcome in outcomes:
        assert outcome.error is None
        assert len(outcome.history["epoch"]) == 41
        assert agree(workspace, alone, outcome.name)
    tokens = [variant.token() for variant in workspace.variants()]
    group(workspace, jobs, resume=True)
    assert [variant.token() for variant in workspace.variants()] == tokens


def test_a_full_disk_keeps_the_last_good_state_of_all(workspace, alone, monkeypatch):
    jobs = [job(seed) for seed in range(3)]
    singles(alone, jobs)
    original, writes = os.fsync, []

    def full(descriptor):
        writes.append(1)
        if len(writes) > 90:
            raise OSError(28, "No space left on device")
        original(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WorkspaceError, match="No space left on device"):
        group(workspace, jobs)
    monkeypatch.undo()
    assert all(0 < variant.optimizer_epochs[-1] < 40 for variant in workspace.variants())
    for outcome in group(workspace, jobs, resume=True):
        assert agree(workspace, alone, outcome.name)


def test_out_of_memory_halves_the_batch_and_says_so(workspace, alone, monkeypatch):
    jobs = [job(seed) for seed in range(5)]
    singles(alone, jobs)
    original, sizes, notes = Engine._tick, [], []

    def small_memory(self):
        if self.epochs[0] >= 10 and self.variants > 2:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.\nmore")
        sizes.append(self.variants)
        original(self)

    monkeypatch.setattr(Engine, "_tick", small_memory)
    outcomes = group(workspace, jobs, on_note=notes.append)
    assert [outcome.error for outcome in outcomes] == [None] * 5
    assert set(sizes) == {5, 2, 1}
    assert notes[0].startswith("5 variants together do not fit in the memory of cpu (CUDA out of memory.")
    assert "going on with 3 at a time" in notes[0]
    for outcome in outcomes:
        assert agree(workspace, alone, outcome.name)


def test_a_variant_too_large_for_the_memory_is_reported_alone(workspace, monkeypatch):
    original = run_module.make_engine

    def no_room_for_seed_1(found, many, *rest):
        if any(params.seed == 1 for params, _ in many):
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return original(found, many, *rest)

    monkeypatch.setattr(run_module, "make_engine", no_room_for_seed_1)
    outcomes = group(workspace, [job(seed) for seed in range(3)])
    assert [outcome.error is None for outcome in outcomes] == [True, False, True]
    assert "does not fit in the memory of cpu" in str(outcomes[1].error)
    with pytest.raises(WorkbenchError, match=r"does not fit.*--device cpu"):
        train_variant(workspace, family.NAME, {"p": 13, "seed": 1}, SMALL, 5, device="cpu")


def test_groups_that_cannot_be(workspace):
    with pytest.raises(BadParameter, match=r"p11-s1.* is named twice"):
        group(workspace, [job(1), job(1)])
    with pytest.raises(BadParameter, match="2 variants of 2 shapes"):
        group(workspace, [job(1), job(1, p=13)])
    assert workspace.variants() == []
