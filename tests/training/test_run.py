"""Training runs: against torch's optimizer, resume, divergence, bad input."""

from __future__ import annotations

import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from torch.nn.functional import cross_entropy

from data import Workspace
from data.errors import BadParameter, VariantExists, WorkbenchError, WorkspaceError
from training.engine import Engine
from training.families import modular_addition as family
from training.run import choose_device, make_engine, resume_variant, train_variant
from training.trainer import Diverged
from training.transformer import Transformer

CPU = torch.device("cpu")
SMALL = {"d_model": 16, "n_heads": 2, "d_head": 8, "d_mlp": 32}
PARAMS = {"p": 11, "seed": 1}
COLUMNS = ("train_loss", "test_loss", "lr", "weight_decay", "weight_norm")


class Killed(Exception):
    pass


def kill_at(epoch):
    def on_progress(progress):
        if progress.epoch >= epoch:
            raise Killed

    return on_progress


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "workspace", create=True)


def small_run(workspace, epochs=60, **options):
    config = options.pop("config", {})
    return train_variant(
        workspace, family.NAME, PARAMS, {**SMALL, **config}, epochs, device="cpu", state_every=10, **options
    )


def rates(config, epochs, variants=1):
    """Constant learning rate and weight decay, [epochs, variants, 2]."""
    return np.tile([config.lr, config.weight_decay], (epochs, variants, 1))


def same(one, other):
    """Two variants agree bit for bit in every checkpoint, in the history and in the last state."""
    assert one.epochs == other.epochs
    for epoch in one.epochs:
        a, b = one.at(epoch).weights, other.at(epoch).weights
        assert all(torch.equal(a[name], b[name]) for name in a), epoch
    assert all(np.array_equal(one.history[name], other.history[name]) for name in COLUMNS)
    last = one.optimizer_epochs[-1]
    a, b = one.load_optimizer(last), other.load_optimizer(last)
    assert all(torch.equal(a[name], b[name]) for name in a)
    return True


def reference_loop(params, config, epochs):
    """The three-token transformer, autograd and torch.optim.AdamW; losses [epochs + 1, 2]."""
    weights = {name: weight.requires_grad_() for name, weight in family.init_weights(params, config).items()}
    model = Transformer(family.transformer_config(params, config), weights)
    optimizer = torch.optim.AdamW(
        weights.values(), config.lr, config.betas, config.eps, weight_decay=config.weight_decay
    )
    labels = torch.from_numpy(family.labels(params))
    tokens = torch.from_numpy(family.tokens(params))
    train, test = (torch.from_numpy(rows) for rows in family.split(params))
    losses = []
    for _ in range(epochs + 1):
        optimizer.zero_grad()
        train_loss = cross_entropy(model(tokens[train])[:, -1].double(), labels[train])
        with torch.no_grad():
            test_loss = cross_entropy(model(tokens[test])[:, -1].double(), labels[test])
        losses.append([train_loss.item(), test_loss.item()])
        train_loss.backward()
        optimizer.step()
    return np.array(losses), weights


def test_a_float64_run_is_that_of_autograd_and_torch_adamw():
    params = family.Params(p=11, seed=2, operation="subtract")
    config = family.TrainingConfig(dtype="float64", lr=3e-3, weight_decay=0.7, betas=(0.8, 0.95), **SMALL)
    expected, _ = reference_loop(params, config, 40)
    engine = make_engine(family.FAMILY, [(params, config)], CPU)
    records = engine.advance(rates(config, 40))
    assert np.allclose(records[:, :2, 0], expected[:40], rtol=1e-10, atol=0)
    assert np.allclose(engine.evaluate()[:2, 0], expected[40], rtol=1e-10, atol=0)
    assert records[0, 2, 0] == pytest.approx(
        sum(w.square().sum().item() for w in family.init_weights(params, config).values()) ** 0.5, rel=1e-12
    )


def test_reference_losses_of_the_public_run():
    """p = 113, seed 999, data_seed 598, float32: train loss of epoch 0 and test loss of epoch 1."""
    params, config = family.Params(p=113, seed=999, data_seed=598), family.TrainingConfig()
    engine = make_engine(family.FAMILY, [(params, config)], CPU)
    first = engine.advance(rates(config, 1))[0, :, 0]
    second = engine.evaluate()[:, 0]
    assert first[0] == pytest.approx(4.73588576, abs=2e-7)
    assert second[1] == pytest.approx(4.7321729, abs=2e-7)


def test_a_batch_of_variants_is_as_many_single_runs():
    config = family.TrainingConfig(dtype="float64", **SMALL)
    many = [family.Params(p=11, seed=seed, data_seed=10 + seed) for seed in range(8)]
    batch = make_engine(family.FAMILY, [(params, config) for params in many], CPU)
    together = batch.advance(rates(config, 50, 8))
    for i, params in enumerate(many):
        alone = make_engine(family.FAMILY, [(params, config)], CPU)
        assert np.allclose(alone.advance(rates(config, 50))[:, :, 0], together[:, :, i], rtol=1e-9, atol=0)
        weights = alone.weights()
        assert all(
            torch.allclose(weights[name], weight, rtol=1e-8, atol=1e-12)
            for name, weight in batch.weights(i).items()
        )


def test_what_a_run_stores(workspace):
    seen = []
    variant = small_run(workspace, checkpoints="0,20:40:10", on_progress=seen.append)
    assert variant.epochs == [0, 20, 30, 40, 60]
    history = variant.history
    assert history["epoch"].values.tolist() == list(range(61))
    assert set(COLUMNS) == set(history.data_vars)
    assert np.isfinite(history.to_array()).all()
    assert (history["lr"] == 1e-3).all()
    norm = sum(weight.double().square().sum() for weight in variant.at(30).weights.values()).sqrt()
    assert float(history["weight_norm"].sel(epoch=30)) == pytest.approx(norm.item(), rel=1e-6)
    initial = family.init_weights(family.params_of(variant), family.config_of(variant))
    assert all(torch.equal(weight, initial[name]) for name, weight in variant.at(0).weights.items())
    for epoch in variant.epochs:  # a checkpoint's own losses are those of the history at its epoch
        engine = make_engine(family.FAMILY, [(family.params_of(variant), family.config_of(variant))], CPU)
        flat = torch.cat([variant.at(epoch).weights[name].flatten() for name in initial])
        zero = torch.zeros_like(flat)
        engine.load_state(0, epoch, {"weights": flat, "exp_avg": zero, "exp_avg_sq": zero})
        assert engine.evaluate()[0, 0] == pytest.approx(
            float(history["train_loss"].sel(epoch=epoch)), rel=1e-6
        )
    assert seen[-1].epoch == 60
    assert seen[-1].seconds_left == 0
    assert seen[-1].test_loss == float(history["test_loss"][-1])
    for key in ("device", "dtype", "tf32", "deterministic_algorithms", "torch", "kernel_path"):
        assert key in variant.provenance
    assert variant.optimizer_epochs == [50, 60]


def test_float16_checkpoints(workspace, tmp_path):
    half = small_run(workspace, epochs=8, checkpoint_dtype="float16")
    full = small_run(Workspace(tmp_path / "other", create=True), epochs=8)
    for name, weight in full.at(8).weights.items():
        assert torch.equal(half.at(8).weights[name], weight.half().float())


@pytest.mark.parametrize("epoch", [0, 7, 25, 59])
def test_a_killed_run_goes_on_bit_for_bit(workspace, tmp_path, epoch):
    whole = small_run(workspace)
    other = Workspace(tmp_path / "killed", create=True)
    with pytest.raises(Killed):
        small_run(other, on_progress=kill_at(epoch))
    assert same(whole, small_run(other, resume=True))


@pytest.mark.parametrize("call", ["save_checkpoint", "save_history", "save_optimizer", "drop_optimizer"])
@pytest.mark.parametrize("count", [1, 3])
def test_killed_in_the_middle_of_saving(workspace, tmp_path, monkeypatch, call, count):
    """Whichever write is the last to happen, the rest of the run follows from what is there."""
    from data import Variant

    whole = small_run(workspace)
    other = Workspace(tmp_path / "killed", create=True)
    original, calls = getattr(Variant, call), []

    def write_then_die(self, *arguments, **options):
        original(self, *arguments, **options)
        calls.append(call)
        if len(calls) == count:
            raise Killed

    monkeypatch.setattr(Variant, call, write_then_die)
    with pytest.raises(Killed):
        small_run(other)
    monkeypatch.undo()
    assert same(whole, resume_variant(other["p11-s1-d598-dm16-h2-dh8-mlp32"]))


def test_training_longer_is_one_long_run(workspace, tmp_path):
    long = small_run(workspace, epochs=50, checkpoints="0,30,32,50")
    short = small_run(Workspace(tmp_path / "short", create=True), epochs=30, checkpoints="0,30")
    extended = resume_variant(short, epochs=50)
    assert extended.history["epoch"].values.tolist() == list(range(51))
    assert same(long, extended)


def test_a_damaged_last_state_falls_back_to_the_one_before(workspace, tmp_path):
    whole = small_run(workspace)
    other = Workspace(tmp_path / "killed", create=True)
    with pytest.raises(Killed):
        small_run(other, on_progress=kill_at(45))
    variant = other[whole.name]
    last = sorted((variant.path / "optimizer").glob("epoch_*"))[-1]
    last.write_bytes(last.read_bytes()[:100])
    assert same(whole, resume_variant(variant))


def test_states_lost_long_after_the_start_are_refused(workspace):
    variant = small_run(workspace)
    for epoch in variant.optimizer_epochs:
        variant.drop_optimizer(epoch)
    with pytest.raises(WorkbenchError, match=r"60 epochs of history but no training state.*delete it"):
        resume_variant(variant, epochs=80)
    assert variant.history.sizes["epoch"] == 61


def test_a_complete_variant_is_left_alone(workspace):
    variant = small_run(workspace)
    token = variant.token()
    assert resume_variant(variant).token() == token
    assert small_run(workspace, resume=True).token() == token
    with pytest.raises(VariantExists, match="the same"):
        small_run(workspace)
    with pytest.raises(BadParameter, match="trained for 60 epochs already"):
        resume_variant(variant, epochs=40)
    assert variant.token() == token


def test_divergence_names_the_epoch_and_the_last_good_checkpoint(workspace, monkeypatch):
    original, updates = Engine._update, []

    def break_weights_at_epoch_24(self):
        original(self)
        updates.append(1)
        if len(updates) == 24:
            self._weights[:, 5] = torch.nan

    monkeypatch.setattr(Engine, "_update", break_weights_at_epoch_24)
    with pytest.raises(Diverged, match=r"not finite at epoch 24 .*last good checkpoint is epoch 16") as error:
        small_run(workspace)
    assert error.value.epoch == 24
    (variant,) = workspace.variants()
    assert variant.epochs == [0, 1, 2, 4, 8, 16]
    assert variant.history.sizes["epoch"] == 24
    assert np.isfinite(variant.history.to_array()).all()
    monkeypatch.undo()
    assert resume_variant(variant).epochs == [0, 1, 2, 4, 8, 16, 32, 60]


def test_a_learning_rate_that_is_too_large_diverges_by_itself(workspace):
    with pytest.raises(Diverged, match="smaller learning rate"):
        small_run(
            workspace,
            config={"lr": 1.0, "weight_decay": 0.0, "eps": 1e-30, "betas": [0.999, 0.0]},
        )


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"params": {"p": 12, "seed": 1}}, "p=12 is not prime"),
        ({"params": {"p": 11, "seed": 1, "frac_train": 1.5}}, "frac_train=1.5"),
        ({"config": {"lr": -1.0}}, "lr=-1.0"),
        ({"epochs": 0}, "epochs=0"),
        ({"checkpoints": "0,500"}, "checkpoint 500 is outside"),
        ({"checkpoints": [5, 61]}, "checkpoint 61 is outside"),
        ({"device": "gpu"}, "device 'gpu' is not known; choose auto, cpu"),
        ({"device": "cuda:99"}, "device 'cuda:99' is not there.*choose --device cpu"),
        ({"checkpoint_dtype": "int8"}, "'int8'.*float32 or float16"),
        ({"state_every": 0}, "state_every=0"),
        ({"family": "copying"}, "unknown family 'copying'; there is: modular_addition"),
    ],
)
def test_bad_input_says_what_and_leaves_the_workspace_empty(workspace, options, message):
    arguments = {"family": family.NAME, "params": PARAMS, "config": SMALL, "epochs": 60, "device": "cpu"}
    with pytest.raises(BadParameter, match=message):
        train_variant(workspace, **{**arguments, **options})
    assert workspace.variants() == []


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without CUDA")
def test_cuda_where_there_is_none():
    with pytest.raises(BadParameter, match=r"'cuda' is not there: this machine has 0 CUDA.*--device cpu"):
        choose_device("cuda")
    assert choose_device("auto") == CPU


def test_a_full_disk_stops_the_run_and_keeps_the_last_good_state(workspace, tmp_path, monkeypatch):
    whole = small_run(Workspace(tmp_path / "whole", create=True))
    original, writes = os.fsync, []

    def full(descriptor):
        writes.append(1)
        if len(writes) > 25:
            raise OSError(28, "No space left on device")
        original(descriptor)

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(WorkspaceError, match="No space left on device"):
        small_run(workspace)
    monkeypatch.undo()
    (variant,) = workspace.variants()
    assert 0 < variant.optimizer_epochs[-1] < 60
    assert same(whole, resume_variant(variant))


def test_the_random_state_of_the_caller_is_untouched(workspace):
    torch.manual_seed(7)
    before = torch.get_rng_state()
    small_run(workspace, epochs=3)
    assert torch.equal(before, torch.get_rng_state())


def test_training_needs_no_more_than_torch_and_numpy_beyond_storage():
    """Storage, analysis and dashboard libraries are not imported by the core of training."""
    code = (
        "import sys, training.engine, training.fast_step, training.fast_path, training.transformer;"
        "print([m for m in ('xarray', 'zarr', 'pandas', 'pydantic', 'plotly', 'dash') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
