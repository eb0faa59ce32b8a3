"""Choosing the checkpoints that tell the story of a run."""

from __future__ import annotations

import numpy as np
import pytest

from analyzers.pipeline import analyze
from analyzers.replicates import summary
from analyzers.service import AnalyzerService
from data import Workspace
from data.errors import WorkbenchError
from data.workspace import SAMPLES
from training import make_samples
from training.forks import Change, fork_variant
from training.make_samples import (
    FORK,
    candidates,
    choose_epochs,
    choose_few,
    main,
    make_copies,
    make_fork,
    make_sample,
    thinned,
)
from training.replicates import replicates_of
from training.run import recorded_epochs, resume_variant
from training.schedules import Schedule


def story(epochs: int, turn: float, width: float) -> np.ndarray:
    """A test loss that rises to 30, stays there, and falls to 1e-7 around the turn."""
    epoch = np.arange(epochs + 1)
    high, low = np.log(30.0), np.log(1e-7)
    level = np.log(4.7) + (high - np.log(4.7)) * (1 - np.exp(-epoch / 400))
    return np.exp(level + (low - high) / (1 + np.exp(np.clip((turn - epoch) / width, -50, 50))))


@pytest.mark.parametrize(("turn", "width"), [(8_000, 300), (10_200, 400), (11_200, 150)])
def test_the_choice_is_dense_where_the_loss_falls(turn, width):
    saved = candidates(25_000)
    loss = story(25_000, turn, width)
    chosen = choose_epochs(loss, saved)
    assert len(chosen) == 25
    assert set(chosen) <= set(saved)
    assert chosen == sorted(chosen)
    assert {0, 100, 300, 1000, 25_000} <= set(chosen)
    falling = [epoch for epoch in chosen if 1e-6 < loss[epoch] < 25]
    assert len(falling) >= 10
    steps = -np.diff(np.log(loss[falling]))  # the whole way down is 19.5
    finest = np.max(-np.diff(np.log(loss[saved])))
    assert steps.max() < max(2.6, 1.01 * finest)
    assert sum(1000 < epoch < turn - 4 * width for epoch in chosen) >= 3  # the plateau
    assert sum(turn + 6 * width < epoch < 25_000 for epoch in chosen) >= 2  # and the time after


def test_a_second_peak_counts_only_if_it_is_the_highest():
    """A spike after the turn does not draw the choice away from the long fall."""
    loss = story(25_000, 9_000, 300)
    loss[20_000:20_050] = 0.5
    chosen = choose_epochs(loss, candidates(25_000))
    assert sum(7_000 < epoch < 11_000 for epoch in chosen) >= 10


def test_a_run_that_never_turns_is_covered_evenly():
    saved = candidates(25_000)
    chosen = choose_epochs(story(25_000, 1e9, 300), saved)
    assert len(chosen) == 25
    assert {0, 25_000} <= set(chosen)
    assert max(np.diff(chosen)) < 12_500


def test_fewer_candidates_than_wanted_are_all_kept():
    assert choose_epochs(np.full(9, 4.0), [0, 1, 2, 4, 8]) == [0, 1, 2, 4, 8]


def test_a_small_sample_is_complete(tmp_path):
    workspace = Workspace(tmp_path / "samples", create=True)
    name = make_sample(workspace, {"p": 5, "seed": 1}, epochs=300, device="cpu")
    variant = workspace[name]
    assert variant.epochs == candidates(300)
    assert variant.history["epoch"].values.tolist() == list(range(301))
    assert np.isfinite(variant.history.to_array()).all()
    assert variant.optimizer_epochs == []
    assert variant.provenance["plan"]["checkpoint_dtype"] == "float16"
    before = variant.token()
    assert resume_variant(variant).token() == before  # complete: nothing is done
    with pytest.raises(WorkbenchError, match="no training state"):
        resume_variant(variant, epochs=400)


def test_a_small_fork_keeps_its_start_its_schedule_and_its_end(tmp_path):
    workspace = Workspace(tmp_path / "samples", create=True)
    parent = workspace[make_sample(workspace, {"p": 5, "seed": 1}, epochs=120, device="cpu")]
    change = Change(lr_schedule=Schedule.parse("piecewise:20=3e-4,60=1e-3"))
    fork = workspace[make_fork(parent, 20, change, "cpu")]
    assert len(fork.epochs) == 6
    assert {20, 60, 120} <= set(fork.epochs)
    assert fork.at(20).path.stat().st_size == parent.at(16).path.stat().st_size  # float16
    assert fork.optimizer_epochs == []
    assert not (fork.path / "start.safetensors").exists()
    assert fork.provenance["start"]["compared"]["equal"] is True
    assert fork.provenance["kept"]["states"] == "removed"
    assert [other.name for other in parent.forks] == [fork.name]
    before = fork.token()
    assert resume_variant(fork).token() == before


def test_small_copies_are_histories_and_nothing_else(tmp_path, monkeypatch):
    monkeypatch.setattr(make_samples, "HISTORY_WHOLE", 30)
    workspace = Workspace(tmp_path / "samples", create=True)
    names = make_copies(workspace, {"p": 5, "seed": 1}, 90, copies=2, device="cpu")
    copy = workspace[names[1]]
    assert copy.epochs == copy.optimizer_epochs == []
    assert sorted(path.name for path in copy.path.iterdir()) == ["history.zarr.zip", "variant.json"]
    assert copy.history["epoch"].values.tolist() == [*range(31), 40, 60, 80, 90]
    assert recorded_epochs(copy) == 91
    report = analyze(copy)  # what the history alone can tell
    assert report.failures == []
    assert set(report.computed) == {"turn"}
    assert AnalyzerService().summary(copy)["turn"]["memorised"] is not None
    before = copy.token()
    assert resume_variant(copy).token() == before  # complete, although epochs are missing
    with pytest.raises(WorkbenchError, match="90 epochs of history but no training state"):
        resume_variant(copy, epochs=95)
    fork = fork_variant(copy, 85, epochs=88, device="cpu")  # replayed from its perturbed start
    assert fork.history["epoch"].values.tolist() == list(range(89))
    assert np.isfinite(fork.history["test_loss"]).all()
    now, before = (one.history["test_loss"].sel(epoch=[10, 80]).values for one in (fork, copy))
    assert now == pytest.approx(before, rel=1e-2)  # the batch of the copies may round differently


def test_a_thinned_history_has_the_first_epochs_and_the_last():
    history = {"epoch": np.arange(1234), "lr": np.arange(1234) / 7}
    thin = thinned(history, 100)
    assert thin["epoch"].tolist() == [*range(501), *range(600, 1234, 100), 1233]
    assert np.array_equal(thin["lr"], thin["epoch"] / 7)


def test_few_epochs_lie_on_the_way_down():
    loss = story(25_000, 9_000, 300)
    chosen = choose_few(loss, range(0, 25_001, 100), [100, 1500, 25_000], 6)
    assert len(chosen) == 6
    assert chosen[0] == 100
    falling = [epoch for epoch in chosen if 1e-6 < loss[epoch] < 25 and epoch > 1500]
    assert len(falling) == 3


def test_the_shipped_fork_and_replicates():
    workspace = Workspace(SAMPLES)
    root = workspace["p101-s999-d598"]
    copies = replicates_of(root)
    assert len(copies) == 16
    found = summary(copies, AnalyzerService())
    assert found["turn"]["memorised"]["epoch"] == pytest.approx(
        {"smallest": 263, "median": 267, "largest": 273, "deviation": 2.6}, abs=0.1
    )
    assert found["turn"]["completion"]["runs"] == 16
    assert (found["train_loss_parts"], found["test_loss_parts"]) == (104, 122)
    for copy in copies:
        late = copy.history["test_loss"].sel(epoch=slice(1000, None))
        assert 13_000 < int(late["epoch"][(late < 1).values.argmax()]) < 16_000
    fork = next(other for other in root.forks if other not in copies and other.epochs)
    assert fork.parent["change"] == FORK.to_json()
    assert fork.epochs[0] == fork.parent["epoch"] == 20
    assert len(fork.epochs) == 6
    lr = fork.history["lr"]
    assert [float(lr.sel(epoch=epoch)) for epoch in (19, 20, 1490, 1500)] == [1e-3, 1e-4, 1e-4, 1e-3]
    near = fork.history["test_loss"].sel(epoch=slice(0, 20)) / root.history["test_loss"].sel(
        epoch=slice(0, 20)
    )
    assert abs(near - 1).max() < 1e-3
    for variant in (*copies, fork):
        assert variant.provenance["device_name"] == "NVIDIA H200"
        assert variant.provenance["tf32"] is False
    size = sum(path.stat().st_size for path in SAMPLES.rglob("*") if path.is_file())
    assert size <= 40e6


def test_an_unknown_sample_is_named(tmp_path, capsys):
    assert main(["--workspace", str(tmp_path), "--only", "p7"]) == 1
    said = capsys.readouterr().err
    known = "fork, p101-s999-d598, p113-s485-d598, p113-s999-d598, replicates"
    assert f"no sample 'p7'; there is: {known}" in said
    assert main(["--workspace", str(tmp_path), "--only", "fork"]) == 1
    assert "the fork starts from p101-s999-d598, which is not there" in capsys.readouterr().err
