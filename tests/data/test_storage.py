"""Storage: what is written comes back, nothing is ever half-written, damage is named."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import time
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from data import Variant, VariantRecord, Workspace
from data.datasets import read_dataset, write_dataset
from data.errors import (
    BadParameter,
    CorruptFile,
    UnknownEpoch,
    UnknownVariant,
    VariantExists,
    WorkspaceError,
)
from data.files import replacing, safe_name

RECORD = VariantRecord("modular_addition", "p5-s1-d2", {"p": 5, "seed": 1, "data_seed": 2}, {"lr": 1e-3})


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace(tmp_path / "ws", create=True)


@pytest.fixture
def variant(workspace: Workspace) -> Variant:
    return workspace.create_variant(RECORD)


def small_dataset(epochs: list[int], value: float = 0.0) -> xr.Dataset:
    data = np.full((len(epochs), 2, 3), value, "float32") + np.array(epochs)[:, None, None]
    return xr.Dataset(
        {"fraction": (("epoch", "source", "freq"), data, {"units": "1"})},
        coords={
            "epoch": epochs,
            "source": ["a", "="],
            "freq": [1, 2, 3],
            "checkpoint_hash": ("epoch", [f"h{epoch}" for epoch in epochs]),
        },
        attrs={"formula": "f = x / y"},
    )


def test_dataset_round_trip_is_identical(tmp_path: Path) -> None:
    dataset = small_dataset([0, 10, 20])
    dataset["never"] = ("source", np.array([np.nan, 1.5]))
    write_dataset(tmp_path / "x.zarr.zip", dataset)
    xr.testing.assert_identical(read_dataset(tmp_path / "x.zarr.zip"), dataset)


def test_dataset_file_is_plain_zarr_v3(tmp_path: Path) -> None:
    """Other programs can read it: a Zarr v3 group in a zip, with no types outside the specification."""
    import zarr

    write_dataset(tmp_path / "x.zarr.zip", small_dataset([0, 10]))
    group = zarr.open_group(zarr.storage.ZipStore(tmp_path / "x.zarr.zip", mode="r"), mode="r")
    assert group.metadata.zarr_format == 3
    assert group["fraction"].shape == (2, 2, 3)
    assert group["source"].dtype == np.int32
    assert group["source"].attrs["labels"] == ["=", "a"]


def test_large_arrays_are_cut_into_half_megabyte_chunks(tmp_path: Path) -> None:
    import zarr

    big = xr.Dataset({"x": (("epoch", "n"), np.zeros((100, 50_000), "float32"))})
    write_dataset(tmp_path / "x.zarr.zip", big)
    array = zarr.open_group(zarr.storage.ZipStore(tmp_path / "x.zarr.zip", mode="r"), mode="r")["x"]
    assert array.chunks == (2, 50_000)


def test_damaged_dataset_names_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x.zarr.zip"
    write_dataset(path, small_dataset([0]))
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(CorruptFile, match=r"x\.zarr\.zip is damaged.*Delete it"):
        read_dataset(path)


@pytest.mark.parametrize(
    "params", [{}, {"p": 5}, {"p": 5, "seed": 1, "betas": [0.9, 0.98]}, {"b": None, "a": ""}]
)
def test_identity_ignores_key_order_and_provenance(params: dict) -> None:
    one = VariantRecord("f", "n", params, {}, provenance={"device": "cpu"})
    two = VariantRecord("f", "m", dict(reversed(list(params.items()))), {}, provenance={"device": "cuda"})
    assert one.identity == two.identity
    assert VariantRecord("f", "n", {**params, "z": 1}, {}).identity != one.identity


def test_record_round_trip_and_edited_record_is_refused(variant: Variant) -> None:
    path = variant.path / "variant.json"
    assert VariantRecord.read(path) == RECORD
    path.write_text(path.read_text().replace('"seed": 1', '"seed": 2'))
    with pytest.raises(CorruptFile, match="does not match its own identity"):
        VariantRecord.read(path)
    assert variant.workspace.variants() == []
    assert len(variant.workspace.problems()) == 1


@pytest.mark.parametrize("name", ["../x", "a/b", "", ".hidden", "a" * 121, "x\n", "a..b", "ü"])
def test_names_that_could_leave_the_workspace_are_refused(name: str, workspace: Workspace) -> None:
    with pytest.raises(BadParameter, match="not allowed"):
        safe_name(name)
    with pytest.raises(BadParameter):
        workspace.create_variant(VariantRecord("modular_addition", name, {}, {}))
    assert workspace.names() == []


def test_checkpoint_round_trip(variant: Variant) -> None:
    weights = {"embed.W_E": torch.randn(6, 4), "unembed.W_U": torch.randn(4, 5)}
    variant.save_checkpoint(0, weights)
    variant.save_checkpoint(250, weights, dtype="float16")
    assert variant.epochs == [0, 250]
    assert torch.equal(variant.at(0).weights["embed.W_E"], weights["embed.W_E"])
    half = variant.at(250).weights["embed.W_E"]
    assert half.dtype == torch.float32
    assert torch.equal(half, weights["embed.W_E"].half().float())
    assert variant.at(0).hash != variant.at(250).hash


def test_unsaved_epoch_names_the_nearest(variant: Variant) -> None:
    with pytest.raises(UnknownEpoch, match="no checkpoints yet"):
        variant.at(3)
    for epoch in (0, 100, 200):
        variant.save_checkpoint(epoch, {"embed.W_E": torch.zeros(1)})
    with pytest.raises(UnknownEpoch, match=r"Epoch 120 of p5-s1-d2 was not saved; .* 100 \(3 checkpoints"):
        variant.at(120)
    assert variant.nearest_epoch(150) == 100


@pytest.mark.parametrize("damage", [b"", b"\x00" * 50, "truncate", "flip the header"])
def test_damaged_checkpoint_is_named_and_leaves_the_others(variant: Variant, damage: bytes | str) -> None:
    for epoch in (0, 1):
        variant.save_checkpoint(epoch, {"embed.W_E": torch.ones(64, 64)})
    path = variant.at(1).path
    content = path.read_bytes()
    if damage == "truncate":
        damage = content[: len(content) // 2]
    elif damage == "flip the header":
        damage = b"\xff" * 8 + content[8:]
    path.write_bytes(damage)  # type: ignore[arg-type]
    with pytest.raises(CorruptFile, match=r"epoch_00000001\.safetensors is damaged.*other epochs"):
        _ = variant.at(1).weights
    assert torch.equal(variant.at(0).weights["embed.W_E"], torch.ones(64, 64))


def test_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with replacing(path) as temporary:
        temporary.write_text("old")

    def interrupted() -> None:
        with replacing(path) as temporary:
            temporary.write_text("half of the n")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        interrupted()
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["file"]


def test_full_disk_is_said_and_harms_nothing(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("old")
    with pytest.raises(WorkspaceError, match=r"No space left on device.*free some space"), replacing(path):
        raise OSError(28, "No space left on device")
    assert path.read_text() == "old"


def test_history_round_trip(variant: Variant) -> None:
    assert variant.history.sizes["epoch"] == 0
    variant.save_history(
        {"epoch": [0, 1, 2], "train_loss": [4.7, 4.6, 1e-9], "test_loss": [4.7, np.nan, 4.8]}
    )
    assert variant.history["train_loss"].values.tolist() == [4.7, 4.6, 1e-9]
    assert variant.history["epoch"].dtype == np.int64
    variant.save_history({"epoch": [0], "train_loss": [1.0]})
    assert variant.history.sizes["epoch"] == 1


def test_commit_merges_epochs_and_replaces_equal_ones(variant: Variant) -> None:
    store = variant.artifacts
    assert store.read("grid", "thing", "abc") is None
    store.commit("grid", "thing", "abc", small_dataset([0, 20]))
    before = store.token("grid", "thing", "abc")
    store.commit("grid", "thing", "abc", small_dataset([10, 20], value=5.0))
    merged = store.read("grid", "thing", "abc")
    assert merged is not None
    assert merged["epoch"].values.tolist() == [0, 10, 20]
    assert merged["fraction"].values[:, 0, 0].tolist() == [0, 15, 25]
    assert merged["checkpoint_hash"].values.tolist() == ["h0", "h10", "h20"]
    assert merged["fraction"].attrs == {"units": "1"}
    assert merged["source"].values.tolist() == ["a", "="]
    assert store.token("grid", "thing", "abc") not in ("", before)
    assert store.keys("grid", "thing") == ["abc"]


def _commit_forever(path: Path, offset: int) -> None:
    store = Workspace(path)["p5-s1-d2"].artifacts
    for epoch in range(offset, 100_000, 2):
        store.commit("grid", "thing", "abc", small_dataset([epoch]))


def test_killed_and_competing_writers_leave_whole_epochs(variant: Variant) -> None:
    """Two writers of one artifact, killed at random moments, five times: every stored epoch is whole."""
    rng = np.random.default_rng(0)
    spawn = multiprocessing.get_context("spawn")
    for _ in range(3):
        writers = [spawn.Process(target=_commit_forever, args=(variant.workspace.path, k)) for k in (0, 1)]
        for writer in writers:
            writer.start()
        before = variant.artifacts.token("grid", "thing", "abc")
        while variant.artifacts.token("grid", "thing", "abc") == before:
            time.sleep(0.01)
        time.sleep(float(rng.uniform(0.0, 0.3)))
        for writer in writers:
            os.kill(writer.pid, signal.SIGKILL)  # type: ignore[arg-type]
            writer.join()
        stored = variant.artifacts.read("grid", "thing", "abc")
        assert stored is not None
        assert (stored["fraction"].values[:, 1, 2] == stored["epoch"].values).all()
        assert len(set(stored["epoch"].values.tolist())) == stored.sizes["epoch"]
    variant.artifacts.commit("grid", "thing", "abc", small_dataset([99_999_999]))


def test_variant_by_parameters(workspace: Workspace) -> None:
    workspace.create_variant(RECORD)
    workspace.create_variant(VariantRecord("modular_addition", "p7-s1-d2", {"p": 7, "seed": 1}, {"lr": 1e-3}))
    fork = VariantRecord(
        "modular_addition", "p7-fork", {"p": 7, "seed": 1}, {"lr": 1e-4}, {"name": "p7-s1-d2", "epoch": 3}
    )
    workspace.create_variant(fork)
    assert workspace.variant(p=7).name == "p7-s1-d2"
    assert workspace.variant(p=7, lr=1e-4).name == "p7-fork"
    assert [child.name for child in workspace["p7-s1-d2"].forks] == ["p7-fork"]
    with pytest.raises(UnknownVariant, match=r"p=11.*there are: p5-s1-d2, p7-fork, p7-s1-d2"):
        workspace.variant(p=11)
    with pytest.raises(UnknownVariant, match="seed=1 fits 2 variants"):
        workspace.variant(seed=1)
    with pytest.raises(UnknownVariant, match="no variant 'p9'"):
        workspace["p9"]


def test_existing_variant_is_not_overwritten_and_delete_frees_the_name(variant: Variant) -> None:
    workspace = variant.workspace
    with pytest.raises(VariantExists, match="with the same configuration and 0 checkpoints"):
        workspace.create_variant(RECORD)
    (variant.path / "variant.json").write_text("{ half")  # even a damaged one can be deleted
    workspace.delete_variant(RECORD.name)
    assert workspace.names() == []
    workspace.create_variant(RECORD)


def test_catalog_follows_the_disk_and_is_rebuilt(workspace: Workspace) -> None:
    variant = workspace.create_variant(RECORD)
    assert [entry.epochs for entry in workspace.catalog.refresh()] == [()]
    variant.save_checkpoint(0, {"embed.W_E": torch.zeros(1)})
    variant.save_history({"epoch": [0, 1], "train_loss": [2.0, 1.0], "test_loss": [3.0, np.nan]})
    (entry,) = workspace.catalog.refresh()
    assert (entry.epochs, entry.trained_epochs, entry.final_train_loss, entry.final_test_loss) == (
        (0,),
        1,
        1.0,
        3.0,
    )
    for damage in (lambda path: path.unlink(), lambda path: path.write_bytes(b"not a database" * 500)):
        damage(workspace.database.file)
        assert workspace.catalog.refresh() == [entry]
    variant.save_checkpoint(5, {"embed.W_E": torch.zeros(1)})
    assert workspace.catalog.refresh()[0].epochs == (0, 5)
    workspace.delete_variant(RECORD.name)
    assert workspace.catalog.refresh() == []


def test_a_damaged_history_is_named_and_the_others_are_listed(workspace: Workspace) -> None:
    for seed in (1, 2):
        name = f"p5-s{seed}-d2"
        variant = workspace.create_variant(VariantRecord("modular_addition", name, {"seed": seed}, {}))
        variant.save_history({"epoch": [0], "train_loss": [2.0], "test_loss": [3.0]})
    path = workspace["p5-s1-d2"].history_path
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(CorruptFile, match=r"history of p5-s1-d2 is damaged: .*zip.*train the variant again"):
        _ = workspace["p5-s1-d2"].history
    assert [entry.final_test_loss for entry in workspace.catalog.refresh()] == [None, 3.0]


def test_missing_and_unwritable_workspace(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(WorkspaceError, match="There is no workspace at"):
        Workspace(tmp_path / "nowhere")
    (tmp_path / "file").write_text("")
    with pytest.raises(WorkspaceError, match=r"Cannot make a workspace at .*file"):
        Workspace(tmp_path / "file" / "ws", create=True)
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(WorkspaceError, match="Permission denied"):
        Workspace(tmp_path / "ws", create=True)


def test_first_start_copies_the_samples(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = Workspace(tmp_path / "shipped", create=True)
    source.create_variant(RECORD).save_checkpoint(0, {"embed.W_E": torch.zeros(1)})
    monkeypatch.setattr("data.workspace.SAMPLES", tmp_path / "shipped")
    monkeypatch.setenv("TDW_WORKSPACE", str(tmp_path / "mine"))
    assert Workspace()[RECORD.name].epochs == [0]
    shutil.rmtree(tmp_path / "mine" / "variants" / "modular_addition" / RECORD.name)
    assert Workspace().names() == []  # only the first start copies: what was deleted stays deleted
    assert Workspace().add_samples() == [RECORD.name]
