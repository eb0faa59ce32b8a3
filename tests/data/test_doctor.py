"""Every kind of harm is found, named with its remedy and mended, and a whole workspace has nothing wrong."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
import xarray as xr

from data import Variant, VariantRecord, Workspace
from data.database.jobs import JobStore
from data.doctor import YOUNG, Finding, examine, repair
from data.drift import Drift, drift
from data.errors import CorruptFile

KEY = "0123456789abcdef"


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    made = Workspace(tmp_path / "workspace", create=True)
    for seed in (1, 2):
        record = VariantRecord("modular_addition", f"p5-s{seed}-d2", {"p": 5, "seed": seed}, {"lr": 1e-3})
        variant = made.create_variant(record)
        for epoch in (0, 10, 20):
            variant.save_checkpoint(epoch, {"embed.W_E": torch.full((6, 4), float(epoch))})
        variant.save_optimizer(10, {"embed.W_E": torch.zeros(6, 4)})
        variant.save_history({"epoch": [0, 1], "train_loss": [2.0, 1.0], "test_loss": [3.0, 2.0]})
        result = xr.Dataset({"x": ("epoch", [1.0])}, {"epoch": [0]}, {"variant": variant.identity})
        variant.artifacts.commit("grid", "some_result", KEY, result)
    made.catalog.refresh()
    return made


def flip(path: Path, place: int = -3) -> None:
    content = bytearray(path.read_bytes())
    content[place] ^= 0x40
    path.write_bytes(bytes(content))


def truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-10])


def first(workspace: Workspace) -> Variant:
    return workspace["p5-s1-d2"]


def checkpoint(workspace: Workspace, epoch: int = 20) -> Path:
    return first(workspace).at(epoch).path


def test_a_whole_workspace_has_nothing_wrong(workspace: Workspace) -> None:
    assert examine(workspace) == []
    assert repair(workspace, []) == []


@pytest.mark.parametrize(
    "harm", [flip, truncate, lambda path: flip(path, 12), lambda path: path.write_bytes(b"")]
)
def test_a_damaged_checkpoint_is_put_aside_and_can_be_made_again(
    workspace: Workspace, harm: Callable[[Path], None]
) -> None:
    path = checkpoint(workspace)
    harm(path)
    content = path.read_bytes()
    (finding,) = [found for found in examine(workspace) if found.subject != "catalog"]
    assert finding.subject == "p5-s1-d2"
    assert "damaged" in finding.problem
    assert "tdw checkpoints p5-s1-d2 --add 20" in finding.remedy
    repair(workspace, [finding])
    assert first(workspace).epochs == [0, 10]
    (aside,) = (workspace.path / ".damaged").rglob("epoch_00000020.safetensors")
    assert aside.read_bytes() == content
    assert examine(workspace) == []


def test_without_a_training_state_the_remedy_says_so(workspace: Workspace) -> None:
    truncate(checkpoint(workspace, 0))
    assert "only training again" in next(f.remedy for f in examine(workspace) if f.subject == "p5-s1-d2")


def test_a_checkpoint_of_another_model_is_noticed(workspace: Workspace) -> None:
    first(workspace).save_checkpoint(30, {"embed.W_E": torch.zeros(3, 4)})
    workspace.catalog.refresh()
    (finding,) = examine(workspace)
    assert "other weights than the first one (embed.W_E)" in finding.problem


def test_a_damaged_state_history_result_and_record_are_each_named(workspace: Workspace) -> None:
    one, two = first(workspace), workspace["p5-s2-d2"]
    flip(one.path / "optimizer" / "epoch_00000010.safetensors")
    truncate(one.history_path)
    result = two.artifacts.path("grid", "some_result", KEY)
    flip(result, result.stat().st_size // 2)
    found = [finding for finding in examine(workspace) if finding.subject != "catalog"]
    assert [(finding.subject, finding.mend) for finding in found] == [
        ("p5-s1-d2", "put aside"),
        ("p5-s1-d2", "put aside"),
        ("p5-s2-d2", "delete"),
    ]
    assert "tdw analyze p5-s2-d2 --analyzers some_result" in found[2].remedy
    repair(workspace, examine(workspace))
    assert examine(workspace) == []
    (one.path / "variant.json").write_text("{")
    (broken,) = [finding for finding in examine(workspace) if finding.mend == "put aside"]
    assert broken.subject == "p5-s1-d2"
    repair(workspace, examine(workspace))
    assert workspace.names() == ["p5-s2-d2"]
    assert len(list((workspace.path / ".damaged").rglob("epoch_00000000.safetensors"))) == 1
    assert examine(workspace) == []


def test_a_result_of_another_variant_is_not_trusted(workspace: Workspace) -> None:
    one, two = first(workspace), workspace["p5-s2-d2"]
    source, target = (variant.artifacts.path("grid", "some_result", KEY) for variant in (one, two))
    shutil.copy(source, target)
    finding = next(found for found in examine(workspace) if found.subject == "p5-s2-d2")
    assert "another variant" in finding.problem


def test_leftovers_of_killed_processes_go_and_those_of_living_ones_stay(workspace: Workspace) -> None:
    folder = first(workspace).path / "checkpoints"
    (folder / ".epoch_00000030.safetensors.abc.tmp").write_text("half")
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    family = workspace.path / "variants" / "modular_addition"
    (family / f".copying-{dead.pid}-p7-s1-d2").mkdir()
    (family / f".copying-{os.getpid()}-p7-s2-d2").mkdir()
    written = folder / ".epoch_00000040.safetensors.abc.tmp"
    with written.open("w"):
        found = [finding for finding in examine(workspace) if finding.subject != "catalog"]
        assert [Path(finding.subject).name for finding in found] == [
            f".copying-{dead.pid}-p7-s1-d2",
            ".epoch_00000030.safetensors.abc.tmp",
        ]
        repair(workspace, found)
        assert examine(workspace) == []
    old = time.time() - 2 * YOUNG
    os.utime(written, (old, old))
    assert [finding.path for finding in examine(workspace)] == [written]


def test_drift_and_a_damaged_database_are_mended_by_a_rebuild(workspace: Workspace) -> None:
    workspace.delete_variant("p5-s2-d2")
    (finding,) = examine(workspace)
    assert "p5-s2-d2 is in the catalog but not on disk" in finding.problem
    repair(workspace, [finding])
    assert examine(workspace) == []
    assert workspace.database.file is not None
    with workspace.database.engine.connect() as connection:
        connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    workspace.database.close()
    workspace.database.file.write_bytes(b"\xff" * 9000)
    (damaged,) = examine(workspace)
    assert damaged.subject == "catalog"
    assert any("aside" in sentence for sentence in repair(workspace, [damaged]))
    assert examine(workspace) == []
    assert [entry.name for entry in workspace.catalog.entries()] == ["p5-s1-d2"]


def test_drift_is_told_at_once_unless_a_job_makes_it(workspace: Workspace) -> None:
    assert drift(workspace) == Drift()
    job, _ = JobStore(workspace.database).create_or_join("train", "w", {}, "Train", ["p5-s1-d2"])
    first(workspace).save_checkpoint(30, {"embed.W_E": torch.zeros(6, 4)})
    assert drift(workspace) == Drift(), "the job brings the index up to date when it ends"
    JobStore(workspace.database).cancel(job.id)
    told = drift(workspace)
    assert told.text.endswith("p5-s1-d2 has changed on disk since the catalog saw it.")
    assert told.rebuild
    workspace.delete_variant("p5-s2-d2")
    assert drift(workspace).text.endswith("1 more variant differs too.")
    workspace.catalog.rebuild()
    assert drift(workspace) == Drift()


def test_drift_looks_at_files_only_where_something_differs(
    workspace: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    read = []
    monkeypatch.setattr(Workspace, "is_readable", lambda self, folder: read.append(folder.name) or True)
    monkeypatch.setattr(VariantRecord, "read", classmethod(lambda cls, path: pytest.fail(f"read {path}")))
    assert drift(workspace) == Drift()
    assert read == []
    (workspace.path / "variants" / "modular_addition" / "p5-s2-d2" / "variant.json").write_text("{}")
    assert "p5-s2-d2 has changed" in drift(workspace).text
    assert read == ["p5-s2-d2"]


def test_drift_says_when_the_database_cannot_be_read(workspace: Workspace) -> None:
    with workspace.database.engine.begin() as connection:
        connection.exec_driver_sql("DROP TABLE metric_vectors")
        connection.exec_driver_sql("DROP TABLE variants")
    told = drift(workspace)
    assert "cannot be used: no such table" in told.text
    assert "tdw doctor" in told.remedy


def test_an_unreadable_record_is_a_finding_and_no_drift(workspace: Workspace) -> None:
    (first(workspace).path / "variant.json").write_text("{")
    assert drift(workspace) == Drift()
    assert [found.mend for found in examine(workspace)] == ["put aside"]


def test_putting_aside_twice_keeps_both(workspace: Workspace) -> None:
    for _ in range(2):
        truncate(checkpoint(workspace))
        repair(workspace, [finding for finding in examine(workspace) if finding.mend == "put aside"])
        first(workspace).save_checkpoint(20, {"embed.W_E": torch.ones(6, 4)})
    assert len(list((workspace.path / ".damaged").rglob("epoch_00000020*"))) == 2


def test_files_of_other_writers_without_a_digest_are_accepted(workspace: Workspace) -> None:
    from safetensors.torch import save_file

    save_file({"embed.W_E": torch.zeros(6, 4)}, checkpoint(workspace))
    assert [finding for finding in examine(workspace) if finding.mend == "put aside"] == []


def test_every_finding_says_what_to_do(workspace: Workspace) -> None:
    truncate(checkpoint(workspace))
    truncate(first(workspace).history_path)
    for finding in examine(workspace):
        assert isinstance(finding, Finding)
        assert finding.problem.endswith(".")
        assert finding.remedy.endswith(".")
    with pytest.raises(CorruptFile):
        _ = first(workspace).history
    assert np.isfinite(first(workspace).at(0).weights["embed.W_E"].numpy()).all()
