"""Models of other programs become variants that compute the same, on the split they were trained on."""

from __future__ import annotations

import json
import pickle
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from layouts_of_others import D_HEAD, D_MODEL, HEADS, logits, older, older_logits, transformerlens
from safetensors.torch import save_file
from torch import Tensor

from analyzers.features import Features
from analyzers.pipeline import analyze
from analyzers.service import AnalyzerService
from data import Variant, Workspace
from data.errors import BadParameter, CorruptFile, UnknownEpoch, VariantExists, WorkbenchError
from data.importers.layouts import convert
from training.families import modular_addition
from training.importing import import_run
from training.importing.search import Score, Split, judge
from training.replay import nearest_start
from training.run import train_variant

P = 13
FEW = tuple(range(12))  # seeds


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "workspace", create=True)


def logits_of(variant: Variant, epoch: int) -> Tensor:
    features = Features(variant.at(epoch).weights, variant.family, variant.params)
    return torch.from_numpy(features.logits)


def check_same(variant: Variant, epoch: int, expected: Tensor) -> None:
    torch.testing.assert_close(logits_of(variant, epoch), expected[:, :P], rtol=0, atol=1e-12)


# --- the function is the same ----------------------------------------------------------------------------


@pytest.mark.parametrize("equals", [False, True])
@pytest.mark.parametrize("biases", [False, True])
def test_transformerlens_models(workspace: Workspace, tmp_path: Path, equals: bool, biases: bool) -> None:
    state = transformerlens(P, equals=equals, biases=biases)
    save_file(state, tmp_path / "model.safetensors")
    report = import_run(workspace, tmp_path / "model.safetensors", seeds=FEW)
    variant = workspace[report.variant]
    assert variant.epochs == [0]
    check_same(variant, 0, logits(state, P))
    notes = " ".join(report.notes)
    assert ("dropped the class of `=` (14 classes become 13)" in notes) == equals
    assert ("Biases: b_Q, b_K, b_V, b_O, b_in, b_out, b_U are part" in notes) == biases
    assert ("Left out biases that are 0 everywhere" in notes) == (not biases)
    assert "blocks.0.attn.mask: the causal mask" in notes


def test_the_oldest_layout(workspace: Workspace, tmp_path: Path) -> None:
    state = older(transformerlens(P, equals=True, biases=True))
    assert state["embed.W_E"].shape == (D_MODEL, P + 1)
    assert state["blocks.0.attn.W_Q"].shape == (HEADS, D_HEAD, D_MODEL)
    assert state["blocks.0.attn.W_O"].shape == (D_MODEL, HEADS * D_HEAD)
    torch.save(state, tmp_path / "epoch_300.pth")
    report = import_run(workspace, tmp_path / "epoch_300.pth", seeds=FEW)
    check_same(workspace[report.variant], 300, older_logits(state, P))
    notes = " ".join(report.notes)
    assert f"embed.W_E: [{D_MODEL}, {P + 1}] turned to [{P + 1}, {D_MODEL}]" in notes
    assert "W_O: [16, 12] split into 2 heads" in notes
    assert "b_in, b_out are part of the function" in notes


def test_heads_of_the_output_in_three_dimensions_and_positions_turned(
    tmp_path: Path, workspace: Workspace
) -> None:
    model = transformerlens(P)
    state = older(model, flat=False)
    state["pos_embed.W_pos"] = torch.cat([model["pos_embed.W_pos"], torch.ones(2, D_MODEL)]).T.contiguous()
    torch.save({"model": state, "epoch": 7}, tmp_path / "run.pt")
    report = import_run(workspace, tmp_path / "run.pt", seeds=FEW)
    check_same(workspace[report.variant], 7, logits(model, P))
    assert "kept the first 3 of 5 positions" in " ".join(report.notes)


def test_float64_and_a_prefix(tmp_path: Path, workspace: Workspace) -> None:
    state = {f"module.model.{name}": tensor.double() for name, tensor in transformerlens(P).items()}
    torch.save({"state_dict": state}, tmp_path / "run.ckpt")
    report = import_run(workspace, tmp_path / "run.ckpt", seeds=FEW)
    check_same(workspace[report.variant], 0, logits(transformerlens(P), P))
    notes = " ".join(report.notes)
    assert "float64" in notes
    assert "Took the prefix 'module.'" in notes


def test_every_instrument_runs_on_a_model_with_biases(tmp_path: Path, workspace: Workspace) -> None:
    save_file(transformerlens(P, biases=True), tmp_path / "model.safetensors")
    variant = workspace[import_run(workspace, tmp_path / "model.safetensors", seeds=FEW).variant]
    assert analyze(variant).failures == []
    service = AnalyzerService()
    stored = service.on_demand(variant, 0, "neuron_map", neuron=3)["activation"].values
    features = Features(variant.at(0).weights, variant.family, variant.params)
    np.testing.assert_allclose(stored, features.neurons[:, :, 3], atol=1e-5)


# --- shapes ----------------------------------------------------------------------------------------------


def test_square_tensors_lie_as_the_others_do() -> None:
    model = transformerlens(D_MODEL - 1)  # d_vocab = d_model: W_E is square
    (found,) = convert(older(model))
    assert torch.equal(found.weights["embed.W_E"], model["embed.W_E"])
    assert "embed.W_E: square, so taken as in the layout of the others." in found.notes
    (plain,) = convert(model)
    assert torch.equal(plain.weights["embed.W_E"], model["embed.W_E"])


def test_a_model_of_squares_is_read_by_what_it_computes(
    trained: Run, workspace: Workspace, tmp_path: Path
) -> None:
    sizes = {"d_model": 14, "n_heads": 1, "d_head": 14, "d_mlp": 14, "lr": 3e-3}
    other = Workspace(tmp_path / "other", create=True)
    variant = train_variant(
        other, "modular_addition", {"p": P, "seed": 1, "frac_train": 0.8}, sizes, 600, "600", "cpu"
    )
    weights = variant.at(600).weights
    assert len(convert(weights)) == 2
    turned = {
        name: tensor.mT if name not in ("pos_embed.W_pos", "unembed.W_U") else tensor
        for name, tensor in weights.items()
    }
    save_file(
        {name: tensor.contiguous() for name, tensor in turned.items()}, tmp_path / "squares.safetensors"
    )
    report = import_run(workspace, tmp_path / "squares.safetensors", seeds=FEW)
    assert "The shapes fit both layouts; as older the model is right on" in " ".join(report.notes)
    imported = workspace[report.variant].at(0).weights
    assert all(torch.equal(imported[name], weights[name]) for name in weights)
    random_model = {name: torch.randn_like(tensor) for name, tensor in weights.items()}
    save_file(random_model, tmp_path / "noise.safetensors")
    with pytest.raises(BadParameter, match="--layout"):
        import_run(workspace, tmp_path / "noise.safetensors")
    assert import_run(
        workspace, tmp_path / "noise.safetensors", layout="transformerlens", seeds=FEW
    ).epochs == [0]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"blocks.0.ln1.w": torch.ones(D_MODEL)}, "layer norms"),
        ({"blocks.1.attn.W_Q": torch.ones(HEADS, D_MODEL, D_HEAD)}, "more than one layer"),
        ({"blocks.0.mlp.gate": torch.ones(3)}, "are not known"),
        ({"unembed.W_U": None}, "no unembed.W_U"),
        ({"unembed.W_U": torch.ones(D_MODEL, 50)}, "do not fit together"),
        ({"embed.W_E": torch.ones(P, D_MODEL)}, "p=12 is not prime"),
        ({"pos_embed.W_pos": torch.ones(2, D_MODEL)}, "do not fit together"),
        ({"blocks.0.mlp.b_in": torch.ones(3)}, "do not fit together"),
    ],
)
def test_another_function_is_refused(
    workspace: Workspace, tmp_path: Path, change: dict[str, Tensor | None], words: str
) -> None:
    state = {name: tensor for name, tensor in {**transformerlens(P), **change}.items() if tensor is not None}
    torch.save(state, tmp_path / "model.pth")
    with pytest.raises(BadParameter, match=words):
        import_run(workspace, tmp_path / "model.pth")
    assert workspace.names() == []


def test_settings_that_change_the_function_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    for config, words in (({"act_type": "GeLU"}, "only ReLU"), ({"num_layers": 2}, "only one layer")):
        torch.save({"model": transformerlens(P), "config": config}, tmp_path / "model.pth")
        with pytest.raises(BadParameter, match=words):
            import_run(workspace, tmp_path / "model.pth")


def test_a_wrong_p_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    torch.save(transformerlens(P), tmp_path / "model.pth")
    with pytest.raises(BadParameter, match="with p=11"):
        import_run(workspace, tmp_path / "model.pth", p=11)
    torch.save(transformerlens(15), tmp_path / "model.pth")
    with pytest.raises(BadParameter, match="p=15 is not prime"):
        import_run(workspace, tmp_path / "model.pth")


# --- files -----------------------------------------------------------------------------------------------


class Sneaky:
    """Unpickling this would run code."""

    def __reduce__(self) -> Any:
        return (Path.touch, (Path("sneaked"),))


def test_a_pickle_that_needs_code_is_refused_and_runs_nothing(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    torch.save({"model": transformerlens(P), "config": Sneaky()}, tmp_path / "model.pth")
    with pytest.raises(BadParameter, match=r"cannot be read safely.*could run any code"):
        import_run(workspace, tmp_path / "model.pth")
    (tmp_path / "plain.pth").write_bytes(pickle.dumps(Sneaky()))
    with pytest.raises(WorkbenchError):
        import_run(workspace, tmp_path / "plain.pth")
    assert not (tmp_path / "sneaked").exists()


def test_files_that_are_none_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(BadParameter, match="no file or folder"):
        import_run(workspace, tmp_path / "absent.pth")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(BadParameter, match=r"ends in \.safetensors"):
        import_run(workspace, tmp_path / "notes.txt")
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadParameter, match="holds no checkpoints"):
        import_run(workspace, tmp_path / "empty")
    for name in ("bad.safetensors", "bad.pth"):
        (tmp_path / name).write_bytes(b"nonsense" * 9)
        with pytest.raises(WorkbenchError, match="bad"):
            import_run(workspace, tmp_path / name)
    torch.save({"train_losses": [1.0, 2.0]}, tmp_path / "losses.pth")
    with pytest.raises(BadParameter, match="holds no weights"):
        import_run(workspace, tmp_path / "losses.pth")
    cut = tmp_path / "cut.safetensors"
    save_file(transformerlens(P), cut)
    cut.write_bytes(cut.read_bytes()[:-100])
    with pytest.raises(CorruptFile, match="damaged"):
        import_run(workspace, cut)
    assert workspace.names() == []


def test_a_folder_of_epochs_is_one_variant(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    states = {epoch: transformerlens(P, seed=epoch) for epoch in (0, 100, 2000)}
    save_file(states[0], folder / "model_init.safetensors")
    torch.save(states[100], folder / "epoch_100.pth")
    torch.save({"model": states[2000], "epoch": 2000, "train_loss": 0.1}, folder / "last.pth")
    (folder / "config.json").write_text(json.dumps({"lr": 5e-4, "seed": 4}))
    report = import_run(workspace, folder, seeds=FEW)
    variant = workspace[report.variant]
    assert variant.epochs == report.epochs == [0, 100, 2000]
    for epoch, state in states.items():
        check_same(variant, epoch, logits(state, P))
    assert variant.config["lr"] == 5e-4
    assert variant.params["seed"] == 4
    assert "Read settings from config.json" in " ".join(report.notes)


def test_a_file_with_all_its_checkpoints(workspace: Workspace, tmp_path: Path) -> None:
    states = [transformerlens(P, seed=seed) for seed in (1, 2)]
    content = {"model": states[1], "checkpoints": states, "checkpoint_epochs": [99, 199]}
    torch.save(content, tmp_path / "run.pth")
    assert import_run(workspace, tmp_path / "run.pth", seeds=FEW).epochs == [99, 199]


def test_epochs_that_cannot_be_told_apart_are_refused(workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for name in ("first", "second"):
        torch.save(transformerlens(P, seed=len(name)), folder / f"{name}.pth")
    with pytest.raises(BadParameter, match=r"Nothing tells the epoch of first\.pth"):
        import_run(workspace, folder)
    for name in ("first", "second"):
        torch.save({"model": transformerlens(P, seed=len(name)), "epoch": 5}, folder / f"{name}.pth")
    with pytest.raises(BadParameter, match="both say epoch 5"):
        import_run(workspace, folder)


def test_importing_twice_is_refused_under_any_name(workspace: Workspace, tmp_path: Path) -> None:
    save_file(transformerlens(P), tmp_path / "model.safetensors")
    first = import_run(workspace, tmp_path / "model.safetensors", name="mine", seeds=FEW)
    assert first.variant == "mine"
    for name in (None, "mine", "other"):
        with pytest.raises(VariantExists, match="has been imported before: it is mine"):
            import_run(workspace, tmp_path / "model.safetensors", name=name, seeds=FEW)
    save_file(transformerlens(P, seed=1), tmp_path / "model.safetensors")
    with pytest.raises(VariantExists, match="mine is already"):
        import_run(workspace, tmp_path / "model.safetensors", name="mine", seeds=FEW)


def test_nothing_is_left_of_an_import_that_fails_half_way(
    workspace: Workspace, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for epoch in (0, 1):
        torch.save(transformerlens(P, seed=epoch), folder / f"epoch_{epoch}.pth")
    save = Variant.save_checkpoint

    def full(variant: Variant, epoch: int, *rest: Any) -> Any:
        if epoch == 1:
            raise KeyboardInterrupt
        return save(variant, epoch, *rest)

    monkeypatch.setattr(Variant, "save_checkpoint", full)
    with pytest.raises(KeyboardInterrupt):
        import_run(workspace, folder, name="mine", seeds=FEW)
    assert workspace.names() == []
    assert not [file for file in (workspace.path / "variants").rglob("*") if file.suffix == ".safetensors"]
    monkeypatch.undo()
    assert import_run(workspace, folder, name="mine", seeds=FEW).epochs == [0, 1]


# --- the split and the configuration ---------------------------------------------------------------------


@dataclass(frozen=True)
class Run:
    """A trained variant and what another program would have stored of it."""

    variant: Variant
    content: dict[str, Any]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Run:
    """Memorised, on a split by random.shuffle with seed 7."""
    workspace = Workspace(tmp_path_factory.mktemp("trained"), create=True)
    params = {"p": P, "seed": 3, "data_seed": 7, "frac_train": 0.4, "split": "shuffle"}
    sizes = {"d_model": 32, "n_heads": 2, "d_head": 16, "d_mlp": 64, "weight_decay": 0.1}
    variant = train_variant(workspace, "modular_addition", params, sizes, 400, "0,200,400", "cpu")
    history = variant.history
    content = {
        "model": variant.at(400).weights,
        "train_losses": history["train_loss"].values.tolist(),
        "test_losses": history["test_loss"].values.tolist(),
        "config": {
            "p": P,
            "lr": 1e-3,
            "weight_decay": 1.0,
            "seed": 0,
            "frac_train": 0.3,
            "fn_name": "add",
            "d_mlp": 512,
        },
        "optimizer": {
            "state": {},
            "param_groups": [{"lr": 1e-3, "weight_decay": 0.1, "betas": (0.9, 0.98), "eps": 1e-8}],
        },
        "epoch": 400,
    }
    return Run(variant, content)


def test_python_shuffles_as_other_programs_do() -> None:
    pairs = [(a, b) for a in range(P) for b in range(P)]
    random.seed(7)
    random.shuffle(pairs)
    params = modular_addition.Params(p=P, seed=0, data_seed=7, frac_train=0.4, split="shuffle")
    train, test = modular_addition.split(params)
    cut = int(0.4 * len(pairs))
    assert [a * P + b for a, b in pairs[:cut]] == train.tolist()
    assert [a * P + b for a, b in pairs[cut:]] == test.tolist()


def test_the_split_is_recovered_from_recorded_losses(
    trained: Run, workspace: Workspace, tmp_path: Path
) -> None:
    torch.save(trained.content, tmp_path / "run.pth")
    report = import_run(workspace, tmp_path / "run.pth", seeds=FEW)
    variant = workspace[report.variant]
    assert report.split_sure
    assert {**variant.params} == {**trained.variant.params, "seed": 0}
    found = AnalyzerService().on_demand(variant, 400, "logits_summary")["loss"]
    assert found.sel(split="train").item() == pytest.approx(trained.content["train_losses"][-1], rel=1e-3)
    assert found.sel(split="test").item() == pytest.approx(trained.content["test_losses"][-1], rel=1e-3)
    said = " ".join(report.contradictions)
    assert (
        "seed 0 and fraction 0.3 for the split, but the losses are those of random.shuffle with seed 7"
        in said
    )
    assert "says weight_decay=1.0, the optimizer's state weight_decay=0.1; took the optimizer's" in said
    assert "d_mlp=512, the shapes 64" in said
    assert len(report.contradictions) == 3
    assert variant.config["weight_decay"] == 0.1
    assert variant.provenance["imported"]["contradictions"] == report.contradictions
    np.testing.assert_array_equal(variant.history["test_loss"], trained.variant.history["test_loss"])
    assert "Operation: add" in " ".join(report.notes)


def test_the_split_is_recovered_without_losses(trained: Run, workspace: Workspace, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    for epoch in trained.variant.epochs:
        save_file(trained.variant.at(epoch).weights, folder / f"epoch_{epoch}.safetensors")
    report = import_run(workspace, folder, seeds=FEW)
    variant = workspace[report.variant]
    assert report.split_sure
    assert "standard errors" in report.split
    assert {**variant.params} == {**trained.variant.params, "seed": 0}
    assert report.contradictions == []
    expected = trained.variant.history.sel(epoch=trained.variant.epochs)["test_loss"]
    np.testing.assert_allclose(variant.history["test_loss"], expected, rtol=1e-3)


def test_recorded_losses_of_other_weights_are_reported(
    trained: Run, workspace: Workspace, tmp_path: Path
) -> None:
    content = {**trained.content, "test_losses": [10 * loss for loss in trained.content["test_losses"]]}
    torch.save(content, tmp_path / "run.pth")
    report = import_run(workspace, tmp_path / "run.pth", seeds=FEW)
    assert report.split_sure
    assert any("are not those of these weights" in one for one in report.contradictions)


def test_what_the_file_says_is_tried_first(trained: Run, workspace: Workspace, tmp_path: Path) -> None:
    content = {**trained.content, "config": {"seed": 7, "frac_train": 0.4}}
    torch.save(content, tmp_path / "run.pth")
    tried: list[int] = []
    report = import_run(workspace, tmp_path / "run.pth", on_progress=lambda done, of: tried.append(done))
    assert report.split_sure
    assert tried == []  # no search
    assert workspace[report.variant].params["split"] == "shuffle"


def test_a_model_without_a_gap_has_no_known_split(workspace: Workspace, tmp_path: Path) -> None:
    save_file(transformerlens(P), tmp_path / "random.safetensors")
    report = import_run(workspace, tmp_path / "random.safetensors", seeds=tuple(range(100)))
    assert not report.split_sure
    assert "not recovered" in report.split
    variant = workspace[report.variant]
    assert dict(variant.params) == {"p": P, "seed": 0, "operation": "add", "split": "unknown"}
    loss = AnalyzerService().on_demand(variant, 0, "logits_summary")["loss"]
    assert np.isnan(loss.sel(split=["train", "test"])).all()
    assert np.isfinite(loss.sel(split="all"))


def test_a_split_may_be_given(workspace: Workspace, tmp_path: Path) -> None:
    save_file(transformerlens(P), tmp_path / "random.safetensors")
    with pytest.raises(BadParameter, match="--data-seed and --frac-train together"):
        import_run(workspace, tmp_path / "random.safetensors", data_seed=3)
    report = import_run(workspace, tmp_path / "random.safetensors", data_seed=3, frac_train=0.5)
    assert workspace[report.variant].params["data_seed"] == 3
    assert report.split == "as asked for"


def test_nan_weights_are_imported_without_a_split(workspace: Workspace, tmp_path: Path) -> None:
    state = transformerlens(P)
    state["unembed.W_U"][0, 0] = float("nan")
    save_file(state, tmp_path / "broken.safetensors")
    report = import_run(workspace, tmp_path / "broken.safetensors", seeds=FEW)
    assert "not all finite" in report.split


def test_another_operation_is_seen(workspace: Workspace, tmp_path: Path) -> None:
    other = Workspace(tmp_path / "other", create=True)
    sizes = {"d_model": 32, "n_heads": 2, "d_head": 16, "d_mlp": 64}
    params = {"p": P, "seed": 1, "operation": "subtract", "frac_train": 0.8}
    variant = train_variant(other, "modular_addition", params, sizes, 300, "300", "cpu")
    content = {"model": variant.at(300).weights, "config": {"fn_name": "add"}}
    torch.save(content, tmp_path / "run.pth")
    report = import_run(workspace, tmp_path / "run.pth", seeds=FEW)
    assert workspace[report.variant].params["operation"] == "subtract"
    assert any("the model computes subtract" in one for one in report.contradictions)


def test_an_imported_variant_cannot_be_trained_further(workspace: Workspace, tmp_path: Path) -> None:
    save_file(transformerlens(P, biases=True), tmp_path / "model.safetensors")
    variant = workspace[import_run(workspace, tmp_path / "model.safetensors", seeds=FEW).variant]
    with pytest.raises((WorkbenchError, UnknownEpoch), match="nothing to replay from"):
        nearest_start(variant, 0)
    with pytest.raises(BadParameter, match="split of this variant is not known"):
        modular_addition.make_step([modular_addition.params_of(variant)], {}, {})


def test_identities_of_other_variants_are_unchanged() -> None:
    record = modular_addition.record(modular_addition.Params(p=113, seed=999))
    assert "split" not in record.params
    assert "imported" not in record.config
    assert record.identity == SHIPPED_IDENTITY


SHIPPED_IDENTITY = json.loads(
    (
        Path(__file__).parents[2] / "data/samples/variants/modular_addition/p113-s999-d598/variant.json"
    ).read_text()
)["identity"]


def test_the_judgement() -> None:
    def score(seed: int, deviation: float, gap: float) -> Score:
        return Score(Split("shuffle", seed, 0.3), deviation, gap)

    unrecorded = float("nan")
    assert judge([score(1, unrecorded, 3.0), score(2, unrecorded, 20.0)]).sure
    assert not judge([score(1, unrecorded, 3.0), score(2, unrecorded, 5.0)]).sure
    assert judge([score(1, 0.001, 3.0), score(2, 0.5, 2.0)]).best.split.seed == 1
    assert not judge([score(1, 0.001, 3.0), score(2, 0.002, 2.0)]).sure
    assert judge([score(1, 0.3, 3.0), score(2, 0.4, 30.0)]).best.split.seed == 2
