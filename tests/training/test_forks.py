"""Forks: nothing changed is the parent bit for bit, every change changes what it says, bad input."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from data import Variant, VariantRecord, Workspace
from data.errors import BadParameter, CorruptFile, VariantExists, WorkbenchError
from data.workspace import SAMPLES
from training.families import modular_addition as family
from training.fast_path import forward_grid
from training.forks import Change, fork_variant
from training.interventions import FrequencyGain
from training.perturbation import perturbed
from training.replicates import train_replicates
from training.run import resume_variant, train_variant
from training.schedules import Schedule
from training.starts import INTERVENTION, load_start

SMALL = {"d_model": 12, "n_heads": 2, "d_head": 4, "d_mlp": 16}
COLUMNS = ("epoch", "train_loss", "test_loss", "lr", "weight_decay", "weight_norm")
P = 7


class Stopped(Exception):
    pass


@pytest.fixture
def workspace(tmp_path):
    return Workspace(tmp_path / "workspace", create=True)


@pytest.fixture
def parent(workspace):
    return run(workspace)


def run(workspace, seed=1, epochs=40, **config) -> Variant:
    return train_variant(
        workspace,
        family.NAME,
        {"p": P, "seed": seed},
        {**SMALL, **config},
        epochs,
        checkpoints="0:40:5",
        device="cpu",
        state_every=10,
    )


def same_weights(one: Variant, other: Variant, epoch: int) -> bool:
    a, b = one.at(epoch).weights, other.at(epoch).weights
    return all(torch.equal(a[name], b[name]) for name in a)


@pytest.mark.parametrize("at", [0, 7, 20, 30, 39])
def test_a_fork_that_changes_nothing_is_its_parent_bit_for_bit(parent, at):
    """Epochs with a saved state (30), between two of them, and from the initialisation."""
    told: list[str] = []
    fork = fork_variant(parent, at, checkpoints="0:40:5", on_note=told.append, state_every=10)
    assert fork.epochs == sorted({at, *range(0, 41, 5)} - set(range(at)))
    for epoch in set(fork.epochs) & set(parent.epochs):
        assert same_weights(fork, parent, epoch), epoch
    for name in COLUMNS:
        assert np.array_equal(fork.history[name], parent.history[name]), name
    a, b = fork.load_optimizer(40), parent.load_optimizer(40)
    assert all(torch.equal(a[name], b[name]) for name in a)
    assert len(told) == 1
    assert ("replayed" in told[0]) == (at not in (0, 30))
    if "replayed" in told[0]:
        assert "bit for bit" in told[0]


def test_parent_epoch_and_change_are_its_identity_and_it_is_listed_under_its_parent(parent):
    change = Change(lr=3e-4, weight_decay=0.5)
    fork = fork_variant(parent, 20, change, epochs=25)
    assert fork.name == f"{parent.name}-at20-lr0.0003-wd0.5"
    assert fork.parent == {
        "name": parent.name,
        "identity": parent.identity,
        "epoch": 20,
        "change": {"lr": 3e-4, "weight_decay": 0.5},
    }
    assert (fork.config["lr"], fork.config["weight_decay"]) == (3e-4, 0.5)
    assert [child.name for child in parent.forks] == [fork.name]
    others = [
        fork_variant(parent, 21, change, epochs=25),
        fork_variant(parent, 20, epochs=25),
        fork_variant(parent, 20, Change(perturb=1e-6), epochs=25),
        fork_variant(parent, 20, Change(perturb=1e-6, perturb_seed=1), epochs=25),
    ]
    assert len({parent.identity, fork.identity, *(other.identity for other in others)}) == 6
    assert len(parent.forks) == 5
    assert parent.workspace.variant(p=P).name == parent.name
    with pytest.raises(VariantExists, match="the same configuration"):
        fork_variant(parent, 20, change, epochs=25)


def test_changed_rates_hold_from_the_fork_on(parent):
    change = Change(lr_schedule=Schedule.parse("piecewise:30=1e-4"), weight_decay=0.25)
    history = fork_variant(parent, 20, change).history
    assert history["lr"].values.tolist() == [1e-3] * 30 + [1e-4] * 11
    assert history["weight_decay"].values.tolist() == [1.0] * 20 + [0.25] * 21
    assert np.array_equal(history["train_loss"][:21], parent.history["train_loss"][:21])
    assert not np.array_equal(history["train_loss"][21:], parent.history["train_loss"][21:])


def test_a_schedule_is_inherited_and_can_be_ended(workspace):
    parent = run(workspace, lr_schedule="cosine:until=40")
    inherited = fork_variant(parent, 20, epochs=45, checkpoints=[40])
    assert np.array_equal(inherited.history["lr"][:41], parent.history["lr"])
    assert same_weights(inherited, parent, 40)
    with pytest.raises(BadParameter, match=r"'cosine:until=40' goes on until epoch 40.*ends at epoch 30"):
        fork_variant(parent, 20, epochs=30)
    constant = fork_variant(parent, 20, Change(lr_schedule=Schedule("constant")))
    assert "lr_schedule" not in constant.config
    assert constant.history["lr"].values[20:].tolist() == [1e-3] * 21


def test_a_changed_split_starts_from_the_same_weights(parent):
    for change in (Change(data_seed=3), Change(frac_train=0.5)):
        fork = fork_variant(parent, 20, change, epochs=25)
        assert same_weights(fork, parent, 20)
        assert not same_weights(fork, parent, 25)
        assert fork.history["train_loss"][20] != parent.history["train_loss"][20]
        assert np.array_equal(fork.history["train_loss"][:20], parent.history["train_loss"][:20])
        params = family.params_of(fork)
        assert (params.data_seed, params.frac_train) == (change.data_seed or 598, change.frac_train or 0.3)
        logits = forward_grid(fork.at(20).weights, P).logits.reshape(P * P, P).double()
        rows = torch.from_numpy(family.split(params)[0])
        loss = torch.nn.functional.cross_entropy(logits[rows], torch.from_numpy(family.labels(params))[rows])
        assert float(fork.history["train_loss"][20]) == pytest.approx(loss.item(), rel=1e-5)


def test_a_perturbation_has_the_asked_size_and_is_seeded(parent):
    weights = parent.at(20).weights
    moved = perturbed(weights, 1e-3, 5)
    for name, weight in weights.items():
        assert float((moved[name] - weight).norm() / weight.norm()) == pytest.approx(1e-3, rel=1e-3)
    again, other = perturbed(weights, 1e-3, 5), perturbed(weights, 1e-3, 6)
    assert all(torch.equal(moved[name], again[name]) for name in moved)
    assert not any(torch.equal(moved[name], other[name]) for name in moved)
    fork = fork_variant(parent, 20, Change(perturb=1e-3, perturb_seed=5), epochs=22)
    assert all(torch.equal(fork.at(20).weights[name], moved[name]) for name in moved)
    assert fork.name.endswith("-at20-perturb0.001_s5")


def test_a_fork_of_a_fork(parent):
    first = fork_variant(parent, 15, Change(lr=5e-4), checkpoints="0:40:5", state_every=10)
    same = fork_variant(first, 27, checkpoints="0:40:5")
    assert same.parent["name"] == first.name
    assert same.epochs == [27, 30, 35, 40]
    assert all(same_weights(same, first, epoch) for epoch in (30, 35, 40))
    assert np.array_equal(same.history["test_loss"], first.history["test_loss"])
    for epoch in first.optimizer_epochs:
        first.drop_optimizer(epoch)
    told: list[str] = []
    again = fork_variant(first, 18, on_note=told.append)  # from the start that the fork kept
    assert "the fork at epoch 15, replayed for 3 epochs" in told[0]
    assert same_weights(again, first, 40)


def test_a_replicate_can_be_forked_and_replayed_from_its_own_start(parent, workspace):
    train_replicates(workspace, parent.record, 1, 1e-3, epochs=20, checkpoints=[10], device="cpu")
    (replicate,) = parent.forks
    for epoch in replicate.optimizer_epochs:
        replicate.drop_optimizer(epoch)
    told: list[str] = []
    fork = fork_variant(replicate, 15, on_note=told.append)
    assert "its perturbed initialisation (epoch 0), replayed for 15 epochs" in told[0]
    assert "equals the stored checkpoint at epoch 10 bit for bit" in told[0]
    assert same_weights(fork, replicate, 20)


def test_a_fork_does_not_need_its_parent_any_more(parent, workspace):
    fork = fork_variant(parent, 10, Change(lr=5e-4), epochs=30)
    workspace.delete_variant(parent.name)
    assert resume_variant(fork, epochs=40).history.sizes["epoch"] == 41


def test_a_fork_that_was_stopped_goes_on_bit_for_bit(parent, tmp_path):
    whole = fork_variant(parent, 12, Change(perturb=1e-4), state_every=10)
    other = Workspace(tmp_path / "other", create=True)
    again = run(other)
    for stop in (12, 25, 38):

        def on_progress(progress, stop=stop):
            if progress.epoch >= stop:
                raise Stopped

        with pytest.raises(Stopped):
            fork_variant(again, 12, Change(perturb=1e-4), state_every=10, on_progress=on_progress)
        fork = resume_variant(other[whole.name])
        assert fork.epochs == whole.epochs
        assert all(same_weights(fork, whole, epoch) for epoch in whole.epochs)
        assert all(np.array_equal(fork.history[name], whole.history[name]) for name in COLUMNS)
        other.delete_variant(fork.name)


# --- interventions -----------------------------------------------------------------------------------------


def gain(**more) -> FrequencyGain:
    settings = {"site": "attn_out", "frequencies": (1, 3), "gain": 2.5, "start": 22, "end": 36, "ramp": 4}
    return FrequencyGain(**{**settings, **more})


def test_the_ramp_is_a_trapezoid_inside_its_interval():
    found = [gain().strength(epoch) for epoch in range(20, 38)]
    assert found == [0, 0, 0, 0.25, 0.5, 0.75, 1, 1, 1, 1, 1, 1, 1, 0.75, 0.5, 0.25, 0, 0]
    sudden = gain(ramp=0)
    assert [sudden.strength(epoch) for epoch in (21, 22, 35, 36)] == [0, 1, 1, 0]


def test_the_matrix_amplifies_exactly_the_chosen_directions():
    weights = family.init_weights(
        family.Params(p=P, seed=3), family.make_config({**SMALL, "dtype": "float64"})
    )
    angle = 2 * torch.pi * torch.arange(P).double() / P
    embed = gain(site="embed", frequencies=(2,)).matrix(weights, P)
    changed = torch.eye(P) + embed
    for k in (1, 2, 3):
        for wave in (torch.cos(k * angle), torch.sin(k * angle)):
            assert torch.allclose(changed @ wave, wave * (2.5 if k == 2 else 1.0), atol=1e-12)
    assert torch.allclose(changed @ torch.ones(P).double(), torch.ones(P).double(), atol=1e-12)
    attn = gain().matrix(weights, P)
    changed = torch.eye(SMALL["d_model"]) + attn
    table = weights["embed.W_E"][:P]
    for k in (1, 3):
        for wave in (torch.cos(k * angle), torch.sin(k * angle)):
            assert torch.allclose((wave @ table) @ changed, 2.5 * (wave @ table), atol=1e-10)
    values = torch.linalg.eigvalsh(changed)
    assert torch.allclose(values[:8], torch.ones(8).double(), atol=1e-10)
    assert torch.allclose(values[8:], torch.full((4,), 2.5).double(), atol=1e-10)


def test_the_matrix_is_invariant_under_an_orthogonal_change_of_the_residual_basis():
    weights = family.init_weights(
        family.Params(p=P, seed=3), family.make_config({**SMALL, "dtype": "float64"})
    )
    rotation = torch.linalg.qr(torch.randn(12, 12, generator=torch.Generator().manual_seed(0)).double())[0]
    turned = {"embed.W_E": weights["embed.W_E"] @ rotation}
    before, after = gain().matrix(weights, P), gain().matrix(turned, P)
    assert torch.allclose(rotation.T @ before @ rotation, after, atol=1e-10)


def test_the_embedding_gain_is_a_model_with_a_changed_embedding(parent):
    """The loss at full strength is that of weights whose embedding was changed by hand."""
    fork = fork_variant(
        parent, 20, Change(intervention=gain(site="embed", start=20, ramp=0)), epochs=40, checkpoints=[25]
    )
    weights = fork.at(25).weights
    changed = {**weights, "embed.W_E": weights["embed.W_E"].clone()}
    matrix = gain(site="embed").matrix(weights, P).float()
    changed["embed.W_E"][:P] += matrix @ weights["embed.W_E"][:P]
    params = family.params_of(fork)
    rows, labels = torch.from_numpy(family.split(params)[1]), torch.from_numpy(family.labels(params))

    def loss(of):
        logits = forward_grid(of, P).logits.reshape(P * P, P).double()
        return torch.nn.functional.cross_entropy(logits[rows], labels[rows]).item()

    recorded = float(fork.history["test_loss"][25])
    assert recorded == pytest.approx(loss(changed), rel=1e-5)
    assert recorded != pytest.approx(loss(weights), rel=1e-4)


@pytest.mark.parametrize("site", ["attn_out", "embed"])
def test_an_intervention_acts_in_its_interval_and_is_stored(parent, site):
    fork = fork_variant(parent, 20, Change(intervention=gain(site=site)), checkpoints="0:40:5")
    assert fork.config["intervention"]["measured"] == 20
    assert fork.config["intervention"]["site"] == site
    assert fork.name.endswith(f"-at20-gain2.5_{site}_k1+3_22+14_ramp4")
    losses, before = fork.history["train_loss"].values, parent.history["train_loss"].values
    assert np.array_equal(losses[:23], before[:23])  # the ramp is still 0 at its start
    assert np.all(losses[23:] != before[23:])
    assert load_start(fork)[INTERVENTION].shape == ((12, 12) if site == "attn_out" else (P, P))


def test_a_fork_inherits_the_intervention_and_can_end_it(parent):
    change = Change(intervention=gain())
    first = fork_variant(parent, 20, change, checkpoints="0:40:5", state_every=10)
    same = fork_variant(first, 27, checkpoints="0:40:5")
    assert same.config["intervention"] == first.config["intervention"]
    assert all(same_weights(same, first, epoch) for epoch in (30, 35, 40))
    ended = fork_variant(first, 27, Change(end_intervention=True))
    assert "intervention" not in ended.config
    assert INTERVENTION not in load_start(ended)
    assert not same_weights(ended, first, 40)
    with pytest.raises(BadParameter, match="has no intervention that could end"):
        fork_variant(parent, 27, Change(end_intervention=True))


def test_lost_directions_are_named(parent):
    fork = fork_variant(parent, 20, Change(intervention=gain()), epochs=38)
    (fork.path / "start.safetensors").unlink()
    with pytest.raises(CorruptFile, match="holds its directions, is missing"):
        resume_variant(fork, epochs=40)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"site": "mlp"}, "site 'mlp' is not known; choose one of: attn_out, embed"),
        ({"frequencies": ()}, r"frequencies \[\] must be one or more"),
        ({"frequencies": (1, 1)}, "each named once"),
        ({"gain": 1}, "gain=1 changes nothing"),
        ({"gain": -1}, "gain=-1 is out of range"),
        ({"gain": float("nan")}, "gain=nan is out of range"),
        ({"end": 22}, "ends at epoch 22, which is not after its start 22"),
        ({"start": -1}, "start of the gain, -1, is not a whole number"),
        ({"ramp": 8}, "two ramps of 8 epochs do not fit between epochs 22 and 36; take ramp=7 or less"),
    ],
)
def test_gains_that_make_no_sense(more, message):
    with pytest.raises(BadParameter, match=message):
        gain(**more)


# --- bad input ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Change(perturb=0.0), r"perturb=0\.0 changes nothing; choose a relative size such as 1e-6"),
        (lambda: Change(perturb=-1e-6), "perturb=-1e-06 is out of range"),
        (lambda: Change(perturb=2.0), "out of range"),
        (lambda: Change(perturb_seed=3), "perturb_seed=3 must be 0 or more and needs a perturbation"),
        (lambda: Change(intervention=gain(), end_intervention=True), "cannot be set and ended"),
    ],
)
def test_changes_that_make_no_sense(make, message):
    with pytest.raises(BadParameter, match=message):
        make()


@pytest.mark.parametrize(
    ("at", "options", "message"),
    [
        (41, {}, "trained to epoch 40, so it cannot be forked at epoch 41; choose one from 0 to 40"),
        (-1, {}, "cannot be forked at epoch -1"),
        (40, {}, "a fork at epoch 40 cannot be trained to epoch 40; choose epochs=41 or more"),
        (20, {"epochs": 10}, "a fork at epoch 20 cannot be trained to epoch 10"),
        (20, {"change": Change(lr=-1.0)}, "lr=-1.0 is out of range"),
        (20, {"change": Change(frac_train=1.5)}, "frac_train=1.5"),
        (20, {"change": Change(wd_schedule=Schedule.parse("step:every=50,factor=0.5"))}, "until epoch 50"),
        (20, {"change": Change(lr_schedule=Schedule.parse("cosine:until=90"))}, "goes on until epoch 90"),
        (20, {"change": Change(perturb=1e-12)}, "perturb=1e-12 changes no weight in float32"),
        (20, {"change": Change(intervention=gain(frequencies=(9,)))}, "frequency 9 does not exist for p=7"),
        (25, {"change": Change(intervention=gain())}, "starts at epoch 22, before the fork at epoch 25"),
        (20, {"change": Change(intervention=gain(end=60))}, "ends at epoch 60, but the run ends at epoch 40"),
        (20, {"checkpoints": "0,500"}, "checkpoint 500 is outside"),
        (20, {"device": "gpu"}, "device 'gpu' is not known"),
        (20, {"checkpoint_dtype": "int8"}, "float32 or float16"),
    ],
)
def test_bad_input_says_what_and_leaves_no_fork(parent, at, options, message):
    with pytest.raises(BadParameter, match=message):
        fork_variant(parent, at, **options)
    assert [variant.name for variant in parent.workspace.variants()] == [parent.name]


def test_an_imported_variant_without_states_cannot_be_forked(parent, workspace):
    imported = workspace.create_variant(
        VariantRecord(
            family.NAME, "imported", parent.params, parent.config, None, {"imported_from": "a file"}
        )
    )
    with pytest.raises(WorkbenchError, match=r"imported has not been trained yet"):
        fork_variant(imported, 0)
    for epoch in (0, 40):  # first weights that are not those of the seed
        imported.save_checkpoint(epoch, parent.at(40).weights)
    with pytest.raises(
        WorkbenchError, match=r"no training state at or before epoch 20 \(saved: none\) and nothing"
    ):
        fork_variant(imported, 20)
    assert imported.forks == []


def test_an_imported_variant_with_the_seed_s_first_weights_is_replayed(parent, workspace):
    imported = workspace.create_variant(VariantRecord(family.NAME, "imported", parent.params, parent.config))
    for epoch in (0, 20, 40):
        imported.save_checkpoint(epoch, parent.at(epoch).weights, "float16")
    told: list[str] = []
    fork = fork_variant(imported, 20, device="cpu", on_note=told.append)
    assert "the initialisation (epoch 0), replayed for 20 epochs" in told[0]
    assert "equals the stored checkpoint at epoch 20 bit for bit" in told[0]
    assert same_weights(fork, parent, 40)
    assert np.array_equal(fork.history["test_loss"], parent.history["test_loss"])


def test_a_replay_that_differs_says_by_how_much_and_why(parent):
    """As on another device: the stored checkpoint at the fork epoch is not what comes out here."""
    parent.record = VariantRecord(
        **{**vars(parent.record), "provenance": {**parent.provenance, "torch": "1.0", "device_name": "TPU"}}
    )
    parent.save_checkpoint(25, {name: 1.5 * weight for name, weight in parent.at(25).weights.items()})
    told: list[str] = []
    fork = fork_variant(parent, 25, epochs=30, on_note=told.append)
    assert "differs from the stored checkpoint at epoch 25 by 0.33 (relative)" in told[0]
    assert "torch 1.0 then" in told[0]
    assert "device name TPU then" in told[0]
    compared = fork.provenance["start"]["compared"]
    assert compared["equal"] is False
    assert compared["relative_difference"] == pytest.approx(1 / 3, rel=1e-5)


def test_a_shipped_sample_can_be_forked_at_its_start(tmp_path):
    workspace = Workspace(tmp_path / "workspace", create=True)
    workspace.add_samples()
    sample = workspace[sorted(path.name for path in (SAMPLES / "variants" / family.NAME).iterdir())[0]]
    told: list[str] = []
    fork = fork_variant(sample, 1, Change(lr=1e-4), epochs=2, device="cpu", on_note=told.append)
    assert "Starts from the initialisation (epoch 0), replayed for 1 epochs to epoch 1" in told[0]
    assert fork.epochs == [1, 2]
    assert float(fork.history["test_loss"][1]) == pytest.approx(
        float(sample.history["test_loss"][1]), rel=1e-5
    )
