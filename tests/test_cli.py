"""The `tdw` command, end to end on tiny runs: what it says, what it leaves, how it fails."""

from __future__ import annotations

import json
import os
import shutil
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

import cli
from data import Workspace

SIZES = ["--set", "d_model=8", "--set", "n_heads=2", "--set", "d_head=4", "--set", "d_mlp=16"]
TRAIN = ["train", "modular_addition", "--p", "7", "--seed", "1", "--device", "cpu", *SIZES]
NAME = "p7-s1-d598-dm8-h2-dh4-mlp16"
KEPT = ["--epochs", "30", "--checkpoints", "0:30:10", "--state-every", "10"]


@dataclass(frozen=True)
class Done:
    code: int
    out: str
    err: str

    @property
    def json(self):
        return json.loads(self.out)


@pytest.fixture
def tdw(tmp_path, monkeypatch, capsys):
    """Runs the command in this process as `tdw` would, on a workspace of its own."""
    monkeypatch.setenv("TDW_WORKSPACE", str(tmp_path / "workspace"))

    def run(*arguments: str) -> Done:
        monkeypatch.setattr(sys, "argv", ["tdw", *arguments])
        capsys.readouterr()
        code = 0
        try:
            cli.main()
        except SystemExit as stop:
            code = int(stop.code or 0)
        printed = capsys.readouterr()
        return Done(code, printed.out, printed.err)

    return run


@pytest.fixture(scope="module")
def trained(tmp_path_factory) -> Path:
    """A workspace with one trained variant, to be copied."""
    from training.run import train_variant

    path = tmp_path_factory.mktemp("cli") / "trained"
    sizes = {"d_model": 8, "n_heads": 2, "d_head": 4, "d_mlp": 16}
    workspace = Workspace(path, create=True)
    train_variant(
        workspace, "modular_addition", {"p": 7, "seed": 1}, sizes, 30, "0:30:10", "cpu", state_every=10
    )
    return path


@pytest.fixture
def stored(trained, tmp_path) -> Path:
    """That workspace, as the default one of `tdw`."""
    shutil.copytree(trained, tmp_path / "workspace")
    return tmp_path / "workspace"


def fails(done: Done, *words: str) -> None:
    """One line on stderr that has all the words, exit status 1, no traceback."""
    assert done.code == 1, done
    assert done.err.startswith("tdw: ")
    assert done.err.count("\n") == 1, done.err
    for word in words:
        assert word in done.err
    assert "Traceback" not in done.err


# --- train and resume ------------------------------------------------------------------------------------


def test_train_says_what_it_did_and_keeps_it(tdw, tmp_path):
    done = tdw(*TRAIN, *KEPT)
    assert done.code == 0
    assert f"Trained {NAME} to epoch 30 on cpu (float32, torch" in done.out
    assert "Test loss: never" in done.out
    assert "Kept 4 checkpoints in" in done.out
    assert f"Next: tdw analyze {NAME}" in done.out
    variant = Workspace(tmp_path / "workspace")[NAME]
    assert variant.epochs == [0, 10, 20, 30]
    assert variant.config["d_model"] == 8


def test_train_with_schedules(tdw, tmp_path):
    schedules = ["--lr-schedule", "cosine:until=30", "--wd-schedule", "piecewise:10=0.5"]
    done = tdw(*TRAIN, *KEPT, *schedules)
    assert done.code == 0
    (variant,) = Workspace(tmp_path / "workspace").variants()
    assert variant.name == f"{NAME}-lr_cosine_until=30-wd_piecewise_10=0.5"
    assert variant.config["lr_schedule"] == {"policy": "cosine", "until": 30}
    assert variant.history["weight_decay"].values[[9, 10]].tolist() == [1.0, 0.5]
    plain = tdw(*TRAIN, *KEPT, "--lr-schedule", "constant")
    assert f"Trained {NAME} to" in plain.out


def test_a_schedule_is_saved_used_by_name_and_deleted(tdw, tmp_path):
    saved = tdw("schedules", "save", "slow", "cosine:until=30,floor=1e-5")
    assert saved.out.strip() == "Saved slow: cosine:until=30,floor=1e-05. Use it with --lr-schedule slow."
    done = tdw(*TRAIN, *KEPT, "--lr-schedule", "slow", "--wd-schedule", "constant")
    assert done.code == 0, done.err
    (variant,) = Workspace(tmp_path / "workspace").variants()
    assert variant.config["lr_schedule"] == {"policy": "cosine", "until": 30, "floor": 1e-5}
    forked = tdw("fork", variant.name, "--at", "10", "--wd-schedule", "slow", "--device", "cpu")
    assert forked.code == 0, forked.err
    assert [one["name"] for one in tdw("schedules", "--json").json] == ["slow"]
    assert "cosine:until=30,floor=1e-05" in tdw("schedules").out
    refused = tdw("schedules", "save", "slow", "constant")
    assert (refused.code, "another schedule 'slow'" in refused.err) == (1, True)
    assert tdw("schedules", "save", "slow", "constant", "--replace").code == 0
    assert tdw("schedules", "delete", "slow").out.strip() == "Deleted the schedule slow."
    unknown = tdw(*TRAIN, *KEPT, "--lr-schedule", "slow")
    assert (unknown.code, "schedule 'slow' is not known" in unknown.err) == (1, True)


def test_train_elsewhere(tdw, tmp_path):
    done = tdw(*TRAIN, "--epochs", "2", "--workspace", str(tmp_path / "other"))
    assert done.code == 0
    assert Workspace(tmp_path / "other").names() == [NAME]
    assert not (tmp_path / "workspace").exists()


def test_resume_trains_for_longer_and_leaves_a_complete_run_alone(tdw, stored):
    done = tdw("resume", NAME)
    assert done.code == 0
    assert "is complete: it was trained to epoch 30. Give --epochs" in done.out
    done = tdw("resume", NAME, "--epochs", "35", "--device", "cpu")
    assert done.code == 0
    assert "Went on with" in done.out
    assert f"Trained {NAME} to epoch 35" in done.out
    assert Workspace(stored)[NAME].history.sizes["epoch"] == 36


def test_train_resume_goes_on(tdw, stored):
    fails(tdw(*TRAIN, *KEPT), f"{NAME} is already in", "the same configuration")
    assert tdw(*TRAIN, "--epochs", "32", "--resume").code == 0
    assert Workspace(stored)[NAME].history.sizes["epoch"] == 33


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--p", "12"], ["p=12 is not prime", "11 and 13"]),
        (["--p", "1"], ["p=1 is out of range"]),
        (["--frac-train", "0"], ["frac_train=0", "between 0 and 1"]),
        (["--frac-train", "1.5"], ["frac_train=1.5"]),
        (["--lr", "-1"], ["lr=-1"]),
        (["--device", "gpu"], ["device 'gpu' is not known"]),
        (["--device", "cuda:99"], ["'cuda:99' is not there", "--device cpu"]),
        (["--checkpoints", "0,99"], ["checkpoint 99 is outside this run of 30 epochs"]),
        (["--checkpoints", "often"], ["'often' cannot be read", "0,100:1000:50"]),
        (["--checkpoint-dtype", "int8"], ["'int8'", "float32 or float16"]),
        (["--state-every", "0"], ["state_every=0"]),
        (["--lr-schedule", "sometimes"], ["'sometimes' is not known", "choose one of: constant"]),
        (["--lr-schedule", "cosine:until=99"], ["goes on until epoch 99", "ends at epoch 30"]),
        (["--wd-schedule", "step:every=5"], ["needs factor", "step:every=5000,factor=0.5"]),
        (["--wd-schedule", "piecewise:20=1,10=2"], ["not in order"]),
        (["--set", "depth=3"], ["no setting 'depth'", "d_model"]),
        (["--set", "d_model"], ["is not name=value", "d_model=64"]),
        (["--set", "eps=tiny"], ["eps='tiny' is not a finite number"]),
        (["--set", "lr=0.1"], ["use --lr 0.1"]),
        (["--set", "eps=1e-7", "--set", "eps=1e-6"], ["gives eps twice"]),
    ],
)
def test_bad_settings_of_a_run(tdw, tmp_path, arguments, words):
    fails(tdw(*TRAIN, "--epochs", "30", *arguments), *words)
    assert Workspace(tmp_path / "workspace", create=True).names() == []


def test_an_unknown_family(tdw):
    fails(tdw("train", "copying"), "unknown family 'copying'; there is: modular_addition")


def test_a_folder_where_no_workspace_can_be(tdw, tmp_path):
    (tmp_path / "file").write_text("")
    fails(tdw(*TRAIN, "--workspace", str(tmp_path / "file")), "Cannot make a workspace", "--workspace")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_workspace_that_cannot_be_written(tdw, stored):
    stored.chmod(0o500)
    try:
        fails(tdw(*TRAIN, "--data-seed", "3", "--epochs", "2"), "Permission denied")
    finally:
        stored.chmod(0o700)


def test_a_workspace_that_cannot_be_written_names_the_file(tdw, stored, monkeypatch):
    def refuse(*arguments, **options):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("data.files.tempfile.mkstemp", refuse)
    done = tdw(*TRAIN, "--data-seed", "3", "--epochs", "2")
    fails(done, "Cannot write", "Permission denied", "Nothing that was stored has changed")


# --- fork and checkpoints --------------------------------------------------------------------------------


def test_fork(tdw, stored):
    done = tdw("fork", NAME, "--at", "15", "--lr", "3e-4", "--epochs", "40", "--device", "cpu")
    assert done.code == 0
    assert "Starts from the optimizer state at epoch 10" not in done.out  # only the last two are kept
    assert "Starts from the initialisation (epoch 0), replayed for 15 epochs to epoch 15" in done.out
    assert "equals the stored checkpoint at epoch 10 bit for bit" in done.out
    assert f"Forked {NAME} at epoch 15; changed: lr0.0003." in done.out
    child = Workspace(stored)[f"{NAME}-at15-lr0.0003"]
    assert child.parent["change"] == {"lr": 3e-4}
    assert child.epochs[0] == 15
    assert child.epochs[-1] == 40
    assert [one.name for one in Workspace(stored)[NAME].forks] == [child.name]
    assert json.loads(tdw("variants", "--json").out)[1]["parent"] == NAME


def test_fork_with_everything(tdw, stored):
    gain = ["--gain", "0", "--frequencies", "1,3", "--site", "embed", "--gain-end", "28", "--ramp", "2"]
    change = ["--lr-schedule", "linear_warmup:warmup=5,start=20", "--wd-schedule", "constant"]
    change += ["--weight-decay", "0.5", "--data-seed", "3", "--frac-train", "0.4", "--perturb", "1e-4"]
    kept = ["--checkpoints", "20:30:5", "--checkpoint-dtype", "float16", "--state-every", "5"]
    done = tdw("fork", NAME, "--at", "20", *change, *gain, *kept)
    assert done.code == 0, done.err
    (child,) = Workspace(stored)[NAME].forks
    assert child.epochs == [20, 25, 30]
    assert child.config["intervention"]["site"] == "embed"
    assert child.config["intervention"]["start"] == 20
    assert child.params["data_seed"] == 3
    ended = tdw("fork", child.name, "--at", "25", "--no-gain")
    assert ended.code == 0
    assert "changed: nogain" in ended.out
    nothing = tdw("fork", NAME, "--at", "25")
    assert "changed: nothing" in nothing.out


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--at", "31"], ["trained to epoch 30", "cannot be forked at epoch 31"]),
        (["--at", "20", "--epochs", "20"], ["cannot be trained to epoch 20", "epochs=21"]),
        (["--at", "20", "--perturb", "0"], ["perturb=0.0 changes nothing", "1e-6"]),
        (["--at", "20", "--lr", "5"], ["lr=5"]),
        (["--at", "20", "--lr-schedule", "cosine:until=99"], ["goes on until epoch 99"]),
        (["--at", "20", "--gain", "2"], ["both --gain and --frequencies"]),
        (["--at", "20", "--gain", "2", "--frequencies", "a"], ["'a' cannot be read", "9,33"]),
        (["--at", "20", "--gain", "2", "--frequencies", "9"], ["frequency 9 does not exist for p=7"]),
        (["--at", "20", "--gain", "1", "--frequencies", "2"], ["gain=1 changes nothing"]),
        (["--at", "20", "--no-gain"], ["no intervention that could end"]),
    ],
)
def test_bad_forks(tdw, stored, arguments, words):
    fails(tdw("fork", NAME, *arguments), *words)
    assert Workspace(stored).names() == [NAME]


def test_fork_with_nothing_to_replay_from(tdw, stored):
    variant = Workspace(stored)[NAME]
    for epoch in variant.optimizer_epochs:
        variant.drop_optimizer(epoch)
    variant.save_checkpoint(0, variant.at(30).weights)
    fails(
        tdw("fork", NAME, "--at", "20"), "no training state at or before epoch 20", "nothing to replay from"
    )


def test_checkpoints_lists_and_adds(tdw, stored):
    done = tdw("checkpoints", NAME)
    assert "has 4 checkpoints from 0 to 30:\n0, 10, 20, 30\n" in done.out
    assert "without a replay: 20, 30." in done.out
    assert tdw("checkpoints", NAME, "--json").json == {
        "variant": NAME,
        "epochs": [0, 10, 20, 30],
        "states": [20, 30],
    }
    done = tdw("checkpoints", NAME, "--add", "12:22:5")
    assert done.code == 0
    assert f"Added 3 checkpoints to {NAME} from epoch 12 to 22, replayed from the initialisation" in done.out
    assert "came out bit for bit (10, 20, 30)" in done.out
    assert "12, 17, 20, 22" in done.out
    again = tdw("checkpoints", NAME, "--add", "12:22:5")
    assert "All 3 epochs were stored already" in again.out
    told = tdw("checkpoints", NAME, "--add", "25", "--json").json
    assert told["densified"]["added"] == [25]
    assert told["densified"]["verified"] == [22, 30]
    assert 25 in told["epochs"]


def test_checkpoints_of_another_device_need_force(tdw, stored):
    variant = Workspace(stored)[NAME]
    variant.save_checkpoint(20, {name: 1.01 * weight for name, weight in variant.at(20).weights.items()})
    fails(
        tdw("checkpoints", NAME, "--add", "15"), "differs from the stored checkpoint at epoch 20", "--force"
    )
    assert Workspace(stored)[NAME].epochs == [0, 10, 20, 30]
    done = tdw("checkpoints", NAME, "--add", "15", "--force")
    assert done.code == 0
    assert "Not verified: the replay differs from the stored checkpoint at epoch 20" in done.out
    assert Workspace(stored)[NAME].epochs == [0, 10, 15, 20, 30]


def test_checkpoints_outside_the_run(tdw, stored):
    fails(tdw("checkpoints", NAME, "--add", "25:45:5"), "checkpoint 35 is outside this run of 30 epochs")


# --- replicates and sweeps -------------------------------------------------------------------------------


def test_replicates(tdw, stored):
    done = tdw(*TRAIN, "--epochs", "20", "--replicates", "3", "--perturb", "1e-3")
    assert done.code == 0, done.err
    assert f"Trained 3 of 3 replicates of {NAME}." in done.out
    assert f"{NAME} has 3 replicates." in done.out
    assert "Key frequencies: not computed yet" in done.out
    assert len(Workspace(stored)[NAME].forks) == 3
    assert tdw("analyze", "--all").code == 0
    facts = tdw("replicates", NAME, "--json").json
    assert len(facts["variants"]) == 3
    assert 0 <= facts["key_frequency_jaccard"] <= 1
    assert "mean Jaccard index of two runs" in tdw("replicates", NAME).out
    fails(tdw(*TRAIN, "--epochs", "20", "--replicates", "3", "--perturb", "1e-3"), "is already in")
    fails(tdw("replicates", "p11-s1"), "p11-s1 has no replicates", "--replicates 32")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["--replicates", "3", "--perturb", "0"], ["perturb=0.0", "1e-06"]),
        (["--replicates", "0"], ["replicates=0 is out of range"]),
        (["--perturb", "1e-6"], ["--perturb needs --replicates"]),
        (["--replicates", "2", "--p", "12"], ["p=12 is not prime"]),
    ],
)
def test_bad_replicates(tdw, stored, arguments, words):
    fails(tdw(*TRAIN, "--epochs", "5", *arguments), *words)
    assert Workspace(stored).names() == [NAME]


@pytest.fixture
def threads(monkeypatch):
    """Sweeps that ask for a cluster get threads of this process; returns the addresses asked for."""
    asked: list[str] = []

    @contextmanager
    def executor(address):
        asked.append(address)
        with ThreadPoolExecutor(1) as pool:
            yield pool

    monkeypatch.setattr("training.sweeps.dask_executor", executor)
    return asked


def test_a_sweep_trains_what_is_missing(tdw, stored, threads):
    grid = ["--grid", "p=5,7", "--grid", "seed=0:2", *SIZES, "--epochs", "6", "--device", "cpu"]
    done = tdw("sweep", *grid, "--dask", "tcp://somewhere:8786")
    assert done.code == 0, done.err
    assert threads == ["tcp://somewhere:8786"]
    # p=7, seed=1 is there from before, trained for longer
    assert "4 variants in" in done.out
    assert "3 trained now, 1 complete before, 0 failed." in done.out
    assert len(Workspace(stored).names()) == 4
    again = tdw("sweep", *grid, "--json").json
    assert again["trained"] == []
    assert len(again["complete"]) == 4


def test_a_sweep_in_processes_from_a_file(tdw, tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(
        "epochs: 4\ndevice: cpu\nworkers: 1\ncommon: {d_model: 8, n_heads: 2, d_head: 4, d_mlp: 16}\n"
        "grid: {p: [5], seed: [1, 2]}\nvariants: [{p: 7, seed: 3, lr_schedule: 'cosine:until=4'}]\n"
    )
    done = tdw("sweep", str(path))
    assert done.code == 0, done.err
    assert "3 trained now, 0 complete before, 0 failed." in done.out
    names = Workspace(tmp_path / "workspace").names()
    assert names[-1] == "p7-s3-d598-dm8-h2-dh4-mlp16-lr_cosine_until=4"


def test_failures_of_a_sweep_are_listed_with_their_causes(tdw, tmp_path, threads, monkeypatch):
    from data.errors import WorkbenchError

    def fail(*arguments, **options):
        raise WorkbenchError("the disk is full")

    monkeypatch.setattr("training.sweeps.train_group", fail)
    grid = ["--grid", "p=5", "--grid", "seed=0:2", *SIZES, "--epochs", "6", "--device", "cpu"]
    done = tdw("sweep", *grid, "--dask", "here")
    assert done.code == 1
    assert "0 trained now, 0 complete before, 2 failed." in done.out
    lines = done.err.splitlines()
    assert lines[0].endswith(": the disk is full")
    assert lines[-1] == "tdw: 2 of 2 variants failed; they are listed above."


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ([], ["a YAML file or --grid"]),
        (["--grid", "p"], ["'p' is not name=values", "p=97,113"]),
        (["--grid", "p=5", "--grid", "p=7"], ["gives p twice"]),
        (["--grid", "p=5", "--grid", "seed=1,1"], ["names the variant p5-s1-d598 twice"]),
        (["--grid", "p=12", "--grid", "seed=1"], ["p=12 is not prime"]),
        (["--grid", "p=5", "--grid", "seed=3:3"], ["no value for seed"]),
        (["--grid", "p=5", "--grid", "seed=1", "--grid", "magic=2"], ["no setting 'magic'"]),
        (["none.yaml"], ["none.yaml", "cannot be read"]),
    ],
)
def test_bad_sweeps(tdw, tmp_path, arguments, words):
    fails(tdw("sweep", *arguments, "--epochs", "5", "--device", "cpu"), *words)
    assert not (tmp_path / "workspace" / "variants" / "modular_addition").exists()


def test_an_unknown_option_in_a_sweep_file(tdw, tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text("epoch: 4\ngrid: {p: [5], seed: [1]}\n")
    fails(tdw("sweep", str(path)), "has no option 'epoch'; there is: family, epochs")


# --- what is there ---------------------------------------------------------------------------------------


def test_variants(tdw, stored):
    (row,) = tdw("variants", "--json").json
    assert row["name"] == NAME
    assert row["epochs"] == [0, 10, 20, 30]
    assert row["trained_epochs"] == 30
    assert row["config"]["d_mlp"] == 16
    assert row["turn"]["verdict"] == "never"
    listed = tdw("variants").out
    assert NAME in listed
    assert "1 variants in" in listed


@pytest.mark.parametrize(
    ("command", "name", "others"),
    [("analyzers", "turn", ("scope", "runs")), ("views", "loss_curves", ("group",))],
)
def test_listings_are_one_line_each_and_json_is_whole(tdw, command, name, others):
    rows = tdw(command, "--json").json
    assert name in [row["name"] for row in rows]
    assert all(row["formula"] for row in rows if row["name"] == name)
    lines = tdw(command).out.splitlines()
    assert len(lines) == len(rows) + 2  # the header and the number
    columns = ("name", "title", *others)
    assert lines[0].split() == list(columns)
    for row, line in zip(rows, lines[1:], strict=False):
        assert line.split() == [word for column in columns for word in row[column].split()]
    assert not any("{" in line for line in lines)


def test_analyze_one_and_all(tdw, stored):
    done = tdw("analyze", NAME, "--analyzer", "logits_summary")
    assert done.code == 0
    assert NAME in done.out
    losses = Workspace(stored)[NAME].artifact("logits_summary")["loss"]
    assert losses.sizes["epoch"] == 4
    assert tdw("analyze", "--all").code == 0
    fails(tdw("analyze"), "the name of one variant, or --all")
    fails(tdw("analyze", NAME, "--all"), "the name of one variant, or --all")
    fails(tdw("analyze", NAME, "--analyzer", "magic"), "magic", "turn")


def test_a_truncated_checkpoint_is_named_and_harms_no_other(tdw, stored):
    path = Workspace(stored)[NAME].at(20).path
    path.write_bytes(path.read_bytes()[:50])
    done = tdw("analyze", NAME, "--analyzer", "logits_summary")
    assert done.code == 1
    assert path.name in done.err
    assert "damaged or truncated" in done.err
    assert "The other epochs are not affected" in done.err
    assert "Traceback" not in done.err
    assert Workspace(stored)[NAME].artifact("logits_summary")["epoch"].values.tolist() == [0, 10, 30]
    fails(tdw("checkpoints", NAME, "--add", "15"), path.name, "damaged or truncated")
    path.unlink()
    assert tdw("checkpoints", NAME, "--add", "20").code == 0  # which restores it
    assert tdw("analyze", NAME, "--analyzer", "logits_summary").code == 0


@pytest.mark.parametrize(
    "arguments", [["analyze"], ["resume"], ["checkpoints"], ["fork", "--at", "1"], ["delete", "--yes"]]
)
def test_an_unknown_variant_is_answered_with_what_there_is(tdw, stored, arguments):
    fails(tdw(*arguments, "p9-s9"), "no variant 'p9-s9'", f"there are: {NAME}")


def test_no_workspace(tdw, tmp_path):
    fails(tdw("variants", "--workspace", str(tmp_path / "none")), "There is no workspace at", "tdw train")


def test_delete(tdw, stored, monkeypatch):
    monkeypatch.setattr("typer.confirm", lambda question: False)
    fails(tdw("delete", NAME), f"{NAME} was kept")
    assert Workspace(stored).names() == [NAME]
    done = tdw("delete", NAME, "--yes")
    assert done.code == 0
    assert f"Deleted {NAME} from" in done.out
    assert Workspace(stored).names() == []


# --- import and summary ----------------------------------------------------------------------------------


@pytest.fixture
def foreign(trained, tmp_path) -> Path:
    """The trained variant's last checkpoint, as another program would have saved it."""
    import torch

    variant = Workspace(trained)[NAME]
    path = tmp_path / "other" / "epoch_30.pth"
    path.parent.mkdir()
    config = {"weight_decay": 5.0, "seed": 1}
    content = {
        "model": variant.at(30).weights,
        "config": config,
        "optimizer": {"param_groups": [{"weight_decay": 1.0}]},
    }
    torch.save(content, path)
    return path


def test_import_says_what_it_did(tdw, foreign, tmp_path):
    done = tdw("import", str(foreign), "--data-seed", "598", "--frac-train", "0.3", "--name", "theirs")
    assert done.code == 0, done
    assert f"Read 1 checkpoint with configuration, optimizer settings from {foreign}" in done.out
    assert "Split: as asked for." in done.out
    assert "Contradiction: The configuration says weight_decay=5.0, the optimizer's state" in done.out
    assert "Imported theirs (1 checkpoint, epoch 30)" in done.out
    variant = Workspace(tmp_path / "workspace")["theirs"]
    assert variant.config["weight_decay"] == 1.0
    assert variant.params["p"] == 7
    fails(tdw("import", str(foreign), "--seeds", "3"), "has been imported before: it is theirs")
    listed = tdw("variants", "--json").json
    assert [row["name"] for row in listed] == ["theirs"]


def test_import_as_json_and_with_a_split_that_cannot_be_found(tdw, foreign):
    report = tdw("import", str(foreign), "--seeds", "3", "--json").json
    assert report["epochs"] == [30]
    assert not report["split_sure"]
    assert report["contradictions"]
    assert report["notes"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["absent.pth"], ["no file or folder absent.pth"]),
        (["{file}", "--p", "11"], ["with p=11", "embed.W_E"]),
        (["{file}", "--layout", "mine"], ["layout='mine'", "transformerlens, older"]),
        (["{file}", "--data-seed", "3"], ["--data-seed and --frac-train together"]),
    ],
)
def test_impossible_imports_are_refused(tdw, foreign, arguments, words):
    fails(tdw("import", *(argument.format(file=foreign) for argument in arguments)), *words)
    assert tdw("variants", "--json").json == []


def test_summary_and_analyzers_by_name(tdw, stored):
    fails(tdw("summary", NAME), "has no summary yet", f"tdw analyze {NAME}")
    assert tdw("analyze", NAME, "--analyzers", "run_summary,weight_norms", "--workers", "1").code == 0
    done = tdw("summary", NAME)
    assert done.code == 0
    assert "test accuracy, final" in done.out
    assert f"{NAME}: " in done.out
    part = tdw("summary", NAME, "--part", "turn")
    assert "turn, onset" in part.out
    assert "test accuracy, final" not in part.out
    fails(tdw("summary", NAME, "--part", "all"), "--part 'all'", "frequencies")
    found = tdw("summary", NAME, "--json").json
    assert found["metrics"]["weight norm, final"]["value"] > 0
    assert found["classification"] == tdw("variants", "--json").json[0]["classification"]
    fails(tdw("analyze", NAME, "--analyzers", "run_summary,nothing"), "no analyzer 'nothing'")


def test_analyzers_says_which_run_by_name_only(tdw):
    done = tdw("analyzers")
    rows = {line.split()[0]: line for line in done.out.splitlines() if line.strip()}
    assert "with the others" in rows["turn"]
    assert "when seen" in rows["neuron_map"]
    assert "by name" in rows["llc"]
    assert {found["name"]: found["standard"] for found in tdw("analyzers", "--json").json}["llc"] is False


# --- jobs and the doctor ---------------------------------------------------------------------------------


def test_what_the_command_does_is_a_job(tdw, stored):
    fails(tdw(*TRAIN, *KEPT), "is already in")
    assert tdw("resume", NAME, "--epochs", "40", "--device", "cpu").code == 0
    assert tdw("fork", NAME, "--at", "20", "--lr", "1e-4", "--device", "cpu").code == 0
    assert tdw("analyze", NAME, "--analyzer", "weight_norms").code == 0
    listed = tdw("jobs", "--json").json
    assert [(job["title"], job["state"]) for job in listed] == [
        (f"Analyse {NAME}", "done"),
        (f"Fork {NAME} at epoch 20", "done"),
        (f"Go on with {NAME}", "done"),
        (f"Train {NAME}", "failed"),
    ]
    table = tdw("jobs")
    assert "4 jobs in" in table.out
    assert "0 of them active" in table.out
    assert f"{NAME} is trained to epoch 40." in table.out
    log = tdw("jobs", "log", listed[2]["id"]).out
    assert "Ends: done." in log


def test_a_job_is_cancelled_and_resumed(tdw, stored):
    from dashboard.work.launch import enlist
    from dashboard.work.orders import parse
    from data.database.jobs import JobStore

    workspace = Workspace(stored)
    job, _ = enlist(workspace, parse({"kind": "resume", "variant": NAME, "epochs": 40, "device": "cpu"}))
    fails(tdw("resume", NAME, "--epochs", "40"), job.id, "does this already", f"tdw jobs cancel {job.id}")
    fails(tdw("resume", NAME, "--epochs", "50"), job.id, f"{NAME} is being written by the job")
    assert "is cancelled. Cancelled before it began." in tdw("jobs", "cancel", job.id).out
    done = tdw("jobs", "resume", job.id)
    assert done.out.splitlines()[-1] == f"Done: Go on with {NAME}."
    assert workspace[NAME].history["epoch"][-1] == 40
    fails(tdw("jobs", "resume", job.id), "is done; there is nothing left")
    fails(tdw("jobs", "cancel", "x"), "There is no job 'x'; `tdw jobs` lists them.")
    fails(tdw("jobs", "log", "../x"), "'../x' is not the id of a job")
    running, _ = enlist(workspace, parse({"kind": "resume", "variant": NAME, "epochs": 60}))
    JobStore(workspace.database).claim(running.id)
    assert "to stop; it does so at its next report" in tdw("jobs", "cancel", running.id).out
    assert "stopping" in tdw("jobs").out


def test_the_keyboard_cancels(tdw, stored, monkeypatch):
    def interrupted(*arguments, **other):
        raise KeyboardInterrupt

    monkeypatch.setattr("training.run.resume_variant", interrupted)
    assert tdw("resume", NAME, "--epochs", "40").code == 130
    (job,) = tdw("jobs", "--json").json
    assert (job["state"], job["message"][:29]) == ("cancelled", "Interrupted from the keyboard")


def test_the_doctor_finds_and_mends(tdw, stored):
    fails(tdw("doctor"), "One thing is wrong", "--repair")
    assert "is in order: 1 variants." in tdw("doctor", "--rebuild").out
    assert tdw("analyze", NAME, "--analyzers", "weight_norms").code == 0
    variant = Workspace(stored)[NAME]
    changed = {name: 2 * weight for name, weight in variant.at(10).weights.items()}
    variant.save_checkpoint(10, changed)
    tdw("doctor", "--rebuild")
    told = tdw("doctor")
    assert told.code == 0, "what is out of date is nothing wrong"
    assert f"For information: {NAME}: One result is out of date, such as weight_norms" in told.out
    assert len(tdw("doctor", "--json").json["outdated"]) == 1
    path = Workspace(stored)[NAME].at(20).path
    path.write_bytes(path.read_bytes()[:-10])
    done = tdw("doctor", "--json")
    assert done.code == 1
    (finding,) = [found for found in json.loads(done.out)["findings"] if found["mend"] == "put aside"]
    assert (finding["subject"], finding["path"]) == (NAME, str(path))
    mended = tdw("doctor", "--repair")
    assert mended.code == 0
    assert "Moved variants/modular_addition/" in mended.out
    assert Workspace(stored)[NAME].epochs == [0, 10, 30]
